"""The gateway as a process: killed or stopped, it keeps what was said; bad files end a start."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.support.dialogue import Dialogue, dialogue
from tests.support.gateway import ROOT, Gateway, gateway
from tests.web.processes import CEILING_SECONDS, PROGRAM, settings

# Of the three tokens that come before it holds, one has no text, and is no delta.
HELD, WORDS = "fake --hold-after 3", 2
COLUMNS = [{"id": "a", "model": "m"}, {"id": "b", "model": "m"}]


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    """Return a folder for the gateway, whose log is shown on failure."""
    log = tmp_path / "server.log"
    log.touch()
    keep_log("the gateway", log)
    return tmp_path


async def request(running: Gateway, method: str, path: str, body: Any = None) -> Any:
    """Make a request that works, and return its answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"http://{running.address}{path}", json=body) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json()


async def begin(running: Gateway, client: Dialogue) -> tuple[str, list[str]]:
    """Have two columns write until they hold; return the conversation and the generations."""
    made = await request(running, "POST", "/conversations", {"columns": COLUMNS})
    generations = await ask(client, made["id"])
    for generation in generations:
        await client.delta(generation, WORDS)
    return made["id"], generations


async def ask(client: Dialogue, conversation: str) -> list[str]:
    """Give the command that both columns answer, with its id; return the generations."""
    result = await client.say(
        type="generate",
        record={"conversation": conversation, "turn": "t1"},
        targets=[{"model": "m", "column": "a"}, {"model": "m", "column": "b"}],
        prompt="Tell me.",
        request_id="tell-me",
    )
    generations: list[str] = result["generations"]
    return generations


async def until_stored(place: Path, characters: int) -> None:
    """Return as soon as so many characters of answers are in the file."""
    (file,) = place.glob("*.conversations")

    def stored() -> int:
        with closing(sqlite3.connect(file)) as other:
            ((found,),) = other.execute("SELECT coalesce(sum(length(text)), 0) FROM piece")
        return int(found)

    async with asyncio.timeout(CEILING_SECONDS):
        while stored() != characters:  # noqa: ASYNC110  (another process's file)
            await asyncio.sleep(0.02)


async def test_killed_in_the_middle_of_answers_it_has_kept_them(place: Path) -> None:
    async with (
        gateway(settings(HELD), place, program=PROGRAM, instance="kept") as running,
        dialogue(running.address) as client,
    ):
        name, generations = await begin(running, client)
        texts = [client.text(generation) for generation in generations]
        await until_stored(place, sum(map(len, texts)))
        await running.kill()
    async with (
        gateway(settings(HELD), place, program=PROGRAM, instance="kept") as running,
        dialogue(running.address) as client,
    ):
        # Asked again by a client that had no answer to its command, they are told as cut.
        for generation, text in zip(await ask(client, name), texts, strict=True):
            assert (await client.end(generation))["finish_reason"] == "interrupted"
            assert client.text(generation) == text
        found = await request(running, "GET", f"/conversations/{name}")
        assert [answer["text"] for answer in found["answers"]] == texts
        for answer in found["answers"]:
            assert (answer["state"], answer["finish_reason"]) == ("ended", "interrupted")
            assert answer["usage"]["completion_tokens"] == WORDS
            assert answer["engine"]["model_id"] == "m"
        listing = await request(running, "GET", "/conversations?q=tell")
        assert [summary["id"] for summary in listing["conversations"]] == [name]


async def test_told_to_stop_it_stores_the_last_words(place: Path) -> None:
    async with (
        gateway(settings(HELD), place, program=PROGRAM, instance="kept") as running,
        dialogue(running.address) as client,
    ):
        name, generations = await begin(running, client)
        texts = [client.text(generation) for generation in generations]
        await running.stop()
    async with gateway(settings(HELD), place, program=PROGRAM, instance="kept") as running:
        found = await request(running, "GET", f"/conversations/{name}")
        assert [answer["text"] for answer in found["answers"]] == texts
        assert {answer["finish_reason"] for answer in found["answers"]} == {"interrupted"}


async def test_a_client_that_goes_away_loses_nothing(place: Path) -> None:
    async with gateway(settings("fake --delay-ms 5"), place, program=PROGRAM) as running:
        made = await request(running, "POST", "/conversations", {})
        async with dialogue(running.address) as client:
            result = await client.say(
                type="generate",
                record={"conversation": made["id"], "turn": "t1"},
                targets=[{"model": "m"}],
                prompt="Tell me.",
                parameters={"max_new_tokens": 40},
            )
            await client.delta(result["generations"][0])
        async with asyncio.timeout(CEILING_SECONDS):
            state = ""
            while state != "ended":
                found = await request(running, "GET", f"/conversations/{made['id']}")
                state = found["answers"][0]["state"]
        assert found["answers"][0]["finish_reason"] == "length"
        assert found["answers"][0]["usage"]["completion_tokens"] == 40


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.write_text("no database at all " * 500), "is damaged"),
        (lambda file: sqlite3.connect(file).execute("PRAGMA user_version = 99"), "newer"),
    ],
)
async def test_a_file_that_cannot_be_used_ends_the_start_and_is_left_alone(
    place: Path, spoil: Any, told: str
) -> None:
    async with gateway("", place, instance="kept") as running:
        await request(running, "POST", "/conversations", {"title": "Precious"})
    file = place / "kept.conversations"
    spoil(file)
    before = file.read_bytes()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "server", "--settings", str(place / "settings.ini")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CEILING_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Conversations cannot be kept: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == before
    async with gateway("[conversations]\nenabled = no\n", place, instance="kept") as running:
        assert await request(running, "GET", "/health")


async def test_an_export_is_a_file_with_a_name(place: Path) -> None:
    async with gateway("", place) as running, aiohttp.ClientSession() as http:
        made = await request(running, "POST", "/conversations", {"title": 'Ünï/"co\\de.'})
        address = f"http://{running.address}/conversations/{made['id']}/export"
        for form, kind in (
            ("json", "application/json"),
            ("markdown", "text/markdown; charset=utf-8"),
            ("html", "text/html; charset=utf-8"),
        ):
            async with http.get(address, params={"form": form}) as response:
                assert response.headers["Content-Type"] == kind
                disposition = response.headers["Content-Disposition"]
                assert disposition.startswith("attachment; filename*=UTF-8''%C3%9Cn%C3%AF%2F%22co")
                assert ".." not in disposition
                body = await response.read()
        async with http.get(address) as response:
            export = json.loads(await response.read())
        back = await request(running, "POST", "/conversations/import", export)
        assert back["title"] == 'Ünï/"co\\de.'
        assert b"<!doctype html>" in body
