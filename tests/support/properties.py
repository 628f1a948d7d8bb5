"""One profile for all property tests; importing this sets it."""

from hypothesis import settings

# No deadline: a busy machine is not a bug.
settings.register_profile("sidestream", deadline=None, print_blob=True)
settings.load_profile("sidestream")
