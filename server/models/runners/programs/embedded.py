"""Start the embedded engine: llama.cpp's own server, by our launcher `server.engine`."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from server.dialects.base import Endpoint
from server.engines.llama_options import KEY_VARIABLE
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.ports import Claim, PortRange
from server.models.runners.programs.launch import Launch, passed_on

_KEY_BYTES: Final = 24
# Users of the embedded model rely on this: without parameters the most likely token is taken, and
# an answer includes the stop text that ends it.
_AS_EVER: Final = frozenset({"unset_is_greedy", "shows_stop"})


class EmbeddedLauncher:
    """Start llama.cpp's server on a model's weights."""

    def __init__(self, weights_dir: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._weights_dir = weights_dir
        self._environment = environment

    def claim(self, spec: ModelSpec, ports: PortRange) -> Claim:
        """Claim a free port; raises `ModelFailed` if there is none."""
        return ports.claim()

    async def launch(self, spec: ModelSpec, port: int) -> Launch:
        """Return the launcher's command line, with a new API key for this start."""
        model = spec.settings
        options = {
            "--port": port,
            "--weights": model.weights,
            "--weights-dir": self._weights_dir,
            "--weights-sha256": model.weights_sha256,
            "--model-id": spec.id,
            "--slots": model.slots,
            "--context-tokens": model.context_tokens,
            "--threads": model.threads or os.cpu_count() or 1,
        }
        given = [str(word) for option in options.items() if option[1] for word in option]
        if model.engine_options:
            # As one word, so that it is not parsed as an option of the launcher.
            given.append(f"--engine-options={model.engine_options}")
        key = secrets.token_urlsafe(_KEY_BYTES)
        return Launch(
            words=(sys.executable, "-m", "server.engine", *given),
            environment={**passed_on(self._environment), KEY_VARIABLE: key},
            endpoint=Endpoint(
                f"http://127.0.0.1:{port}",
                api_key=key,
                dialect="openai",
                flavour="llama.cpp",
                # By its id, or a model named `embedded` would be taken for an embedding model.
                model=spec.id,
                flags=_AS_EVER,
            ),
            secrets=(key,),
        )
