"""What operators see: figures, and a line for each request."""
