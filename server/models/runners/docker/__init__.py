"""Model servers in containers of one engine: the runner, and its requests to the engine."""
