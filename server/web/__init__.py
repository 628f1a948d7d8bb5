"""Everything that clients connect to: the WebSocket, the HTTP API and the pages."""
