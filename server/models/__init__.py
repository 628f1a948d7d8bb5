"""Models and their servers: catalogue, runners, lifecycle, capacity and diagnosis."""
