"""What docs/deploy brings along, tried out as far as that can be done here."""
