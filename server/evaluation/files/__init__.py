"""Files of prompts, CSV and JSON Lines: read with all errors in their places, and written."""
