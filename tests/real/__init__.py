"""Real model servers behind the dialects; those that are missing here are left out."""
