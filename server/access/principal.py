"""Who makes a request, and what they may do.

Which role a command needs is declared with its class, and which an HTTP operation needs with its
entry in the table of operations; what declares none is for operators only.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from server.core.errors import Forbidden, UnknownModel
from server.core.protocol import ErrorInfo, Role


@dataclass(frozen=True)
class Principal:
    """The holder of a key, or `LOCAL` where no keys are needed.

    `models` are the ids, or patterns with `*`, of the models that are visible; None means all.
    """

    id: str
    name: str
    role: Role
    models: frozenset[str] | None = None

    def check_role(self, role: Role, what: str) -> None:
        """Raise `Forbidden` where `role` is not this one's; `what` is named in the message."""
        if role == "operator" and self.role != "operator":
            raise Forbidden(
                f"{what} is for operators", hint="use a key made with `--role operator`"
            )

    def sees(self, model_id: str) -> bool:
        """Tell whether the model is visible."""
        if self.models is None or model_id in self.models:
            return True
        return any("*" in one and fnmatchcase(model_id, one) for one in self.models)

    def told(self, error: ErrorInfo) -> ErrorInfo:
        """Return an error without the lines of a model server's log, which operators may read."""
        if self.role == "operator" or error.details is None:
            return error
        details = {name: value for name, value in error.details.items() if name != "log"}
        return msgspec.structs.replace(error, details=details or None)

    def check_model(self, model_id: str) -> None:
        """Raise `UnknownModel` for an invisible model, as for one that does not exist."""
        if not self.sees(model_id):
            raise UnknownModel(f"there is no model {model_id[:80]!r}")


@dataclass(frozen=True)
class Caller:
    """A principal and the address of the request; quotas count both."""

    principal: Principal
    address: str = ""


LOCAL: Final = Principal("local", "local", "operator")
"""Everybody, where no keys are needed."""
