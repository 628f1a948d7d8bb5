"""What the tests of evaluations share."""

import tests.support.properties  # noqa: F401
