"""The WebSocket as it is met on real networks: cut, slow, silent, flooded, and resumed."""
