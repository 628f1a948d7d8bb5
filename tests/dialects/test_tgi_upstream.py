"""TGI's dialect, spoken to a server that is right and to one that is wrong in every known way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.core.protocol import Message, Notice, TokenInfo
from server.dialects.base import Ask, Endpoint, Finish, Prompt
from server.dialects.http.client import Timeouts
from server.dialects.tgi.upstream import TGI
from tests.conftest import StartFake
from tests.fakes.tgi import Fake
from tests.fakes.tgi_answers import answer

PROMPT = "Tell me of the river."
CHAT = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello")]
PARAMETERS = {"max_new_tokens": 12}

Connect = Callable[..., TGI]


@pytest.fixture
def connect() -> Connect:
    """Return a function that speaks to a URL."""

    def connect(url: str, api_key: str = "", *, read_timeout: float = 10.0) -> TGI:
        return TGI(Endpoint(url, api_key=api_key), Timeouts(connect=5.0, read=read_timeout))

    return connect


@dataclass
class Heard:
    """What came of one answer."""

    texts: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    finish: Finish | None = None
    error: SidestreamError | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


def asked(prompt: Sequence[Message] | str = PROMPT, **parameters: Any) -> Ask:
    """Return what is asked of the server."""
    return Ask(Prompt(prompt), PARAMETERS | parameters)


def unexpected(notice: Notice | None) -> None:
    raise AssertionError(f"TGI says nothing while it is waited for: {notice}")


async def listen(
    upstream: TGI, prompt: Sequence[Message] | str = PROMPT, **parameters: Any
) -> Heard:
    """Have a prompt answered, to the end or to the error."""
    heard = Heard()

    def hear(tokens: list[TokenInfo]) -> None:
        assert tokens, "nothing came, and was told"
        for token in tokens:
            (heard.special if token.special else heard.texts).append(token.text)

    try:
        heard.finish = await upstream.generate(asked(prompt, **parameters), hear, unexpected)
    except SidestreamError as error:
        heard.error = error
    return heard


def expected(fake: Fake, count: int | None = None) -> str:
    """Return what the fake's first `count` tokens say."""
    whole = answer(fake.options, PROMPT, PARAMETERS)
    return "".join(token.text for token in whole.tokens[:count] if not token.special)


# --- a server that is right ---------------------------------------------------------------------


