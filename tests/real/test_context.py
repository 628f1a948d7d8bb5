"""Contexts that are too small, at each real server: told in time, or made to do."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KeepLog
from tests.real.asking import post
from tests.real.over_servers import Over, over, remote
from tests.support.real_servers import (
    RealServer,
    available,
    llama_cpp,
    llama_server,
    llama_swap,
    ollama,
    tgi,
)

CONTEXT = 256
SMALL = {
    "llama.cpp": lambda: llama_cpp(context=CONTEXT),
    "llama-server": lambda: llama_server(context=CONTEXT),
    "llama-swap": lambda: llama_swap(context=CONTEXT),
    "ollama": lambda: ollama(environment={"OLLAMA_CONTEXT_LENGTH": str(CONTEXT)}),
    # Its limits are its model's: 1,024 tokens of prompt, 2,048 in all.
    "tgi": lambda: tgi(rate=2000),
}
# They have no way to count, and are measured by what they refuse.
REFUSING = ("ollama", "llama-swap")
GREEDY = {"temperature": 0, "max_new_tokens": 20}
NAMES = ("Ann", "Ben", "Cay", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe", "Kim", "Lea")


@pytest.fixture(scope="module", params=available(*SMALL))
def small_process(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    with SMALL[request.param]() as server:
        yield server


@dataclass(frozen=True)
class Small:
    """A gateway over a server with a small context: how long a prompt may be beside 20 tokens."""

    over: Over
    server: RealServer
    most: int

    @property
    def address(self) -> str:
        """Return the gateway's address for HTTP."""
        return f"http://{self.over.gateway.address}"

    def chat(self, turns: int) -> list[dict[str, str]]:
        """Return a conversation of so many turns; with twelve it is far too long."""
        words = " near the sea" * (20 if self.most > CONTEXT else 1)
        messages = [{"role": "system", "content": "Answer briefly."}]
        for name in NAMES[len(NAMES) - turns :]:
            lives = f"{name} lives in a house{words}."
            messages.append({"role": "user", "content": f"Where does {name} live? I think {lives}"})
            messages.append({"role": "assistant", "content": f"Yes, {lives}"})
        return [*messages, {"role": "user", "content": "What is the sea?"}]

    async def end(self, **asked: Any) -> dict[str, Any]:
        """Return how an answer ended."""
        (generation,) = await self.over.client.ask("m", **asked)
        return await self.over.client.end(generation)


@pytest.fixture
async def small(
    small_process: RealServer, tmp_path: Path, keep_log: KeepLog
) -> AsyncIterator[Small]:
    keep_log(small_process.name, small_process.log)
    keep_log("the gateway", tmp_path / "server.log")
    is_one_of_several = small_process.name in ("ollama", "llama-swap")
    named = (f"model_id = {small_process.model}",) if is_one_of_several else ()
    most = 1024 if small_process.name == "tgi" else CONTEXT - 20
    async with over(remote(small_process, *named), tmp_path) as o:
        await o.answers("m")
        if is_one_of_several:
            await o.answer("m", {"prompt": "Hi"})
            if small_process.name == "ollama":
                await o.sees("m", lambda model: model["limits"]["max_total_tokens"] == CONTEXT)
        yield Small(o, small_process, most)


async def test_a_prompt_that_is_too_long_is_told_with_by_how_much(small: Small) -> None:
    whole = small.chat(len(NAMES))
    end = await small.end(messages=whole)
    error = end["error"]
    assert (end["finish_reason"], error["code"]) == ("failed", "prompt_too_long")
    details = error["details"]
    room = small.most + (4 if small.server.name != "tgi" else 0)
    assert details["over_by"] == details["prompt_tokens"] - room > 0
    assert end["usage"]["prompt_tokens"] == details["prompt_tokens"]
    assert end["usage"]["context_tokens"] == details["max_total_tokens"]
    assert "`trim`" in error["hint"]
    body = {"model": "m", "messages": whole, "max_completion_tokens": 20}
    for stream in (False, True):
        asked = {**body, "stream": stream}
        status, told = await post(f"{small.address}/v1/chat/completions", asked)
        assert (status, told["error"]["code"]) == (400, "context_length_exceeded")
        assert told["error"]["details"]["over_by"] == details["over_by"]
    body = {"model": "m", "messages": whole, "parameters": GREEDY}
    status, told = await post(f"{small.address}/generate", body)
    assert (status, told["error"]["code"]) == (422, "prompt_too_long")
    # What always stays may be too long by itself.
    question = {"role": "user", "content": "the sea and " * small.most}
    for messages in (
        [question],
        [*small.chat(2), question],
        [{"role": "system", "content": question["content"]}, *small.chat(2)[1:]],
    ):
        end = await small.end(messages=messages, trim="oldest_turns", parameters=GREEDY)
        assert end["error"]["code"] == "prompt_too_long"
        assert end["error"]["details"]["over_by"] > small.most
        assert "`trim`" not in end["error"]["hint"]


async def test_the_fewest_turns_are_left_out_over_http_too(small: Small) -> None:
    whole = small.chat(len(NAMES))
    end = await small.end(messages=whole, parameters=GREEDY, trim="oldest_turns")
    assert end["finish_reason"] in ("length", "stop"), end
    (notice,) = end["notices"]
    assert notice["code"] == "turns_left_out"
    left_out = notice["details"]["turns"]
    assert ("estimated" in notice["details"]) == (small.server.name in REFUSING)
    # It was asked what is left, and nothing else.
    plain = await small.end(messages=small.chat(len(NAMES) - left_out), parameters=GREEDY)
    assert plain["usage"]["prompt_tokens"] == end["usage"]["prompt_tokens"] <= small.most
    assert "notices" not in plain
    body = {"model": "m", "messages": whole, "sidestream": {"trim": "oldest_turns"}}
    length = {"max_completion_tokens": 20, "temperature": 0}
    status, chat = await post(f"{small.address}/v1/chat/completions", {**body, **length})
    assert (status, chat["sidestream"]["notices"]) == (200, [notice])
    assert chat["usage"]["prompt_tokens"] == end["usage"]["prompt_tokens"]
    status, text = await post(f"{small.address}/generate", {**body, "parameters": GREEDY})
    assert (status, text["sidestream"]["notices"]) == (200, [notice])
    if small.server.name != "ollama":  # There bytes tell, rather too many than too few.
        more = small.chat(len(NAMES) - left_out + 1)
        end = await small.end(messages=more, parameters={**GREEDY, "max_new_tokens": 1})
        assert end["usage"]["prompt_tokens"] > small.most


async def test_an_answer_goes_on_until_the_context_is_full_and_says_so(small: Small) -> None:
    context = 2048 if small.server.name == "tgi" else CONTEXT
    prompt = "[[forever]] " + ", ".join(map(str, range(1, 50)))
    end = await small.end(prompt=prompt, parameters={"temperature": 0})
    assert end["finish_reason"] == "length"
    usage = end["usage"]
    used = usage["prompt_tokens"] + usage["completion_tokens"]
    if small.server.name == "llama-swap":
        # Nobody tells its context before it refuses something.
        assert "context_tokens" not in usage
        assert used == context
        return
    assert usage["context_tokens"] == context
    assert [notice["code"] for notice in end["notices"]] == ["context_full"]
    if small.server.name == "tgi":
        # It goes on in pieces as long as what there is may be a prompt.
        assert used > 1024
    else:
        assert used == context
    # A length that was chosen, and is reached, is another end.
    end = await small.end(prompt=prompt, parameters={"temperature": 0, "max_new_tokens": 4})
    assert (end["finish_reason"], end.get("notices")) == ("length", None)
