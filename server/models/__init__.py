"""What runs: the catalogue, the engines, and each model's lifecycle."""
