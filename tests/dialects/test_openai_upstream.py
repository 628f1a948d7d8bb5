"""One server in OpenAI's form: asked as its flavour wants it, and asked again where that helps."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import (
    EngineError,
    EngineLimited,
    EngineLost,
    InvalidParameters,
    PromptTooLong,
)
from server.core.protocol import Message, TokenInfo
from server.dialects.base import ANY_MODEL, Ask, Endpoint, Prompt
from server.dialects.http.client import Timeouts
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.upstream import OpenAIUpstream
from server.dialects.thinking import CLOSING, OPENING
from tests.fakes.openai import Fake, recorded, serve
from tests.fakes.openai_options import Canned, FakeOptions, like
from tests.support.answers import CHAT, Answer, answered, ask

RECORDINGS = Path(__file__).parents[1] / "recordings/openai_flavours.jsonl"
STREAMS = RECORDINGS.with_name("openai") / "streams.jsonl"
RECORDED = {
    (exchange["server"], exchange["case"]): exchange
    for exchange in map(json.loads, RECORDINGS.read_text().splitlines())
}


@asynccontextmanager
async def speaking(
    fake: Fake, flavour: str = "plain", **endpoint: Any
) -> AsyncIterator[OpenAIUpstream]:
    upstream = OpenAIUpstream(
        Endpoint(fake.url, dialect="openai", **endpoint), FLAVOURS[flavour], Timeouts()
    )
    try:
        yield upstream
    finally:
        await upstream.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def streamed(server: str, case: str) -> bytes:
    """Return the body of a recorded stream."""
    (body,) = (
        line["body"]
        for line in map(json.loads, STREAMS.read_text().splitlines())
        if (line["server"], line["case"]) == (server, case)
    )
    return str(body).encode()


async def replayed(server: str, case: str, question: Ask, flavour: str) -> Answer:
    """Return what is made of a recorded exchange."""
    async with (
        serve(recorded(RECORDED[server, case])) as fake,
        speaking(fake, flavour, model="m") as upstream,
    ):
        return await answered(upstream, question)


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_chat_and_text_have_routes_of_their_own(flavour: str) -> None:
    async with serve(FakeOptions(text="It scatters.")) as fake, speaking(fake, flavour) as upstream:
        assert (await answered(upstream, ask(max_new_tokens=9))).text == "It scatters."
        assert (await answered(upstream, ask("Once", max_new_tokens=9))).text == "It scatters."
        assert fake.state.routes["POST /v1/chat/completions"] == 1
        assert fake.state.routes["POST /v1/completions"] == 1
        # The only model there is, looked for once.
        assert [body["model"] for body in fake.state.requests] == ["fake-model"] * 2
        assert fake.state.routes["GET /v1/models"] <= 2
        assert upstream.meter.heard > 0


async def test_api_may_be_elsewhere() -> None:
    async with (
        serve(FakeOptions(prefix="/api/paas/v4")) as fake,
        speaking(fake, api="/api/paas/v4") as upstream,
    ):
        await answered(upstream, ask())
        assert fake.state.routes["POST /api/paas/v4/chat/completions"] == 1


async def test_several_models_and_none_named() -> None:
    async with (
        serve(FakeOptions(models=("a", "b", "nomic-embed-text"))) as fake,
        speaking(fake) as upstream,
    ):
        for action in (upstream.describe(), answered(upstream, ask())):
            with pytest.raises(EngineError) as error:
                await action
            assert "several models: a, b" in error.value.message
            assert "model_id" in str(error.value.hint)
        assert fake.state.generations == 0
    async with (
        serve(FakeOptions(models=("a", "nomic-embed-text"))) as fake,
        speaking(fake) as upstream,
    ):
        assert (await upstream.describe()).model_id == "a"
    async with serve(FakeOptions(models_form="empty")) as fake, speaking(fake) as upstream:
        with pytest.raises(EngineError, match="lists no model"):
            await upstream.describe()


async def test_server_as_a_whole() -> None:
    async with (
        serve(like("llama-swap", models=("a", "b"))) as fake,
        speaking(fake, "llama-swap", model=ANY_MODEL) as upstream,
    ):
        info = await upstream.describe()
        assert (info.model_id, info.engine, info.version) == ("", "llama-swap", "0")
        assert info.holds_one_model
        assert (await upstream.describe("b")).model_id == "b"
        question = Ask(Prompt(CHAT), {}, model="b")
        assert (await answered(upstream, question)).text
    async with (
        serve(FakeOptions(models_form="404")) as fake,
        speaking(fake, model=ANY_MODEL) as upstream,
    ):
        with pytest.raises(EngineError, match="/v1/models"):
            await upstream.models()


async def test_model_that_is_not_there() -> None:
    async with serve(like("vllm")) as fake, speaking(fake, "vllm") as upstream:
        with pytest.raises(EngineError, match="vLLM has no model other; it has fake-model"):
            await upstream.describe("other")


async def test_model_that_answers_whatever_is_asked_for_is_told_by_its_own_name() -> None:
    """llama.cpp takes any name, and answers with the model that it has."""
    async with serve(like("llama.cpp")) as fake, speaking(fake, "llama.cpp") as upstream:
        info = await upstream.describe("other")
        assert (info.model_id, info.max_total_tokens) == ("fake-model", 2048)
    # With several, it is a name like any other.
    async with (
        serve(like("llama.cpp", models=("a", "b"))) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        assert (await upstream.describe("other")).model_id == "other"


@pytest.mark.parametrize(
    ("flavour", "told"),
    [
        ("llama.cpp", (2048, 8192, 2, "b11434-fake", True)),
        ("vllm", (2048, None, None, "0.32.0", True)),
        ("sglang", (2048, None, 8, "0.5.23", True)),
        ("llama-swap", (None, None, None, "0", True)),
        ("transformers", (None, None, None, "", True)),
        ("litellm", (None, None, None, "", True)),
    ],
)
async def test_info_of_a_server(flavour: str, told: tuple[Any, ...]) -> None:
    async with serve(like(flavour)) as fake, speaking(fake, flavour) as upstream:
        info = await upstream.describe()
        assert told == (
            info.max_total_tokens,
            info.model_context_tokens,
            info.max_concurrent_requests,
            info.version,
            info.has_chat_template,
        )
        assert (info.dialect, info.flavour) == ("openai", flavour)
        # These compute on when nobody listens any more.
        assert info.can_cancel == (flavour not in ("transformers", "litellm"))
        assert info.engine == FLAVOURS[flavour].title
        assert not info.unset_is_greedy
        assert await upstream.is_healthy(timeout_seconds=5)
        assert fake.state.generations == 0


async def test_proxy_that_lets_only_the_api_through() -> None:
    elsewhere = Canned("", 302, {"Location": "/login"})
    routes = {"GET /props": elsewhere, "GET /health": Canned("", 401)}
    async with (
        serve(like("llama.cpp", routes=routes)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        info = await upstream.describe()
        assert (info.max_total_tokens, info.max_concurrent_requests) == (2048, None)
        assert await upstream.is_healthy(timeout_seconds=5)


async def test_defaults_have_our_names() -> None:
    async with serve(like("llama.cpp")) as fake, speaking(fake, "llama.cpp") as upstream:
        defaults = (await upstream.describe()).defaults
        assert defaults == {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}


@pytest.mark.parametrize(
    ("options", "flavour", "is_healthy"),
    [
        (like("vllm"), "vllm", True),
        (like("vllm", health_status=503), "vllm", False),
        # A version without that route.
        (like("sglang", routes={"GET /ready": Canned("", 404)}), "sglang", True),
        (like("vllm", routes={"GET /health": Canned("", 403)}), "vllm", True),
        (FakeOptions(), "plain", True),
        (FakeOptions(api_key="secret"), "plain", True),
        (FakeOptions(models_form="404"), "plain", True),
        (FakeOptions(models_status=500), "plain", False),
        (FakeOptions(unavailable=-1), "plain", False),
    ],
    ids=range(9),
)
async def test_health(options: FakeOptions, flavour: str, is_healthy: bool) -> None:
    async with serve(options) as fake, speaking(fake, flavour) as upstream:
        assert await upstream.is_healthy(timeout_seconds=5) is is_healthy
        assert not [route for route in fake.state.routes if "POST" in route]
    async with speaking(fake, flavour) as upstream:  # It is gone.
        assert not await upstream.is_healthy(timeout_seconds=5)


async def test_figures() -> None:
    async with serve(like("vllm")) as fake, speaking(fake, "vllm") as upstream:
        assert "vllm:num_requests_running" in await upstream.metrics(max_bytes=1000)
        with pytest.raises(EngineError, match="10 bytes"):
            await upstream.metrics(max_bytes=10)
    async with serve() as fake, speaking(fake) as upstream:
        with pytest.raises(EngineError, match="has no figures"):
            await upstream.metrics(max_bytes=1000)
    off = {"GET /metrics": Canned({"error": {"message": "start it with --metrics"}}, 501)}
    async with (
        serve(like("llama.cpp", routes=off)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        with pytest.raises(EngineError, match="start it with --metrics"):
            await upstream.metrics(max_bytes=1000)


# --- counting -------------------------------------------------------------------------------


async def test_prompt_is_counted_only_if_needed() -> None:
    routes = {"POST /v1/chat/completions/input_tokens": Canned({"input_tokens": 31})}
    async with (
        serve(like("llama.cpp", routes=routes)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        assert (await upstream.prompt(CHAT, needs_count=False)).tokens is None
        assert not [route for route in fake.state.routes if "POST" in route]
        prompt = await upstream.prompt(CHAT, needs_count=True)
        assert (prompt.content, prompt.tokens) == (CHAT, 31)
        assert await upstream.count(prompt) == 31


async def test_prompt_is_cut_by_the_server_s_own_tokens() -> None:
    routes = {
        "POST /v1/chat/completions/input_tokens": Canned({"input_tokens": 5}),
        "POST /apply-template": Canned({"prompt": "<user>Hi"}),
        "POST /tokenize": Canned({"tokens": [1, 2, 3, 4, 5]}),
    }
    async with (
        serve(like("llama.cpp", routes=routes)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        for content in (CHAT, "Once"):
            await answered(upstream, ask(content, truncate=2, max_new_tokens=3))
            assert fake.state.requests[-1]["prompt"] == [4, 5]
            assert not {"messages", "truncate"} & fake.state.requests[-1].keys()
            await answered(upstream, ask(content, truncate=5, max_new_tokens=3))
            assert fake.state.requests[-1].get("messages" if content == CHAT else "prompt")
            assert fake.state.requests[-1].get("prompt") != [1, 2, 3, 4, 5]


async def test_prompt_cannot_be_cut_where_nobody_tells_its_tokens() -> None:
    async with serve(like("llama.cpp")) as fake, speaking(fake, "llama.cpp") as upstream:
        with pytest.raises(InvalidParameters, match="`truncate` is not taken"):
            await answered(upstream, ask("Once", truncate=2))
        assert not [route for route in fake.state.routes if "completions" in route]


async def test_older_server_counts_in_two_steps() -> None:
    routes = {
        "POST /apply-template": Canned({"prompt": "<user>Hi"}),
        "POST /tokenize": Canned({"tokens": [1, 2, 3]}),
    }
    async with (
        serve(like("llama.cpp", routes=routes)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        for _ in range(2):
            assert (await upstream.prompt(CHAT, needs_count=True)).tokens == 3
        # What it does not have is asked for once.
        assert fake.state.routes["POST /v1/chat/completions/input_tokens"] == 1
        assert (await upstream.prompt("Once", needs_count=True)).tokens == 3


async def test_vllm_counts() -> None:
    routes = {"POST /tokenize": Canned({"count": 7, "max_model_len": 2048, "tokens": []})}
    async with serve(like("vllm", routes=routes)) as fake, speaking(fake, "vllm") as upstream:
        assert (await upstream.prompt(CHAT, needs_count=True)).tokens == 7


async def test_prompt_tokens_are_unknown_without_a_tokenizer() -> None:
    async with serve() as fake, speaking(fake) as upstream:
        assert (await upstream.prompt(CHAT, needs_count=True)).tokens is None


# --- refusals -------------------------------------------------------------------------------


async def test_length_has_another_name() -> None:
    async with serve(FakeOptions(refuses=("max_tokens",))) as fake, speaking(fake) as upstream:
        for _ in range(2):
            answer = await answered(upstream, ask(max_new_tokens=2))
            assert answer.codes == ["parameter_renamed"]
            assert answer.finish is not None
            assert answer.finish.reason == "length"
        # Asked again once, remembered from then on.
        assert len(fake.state.requests) == 3
        assert fake.state.requests[-1]["max_completion_tokens"] == 2


async def test_neither_name_is_taken() -> None:
    refuses = ("max_tokens", "max_completion_tokens")
    async with serve(FakeOptions(refuses=refuses)) as fake, speaking(fake) as upstream:
        with pytest.raises(InvalidParameters, match="`max_new_tokens`"):
            await answered(upstream, ask(max_new_tokens=2))
        assert len(fake.state.requests) == 2


async def test_refused_parameter_is_kept() -> None:
    async with (
        serve(FakeOptions(models=("a", "b"), refuses=("top_k",))) as fake,
        speaking(fake, model="a") as upstream,
    ):
        for _ in range(2):
            with pytest.raises(InvalidParameters) as refusal:
                await answered(upstream, ask(top_k=5))
            assert refusal.value.message.startswith("`top_k` is refused by the model server")
            assert "Unsupported parameter" in refusal.value.message
        assert len(fake.state.requests) == 1
        # Another model is another matter.
        other = Ask(Prompt(CHAT), {"top_k": 5}, model="b", chosen=frozenset({"top_k"}))
        with pytest.raises(InvalidParameters):
            await answered(upstream, other)
        assert len(fake.state.requests) == 2
        await answered(upstream, ask(temperature=0.5))


async def test_lenient_question_is_asked_without_it() -> None:
    async with serve(FakeOptions(refuses=("top_k", "min_p"))) as fake, speaking(fake) as upstream:
        for _ in range(2):
            answer = await answered(upstream, ask(is_lenient=True, top_k=5, min_p=0.1, top_p=0.9))
            assert answer.codes == ["parameter_left_out"] * 2
            assert {"top_k", "min_p"}.isdisjoint(fake.state.requests[-1])
            assert fake.state.requests[-1]["top_p"] == 0.9
        assert len(fake.state.requests) == 4


async def test_value_that_is_refused_says_nothing_of_others() -> None:
    words = "temperature must be in [0, 2], got 5.0. (parameter=temperature, value=5.0)"
    error = {"error": {"message": words, "type": "BadRequestError", "param": "temperature"}}
    route = {"POST /v1/chat/completions": Canned(error, 400)}
    async with serve(FakeOptions(routes=route)) as fake, speaking(fake, model="m") as upstream:
        with pytest.raises(InvalidParameters, match=r"in \[0, 2\]"):
            await answered(upstream, ask(temperature=5))
        with pytest.raises(InvalidParameters):
            await answered(upstream, ask(temperature=5))
        assert fake.state.routes["POST /v1/chat/completions"] == 1
        with pytest.raises(InvalidParameters):
            await answered(upstream, ask(temperature=4))
        assert fake.state.routes["POST /v1/chat/completions"] == 2


async def test_a_default_of_ours_is_dropped_without_a_notice() -> None:
    refuses = ("stream_options", "return_progress", "logprobs")
    async with (
        serve(like("llama.cpp", refuses=refuses)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        question = Ask(Prompt(CHAT), {}, wants_tokens=True)
        answer = await answered(upstream, question)
        assert answer.codes == []
        asked = len(fake.state.requests)
        assert "top_logprobs" not in fake.state.requests[-1]
        await answered(upstream, question)
        assert len(fake.state.requests) == asked + 1


async def test_an_unchosen_parameter_is_dropped_without_a_notice() -> None:
    """The default length and the seed of a kept answer are ours, and no reason to refuse one."""
    parameters = {"max_new_tokens": 1024, "seed": 5, "temperature": 0.5}
    refuses = ("seed", "max_tokens", "max_completion_tokens")
    async with serve(FakeOptions(refuses=refuses)) as fake, speaking(fake) as upstream:
        question = Ask(Prompt(CHAT), parameters, chosen=frozenset({"temperature"}))
        for _ in range(2):
            assert (await answered(upstream, question)).codes == []
        assert len(fake.state.requests) == 5
        sent = fake.state.requests[-1]
        assert sent.keys() & {*refuses, "temperature"} == {"temperature"}
        # Chosen, each is refused by name: that one was dropped says nothing of a choice.
        with pytest.raises(InvalidParameters, match="`seed` is refused by the model server"):
            await answered(upstream, ask(seed=5))
        # And what is known to be refused is dropped as well where it is ours.
        assert (await answered(upstream, question)).codes == []


async def test_our_length_has_another_name_without_a_word() -> None:
    async with serve(FakeOptions(refuses=("max_tokens",))) as fake, speaking(fake) as upstream:
        for _ in range(2):
            question = Ask(Prompt(CHAT), {"max_new_tokens": 2})
            assert (await answered(upstream, question)).codes == []
            assert fake.state.requests[-1]["max_completion_tokens"] == 2
        assert len(fake.state.requests) == 3


async def test_a_length_that_a_text_needs_is_not_dropped() -> None:
    """Without one, vLLM and others end the answer to a text after 16 tokens, and say `length`."""
    words = "max_tokens=1024 cannot be greater than max_model_len=512. (parameter=max_tokens)"
    error = {"error": {"message": words, "type": "BadRequestError", "param": "max_tokens"}}
    route = {"POST /v1/completions": Canned(error, 400)}
    async with serve(FakeOptions(routes=route)) as fake, speaking(fake, model="m") as upstream:
        with pytest.raises(InvalidParameters, match="cannot be greater than max_model_len"):
            await answered(upstream, Ask(Prompt("Once"), {"max_new_tokens": 1024}))
        assert fake.state.routes["POST /v1/completions"] == 1


async def test_end_of_asking_again() -> None:
    """Each time another one is refused: it ends."""
    names = tuple(f"x{i}" for i in range(20))
    async with serve(FakeOptions(refuses=names)) as fake, speaking(fake) as upstream:
        extra = dict.fromkeys(names, 1)
        question = Ask(Prompt(CHAT), {}, extra=extra, is_lenient=True)
        with pytest.raises(InvalidParameters):
            await answered(upstream, question)
        assert len(fake.state.requests) == 8


async def test_refused_before_anything_is_sent() -> None:
    async with serve() as fake, speaking(fake, "vllm", model="m") as upstream:
        with pytest.raises(InvalidParameters, match="`typical_p` is not taken by vLLM"):
            await answered(upstream, ask(typical_p=0.5))
        assert not fake.state.routes


# --- answers --------------------------------------------------------------------------------


async def test_words_before_a_break_are_handed_on() -> None:
    async with serve(FakeOptions(cut_after=3)) as fake, speaking(fake) as upstream:
        answer = Answer()
        with pytest.raises(EngineLost):
            await upstream.generate(ask(), answer.tokens.extend, answer.waits.append)
        assert answer.text


async def test_too_long_and_too_often() -> None:
    async with (
        serve(like("llama.cpp", max_prompt_tokens=2)) as fake,
        speaking(fake, "llama.cpp") as upstream,
    ):
        with pytest.raises(PromptTooLong):
            await answered(upstream, ask())
    async with serve(FakeOptions(limited=-1, retry_after="7")) as fake, speaking(fake) as upstream:
        with pytest.raises(EngineLimited) as error:
            await answered(upstream, ask())
        assert error.value.retry_after_seconds == 7


async def test_proxy_that_lost_its_connection_is_asked_once_more() -> None:
    async with serve(FakeOptions(bad_gateway=1)) as fake, speaking(fake) as upstream:
        assert (await answered(upstream, ask())).text
        assert fake.state.counts["started"] == 2
    async with serve(FakeOptions(bad_gateway=2)) as fake, speaking(fake) as upstream:
        with pytest.raises(EngineError, match="status 502 without a word"):
            await answered(upstream, ask())
        assert fake.state.counts["started"] == 2


async def test_cut_prompt_is_noticed() -> None:
    """As recorded: six thousand words, of which the server says it read 2,050."""
    async with serve(FakeOptions(prompt_tokens=2050)) as fake, speaking(fake) as upstream:
        answer = await answered(upstream, ask((Message("user", "word " * 6000),)))
        assert answer.finish is not None
        (notice,) = answer.finish.notices
        assert notice.message == "the server read only 2,050 of about 6,000 tokens"
    async with serve(FakeOptions(prompt_tokens=6030)) as fake, speaking(fake) as upstream:
        assert (await answered(upstream, ask((Message("user", "word " * 6000),)))).codes == []


@pytest.mark.parametrize("flavour", ["plain", "litellm", "lmstudio", "llama-swap", "sglang"])
async def test_prompt_that_a_server_cut_is_noticed_with_every_flavour(flavour: str) -> None:
    """Ollama's `/v1` answers as if nothing had been, and says that it read 2,050 tokens."""
    whole = streamed("ollama", "chat stream usage")
    body = re.sub(rb'"prompt_tokens":\d+', b'"prompt_tokens":2050', whole)
    assert body != whole
    replay = {"POST /v1/chat/completions": [HEAD, body]}
    async with (
        serve(FakeOptions(replay=replay)) as fake,
        speaking(fake, flavour, model="m") as upstream,
    ):
        answer = await answered(upstream, ask((Message("user", "word " * 6000),)))
        assert answer.codes == ["prompt_truncated"]


