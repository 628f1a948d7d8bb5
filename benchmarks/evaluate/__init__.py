"""A run of many prompts: how busy it keeps the slots it is given."""
