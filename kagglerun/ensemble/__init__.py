"""Ensembles: the out-of-fold predictions of several runs as one run."""
