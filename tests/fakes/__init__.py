"""Programs that stand in for others, each misbehaviour a flag named after it."""
