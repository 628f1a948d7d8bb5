"""Real Ollama in a container, where `shared/servers` has it: a model that it cannot fetch."""

from dataclasses import replace

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.settings.tables import DockerSettings
from tests.docker import real_images
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import Engine
from tests.docker.watching import A
from tests.support.real_servers import has

__test__ = has("ollama")


async def test_a_model_that_cannot_be_fetched_is_said_why_and_nothing_stays(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings
) -> None:
    runner = make_runner(settings=replace(settings, ollama_models=settings.hf_cache / "ollama"))
    told: list[Progress] = []
    spec = model(
        "registry.invalid/me/tiny:1", engine="ollama", image=real_images.real_image("ollama")
    )
    with pytest.raises(ModelFailed, match=r"registry\.invalid") as caught:
        await runner.start(A, spec, told.append)
    assert (caught.value.details or {})["cause"] == "no_network", caught.value
    assert "downloading" in {one.phase for one in told}
    assert engine.containers() == {}