async def test_the_joined_tokens_are_the_whole_answer(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi()
    heard = await listen(connect(fake.url))
    whole = answer(fake.options, PROMPT, PARAMETERS)
    assert heard.text == whole.generated_text
    assert heard.finish == Finish("length", whole.input_length, 12)
    assert heard.error is None


@pytest.mark.parametrize("option", ["two_bytes", "no_space"])
async def test_chunk_boundaries_do_not_matter(
    fake_tgi: StartFake, connect: Connect, option: str
) -> None:
    fake = await fake_tgi(**{option: True})
    heard = await listen(connect(fake.url))
    assert heard.text == expected(fake)
    assert heard.finish is not None


async def test_keep_alive_comments_are_not_part_of_the_answer(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(keep_alive_seconds=0.01, hold_after=3)
    listening = asyncio.create_task(listen(connect(fake.url)))
    await fake.state.reaches(tokens=3)
    fake.state.release()
    assert (await listening).text == expected(fake)


async def test_a_special_token_ends_the_answer_and_is_marked(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(text="All done", answer_tokens=2)
    heard = await listen(connect(fake.url))
    assert (heard.texts, heard.special) == (["All", " done"], ["</s>"])
    assert heard.finish is not None
    assert (heard.finish.reason, heard.finish.completion_tokens) == ("stop", 3)


async def test_a_stop_sequence_is_a_stop(fake_tgi: StartFake, connect: Connect) -> None:
    fake = await fake_tgi(text="one two three four")
    heard = await listen(connect(fake.url), stop=["three"])
    assert heard.text == "one two three"
    assert heard.finish is not None
    assert heard.finish.reason == "stop"


async def test_alternatives_come_with_their_tokens(fake_tgi: StartFake, connect: Connect) -> None:
    fake = await fake_tgi()
    upstream = connect(fake.url)
    tokens: list[TokenInfo] = []
    await upstream.generate(asked(top_n_tokens=2), tokens.extend, unexpected)
    assert all(token.top and len(token.top) == 2 for token in tokens)
    assert tokens[0].top is not None
    assert tokens[0].top[0].text == tokens[0].text


async def test_details_are_always_asked_for(fake_tgi: StartFake, connect: Connect) -> None:
    """Without them the last event does not say why the answer ended."""
    fake = await fake_tgi()
    await listen(connect(fake.url), details=False)
    assert fake.state.requests[0]["parameters"]["details"] is True


# --- one that is wrong --------------------------------------------------------------------------

# Options of the fake, the error, what is said, and how many tokens came before.
WRONG: dict[str, tuple[dict[str, Any], type[SidestreamError], str, int]] = {
    "cut in the middle": ({"cut_after": 3}, EngineLost, "broke", 3),
    "cut at once": ({"cut_after": 0}, EngineLost, "broke", 0),
    "ended without an end": ({"end_early_after": 3}, EngineLost, "in the middle of its answer", 3),
    "an error in the stream": ({"error_after": 3}, EngineError, "CUDA out of memory", 3),
    "an error at once": ({"error_after": 0}, EngineError, "CUDA out of memory", 0),
    "a malformed event": ({"malformed_after": 3}, EngineError, "malformed event", 3),
    "overloaded": ({"overloaded": True}, EngineOverloaded, "no place", 0),
}


@pytest.mark.parametrize(("options", "kind", "said", "tokens"), WRONG.values(), ids=WRONG)
async def test_an_error_is_reported_after_the_text_before_it(
    fake_tgi: StartFake,
    connect: Connect,
    options: dict[str, Any],
    kind: type[SidestreamError],
    said: str,
    tokens: int,
) -> None:
    fake = await fake_tgi(**options)
    heard = await listen(connect(fake.url))
    assert type(heard.error) is kind
    assert said in str(heard.error)
    assert heard.text == expected(fake, tokens)
    assert heard.finish is None


@pytest.mark.parametrize("options", [{"silent": True}, {"silent_after": 2}])
async def test_silence_is_given_up(
    fake_tgi: StartFake, connect: Connect, options: dict[str, Any]
) -> None:
    fake = await fake_tgi(**options)
    heard = await listen(connect(fake.url, read_timeout=0.2))
    assert type(heard.error) is EngineTimeout
    assert heard.text == expected(fake, options.get("silent_after", 0))
    await fake.state.reaches(cancelled=1)


async def test_a_server_that_is_not_there(connect: Connect, unused_tcp_port: int) -> None:
    upstream = connect(f"http://127.0.0.1:{unused_tcp_port}")
    assert not await upstream.is_healthy(timeout_seconds=5)
    with pytest.raises(EngineLost):
        await upstream.describe()
    assert type((await listen(upstream)).error) is EngineLost


@pytest.mark.parametrize(
    ("parameters", "kind", "said"),
    [
        ({"temperature": -1}, InvalidParameters, "`temperature` must be strictly positive"),
        (
            {"max_new_tokens": 100},
            PromptTooLong,
            "`inputs` tokens + `max_new_tokens` must be <= 60",
        ),
        ({"truncate": 100}, None, ""),
        # TGI itself takes it, and ends after one token.
        ({"stop": ["x", ""]}, InvalidParameters, "`stop` has an empty text"),
    ],
)
async def test_a_refusal_is_told_in_tgis_words(
    fake_tgi: StartFake,
    connect: Connect,
    parameters: dict[str, Any],
    kind: type[SidestreamError] | None,
    said: str,
) -> None:
    fake = await fake_tgi(max_total_tokens=60, max_input_tokens=20)
    heard = await listen(connect(fake.url), **parameters)
    assert type(heard.error) is (kind or type(None))
    assert str(heard.error or "").startswith(said)


async def test_a_prompt_that_is_too_long_is_told_as_that(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(max_input_tokens=20)
    heard = await listen(connect(fake.url), "word " * 100)
    assert type(heard.error) is PromptTooLong
    assert str(heard.error).startswith("`inputs` must have less than 20 tokens")


async def test_a_body_the_server_cannot_read_is_told_with_its_status(
    fake_tgi: StartFake, connect: Connect
) -> None:
    """Answered by axum before any handler: 422, and plain text."""
    fake = await fake_tgi()
    heard = await listen(connect(fake.url), prompt=None)  # type: ignore[arg-type]
    assert type(heard.error) is not EngineLost
    assert "answered 422: Failed to deserialize" in str(heard.error)


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_wrong_key_is_told_with_what_to_do(
    fake_tgi: StartFake, connect: Connect, key: str
) -> None:
    fake = await fake_tgi(api_key="right")
    heard = await listen(connect(fake.url, key))
    assert heard.error is not None
    assert "refuses the API key" in str(heard.error)
    assert heard.error.hint == "set `api_key` in the model's section"
    assert (await listen(connect(fake.url, "right"))).text == expected(fake)


# --- cancelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("held_after", [0, 3])
async def test_cancelling_frees_the_slot(
    fake_tgi: StartFake, connect: Connect, held_after: int
) -> None:
    fake = await fake_tgi(hold_after=held_after)
    listening = asyncio.create_task(listen(connect(fake.url)))
    await fake.state.reaches(started=1, tokens=held_after)
    listening.cancel()
    await fake.state.reaches(cancelled=1)
    assert fake.state.counts["running"] == 0
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_an_answer_left_in_the_middle_is_cancelled_while_another_goes_on(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(hold_after=2)
    upstream = connect(fake.url)
    other = asyncio.create_task(listen(upstream))
    heard = asyncio.Event()
    listening = asyncio.create_task(
        upstream.generate(asked(), lambda tokens: heard.set(), unexpected)
    )
    await heard.wait()
    listening.cancel()
    await fake.state.reaches(cancelled=1)
    fake.state.release()
    assert (await other).text == expected(fake)
    assert fake.state.counts["cancelled"] == 1


# --- before the answer --------------------------------------------------------------------------


async def test_the_server_tells_its_abilities(fake_tgi: StartFake, connect: Connect) -> None:
    fake = await fake_tgi(model_id="org/name", max_input_tokens=100, max_total_tokens=200)
    info = await connect(fake.url).describe()
    assert (info.model_id, info.version) == ("org/name", "3.3.6-dev0")
    assert (info.max_input_tokens, info.max_total_tokens) == (100, 200)
    assert info.max_concurrent_requests == 128
    assert info.has_chat_template


async def test_a_base_model_has_no_template(fake_tgi: StartFake, connect: Connect) -> None:
    fake = await fake_tgi(no_template=True)
    assert not (await connect(fake.url).describe()).has_chat_template


@pytest.mark.parametrize(("options", "is_healthy"), [({}, True), ({"unhealthy": True}, False)])
async def test_health_is_what_the_server_answers(
    fake_tgi: StartFake, connect: Connect, options: dict[str, Any], is_healthy: bool
) -> None:
    fake = await fake_tgi(**options)
    assert await connect(fake.url).is_healthy(timeout_seconds=5) is is_healthy


async def test_a_chat_is_rendered_by_the_models_own_template(
    fake_tgi: StartFake, connect: Connect
) -> None:
    prompt = await connect((await fake_tgi()).url).prompt(CHAT, needs_count=True)
    assert prompt.content == (
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|assistant|>\n"
    )


async def test_without_a_template_the_prompt_is_a_plain_transcript(
    fake_tgi: StartFake, connect: Connect
) -> None:
    prompt = await connect((await fake_tgi(no_template=True)).url).prompt(CHAT, needs_count=True)
    assert prompt.content == "Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nAssistant:"


async def test_text_stays_as_it_is(fake_tgi: StartFake, connect: Connect) -> None:
    prompt = await connect((await fake_tgi(bos=True)).url).prompt("<s> once", needs_count=True)
    assert prompt.content == "<s> once"


@pytest.mark.parametrize("content", [CHAT, PROMPT], ids=["chat", "text"])
@pytest.mark.parametrize("options", [{}, {"bos": True}, {"no_template": True}], ids=repr)
async def test_the_length_it_counts_is_the_one_the_engine_counts(
    fake_tgi: StartFake, connect: Connect, options: dict[str, Any], content: list[Message] | str
) -> None:
    """Regression: what the tokenizer adds was left out, and the last tokens did not fit."""
    fake = await fake_tgi(**options)
    upstream = connect(fake.url)
    for _ in range(2):
        prompt = await upstream.prompt(content, needs_count=True)
        heard = await listen(upstream, prompt.content)
        assert heard.finish is not None
        assert prompt.tokens == heard.finish.prompt_tokens


async def test_the_beginning_of_the_prompt_is_not_there_twice(
    fake_tgi: StartFake, connect: Connect
) -> None:
    """The template writes a BOS, and the tokenizer adds one."""
    prompt = await connect((await fake_tgi(bos=True)).url).prompt(CHAT, needs_count=True)
    assert str(prompt.content).startswith("<|system|>")


# --- other people's servers ---------------------------------------------------------------------


@dataclass
class Odd:
    """A server that answers each path with what a test says."""

    url: str
    answers: dict[str, Callable[[], web.Response]] = field(default_factory=dict)


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    """Run a server of whatever kind."""
    answers: dict[str, Callable[[], web.Response]] = {}

    async def handle(request: web.Request) -> web.StreamResponse:
        response = answers.get(request.path, lambda: web.Response(status=404))()
        if request.headers.get("Accept-Encoding", "") != "identity":
            response.enable_compression()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Odd(f"http://127.0.0.1:{runner.addresses[0][1]}", answers)
    await runner.cleanup()


def stream(body: bytes) -> Callable[[], web.Response]:
    """Answer with a stream that holds all of `body` in one piece."""
    return lambda: web.Response(body=body, content_type="text/event-stream")


TOKEN = b'data: {"token":{"id":1,"text":"a","logprob":null,"special":false}}\n\n'
LAST = b'data: {"token":{"id":2,"text":"b"},"generated_text":"ab","details":null}\n\n'


async def test_a_proxy_that_compresses_is_asked_not_to(odd: Odd, connect: Connect) -> None:
    """Regression: compressed answers were allowed, and then not understood."""
    odd.answers["/info"] = lambda: web.json_response({"model_id": "x"})
    assert (await connect(odd.url).describe()).model_id == "x"


async def test_the_last_event_may_say_nothing_but_the_text(odd: Odd, connect: Connect) -> None:
    odd.answers["/generate_stream"] = stream(TOKEN + LAST)
    heard = await listen(connect(odd.url))
    assert (heard.text, heard.finish) == ("ab", Finish("stop", None, None))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b'data: {"error":"Model is overloaded","error_type":"overloaded"}\n\n', "no place"),
        (b"data: {\n\n", "malformed"),
        (b'data: {"token":{"id":"x"}}\n\n', "malformed"),
        (b"data: [1]\n\n", "malformed"),
        (b"data: \xff\n\n", "unreadable"),
        (b"data: " + b"x" * 5_000_000, "unreadable"),
    ],
    ids=lambda bad: repr(bad)[:30],
)
async def test_tokens_in_one_read_with_an_error_are_kept(
    odd: Odd, connect: Connect, bad: bytes, said: str
) -> None:
    odd.answers["/generate_stream"] = stream(TOKEN * 3 + bad)
    heard = await listen(connect(odd.url))
    assert heard.text == "aaa"
    assert said in str(heard.error)


async def test_bytes_after_the_end_are_not_read(odd: Odd, connect: Connect) -> None:
    odd.answers["/generate_stream"] = stream(TOKEN + LAST + TOKEN + b"data: {\n\n")
    heard = await listen(connect(odd.url))
    assert (heard.text, heard.error) == ("ab", None)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (lambda: web.Response(text="<html>" + "x" * 10_000, status=502), "answered 502: <html>"),
        (lambda: web.Response(status=503), "answered 503: HTTP 503"),
        (lambda: web.json_response({"detail": "no"}, status=404), 'answered 404: {"detail": "no"}'),
        (lambda: web.Response(status=302, headers={"Location": "/"}), "answered 302"),
        (lambda: web.Response(text="nothing of the kind"), "reports: nothing of the kind"),
    ],
)
async def test_a_server_that_is_no_tgi_is_an_error_with_a_reason(
    odd: Odd, connect: Connect, response: Callable[[], web.Response], said: str
) -> None:
    odd.answers["/generate_stream"] = response
    heard = await listen(connect(odd.url))
    assert isinstance(heard.error, EngineError)
    assert said in str(heard.error)
    assert len(str(heard.error)) < 2500


async def test_a_server_whose_info_is_of_another_kind(odd: Odd, connect: Connect) -> None:
    odd.answers["/info"] = lambda: web.Response(text="welcome")
    with pytest.raises(EngineError, match="answered /info in an unknown form"):
        await connect(odd.url).describe()


async def test_a_server_that_cannot_count_is_used_without_counts(
    odd: Odd, connect: Connect
) -> None:
    assert (await connect(odd.url).prompt(PROMPT, needs_count=True)).tokens is None
    assert (await connect(odd.url).prompt(CHAT, needs_count=True)).tokens is None


async def test_extra_fields_are_sent_and_replace_none_of_ours(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi()
    ask = Ask(Prompt(PROMPT), PARAMETERS, extra={"priority": 3, "inputs": "another"})
    await connect(fake.url).generate(ask, lambda tokens: None, unexpected)
    sent = fake.state.requests[-1]
    assert (sent["priority"], sent["inputs"]) == (3, PROMPT)
