"""The WebSocket: commands are read from it, and events written to it as frames."""
