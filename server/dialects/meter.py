"""How often words of an answer have come from a server: what tells slow from stuck."""


class Meter:
    """Count how often words of an answer have come from one server."""

    __slots__ = ("heard",)

    def __init__(self) -> None:
        self.heard = 0
