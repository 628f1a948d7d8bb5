"""The embedded engine: fetches and checks weights, then runs llama.cpp's own server on them."""
