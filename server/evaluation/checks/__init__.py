"""Checks of answers: declared as data, deterministic, each result explained."""
