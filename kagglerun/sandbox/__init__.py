"""Notebooks executed apart from the machine: no network, inputs read-only, limits of time and memory."""
