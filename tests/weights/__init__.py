"""Weights: found, fetched and checked, against indexes and hubs that behave or do not."""
