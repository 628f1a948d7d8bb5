"""OpenAI's form of asking and answering."""
