"""Measure the page in a browser: what it loads, how soon it is usable, what a token costs."""
