"""Settings that are read again while the gateway runs: how it does that, and how it is asked to."""
