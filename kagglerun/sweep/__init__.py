"""Sweeps: one coordinator owns a study; workers execute its trials."""
