"""The page's files: joined, without what only people read, and compressed, all of it once."""
