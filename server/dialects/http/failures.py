"""What a failed connection is in the words that reach a user."""

from server.core.errors import EngineLost


class BadAnswer(EngineLost):
    """The other side does not speak HTTP as we know it."""


def broken(error: object, kind: type[EngineLost] = EngineLost) -> EngineLost:
    """Return the error for a connection that broke."""
    return kind(f"the connection to the model server broke: {error}")
