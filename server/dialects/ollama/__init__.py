"""Ollama's native API, `/api/*`: NDJSON answers, options by its own names, models on demand."""
