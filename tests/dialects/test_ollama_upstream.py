"""Ollama's dialect, spoken to a fake that answers as a real one did, and to one that does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    InvalidParameters,
    PromptTooLong,
)
from server.dialects.base import ANY_MODEL, Endpoint, Prompt
from server.dialects.http.client import Timeouts
from server.dialects.ollama.parameters import TAKES
from server.dialects.ollama.upstream import OllamaUpstream
from server.dialects.thinking import CLOSING, OPENING
from tests.dialects.ollama_asking import CHAT, Heard, generate, soon
from tests.dialects.ollama_fake import MODEL, FakeOllama, saying, serve
from tests.dialects.ollama_recordings import RECORDINGS

TEXT = "Once upon a time"
OFF = {
    "temperature": 0,
    "top_p": 1,
    "top_k": 0,
    "typical_p": 1,
    "min_p": 0,
    "repetition_penalty": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}

Connect = Callable[..., OllamaUpstream]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with serve(FakeOllama()) as running:
        yield running


@pytest.fixture
async def connect(fake: FakeOllama) -> AsyncIterator[Connect]:
    """Return a function that speaks to the fake; what it makes is closed at the end."""
    made: list[OllamaUpstream] = []

    def connect(url: str = "", *, timeouts: Timeouts | None = None, **more: Any) -> OllamaUpstream:
        endpoint = Endpoint(url or fake.url, **{"dialect": "ollama", "model": MODEL, **more})
        made.append(OllamaUpstream(endpoint, timeouts or Timeouts()))
        return made[-1]

    yield connect
    for upstream in made:
        await upstream.close()


# --- what is sent -------------------------------------------------------------------------------


async def test_chat_goes_to_chat(fake: FakeOllama, connect: Connect) -> None:
    heard = await generate(connect(), CHAT, {"max_new_tokens": 12, "temperature": 0})
    assert fake.asked == [
        (
            "/api/chat",
            {
                "model": MODEL,
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Say hi."},
                ],
                "stream": True,
                "truncate": False,
                "shift": False,
                "options": {"num_predict": 12, "temperature": 0},
            },
        )
    ]
    assert heard.text == RECORDINGS["chat stream"].text
    assert heard.finish is not None
    assert (heard.finish.reason, heard.finish.prompt_tokens) == ("length", 12)
    assert heard.waits == []


async def test_text_goes_on_as_it_is(fake: FakeOllama, connect: Connect) -> None:
    heard = await generate(connect(), TEXT)
    assert fake.asked == [
        (
            "/api/generate",
            {
                "model": MODEL,
                "prompt": TEXT,
                "raw": True,
                "think": False,
                "stream": True,
                "truncate": False,
                "shift": False,
                "options": {},
            },
        )
    ]
    assert heard.text == RECORDINGS["generate raw stream"].text


async def options_of(fake: FakeOllama, upstream: OllamaUpstream, **more: Any) -> dict[str, Any]:
    heard = await generate(upstream, CHAT, **more)
    assert heard.error is None
    options = fake.bodies("/api/chat")[-1]["options"]
    assert isinstance(options, dict)
    return options


async def test_off_values_are_sent(fake: FakeOllama, connect: Connect) -> None:
    assert await options_of(fake, connect(), parameters=OFF) == {
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "typical_p": 1,
        "min_p": 0,
        "repeat_penalty": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0,
    }


async def test_penalties_see_the_whole_text(fake: FakeOllama, connect: Connect) -> None:
    for name in ("repetition_penalty", "presence_penalty", "frequency_penalty"):
        options = await options_of(fake, connect(), parameters={name: 1.5})
        assert options["repeat_last_n"] == 131_072


async def test_seeds_fit_into_the_engines_bits(fake: FakeOllama, connect: Connect) -> None:
    sent = [
        (await options_of(fake, connect(), parameters={"seed": seed}))["seed"]
        for seed in (0, 7, 2**32 - 2, 2**32 - 1, 2**32, 2**64 - 2)
    ]
    assert sent[:3] == [0, 7, 2**32 - 2]
    assert all(0 <= seed < 2**32 - 1 for seed in sent)


async def test_not_sampling_takes_the_likeliest(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    assert await options_of(fake, upstream, parameters={"do_sample": False}) == {"temperature": 0}
    assert await options_of(fake, upstream, parameters={"do_sample": True}) == {}
    warm = {"do_sample": False, "temperature": 0.7}
    assert await options_of(fake, upstream, parameters=warm) == {"temperature": 0.7}


async def test_stop_texts_do_not_replace_the_models_own(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    prompt = Prompt(CHAT, stop=("User:", "END"))
    heard = await generate(upstream, CHAT, {"stop": ["END"]}, prompt=prompt)
    assert heard.error is None
    stop = fake.bodies("/api/chat")[0]["options"]["stop"]
    assert stop == ["END", "User:", "<|im_start|>", 'a\\nb\\"é😀']
    await generate(upstream, CHAT, {"stop": ["<|im_start|>"]})
    assert len(fake.bodies("/api/show")) == 1
    assert "stop" not in await options_of(fake, upstream)


async def test_empty_stop_text_is_refused(fake: FakeOllama, connect: Connect) -> None:
    heard = await generate(connect(), CHAT, {"stop": ["a", ""]})
    assert isinstance(heard.error, InvalidParameters)
    assert "`stop`" in heard.error.message
    assert fake.asked == []


@pytest.mark.parametrize(
    ("grammar", "sent"),
    [
        ({"type": "json", "value": {"type": "object"}}, {"type": "object"}),
        ({"type": "json", "value": '{"type":"object"}'}, {"type": "object"}),
        ({"type": "json_schema", "value": {"name": "n", "schema": {"a": 1}}}, {"a": 1}),
        ({"type": "json_object", "value": {}}, "json"),
        ({"type": "json", "value": {"name": "n", "schema": {"a": 1}}}, {"a": 1}),
    ],
)
async def test_grammar(fake: FakeOllama, connect: Connect, grammar: Any, sent: Any) -> None:
    await generate(connect(), CHAT, {"grammar": grammar})
    assert fake.bodies("/api/chat")[0]["format"] == sent


@pytest.mark.parametrize("value", ["{", "[]", [1], 7, "", None])
async def test_schema_that_is_none(fake: FakeOllama, connect: Connect, value: Any) -> None:
    heard = await generate(connect(), CHAT, {"grammar": {"type": "json", "value": value}})
    assert isinstance(heard.error, InvalidParameters)
    assert "`grammar.value` is no JSON schema" in heard.error.message
    assert fake.asked == []


async def test_probabilities_are_asked_where_they_are_of_use(
    fake: FakeOllama, connect: Connect
) -> None:
    upstream = connect()
    await generate(upstream, CHAT)
    await generate(upstream, CHAT, wants_tokens=True)
    await generate(upstream, CHAT, {"top_n_tokens": 3})
    plain, tokens, top = fake.bodies("/api/chat")
    assert "logprobs" not in plain
    assert (tokens["logprobs"], "top_logprobs" in tokens) == (True, False)
    assert (top["logprobs"], top["top_logprobs"]) == (True, 3)


REFUSED: list[tuple[str, Any]] = [
    ("grammar", {"type": "regex", "value": "a+"}),
    ("watermark", True),
    ("watermark", 0),
    ("logit_bias", {"7": 1}),
    ("adapter_id", "mine"),
    ("truncate", 10),
    ("best_of", 2),
    ("decoder_input_details", True),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
async def test_parameters_that_ollama_does_not_take_are_refused_or_left_out(
    fake: FakeOllama, connect: Connect, name: str, value: Any
) -> None:
    upstream = connect()
    heard = await generate(upstream, CHAT, {name: value})
    assert isinstance(heard.error, InvalidParameters)
    assert f"`{name}`" in heard.error.message
    assert "Ollama" in heard.error.message
    assert fake.asked == []

    heard = await generate(upstream, CHAT, {name: value}, is_lenient=True)
    assert heard.finish is not None
    (notice,) = heard.finish.notices
    assert (notice.code, notice.details) == ("parameter_left_out", {"parameter": name})
    (body,) = fake.bodies("/api/chat")
    assert (body | body["options"]).get(name) != value
    assert "format" not in body


async def test_neutral_values_and_our_own_parameters_are_not_refused(
    fake: FakeOllama, connect: Connect
) -> None:
    off = {
        "watermark": False,
        "best_of": 1,
        "adapter_id": "",
        "logit_bias": {},
        "decoder_input_details": False,
        "details": True,
        "return_full_text": True,
    }
    heard = await generate(connect(), CHAT, off)
    assert heard.finish is not None
    assert heard.finish.notices == ()
    assert fake.bodies("/api/chat")[0]["options"] == {}


async def test_renamed_parameter_is_said_to_who_chose_it(
    fake: FakeOllama, connect: Connect
) -> None:
    upstream = connect()
    ours = await generate(upstream, CHAT, {"repetition_penalty": 1.2})
    chosen = await generate(
        upstream, CHAT, {"repetition_penalty": 1.2}, chosen=frozenset({"repetition_penalty"})
    )
    assert ours.finish is not None
    assert chosen.finish is not None
    assert ours.finish.notices == ()
    assert [notice.code for notice in chosen.finish.notices] == ["parameter_renamed"]


async def test_extra_goes_along_but_not_over_ours(fake: FakeOllama, connect: Connect) -> None:
    extra = {
        "think": "low",
        "model": "another",
        "truncate": True,
        "options": {"num_keep": 5, "temperature": 2},
    }
    heard = await generate(connect(), CHAT, {"temperature": 0.5}, extra=extra)
    (body,) = fake.bodies("/api/chat")
    assert body["think"] == "low"
    assert (body["model"], body["truncate"]) == (MODEL, False)
    assert body["options"] == {"num_keep": 5, "temperature": 0.5}
    assert heard.finish is not None
    left_out = [notice.details for notice in heard.finish.notices]
    assert left_out == [
        {"parameter": "options.temperature"},
        {"parameter": "model"},
        {"parameter": "truncate"},
    ]


async def test_extra_may_have_a_text_thought_about(fake: FakeOllama, connect: Connect) -> None:
    await generate(connect(), TEXT, extra={"think": True})
    assert fake.bodies("/api/generate")[0]["think"] is True


@pytest.mark.parametrize("name", ["num_ctx", "num_gpu", "num_thread", "num_batch"])
async def test_no_request_loads_the_model_anew(
    fake: FakeOllama, connect: Connect, name: str
) -> None:
    upstream = connect(flags=frozenset({"num_ctx=8192"}))
    extra = {"options": {name: 64}}
    heard = await generate(upstream, CHAT, extra=extra)
    assert isinstance(heard.error, InvalidParameters)
    assert f"`{name}`" in heard.error.message
    assert fake.asked == []
    heard = await generate(upstream, CHAT, extra=extra, is_lenient=True)
    assert heard.error is None
    assert fake.bodies("/api/chat")[0]["options"] == {"num_ctx": 8192}


async def test_options_of_another_type(fake: FakeOllama, connect: Connect) -> None:
    heard = await generate(connect(), CHAT, extra={"options": [1]})
    assert isinstance(heard.error, InvalidParameters)
    assert fake.asked == []


async def test_a_model_is_named(fake: FakeOllama, connect: Connect) -> None:
    await generate(connect(), CHAT, model="other")
    assert fake.bodies("/api/chat")[0]["model"] == "other"


async def test_without_a_name_the_only_model_is_asked(fake: FakeOllama, connect: Connect) -> None:
    await generate(connect(model=""), CHAT)
    assert fake.bodies("/api/chat")[0]["model"] == "smollm2:135m"
    fake.answers["/api/tags"] = saying(
        "/api/tags", {"models": [{"name": "one:1b"}, {"name": "two:1b"}]}
    )
    heard = await generate(connect(model=""), CHAT)
    assert isinstance(heard.error, EngineError)
    assert "one:1b, two:1b" in heard.error.message
    assert heard.error.hint == "set `model_id` in the model's section"


# --- what comes back ----------------------------------------------------------------------------


async def test_nothing_is_counted_beforehand(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    assert await upstream.prompt(CHAT, needs_count=True) == Prompt(CHAT)
    assert await upstream.count(Prompt(TEXT)) is None
    assert fake.asked == []


async def test_prompt_that_was_cut_without_a_word(fake: FakeOllama, connect: Connect) -> None:
    words = " ".join(f"word{number}" for number in range(6000))
    heard = await generate(connect(), words)
    assert heard.finish is not None
    assert [notice.code for notice in heard.finish.notices] == ["prompt_truncated"]


async def test_refusals_are_told_in_words(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    for case, kind in (
        ("chat prompt too long, truncate false", PromptTooLong),
        ("no place in the queue", EngineOverloaded),
        ("chat option of a wrong type", InvalidParameters),
        ("unknown model", EngineError),
    ):
        fake.answers["/api/chat"] = RECORDINGS[case]
        heard = await generate(upstream)
        assert type(heard.error) is kind
    assert heard.error is not None
    assert heard.error.hint == f"fetch it there with `ollama pull {MODEL}`"


async def test_engine_killed_in_the_middle(fake: FakeOllama, connect: Connect) -> None:
    recording = fake.answers["/api/chat"] = RECORDINGS["SIGKILL to the engine"]
    heard = await generate(connect())
    assert heard.text == recording.text
    assert isinstance(heard.error, EngineLost)


async def test_connection_that_breaks(fake: FakeOllama, connect: Connect) -> None:
    fake.cuts = True
    heard = await generate(connect())
    assert heard.text == "Hello"
    assert isinstance(heard.error, EngineLost)


async def test_body_without_an_end(fake: FakeOllama, connect: Connect) -> None:
    fake.answers["/api/chat"] = saying("/api/chat", {"message": {"content": "a"}})
    heard = await generate(connect())
    assert heard.text == "a"
    assert isinstance(heard.error, EngineLost)
    assert "over and over" in (heard.error.hint or "")


async def test_cancelling_closes_the_connection(fake: FakeOllama, connect: Connect) -> None:
    fake.pauses = asyncio.Event()
    heard = Heard()
    task = asyncio.create_task(generate(connect(), heard=heard))
    await soon(heard.began.wait())
    task.cancel()
    await soon(fake.left.wait())
    with pytest.raises(asyncio.CancelledError):
        await task


THINKS = saying("/api/chat", {"message": {"thinking": "hm"}}, {"message": {"content": "So"}})


async def test_cancelling_ends_the_thinking(fake: FakeOllama, connect: Connect) -> None:
    fake.answers["/api/chat"], fake.pauses = THINKS, asyncio.Event()
    heard = Heard()
    task = asyncio.create_task(generate(connect(), heard=heard))
    await soon(heard.began.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard.text == f"{OPENING}hm{CLOSING}"


async def test_a_connection_that_breaks_ends_the_thinking(
    fake: FakeOllama, connect: Connect
) -> None:
    fake.answers["/api/chat"], fake.cuts = THINKS, True
    heard = await generate(connect())
    assert heard.text == f"{OPENING}hm{CLOSING}"
    assert isinstance(heard.error, EngineLost)


async def test_silence_is_asked_about(fake: FakeOllama, connect: Connect) -> None:
    fake.held["/api/chat"] = asyncio.Event()
    upstream = connect(timeouts=Timeouts(read=0.05))
    task = asyncio.create_task(generate(upstream))
    await fake.until_asked("/api/version", 2)
    assert not task.done()
    fake.held["/api/chat"].set()
    assert (await soon(task)).error is None


async def test_silence_of_a_server_that_is_not_well(fake: FakeOllama, connect: Connect) -> None:
    fake.held["/api/chat"] = asyncio.Event()
    fake.answers["/api/version"] = saying("/api/version", {}, status=500)
    heard = await soon(generate(connect(timeouts=Timeouts(read=0.05))))
    assert isinstance(heard.error, EngineTimeout | EngineLost)


async def test_words_are_counted(connect: Connect) -> None:
    upstream = connect()
    assert upstream.meter.heard == 0
    heard = await generate(upstream)
    assert 0 < upstream.meter.heard <= len(heard.tokens)


# --- loading ------------------------------------------------------------------------------------


async def test_a_waiting_client_is_told_that_the_model_loads(
    fake: FakeOllama, connect: Connect
) -> None:
    fake.loaded = [{"name": "another:latest", "context_length": 64}]
    held = fake.held["/api/chat"] = asyncio.Event()
    heard = Heard()
    task = asyncio.create_task(generate(connect(), heard=heard))
    await soon(heard.waited.wait())
    (notice,) = heard.waits
    assert notice is not None
    assert notice.code == "server_loads"
    held.set()
    await soon(task)
    assert heard.waits == [notice, None]
    assert heard.error is None
    # Once it is known, nobody looks again.
    assert len(fake.bodies("/api/ps")) == 1


async def test_list_that_waits_for_the_load_says_the_same(
    fake: FakeOllama, connect: Connect
) -> None:
    fake.held["/api/ps"] = asyncio.Event()
    held = fake.held["/api/chat"] = asyncio.Event()
    heard = Heard()
    task = asyncio.create_task(generate(connect(), heard=heard))
    await soon(heard.waited.wait())
    held.set()
    await soon(task)
    assert [notice and notice.code for notice in heard.waits] == ["server_loads", None]


async def test_a_model_in_memory_is_not_said_to_be_loaded(
    fake: FakeOllama, connect: Connect
) -> None:
    held = fake.held["/api/chat"] = asyncio.Event()
    several = [asyncio.create_task(generate(connect(model="smollm2:135M"))) for _ in range(2)]
    upstream = connect()
    several += [asyncio.create_task(generate(upstream)) for _ in range(20)]
    await fake.until_asked("/api/ps", 6)
    held.set()
    for heard in await soon(asyncio.gather(*several)):
        assert heard.waits == []
    # Two upstreams for themselves, and twenty answers of one that look together.
    assert len(fake.bodies("/api/ps")) <= 9


async def test_a_model_of_the_cloud_is_never_loaded(fake: FakeOllama, connect: Connect) -> None:
    shown = {"remote_host": "https://ollama.com", "capabilities": ["completion"]}
    fake.answers["/api/show"] = saying("/api/show", shown)
    upstream = connect(model="far")
    await upstream.describe()
    looks = len(fake.bodies("/api/ps"))
    for model in ("far", "glm-5:cloud", "gpt-oss:120b-cloud"):
        held = fake.held["/api/chat"] = asyncio.Event()
        heard = Heard()
        task = asyncio.create_task(generate(upstream, heard=heard, model=model))
        await fake.until_asked("/api/chat", len(fake.bodies("/api/chat")) + 1)
        assert not [each for each in asyncio.all_tasks() if each.get_name().startswith("watch")]
        held.set()
        assert (await soon(task)).error is None
        assert heard.waits == []
    assert len(fake.bodies("/api/ps")) == looks


async def test_failed_look_says_nothing(fake: FakeOllama, connect: Connect) -> None:
    fake.answers["/api/ps"] = RECORDINGS["get /nothing"]
    held = fake.held["/api/chat"] = asyncio.Event()
    task = asyncio.create_task(generate(connect()))
    await fake.until_asked("/api/ps")
    held.set()
    assert (await soon(task)).waits == []


async def test_loading_is_not_watched_once_an_answer_has_begun(
    fake: FakeOllama, connect: Connect
) -> None:
    fake.pauses = asyncio.Event()
    heard = Heard()
    task = asyncio.create_task(generate(connect(), heard=heard))
    await soon(heard.began.wait())
    watching = [each for each in asyncio.all_tasks() if each.get_name() == "watch for loading"]
    assert all(each.cancelling() for each in watching)
    fake.pauses.set()
    await soon(task)
    assert fake.bodies("/api/ps") == []


async def test_load_and_unload(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect(flags=frozenset({"num_ctx=8192"}))
    fake.answers["/api/generate"] = RECORDINGS["chat messages empty"]
    await upstream.load("")
    fake.answers["/api/chat"] = RECORDINGS["unload (keep_alive 0)"]
    await upstream.unload("other")
    assert fake.asked == [
        # As in every request: another context, or another `shift`, would load it once more.
        ("/api/generate", {"model": MODEL, "shift": False, "options": {"num_ctx": 8192}}),
        ("/api/chat", {"model": "other", "messages": [], "keep_alive": 0}),
    ]


async def test_load_that_fails(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    words = "llama-server process has terminated: signal: illegal instruction"
    fake.answers["/api/generate"] = saying("/api/generate", {"error": words}, status=500)
    with pytest.raises(EngineError, match="illegal instruction"):
        await upstream.load("")
    fake.answers["/api/generate"] = saying("/api/generate", {"error": "out of memory"})
    with pytest.raises(EngineError, match="out of memory"):
        await upstream.load("")


# --- what the server says of itself -------------------------------------------------------------


async def test_describe(fake: FakeOllama, connect: Connect) -> None:
    info = await connect().describe()
    assert (info.engine, info.dialect, info.flavour) == ("Ollama", "ollama", "ollama")
    assert (info.model_id, info.version) == (MODEL, "0.0.0")
    assert (info.max_total_tokens, info.model_context_tokens) == (4096, 8192)
    assert (info.has_chat_template, info.has_logprobs) == (True, True)
    assert (info.can_load, info.is_loaded, info.can_cancel) == (True, True, True)
    assert info.takes == TAKES - {"tools", "tool_choice"}
    assert info.defaults == {"temperature": 0.5, "top_k": 20}
    assert not info.unset_is_greedy
    assert [path for path, _ in fake.asked] == ["/api/version", "/api/show", "/api/ps"]


async def test_describe_a_model_that_is_not_in_memory(fake: FakeOllama, connect: Connect) -> None:
    fake.loaded = []
    info = await connect().describe()
    assert (info.max_total_tokens, info.is_loaded) == (None, False)


async def test_describe_while_a_model_is_loaded(fake: FakeOllama, connect: Connect) -> None:
    fake.held["/api/ps"] = asyncio.Event()
    info = await soon(connect().describe())
    assert (info.max_total_tokens, info.is_loaded) == (None, None)


async def test_describe_a_server_without_a_model(fake: FakeOllama, connect: Connect) -> None:
    info = await connect(model=ANY_MODEL).describe()
    assert (info.version, info.model_id) == ("0.0.0", "")
    assert [path for path, _ in fake.asked] == ["/api/version"]


async def test_describe_an_unknown_model(fake: FakeOllama, connect: Connect) -> None:
    fake.answers["/api/show"] = RECORDINGS["show unknown model"]
    with pytest.raises(EngineError, match="none:latest") as caught:
        await connect(model="none").describe()
    assert caught.value.hint == "fetch it there with `ollama pull none`"


@pytest.mark.parametrize(
    ("shown", "has_template"),
    [
        ({"template": "{{ .Prompt }}", "capabilities": ["completion"]}, False),
        ({"template": "{{ .Messages }}", "capabilities": ["completion"]}, True),
        ({"template": "", "renderer": "qwen3", "capabilities": ["completion"]}, True),
        ({"template": "", "model_info": {"tokenizer.chat_template": "x"}}, True),
        ({"template": "{{ .Messages }}", "capabilities": ["embedding"]}, False),
        ({"remote_host": "https://ollama.com", "capabilities": ["completion"]}, True),
    ],
)
async def test_chat_template(
    fake: FakeOllama, connect: Connect, shown: Any, has_template: bool
) -> None:
    fake.answers["/api/show"] = saying("/api/show", shown)
    info = await connect().describe()
    assert info.has_chat_template is has_template
    assert info.can_load is ("remote_host" not in shown)


async def test_models(fake: FakeOllama, connect: Connect) -> None:
    (model,) = await connect().models()
    assert (model.name, model.kind, model.is_loaded) == (MODEL, "text", True)
    assert (model.context_tokens, model.model_context_tokens) == (4096, 8192)
    assert model.capabilities == {"completion": True, "vision": False}
    assert model.details == {"quantization": "Q4_1", "parameters": "134.52M", "family": "llama"}


async def test_models_of_other_kinds(fake: FakeOllama, connect: Connect) -> None:
    listed = [
        {"name": "embed:latest", "capabilities": ["embedding"], "details": {"family": "bert"}},
        {"name": "draw:latest", "capabilities": ["image"]},
        {"name": "old:latest"},
        {"name": "glm:cloud", "remote_host": "https://ollama.com", "capabilities": ["completion"]},
        {"name": "see:4b", "capabilities": ["completion", "vision", "tools"]},
    ]
    fake.answers["/api/tags"] = saying("/api/tags", {"models": listed})
    fake.loaded = [{"name": "old", "context_length": 0}]
    embed, draw, old, cloud, see = await connect().models()
    assert [model.kind for model in (embed, draw, old, cloud, see)] == [
        "embedding",
        "image",
        "text",
        "text",
        "text",
    ]
    assert [model.is_loaded for model in (embed, old, cloud)] == [False, True, None]
    assert old.context_tokens is None
    assert see.capabilities == {"completion": True, "vision": True, "tools": True}


async def test_a_server_that_is_not_ollama_is_an_error(fake: FakeOllama, connect: Connect) -> None:
    for answer in (
        saying("/api/tags", b"<html>hello</html>"),
        saying("/api/tags", {"data": []}),
        RECORDINGS["get /nothing"],
    ):
        fake.answers["/api/tags"] = answer
        with pytest.raises(EngineError) as caught:
            await connect().models()
        assert caught.value.hint is not None


async def test_health(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    assert await upstream.is_healthy(timeout_seconds=5)
    fake.answers["/api/version"] = saying("/api/version", {}, status=500)
    assert not await upstream.is_healthy(timeout_seconds=5)
    fake.held["/api/version"] = asyncio.Event()
    assert not await upstream.is_healthy(timeout_seconds=0.05)
    assert not await connect("http://127.0.0.1:1").is_healthy(timeout_seconds=5)
    assert {path for path, _ in fake.asked} == {"/api/version"}


async def test_ollama_has_no_metrics(connect: Connect) -> None:
    with pytest.raises(EngineError, match="figures"):
        await connect().metrics(max_bytes=1000)


async def test_looking_sends_nothing_that_loads(fake: FakeOllama, connect: Connect) -> None:
    upstream = connect()
    await upstream.is_healthy(timeout_seconds=5)
    await upstream.describe()
    await upstream.models()
    assert {path for path, _ in fake.asked} == {
        "/api/version",
        "/api/show",
        "/api/ps",
        "/api/tags",
    }
    assert "keep_alive" not in json.dumps(fake.asked)
