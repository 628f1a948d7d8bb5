"""Who asks: the WebSocket, the HTTP views and the page."""