async def test_text_behind_a_stop_text_that_the_server_keeps_is_cut() -> None:
    """Transformers leaves the stop text in, and the rest of its token behind it."""
    body = streamed("transformers serve", "chat stream stop logprobs")
    replay = {"POST /v1/chat/completions": [HEAD, body]}
    for flavour, end in (("plain", "Rayleigh scattering"), ("transformers", "Rayleigh ")):
        async with (
            serve(FakeOptions(replay=replay)) as fake,
            speaking(fake, flavour, model="m") as upstream,
        ):
            answer = await answered(upstream, ask(stop=["scatter"]))
            assert answer.text.endswith(end)
            assert answer.finish is not None
            assert answer.finish.reason == "stop"


@pytest.mark.parametrize("flavour", ["plain", "litellm", "openai", "vllm"])
async def test_limit_told_inside_a_stream_is_one(flavour: str) -> None:
    """A router has sent its 200 before the server behind it refuses."""
    error = {"message": "Rate limit reached, try again in 7s", "code": 429}
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\ndata: [DONE]\n\n"
    replay = {"POST /v1/chat/completions": [HEAD, event]}
    async with (
        serve(FakeOptions(replay=replay)) as fake,
        speaking(fake, flavour, model="m") as upstream,
    ):
        with pytest.raises(EngineLimited, match="Rate limit reached") as limit:
            await answered(upstream, ask())
        assert (limit.value.retry_after_seconds, limit.value.is_final) == (7, False)


