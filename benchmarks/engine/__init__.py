"""The embedded engine beside the bare server of its library."""
