"""Models that are added on the command line: `python3 run.py model`."""
