"""Processes that work on what may never end or may crash, and can be killed."""
