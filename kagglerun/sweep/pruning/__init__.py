"""Stopping trials before they have all their folds."""
