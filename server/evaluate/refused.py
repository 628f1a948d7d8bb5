"""What a gateway that is asked says no with."""


class Refused(Exception):
    """The gateway refuses, or cannot be reached; the message is for the user."""


class Away(Refused):
    """The gateway cannot be reached, or is about to stop: it may be back soon."""
