"""The Python client: against recorded dialogues, and against the real server."""
