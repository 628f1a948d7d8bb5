"""A server that is up: how to speak to it, and what it says of itself and of its models."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from server.core.errors import EngineLost, ModelFailed, SidestreamError
from server.dialects.base import ANY_MODEL, EngineInfo, Upstream
from server.models.catalog import ModelSpec
from server.models.infos import Infos


@dataclass(frozen=True)
class Ready:
    """How to speak to a server, and what it has said."""

    upstream: Upstream
    info: EngineInfo
    spec: ModelSpec
    was_outdated: bool
    """Whether it ran already when it was found, with other settings than those of then."""
    infos: Infos = field(default_factory=Infos)
    """What a server with many models says of each that was asked."""

    async def describe(
        self,
        model: str,
        cause_of_loss: Callable[[Upstream], Awaitable[SidestreamError | None]],
    ) -> EngineInfo:
        """Return what the server says of one of its models; those who ask at once ask it once.

        Raises `EngineError`, `ModelFailed` for the server as a whole, or what `cause_of_loss` says
        of a server that cannot be asked any more.
        """
        if self.spec.settings.model_id != ANY_MODEL:
            return self.info
        if model == ANY_MODEL:
            raise ModelFailed(f"no model of {self.spec.name} is known that could be asked")
        try:
            return await self.infos.ask(self.upstream, model)
        except EngineLost as lost:
            raise await cause_of_loss(self.upstream) or lost from None

    def is_outdated_by(self, spec: ModelSpec) -> bool:
        """Tell whether it would now be run otherwise."""
        return self.was_outdated or self.spec.server_settings != spec.server_settings
