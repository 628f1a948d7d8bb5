"""All models as clients see them, each made anew only when something of it has changed.

Everybody who comes is shown all models. Of thousands hardly one has changed since the last time,
and to make them takes longer than to send them.
"""

from collections.abc import Container

from server.core.protocol import Model, ModelError
from server.dialects.base import EngineInfo
from server.models.catalog import ModelSpec
from server.models.loads import LoadState
from server.models.showing import ServerFacts, Use, shown_model
from server.models.surroundings import Status


class Shown:
    """Hold each model as it was last shown, beside what it was made of."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[tuple[object, ...], Model]] = {}

    def model(
        self,
        spec: ModelSpec,
        status: Status,
        info: EngineInfo,
        use: Use,
        facts: ServerFacts,
        load_state: LoadState | None,
        load_error: ModelError | None,
    ) -> Model:
        """Return the model that `shown_model` makes of the same."""
        parts = (spec, status, info, use, facts, load_state, load_error)
        made = self._made.get(spec.id)
        if made is not None and made[0] == parts:
            return made[1]
        model = shown_model(
            spec, status, info, use, facts, load_state=load_state, load_error=load_error
        )
        self._made[spec.id] = (parts, model)
        return model

    def forget_others(self, known: Container[str]) -> None:
        """Hold nothing of models whose ids are not in `known`."""
        self._made = {name: made for name, made in self._made.items() if name in known}
