"""One profile for the property tests: no deadlines, since a busy machine is not a bug."""

from hypothesis import settings

settings.register_profile("sidestream", deadline=None, print_blob=True)
settings.load_profile("sidestream")
