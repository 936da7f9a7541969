"""Folds in processes of their own, and one fold by several processes."""
