"""Prompt sets and runs: every prompt of a set is asked of every target, and answers are kept."""
