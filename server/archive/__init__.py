"""What was said: conversations kept in SQLite, written while they stream, found, exported."""
