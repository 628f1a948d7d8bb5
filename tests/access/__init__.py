"""Who may come in, as those see it who try."""
