"""Submissions: chosen, written, checked, sent."""
