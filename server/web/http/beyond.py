"""What requests and answers have beyond OpenAI's and TGI's forms: one field, `sidestream`.

Both forms know nothing of several servers behind one address. What a request may say about that,
and what is to be remarked about an answer, stands in this field, which clients of either overlook.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import replace

from server.core.protocol import Cost, End, Notice

About = msgspec.Meta


class SidestreamWishes(msgspec.Struct, frozen=True):
    """Say how the model's server is to be asked: neither OpenAI's nor TGI's."""

    lenient: Annotated[
        bool,
        About(description="Whether to answer without parameters that the model's server refuses."),
    ] = False
    extra: Annotated[
        dict[str, Any],
        About(
            description="What the model's server gets as it is: names that `extra_allowed` of the "
            "model's settings lists."
        ),
    ] = {}


class SidestreamRemarks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say what is to be remarked about an answer, what it cost, and who gave it behind a router."""

    notices: list[Notice] = []
    cost: Cost | None = None
    answered_by: str = ""


Wishes = SidestreamWishes | None
Remarks = SidestreamRemarks | msgspec.UnsetType

NO_WISHES: Final = SidestreamWishes()
OUR_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
"""What parameters are called in a form that calls all as the protocol does."""


def remarks_of(end: End, names: Mapping[str, str] = OUR_NAMES) -> Remarks:
    """Return what is to be remarked about an answer, if there is anything.

    `names` are what our parameters are called in its form, where their names differ.
    """
    if not (end.notices or end.cost or end.answered_by):
        return msgspec.UNSET
    notices = [_renamed(notice, names) for notice in end.notices]
    return SidestreamRemarks(notices, end.cost, end.answered_by)


def with_names(
    message: str, details: dict[str, Any] | None, names: Mapping[str, str]
) -> tuple[str, dict[str, Any] | None]:
    """Return what is said of parameters, and what of it programs read, by other names."""
    for ours, theirs in names.items():
        message = message.replace(f"`{ours}`", f"`{theirs}`")
    if details is not None and details.get("parameter") in names:
        details = {**details, "parameter": names[details["parameter"]]}
    return message, details


def _renamed(notice: Notice, names: Mapping[str, str]) -> Notice:
    message, details = with_names(notice.message, notice.details, names)
    return replace(notice, message=message, details=details)
