"""Generations and sessions: admission, the relay from a model server into a log, the cache."""
