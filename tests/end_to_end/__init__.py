"""The whole of it: the real gateway, the real engine, the real model, a foreign client."""
