"""Exports of other tools, read as conversations of ours."""
