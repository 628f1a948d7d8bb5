"""Which models there are: by the settings, by servers' lists, and as operators add them."""
