"""Model servers that we can start, each one value: a container and a command of it share that."""
