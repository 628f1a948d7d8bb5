"""What is said: sessions, and the relay from a model server into a generation's log."""
