"""The embedded engine, as a process, with the real model."""
