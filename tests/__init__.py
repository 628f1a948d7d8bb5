"""Tests, one folder per floor of the server."""
