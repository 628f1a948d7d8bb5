"""The Python client follows a prompt of a run: its text while it is written, over cuts."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from server.client import Client, RunAnswer, SidestreamError, connect
from server.core.errors import StorageFailed
from server.runs.prompt_events import PromptEvent
from server.web.keys import RUNS
from tests.client.test_following_runs import QUICK, begun, with_runs
from tests.conftest import StartFake
from tests.wire.gateway import CEILING_SECONDS, Running

TEXT = "one two three"


async def told(client: Client, run: str, prompt: int = 0) -> list[RunAnswer]:
    """Return what is told of a prompt up to its end."""
    async with asyncio.timeout(CEILING_SECONDS):
        return [answer async for answer in client.follow_prompt(run, prompt)]


def _cut(running: Running) -> None:
    """Break every connection, without a good-bye."""
    assert running.runner.server is not None
    for connection in running.runner.server.connections:
        assert connection.transport is not None
        connection.transport.abort()


async def test_text_comes_while_it_is_written_and_then_the_whole_answer(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(text=TEXT, hold_after=1)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url) as client:
        run = await begun(running, 1)
        await fake.state.reaches(tokens=1)
        answers = []
        async with asyncio.timeout(CEILING_SECONDS):
            async for answer in client.follow_prompt(run, 0):
                answers.append(answer)
                if answer.text:
                    fake.state.release()
        assert any(one.state == "running" and TEXT.startswith(one.text) for one in answers)
        last = answers[-1]
        assert (last.state, last.text, last.target, last.repeat) == ("complete", TEXT, 0, 0)
        assert last.whole["finish_reason"] in ("stop", "length")
        again = await told(client, run)
        assert [(one.state, one.text) for one in again] == [("complete", TEXT)]


async def test_a_cut_doubles_nothing(fake_tgi: StartFake, tmp_path: Path) -> None:
    fake = await fake_tgi(text=TEXT, hold_after=1)
    async with with_runs(fake.url, tmp_path) as running:
        run = await begun(running, 1)
        await fake.state.reaches(tokens=1)
        async with connect(running.url, rhythm=QUICK) as client:
            texts = []
            async with asyncio.timeout(CEILING_SECONDS):
                async for answer in client.follow_prompt(run, 0):
                    texts.append(answer.text)
                    if len(texts) == 1:
                        _cut(running)
                        fake.state.release()
        assert texts[-1] == TEXT
        assert all(TEXT.startswith(text) for text in texts)


def _broken(
    running: Running, patch: pytest.MonkeyPatch, *, times: float
) -> list[Sequence[PromptEvent] | None]:
    """Have so many streams break off after their first events; return what those are."""
    prompts = running.app[RUNS].prompts
    real = prompts.follow
    told: list[Sequence[PromptEvent] | None] = []

    async def follow(*words: Any) -> AsyncGenerator[Sequence[PromptEvent] | None, None]:
        async with aclosing(real(*words)) as events:
            async for several in events:
                yield several
                if len(told) < times:
                    told.append(several)
                    raise StorageFailed("the file cannot be read")

    patch.setattr(prompts, "follow", follow)
    return told


async def test_a_file_that_cannot_be_read_for_a_moment_doubles_nothing(
    fake_tgi: StartFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = await fake_tgi(text=TEXT, hold_after=1)
    async with with_runs(fake.url, tmp_path) as running:
        run = await begun(running, 1)
        await fake.state.reaches(tokens=1)
        broken = _broken(running, monkeypatch, times=1)
        async with connect(running.url, rhythm=QUICK) as client:
            texts = []
            async with asyncio.timeout(CEILING_SECONDS):
                async for answer in client.follow_prompt(run, 0):
                    texts.append(answer.text)
                    fake.state.release()
        assert len(broken) == 1
        assert texts[-1] == TEXT
        assert all(TEXT.startswith(text) for text in texts)


async def test_it_gives_up_a_file_that_cannot_be_read_for_long(
    fake_tgi: StartFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = await fake_tgi(text=TEXT, hold_after=1)
    quick = type(QUICK)(min_delay_seconds=0.001, max_delay_seconds=0.001, max_attempts=2)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url, rhythm=quick) as one:
        run = await begun(running, 1)
        await fake.state.reaches(tokens=1)
        broken = _broken(running, monkeypatch, times=float("inf"))
        with pytest.raises(SidestreamError) as refused:
            await told(one, run)
        assert refused.value.code == "connection_closed"
        assert len(broken) >= 3


async def test_what_is_unknown_is_raised(fake_tgi: StartFake, tmp_path: Path) -> None:
    fake = await fake_tgi(text=TEXT)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url) as client:
        run = await begun(running, 1)
        for name, prompt in ((run, 7), ("r_no", 0)):
            with pytest.raises(SidestreamError) as refused:
                await told(client, name, prompt)
            assert refused.value.code == "unknown_run"


async def test_it_gives_up_a_server_that_is_gone(fake_tgi: StartFake, tmp_path: Path) -> None:
    fake = await fake_tgi(text=TEXT, hold_after=1)
    quick = type(QUICK)(min_delay_seconds=0.001, max_delay_seconds=0.001, max_attempts=2)
    async with with_runs(fake.url, tmp_path) as running, connect(running.url, rhythm=quick) as one:
        one._url = "ws://127.0.0.1:1/ws"
        with pytest.raises(SidestreamError) as refused:
            await told(one, "r_1")
        assert refused.value.code == "connection_closed"
