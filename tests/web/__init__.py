"""HTTP: our own addresses, TGI's, OpenAI's, and the description of them all."""
