"""SQLite files of ours: checked, migrated, locked by one process."""
