"""The HTTP API: each operation described once, for routing, checking and the documentation."""
