"""The managers of a swarm, any of which can be asked.

Rules:

1. The manager that has answered last is asked first. One that does not answer, or is no manager, is
   followed by the next.
2. A request that changes something is made once: a manager that does not answer may have done it.
3. aiodocker lacks calls for tasks' logs and for the registry, and changes what it is given; so
   requests are made of its connection directly.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from server.models.runners.containers.client import DockerEngine
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.swarm.errors import asking

# A leader that is lost is replaced within eleven seconds, and a manager without a majority answers
# that it has none after twenty.
CALL_SECONDS: Final = 25.0
_NO_PORTS: Final = (1, 0)


class Managers:
    """The connections to all managers; every method raises the errors in `errors`."""

    def __init__(self, hosts: Sequence[str], environment: Mapping[str, str]) -> None:
        self._engines = [
            DockerEngine(host, environment, ports=_NO_PORTS) for host in hosts or ("",)
        ]
        self.was_reached = False
        """Whether a manager has ever answered; if so, one is waited for when none does."""

    @property
    def engine(self) -> DockerEngine:
        """Return the manager that is asked first."""
        return self._engines[0]

    async def get(self, what: str, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """Ask for something; `what` completes "cannot …"."""
        trouble: DockerUnreachable | None = None
        for engine in list(self._engines):
            try:
                async with asking(what, within_seconds=None):
                    answer = await engine.ask(
                        what, "GET", path, parameters=parameters, within_seconds=CALL_SECONDS
                    )
            except DockerUnreachable as error:
                trouble = trouble or error
                continue
            self._engines.remove(engine)
            self._engines.insert(0, engine)
            self.was_reached = True
            return answer
        raise trouble or DockerUnreachable("no manager is named", "set `host` in [swarm]")

    async def create(self, what: str, path: str, body: Mapping[str, Any]) -> str:
        """Create something, and return its id."""
        async with asking(what, within_seconds=None):
            answer = await self.engine.ask(
                what, "POST", path, body=body, within_seconds=CALL_SECONDS
            )
        return str(answer["ID"])

    async def update(self, what: str, path: str, body: Mapping[str, Any], *, version: int) -> None:
        """Change something of which this version was seen; refused if there is a newer one."""
        async with asking(what, within_seconds=None):
            await self.engine.ask(
                what,
                "POST",
                f"{path}/update",
                parameters={"version": str(version)},
                body=body,
                within_seconds=CALL_SECONDS,
            )

    async def delete(self, what: str, path: str) -> None:
        """Remove something."""
        async with asking(what, within_seconds=None):
            await self.engine.ask(what, "DELETE", path, within_seconds=CALL_SECONDS)

    @asynccontextmanager
    async def stream(
        self, what: str, path: str, parameters: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask for a stream without a time limit; yield its bytes."""
        async with (
            asking(what, within_seconds=None),
            self.engine.stream(what, "GET", path, parameters) as chunks,
        ):
            yield chunks

    async def close(self) -> None:
        """Close all connections."""
        for engine in self._engines:
            await engine.close()
