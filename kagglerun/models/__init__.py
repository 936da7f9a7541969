"""Model families: each trains one fold and predicts its validation rows and the test rows."""
