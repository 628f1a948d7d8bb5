"""The page's static files: joined, stripped and compressed once."""
