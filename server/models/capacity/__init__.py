"""Which model servers may run: memory, GPU shares, use, and idle times."""
