"""Hours in minutes: many streams, many cuts, and what is left of the gateway afterwards."""
