"""A command that starts a known engine: its log and its dialect are read as that engine's."""

import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.dialects.base import Endpoint
from server.dialects.connector import Connector
from server.dialects.http.timeouts import Timeouts
from server.models.runners.programs.command import CommandLauncher
from tests.models.lifecycle.test_commands_in_the_fleet import fleet
from tests.support.real_servers import small_model
from tests.support.specs import catalog

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def llama_server(tmp_path: Path) -> str:
    """Return the path of a llama-server: the one in the pinned wheel."""
    program = tmp_path / "llama-server"
    program.write_text(
        f"#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.support.llama_program "
        f'{small_model()} "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


async def test_a_start_of_llama_server_has_phases(llama_server: str) -> None:
    model = {"runner": "command", "command": f"{llama_server} --port {{port}}"}
    async with fleet(model) as fakes:
        phases = set()
        fakes.fleet.subscribe(
            lambda model: phases.add(model.progress.phase) if model.progress else None
        )
        async with fakes.fleet.lease("a") as lease:
            assert (lease.info.engine, lease.info.flavour) == ("llama.cpp", "llama.cpp")
        assert {"starting", "loading"} <= phases


@pytest.mark.parametrize(
    ("command", "likely"),
    [("vllm serve m --port {port}", "vllm"), ("mine --port {port}", ""), ("ollama serve", "")],
)
async def test_the_engine_of_a_command_line_is_only_likely(command: str, likely: str) -> None:
    spec = catalog(a={"runner": "command", "command": command, "url": "http://127.0.0.1:1"}).get(
        "a"
    )
    endpoint = (await CommandLauncher().launch(spec, 1)).endpoint
    assert (endpoint.dialect, endpoint.flavour, endpoint.likely) == ("auto", "", likely)


@pytest.mark.parametrize(
    ("owner", "flavour"), [("somebody", "vllm"), ("sglang", "sglang"), ("llamacpp", "llama.cpp")]
)
async def test_a_servers_own_word_precedes_its_command_line(owner: str, flavour: str) -> None:
    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m", "owned_by": owner}]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    async with TestServer(app) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.port}", dialect="auto", likely="vllm")
        upstream = await Connector(Timeouts(connect=5.0, read=5.0)).connect(endpoint)
        try:
            assert (await upstream.describe()).flavour == flavour
        finally:
            await upstream.close()
