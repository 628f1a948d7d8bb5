"""A whole gateway that starts real servers by their commands: asked, stopped, killed with it."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import KeepLog
from tests.real.over_servers import Over, over
from tests.support.dialogue import CEILING_SECONDS
from tests.support.ports import free_ports
from tests.support.processes import Watched
from tests.support.real_servers import (
    MODEL,
    ROOT,
    SERVERS,
    available,
    ollama,
    python_with_shard_modules,
    small_model,
)
from tests.support.supervisor import descendants

ENGINES = {
    "llama.cpp": "llama.cpp",
    "llama-server": "llama.cpp",
    "llama-swap": "llama-swap",
    "ollama": "Ollama",
    "tgi": "TGI",
}
TEXT = {"prompt": "The capital of France is"}

every_command = pytest.mark.parametrize("name", available())


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, keep_log: KeepLog) -> None:
    keep_log("the gateway", tmp_path / "server.log")


@pytest.fixture
def section(name: str, tmp_path: Path) -> Iterator[str]:
    """Return the section of a model that runs by the command of the server of that name."""
    small = str(small_model())
    if name == "llama.cpp":
        words = [sys.executable, "-m", "tests.support.llama_program", small, "--port", "{port}"]
        yield _section(words, PYTHONPATH=str(ROOT))
    elif name == "llama-server":
        yield _section([*_llama_server(small), "--port", "{port}"])
    elif name == "llama-swap":
        configuration = tmp_path / "swap.yaml"
        first, _ = free_ports(2)
        model = {"cmd": shlex.join([*_llama_server(small), "--port", "${PORT}"])}
        configuration.write_text(json.dumps({"startPort": first, "models": {MODEL: model}}))
        program = str(SERVERS / "llama-swap" / "llama-swap")
        words = [program, "-config", str(configuration), "-listen", "127.0.0.1:{port}"]
        yield _section(words, f"model_id = {MODEL}")
    elif name == "ollama":
        with ollama(has_own_store=True) as there:
            yield _section(
                [str(SERVERS / "ollama" / "ollama"), "serve"],
                f"model_id = {MODEL}",
                OLLAMA_HOST="127.0.0.1:{port}",
                OLLAMA_MODELS=str(there.home / "store"),
                OLLAMA_NOPRUNE="1",
                OLLAMA_CONTEXT_LENGTH="2048",
                HOME=str(tmp_path),
            )
    else:
        path = f"{python_with_shard_modules()}:{os.environ['PATH']}"
        program = str(SERVERS / "tgi" / "tgi")
        # It writes into its working folder.
        words = ["env", f"--chdir={tmp_path}", program, "--port", "{port}"]
        words += ["--shard-uds-path", str(tmp_path / "shard")]
        yield _section(words, PATH=path, HOME=str(tmp_path), SHARD_RATE="200")


def _llama_server(model: str) -> list[str]:
    program = str(SERVERS / "llama.cpp" / "llama-server")
    return [program, "-m", model, "-c", "2048", "-np", "1", "-t", "1", "--no-webui"]


def _section(words: list[str], *lines: str, **variables: str) -> str:
    first, last = free_ports(3)
    return "\n".join(
        [
            f"ports = {first}-{last}",
            "[model m]",
            "runner = command",
            f"command = {shlex.join(words)}",
            f"env = {json.dumps(variables)}",
            *lines,
            "",
        ]
    )


async def stopped(o: Over) -> None:
    """Have the model's server stopped, and return when nothing of it is left."""
    async with o.http.post(f"http://{o.gateway.address}/models/m/stop") as response:
        assert response.status == 202
    await o.state("m", "stopped")
    assert not descendants(o.gateway.pid)


@every_command
async def test_commands_start_on_a_prompt_answer_and_stop_without_leaving_processes(
    name: str, section: str, tmp_path: Path
) -> None:
    async with over(section, tmp_path) as o:
        assert (await o.models())["m"]["state"] == "stopped"
        texts = []
        for _ in range(2):
            text, end = await o.answer("m", TEXT)
            assert end["finish_reason"] == "length", end
            texts.append(text)
            model = (await o.models())["m"]
            assert (model["runner"], model["engine"]) == ("command", ENGINES[name])
            assert descendants(o.gateway.pid)
            await stopped(o)
        if name != "tgi":
            assert texts[0] == texts[1]


@every_command
async def test_commands_exit_when_the_gateway_is_killed(
    name: str, section: str, tmp_path: Path
) -> None:
    async with over(section, tmp_path) as o:
        await o.answer("m", TEXT)
        family = descendants(o.gateway.pid)
        assert len(family) >= 2, family
        watched = [Watched(pid) for pid in family]
        await o.gateway.kill()
        async with asyncio.timeout(CEILING_SECONDS):
            for one in watched:
                await one.gone()
