"""Model weights: found, fetched from a package index or a hub, and checked before they are used."""
