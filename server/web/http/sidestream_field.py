"""The field `sidestream`, our extension of requests and answers in OpenAI's and TGI's forms.

It holds options about the model's server in requests, and notices and costs in answers. Clients of
both APIs ignore it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import replace

from server.core.protocol import Cost, End, Notice, Trim

About = msgspec.Meta


class SidestreamWishes(msgspec.Struct, frozen=True):
    """Options of a request that neither OpenAI's nor TGI's form has."""

    lenient: Annotated[
        bool,
        About(description="Whether to leave out parameters that the model's server refuses."),
    ] = False
    extra: Annotated[
        dict[str, Any],
        About(
            description="Fields that go to the model's server unchanged; `extra_allowed` in the "
            "model's settings lists their names."
        ),
    ] = {}
    trim: Annotated[
        Trim | None,
        About(
            description="What to leave out of a conversation that the model's context cannot hold."
        ),
    ] = None


class SidestreamRemarks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Notices about an answer, its cost, and who answered behind a router."""

    notices: list[Notice] = []
    cost: Cost | None = None
    answered_by: str = ""


Wishes = SidestreamWishes | None
Remarks = SidestreamRemarks | msgspec.UnsetType

NO_WISHES: Final = SidestreamWishes()
OUR_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
"""For a form whose parameters have the same names as in the protocol."""


def remarks_of(end: End, names: Mapping[str, str] = OUR_NAMES) -> Remarks:
    """Return an answer's notices, cost and answerer, unset if there are none.

    `names` maps our names of parameters to those of the form, where they differ.
    """
    if not (end.notices or end.cost or end.answered_by):
        return msgspec.UNSET
    notices = [_renamed(notice, names) for notice in end.notices]
    return SidestreamRemarks(notices, end.cost, end.answered_by)


def with_names(
    message: str, details: dict[str, Any] | None, names: Mapping[str, str]
) -> tuple[str, dict[str, Any] | None]:
    """Replace names of parameters in a message and its details."""
    for ours, theirs in names.items():
        message = message.replace(f"`{ours}`", f"`{theirs}`")
    if details is not None and details.get("parameter") in names:
        details = {**details, "parameter": names[details["parameter"]]}
    return message, details


def _renamed(notice: Notice, names: Mapping[str, str]) -> Notice:
    message, details = with_names(notice.message, notice.details, names)
    return replace(notice, message=message, details=details)
