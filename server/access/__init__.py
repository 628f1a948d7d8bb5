"""Who may come in, what they may do there, and how much of it."""
