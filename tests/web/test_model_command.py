"""`run.py model`: a model is added, listed and removed on the command line."""

import asyncio
import os
import pty
import sys
from pathlib import Path

from tests.fakes.hub import METADATA, FakeHub
from tests.fakes.openai import serve as serve_openai
from tests.fakes.openai_options import like
from tests.support.gateway import ROOT
from tests.web.processes import CEILING_SECONDS
from tests.web.test_adding_models import NAME, hub, place, start, written
from tests.web.test_found_servers import models
from tests.weights.tiny import gguf_bytes

__all__ = ["hub", "place"]


async def model(place: Path, *words: str, typed: str = "") -> tuple[int, str]:
    """Do as `run.py model` does, on a terminal if something is typed; return code and output."""
    here = there = asyncio.subprocess.DEVNULL
    if typed:
        here, there = pty.openpty()
        os.write(here, typed.encode())
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.adding", "--settings", "settings.ini", *words),
            cwd=ROOT,
            env={**os.environ, "CALLED_FROM": str(place)},
            stdin=there,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(CEILING_SECONDS):
            said, _ = await process.communicate()
    finally:
        if typed:
            os.close(here)
            os.close(there)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_model_comes_and_goes_while_the_gateway_runs(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        code, said = await model(place, "add", NAME, "--yes")
        assert code == 0
        assert "*  1 m-Q4_K_M.gguf  Q4_K_M" in said
        assert "does not fit: needs 100000.5 GB of memory" in said
        assert said.endswith("added m-q4_k_m: its weights are fetched when it is first started\n")
        assert [one["id"] for one in await models(running)] == ["m", "m-q4_k_m"]
        assert await model(place, "list") == (0, "m-q4_k_m: hf:org/m-GGUF/m-Q4_K_M.gguf\n")
        code, said = await model(place, "add", NAME, "--yes")
        assert (code, said.splitlines()[-2].partition(":")[0]) == (1, "invalid_command")
        assert await model(place, "remove", "m-q4_k_m") == (
            0,
            "removed m-q4_k_m; its weights stay where they are\n",
        )
        assert [one["id"] for one in await models(running)] == ["m"]
        assert (await model(place, "remove", "m"))[0] == 1


async def test_confirmation_is_asked_only_on_a_terminal(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        code, said = await model(place, "add", NAME)
        assert code == 1
        assert "Nothing was added: there is no terminal to ask on; say --yes." in said
        for answer in ("n\n", "\n", "7\n"):
            code, said = await model(place, "add", NAME, typed=answer)
            assert (code, said.splitlines()[-1][-18:]) == (1, "Nothing was added.")
        assert written(place) == ""
        assert (await model(place, "add", NAME, typed="y\n"))[0] == 0
        assert (await model(place, "add", NAME, "--id", "big", typed="2\n"))[0] == 0
        assert "weights = hf:org/m-GGUF/m-Q8_0.gguf" in written(place)
        assert [one["id"] for one in await models(running)] == ["m", "m-q4_k_m", "big"]


async def test_errors_are_explained_with_their_code(place: Path, hub: FakeHub) -> None:
    async with start(place):
        for words, expected in (
            (("hf:org/gone",), "unknown_repository: "),
            (("hf:org/gated",), "gated_repository: "),
            (("hf:org/safe",), "no_gguf: "),
            ((NAME, "--file", "m-F32.gguf"), "does_not_fit: "),
            ((NAME, "--file", "x.gguf"), "unknown_repository: "),
            ((NAME, "--id", "m"), "invalid_command: "),
            (("hf:org/../x",), "invalid_command: "),
            (("http://127.0.0.1:9",), "engine_error: "),
            (("./none.gguf",), "invalid_command: "),
        ):
            code, said = await model(place, "add", *words, "--yes")
            assert code == 1
            assert any(line.startswith(expected) for line in said.splitlines()), said
        assert written(place) == ""
    assert (await model(place, "add", NAME, "--slots", "0"))[0] == 2
    (place / "settings.ini").write_text("nonsense")
    assert (await model(place, "add", NAME, "--yes"))[0] == 2


async def test_a_file_of_this_machine_is_added(place: Path, hub: FakeHub) -> None:
    file = place / "Mine-Q4_0.gguf"
    file.write_bytes(gguf_bytes(METADATA))
    async with start(place) as running:
        assert (await model(place, "add", "./Mine-Q4_0.gguf", "--yes"))[0] == 0
        assert f"weights = {file}\n" in written(place)
        assert [one["id"] for one in await models(running)] == ["m", "mine-q4_0"]
        assert (await model(place, "remove", "mine-q4_0"))[0] == 0
        assert file.exists()
        for content, problem in (
            (b"<html>", "is not a GGUF file"),
            (gguf_bytes(METADATA)[:-64], "is damaged or cut short"),
        ):
            file.write_bytes(content)
            code, said = await model(place, "add", str(file), "--yes")
            assert code == 1
            assert f"{file} {problem}" in said


async def test_a_server_is_added_and_removed(place: Path, hub: FakeHub) -> None:
    async with serve_openai(like("vllm")) as fake, start(place) as running:
        code, said = await model(place, "add", fake.url, "--yes")
        assert (code, said.splitlines()[-1]) == (0, "added the server vllm")
        assert f"{fake.url}: vllm, 1 model: fake-model" in said
        assert [one["id"] for one in await models(running)] == ["m", "vllm/fake-model"]
        assert await model(place, "remove", "vllm") == (0, "removed the server vllm\n")
        assert [one["id"] for one in await models(running)] == ["m"]


async def test_an_addition_that_the_gateway_refuses_is_undone(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        # Beside it the environment mends what is wrong, for the gateway it does not.
        file = place / "settings.ini"
        file.write_text(
            file.read_text() + "\n[model r]\nrunner = remote\nurl = http://127.0.0.1:9\n"
        )
        file.write_text(file.read_text() + "api_key = env:NOWHERE\n")
        code, said = await model(place, "add", NAME, "--yes")
        assert code == 1
        assert "NOWHERE" in said
        assert "[model" not in written(place)
        assert [one["id"] for one in await models(running)] == ["m"]


async def test_an_addition_without_a_gateway_is_there_at_the_next_start(
    place: Path, hub: FakeHub
) -> None:
    (place / "settings.ini").write_text(f"[server]\nstate_dir = {place}\n")
    code, said = await model(place, "add", NAME, "--yes")
    assert code == 0
    assert "No gateway runs with these settings" in said
    assert "[model m]" in written(place)
