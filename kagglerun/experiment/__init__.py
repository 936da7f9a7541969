"""Experiments: one config executed over all folds gives a run."""