async def test_leaving_ends_the_answer() -> None:
    async with serve(FakeOptions(hold_after=2)) as fake, speaking(fake) as upstream:

        class Enough(Exception):
            pass

        def on_tokens(tokens: list[TokenInfo]) -> None:
            raise Enough

        with pytest.raises(Enough):
            await upstream.generate(ask(), on_tokens, lambda _: None)
        await fake.state.reaches(cancelled=1)


async def test_cancelling_ends_the_thinking() -> None:
    options = FakeOptions(reasoning="It is blue.", hold_after=3)
    async with serve(options) as fake, speaking(fake) as upstream:
        thought: list[TokenInfo] = []
        has_begun = asyncio.Event()

        def on_tokens(tokens: list[TokenInfo]) -> None:
            thought.extend(tokens)
            has_begun.set()

        answering = asyncio.create_task(upstream.generate(ask(CHAT), on_tokens, lambda _: None))
        await has_begun.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        text = "".join(token.text for token in thought)
        assert text.startswith(OPENING)
        assert text.endswith(CLOSING)
        assert {token.kind for token in thought} == {"reasoning"}


@pytest.mark.parametrize(
    ("server", "case", "flavour", "reason", "tokens"),
    [
        ("llama.cpp", "chat stream usage", "llama.cpp", "length", 12),
        ("vllm", "chat stream eos usage", "vllm", "stop", None),
        ("vllm", "chat stream logprobs", "vllm", "length", None),
        ("vllm", "completions stream logprobs", "vllm", "length", None),
        ("transformers", "chat stream", "transformers", "length", None),
        ("litellm", "chat stream usage", "litellm", "length", None),
        ("llama-swap", "cold: chat stream (the server is started)", "llama-swap", "length", None),
    ],
)
async def test_recorded_answers(
    server: str, case: str, flavour: str, reason: str, tokens: int | None
) -> None:
    is_chat = "completions" not in case
    question = ask(CHAT if is_chat else "The capital of France is")
    answer = await replayed(server, case, question, flavour)
    assert answer.finish is not None
    assert answer.finish.reason == reason
    assert answer.text
    assert tokens is None or answer.finish.completion_tokens == tokens
    assert answer.codes == []


