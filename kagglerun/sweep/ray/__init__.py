"""Trials on a Ray cluster, and whole sweeps as Ray jobs. These modules alone import ray."""
