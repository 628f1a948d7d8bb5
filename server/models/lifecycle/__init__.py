"""A model server's lifecycle: its states, start, watch, restarts and end."""
