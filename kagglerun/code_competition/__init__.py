"""Competitions that take notebooks only: package a run, rehearse it, push it, submit it."""
