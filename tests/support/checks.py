"""Checks by their declarations."""

from typing import Any

from server.evaluation.checks.declarations import Check
from server.evaluation.checks.reading import checks_in


def declared_checks(declared: Any) -> tuple[Check, ...]:
    """Return the checks of a list of declarations, or of a single one; nothing may be wrong."""
    checks, problems = checks_in(declared, "checks")
    assert not problems
    return checks
