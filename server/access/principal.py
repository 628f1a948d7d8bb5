"""Who is answerable for a request, and what that one may do.

The one table of what only operators may do is here, for every transport: commands of a socket
by their type, requests by the address of their route.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from server.core.errors import Forbidden, UnknownModel

Role = Literal["user", "operator"]

OPERATORS_COMMANDS: Final = frozenset({"start", "stop", "logs", "use"})
OPERATORS_ADDRESSES: Final = frozenset(
    {
        *("/models/{id}/start", "/models/{id}/stop", "/models/{id}/logs", "/metrics"),
        *("/servers/{name}", "/servers/{name}/use"),
    }
)


@dataclass(frozen=True)
class Principal:
    """Somebody who is answerable: the holder of a key, or whoever comes where none are asked for.

    `models` are all that this one sees of the catalogue, ids or patterns with `*`; None for no
    limit.
    """

    id: str
    name: str
    role: Role
    models: frozenset[str] | None = None

    def check_command(self, kind: str) -> None:
        """Raise `Forbidden` for a command that is an operator's."""
        if kind in OPERATORS_COMMANDS:
            self._check_operator(f"`{kind}`")

    def check_address(self, address: str) -> None:
        """Raise `Forbidden` for a route that is an operator's."""
        if address in OPERATORS_ADDRESSES:
            self._check_operator(address)

    def sees(self, model_id: str) -> bool:
        """Tell whether the model is there for this one."""
        if self.models is None or model_id in self.models:
            return True
        return any("*" in one and fnmatchcase(model_id, one) for one in self.models)

    def check_model(self, model_id: str) -> None:
        """Raise `UnknownModel` as for a model that does not exist: the answer tells nothing."""
        if not self.sees(model_id):
            raise UnknownModel(f"there is no model {model_id[:80]!r}")

    def _check_operator(self, what: str) -> None:
        if self.role != "operator":
            raise Forbidden(
                f"{what} is for operators", hint="use a key made with `--role operator`"
            )


@dataclass(frozen=True)
class Caller:
    """Somebody who asks, and from which address: both are answerable for how much it is."""

    principal: Principal
    address: str = ""


LOCAL: Final = Principal("local", "local", "operator")
"""Whoever comes where no keys are asked for."""
