"""Configs and cards: typed, frozen, checked before anything starts."""
