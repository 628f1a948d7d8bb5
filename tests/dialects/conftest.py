"""What the tests of this floor share."""

import tests.support.properties  # noqa: F401
