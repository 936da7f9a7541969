"""The final submissions: what private scores are to be expected of the candidates, together, and which two to take."""
