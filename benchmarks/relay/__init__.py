"""The gateway beside nginx: what it costs to carry a token from a model server to a reader."""
