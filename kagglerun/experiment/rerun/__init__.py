"""Doing a run again: what it needs, what comes of it, where it differs; proof that resuming changes nothing."""
