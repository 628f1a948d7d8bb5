"""Sidestream: several language models answer side by side, live."""

__version__ = "0.1.0"
