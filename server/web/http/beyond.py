"""What requests and answers have beyond OpenAI's and TGI's forms: one field, `sidestream`.

Both forms know nothing of several servers behind one address. What a request may say about that,
and what is to be remarked about an answer, stands in this field, which clients of either overlook.
"""

from typing import Annotated, Any, Final

import msgspec

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


def remarks_of(end: End) -> Remarks:
    """Return what is to be remarked about an answer, if there is anything."""
    if not (end.notices or end.cost or end.answered_by):
        return msgspec.UNSET
    return SidestreamRemarks(end.notices, end.cost, end.answered_by)