@pytest.mark.parametrize(
    ("server", "case", "flavour", "parameters", "words"),
    [
        (
            "vllm",
            "error: max_tokens too large stream",
            "vllm",
            {"max_new_tokens": 1_000_000},
            r"`max_new_tokens` \(there `max_tokens`\) is refused by vLLM: .*max_model_len",
        ),
        ("vllm", "chat seed huge", "vllm", {"seed": 5}, "`seed` is refused by vLLM"),
        (
            "transformers",
            "chat extra sampling",
            "plain",
            {"top_k": 20, "min_p": 0.05, "typical_p": 0.9, "repetition_penalty": 1.1},
            "Unexpected fields",
        ),
    ],
)
async def test_recorded_refusals(
    server: str, case: str, flavour: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidParameters, match=words):
        await replayed(server, case, ask(**parameters), flavour)


# --- models that are loaded -----------------------------------------------------------------


async def test_load_and_unload_by_name() -> None:
    routes = {
        "GET /upstream/a b/health": Canned("OK"),
        "POST /api/models/unload/a b": Canned("OK"),
    }
    async with (
        serve(like("llama-swap", models=("a b",), routes=routes)) as fake,
        speaking(fake, "llama-swap") as upstream,
    ):
        info = await upstream.describe()
        assert (info.can_load, info.holds_one_model, info.is_loaded) == (True, True, False)
        await upstream.load("a b")
        await upstream.unload("a b")
        assert fake.state.routes["GET /upstream/a b/health"] == 1
        assert fake.state.routes["POST /api/models/unload/a b"] == 1


