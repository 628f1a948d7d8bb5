"""The models: from the settings, from servers' lists, and added by operators."""
