"""The ids that replicas take room by: the model's own for the first, with a number for others."""

from dataclasses import replace
from typing import Final

from server.models.catalogue.catalog import ModelSpec

# No id of a model has it.
_REPLICA: Final = " replica "


def occupying(spec: ModelSpec, number: int) -> ModelSpec:
    """Return the spec of one replica, under the id that it takes room by."""
    return spec if number == 1 else replace(spec, id=f"{spec.id}{_REPLICA}{number}")


def model_and_number(occupant: str) -> tuple[str, int]:
    """Return the model and the number of the replica that takes room by an id."""
    model, _, number = occupant.partition(_REPLICA)
    return model, int(number or 1)
