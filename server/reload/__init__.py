"""Reload the settings while the gateway runs, on request of another process."""
