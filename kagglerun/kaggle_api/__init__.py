"""Kaggle: its API through the official client, downloads, submissions, limits."""
