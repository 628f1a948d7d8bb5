"""Start any program by a command from the settings (`runner = command`)."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from server.engines.known import ENGINES
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.endpoints import described_endpoint
from server.models.runners.ports import Claim, PortRange
from server.models.runners.programs.launch import Launch, passed_on
from server.models.runners.redaction import secrets_of
from server.settings.addresses import is_this_machine, resolve_address
from server.settings.commands import command_words, with_port


class CommandLauncher:
    """Start the program that a model's settings name."""

    def __init__(self, hub_cache: str = "", environment: Mapping[str, str] = os.environ) -> None:
        """`hub_cache` is the hub's cache on this machine, which the programs read, too.

        They get the variables of `environment` in addition to those in their settings.
        """
        self._hub_cache = hub_cache
        self._environment = environment

    def claim(self, spec: ModelSpec, ports: PortRange) -> Claim:
        """Claim a free port, or the port of an `url` on this machine without `{port}`."""
        said = spec.settings
        if not said.url or with_port(said.url, 0) != said.url:
            return ports.claim()
        url = resolve_address(said.url).url
        port = urlsplit(url).port or (443 if url.startswith("https:") else 80)
        # A server on another machine, such as one behind an SSH command, takes no port here.
        return ports.take(port) if is_this_machine(url) else Claim(port, set())

    async def launch(self, spec: ModelSpec, port: int) -> Launch:
        """Return the command with its port, and the endpoint of its server."""
        said = spec.settings
        engine = ENGINES.get(spec.program)
        address = resolve_address(with_port(said.url, port) or f"http://127.0.0.1:{port}")
        return Launch(
            words=tuple(command_words(said.command, port)),
            environment={
                **passed_on(self._environment),
                **{name: with_port(value, port) for name, value in said.env.items()},
            },
            endpoint=await described_endpoint(
                address,
                said,
                hub_cache=self._hub_cache,
                likely=engine.flavour if engine else "",
            ),
            secrets=tuple(secrets_of(said)),
            hint="correct `command` in the model's section, or PATH in its `env`",
        )
