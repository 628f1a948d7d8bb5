"""What a server with many models says of each of them, and when it is asked."""

import asyncio
from typing import cast

import pytest

from server.core.errors import EngineError, EngineTimeout
from server.dialects.base import EngineInfo, Upstream
from server.models.lifecycle import ready_server
from server.models.lifecycle.ready_server import ModelInfos


class Server:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.is_silent = False

    async def describe(self, model: str) -> EngineInfo:
        self.asked.append(model)
        if self.is_silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return EngineInfo(model, version=str(len(self.asked)))

    @property
    def upstream(self) -> Upstream:
        return cast(Upstream, self)


async def test_each_model_is_asked_for_once() -> None:
    server, known = Server(), ModelInfos()
    for model in ("a", "b", "a", "b"):
        assert (await known.ask(server.upstream, model)).model_id == model
    assert server.asked == ["a", "b"]


async def test_those_who_ask_at_once_ask_once() -> None:
    server, known = Server(), ModelInfos()
    found = await asyncio.gather(*(known.ask(server.upstream, "a") for _ in range(5)))
    assert server.asked == ["a"]
    assert len(set(map(id, found))) == 1


async def test_outdated_info_is_shown_until_the_next_request() -> None:
    server, known = Server(), ModelInfos()
    first = await known.ask(server.upstream, "a")
    known.outdate("a")
    known.outdate("never asked")
    assert known.get("a") == first
    assert known.get("never asked") is None
    assert (await known.ask(server.upstream, "a")).version == "2"
    assert (await known.ask(server.upstream, "a")).version == "2"


async def test_a_server_that_does_not_say_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ready_server, "_DESCRIBE_SECONDS", 0.01)
    server, known = Server(), ModelInfos()
    server.error = EngineError("not now")
    with pytest.raises(EngineError, match="not now"):
        await known.ask(server.upstream, "a")
    server.is_silent = True
    with pytest.raises(EngineTimeout, match="does not describe a"):
        await known.ask(server.upstream, "a")
    server.is_silent, server.error = False, None
    assert (await known.ask(server.upstream, "a")).model_id == "a"
