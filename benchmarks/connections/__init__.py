"""How long a model server far away takes to begin an answer."""