async def test_load_of_what_is_loaded_is_nothing() -> None:
    """LM Studio would load it a second time."""
    models = {"data": [{"id": "a", "type": "llm", "state": "loaded", "max_context_length": 8192}]}
    routes = {"GET /api/v0/models": Canned(models), "POST /api/v1/models/unload": Canned({})}
    async with (
        serve(FakeOptions(models=("a",), routes=routes)) as fake,
        speaking(fake, "lmstudio") as upstream,
    ):
        (model,) = await upstream.models()
        assert (model.is_loaded, model.model_context_tokens) == (True, 8192)
        await upstream.load("a")
        await upstream.unload("a")
        assert fake.state.routes["POST /api/v1/models/load"] == 0
        assert fake.state.routes["POST /api/v1/models/unload"] == 1


async def test_load_where_there_is_none() -> None:
    async with serve() as fake, speaking(fake) as upstream:
        for action in (upstream.load("a"), upstream.unload("a")):
            with pytest.raises(EngineError, match="when asked to"):
                await action
    async with (
        serve(like("llama-swap", models=("a",))) as fake,
        speaking(fake, "llama-swap") as upstream,
    ):
        with pytest.raises(EngineError):
            await upstream.load("a")


async def test_setting_says_that_it_holds_one_model() -> None:
    async with (
        serve() as fake,
        speaking(fake, flags=frozenset({"holds_one_model"})) as upstream,
    ):
        assert (await upstream.describe()).holds_one_model


async def test_model_of_a_router_takes_what_its_entry_says() -> None:
    told = {
        "supported_parameters": ["temperature", "max_tokens", "top_p"],
        "context_length": 8192,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    }
    async with (
        serve(FakeOptions(model_fields=told)) as fake,
        speaking(fake, "openrouter") as upstream,
    ):
        info = await upstream.describe()
        assert info.takes is not None
        assert {"temperature", "top_p"} <= info.takes
        assert not {"top_k", "grammar", "top_n_tokens"} & info.takes
        with pytest.raises(InvalidParameters, match="`top_k` is not taken by OpenRouter"):
            await answered(upstream, ask(top_k=5))
        (model,) = await upstream.models()
        assert model.capabilities["vision"]
        assert model.context_tokens == 8192
