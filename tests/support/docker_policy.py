"""What the policy that the doctor prints allows."""

import re

from server.doctor.containers import POLICY


def is_allowed(method: str, path: str) -> bool:
    """Tell whether the policy allows a request; `path` comes without the API's version."""
    return any(
        method == allowed and re.fullmatch(pattern, path.partition("?")[0])
        for allowed, pattern, _ in POLICY
    )
