"""TGI and chat templates: none, one that refuses, one from the settings, one out of a cache."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import EngineError, InvalidCommand
from server.core.protocol import Message, TokenInfo
from server.core.sse import lone_data
from server.dialects.base import Ask, Endpoint, Finish, Meter
from server.dialects.http.client import Timeouts
from server.dialects.tgi.cutting import CutAnswerReader
from server.dialects.tgi.refusals import Refused
from server.dialects.tgi.template_files import MAX_TEMPLATE_BYTES, find_template, find_tokens
from server.dialects.tgi.templates import Renderer, Template, TemplateBroken, TemplateRefused
from server.dialects.tgi.transcripts import ROLE_STOPS, joined_system, stops_for_server
from server.dialects.tgi.upstream import TGI
from server.workers import fences
from tests.conftest import StartFake

SYSTEM, USER = Message("system", "Be brief."), Message("user", "Hi")
ASSISTANT = Message("assistant", "Hello")
CHAT = [SYSTEM, USER, ASSISTANT, Message("user", "Bye")]
CHATML = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Real answers of TGI 3.3.7's router: `none` has no template, `strict` and `only` refuse, `broken`
# calls what minijinja does not know, `notfound` raises TGI's own words.
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent / "tgi_chat_tokenize.jsonl").read_text().splitlines()
]

Connect = Callable[..., TGI]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a function that speaks to a URL, with fields of `Endpoint`."""
    async with AsyncExitStack() as stack:

        def connect(url: str, **fields: Any) -> TGI:
            upstream = TGI(Endpoint(url, **fields), Timeouts(connect=5.0, read=10.0))
            stack.push_async_callback(upstream.close)
            return upstream

        yield connect


@pytest.fixture
async def render() -> AsyncIterator[Callable[..., Any]]:
    """Return `await render(template, *messages, bos_token="<s>")`."""
    renderers: list[Renderer] = []

    async def render(text: str, *messages: Message, **tokens: str) -> str:
        renderers.append(Renderer(Template(text, tokens)))
        return await renderers[-1].render(messages or [USER])

    yield render
    for renderer in renderers:
        await renderer.close()


# --- what TGI says of a template ------------------------------------------------------------------


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: f"{r['template']}-{r['case']}")
def test_recorded_answers_of_tgi_are_told_apart(recorded: dict[str, Any]) -> None:
    if recorded["status"] == 200:
        return
    body = json.loads(recorded["body"])
    refused = Refused("", recorded["status"], body["error_type"], body["error"])

    assert refused.is_without_template == (recorded["template"] == "none")
    words = {
        ("strict", "system"): "System role not supported",
        ("strict", "two_users"): (
            "Conversation roles must alternate user/assistant/user/assistant/..."
        ),
        ("only", "system"): "Only user and assistant roles are supported!",
    }
    expected = words.get((recorded["template"], recorded["case"]))
    if recorded["template"] == "notfound":
        expected = "template not found"
    assert refused.template_words == expected


def test_answers_of_the_embedded_engine_are_told_apart() -> None:
    said = "Template error: at line 1, column 9:\n ... ^\nError: Jinja Exception: No system, please"

    assert Refused("", 422, "template_error", said).template_words == "No system, please"


# --- no template: a transcript -------------------------------------------------------------------


async def test_a_transcript_says_so_and_where_to_stop(
    fake_tgi: StartFake, connect: Connect
) -> None:
    upstream = connect((await fake_tgi(no_template=True)).url)
    prompt = await upstream.prompt(CHAT, needs_count=False)

    assert prompt.content == "Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:"
    assert [notice.code for notice in prompt.notices] == ["no_chat_template"]
    assert prompt.stop == ROLE_STOPS
    assert not (await upstream.describe()).has_chat_template


def test_the_server_gets_as_many_stop_texts_as_it_takes() -> None:
    assert stops_for_server(["."], ROLE_STOPS, at_most=4) == [".", "\nUser:", "\nAssistant:"]
    assert stops_for_server(list("abc"), ROLE_STOPS, at_most=4) == ["a", "b", "c", "\nUser:"]
    assert stops_for_server(list("abcd"), ROLE_STOPS, at_most=4) == list("abcd")
    assert stops_for_server(["\nUser:"], ROLE_STOPS, at_most=4) == ["\nUser:", "\nAssistant:"]


def event(text: str, *, ends: str = "") -> bytes:
    body: dict[str, Any] = {"token": {"id": 1, "text": text, "logprob": -1.0, "special": False}}
    if ends:
        details = {"finish_reason": ends, "generated_tokens": 9, "input_length": 5}
        body |= {"generated_text": "", "details": details}
    return f"data: {json.dumps(body)}\n\n".encode()


def read(*chunks: bytes, together: bool = False) -> tuple[str, Finish | None, bool]:
    """Return what was shown, how it ended, and whether the connection was left before the end."""
    shown: list[TokenInfo] = []
    reader = CutAnswerReader(shown.extend, Meter(), roles=ROLE_STOPS)
    reads = [b"".join(chunks)] if together else list(chunks)
    was_all = any(reader.feed(chunk) for chunk in reads)
    try:
        finish = reader.finish()
    except EngineError:
        return "".join(token.text for token in shown), None, was_all
    return "".join(token.text for token in shown), finish, was_all


@pytest.mark.parametrize("together", [False, True])
def test_a_stop_text_that_the_server_shows_is_cut(together: bool) -> None:
    chunks = [
        event(" Yes."),
        event("\n"),
        event("\n"),
        event("User"),
        event(":", ends="stop_sequence"),
    ]

    assert read(*chunks, together=together) == (" Yes.", Finish("stop", 5, 9), True)


@pytest.mark.parametrize("together", [False, True])
def test_the_connection_is_closed_if_the_server_goes_on(together: bool) -> None:
    chunks = [event(" Yes.\n"), event("\nUser: a"), event("nd")]

    shown, finish, was_all = read(*chunks, together=together)
    assert (shown, was_all) == (" Yes.", True)
    assert finish is not None
    assert finish.reason == "stop"


def test_held_back_text_comes_before_an_end_and_before_an_error() -> None:
    held = [event(" Yes."), event("\n\nUs")]

    assert read(*held, event("e", ends="length"))[0] == " Yes.\n\nUse"
    assert read(*held) == (" Yes.\n\nUs", None, False)
    assert read(*held, b'data: {"error":"x","error_type":"generation"}\n\n')[:2] == (
        " Yes.\n\nUs",
        None,
    )


# --- a template that refuses ----------------------------------------------------------------------


async def test_a_refused_system_message_is_joined_to_the_users_and_the_prompt_says_so(
    fake_tgi: StartFake, connect: Connect
) -> None:
    upstream = connect((await fake_tgi(strict_template=True)).url)
    prompt = await upstream.prompt(CHAT, needs_count=True)

    assert isinstance(prompt.content, str)
    assert prompt.content.startswith("<|user|>\nBe brief.\n\nHi</s>")
    assert [notice.code for notice in prompt.notices] == ["system_joined"]
    assert prompt.stop == ()
    assert prompt.tokens
    assert (await upstream.describe()).has_chat_template


@pytest.mark.parametrize("chat", [[USER, USER], [ASSISTANT, USER], [SYSTEM, USER, USER], [SYSTEM]])
async def test_any_other_refusal_is_an_error_in_the_templates_words(
    fake_tgi: StartFake, connect: Connect, chat: list[Message]
) -> None:
    upstream = connect((await fake_tgi(strict_template=True)).url)
    words = "System role" if chat == [SYSTEM] else "Conversation roles must alternate"
    with pytest.raises(InvalidCommand, match=words):
        await upstream.prompt(chat, needs_count=False)


async def test_a_template_beyond_the_server_is_an_error_that_says_what_helps(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(broken_template=True)
    with pytest.raises(EngineError, match="unknown method") as caught:
        await connect(fake.url).prompt([USER], needs_count=False)
    assert caught.value.hint is not None
    assert "chat_template" in caught.value.hint

    prompt = await connect(fake.url, chat_template=CHATML).prompt([USER], needs_count=False)
    assert prompt.content == "<|user|>Hi\n<|assistant|>"


def test_system_texts_are_joined_to_the_next_users() -> None:
    later = Message("system", "Now in French.")

    assert joined_system([SYSTEM, later, USER]) == [
        Message("user", "Be brief.\n\nNow in French.\n\nHi")
    ]
    assert joined_system([USER, ASSISTANT, later, USER]) == [
        USER,
        ASSISTANT,
        Message("user", "Now in French.\n\nHi"),
    ]
    assert joined_system([USER, later]) == [Message("user", "Hi\n\nNow in French.")]
    assert joined_system([USER, ASSISTANT]) is None
    assert joined_system([SYSTEM, ASSISTANT]) is None


# --- a template from the settings, or the model's own ---------------------------------------------


async def test_a_template_from_the_settings_comes_before_the_servers(
    fake_tgi: StartFake, connect: Connect
) -> None:
    for options in ({}, {"no_template": True}):
        fake = await fake_tgi(**options)
        upstream = connect(fake.url, chat_template=CHATML)
        prompt = await upstream.prompt([SYSTEM, USER], needs_count=True)

        assert prompt.content == "<|system|>Be brief.\n<|user|>Hi\n<|assistant|>"
        assert prompt.tokens == await upstream.count(prompt)
        assert prompt.notices == ()
        assert (await upstream.describe()).has_chat_template


async def test_a_token_that_the_server_adds_is_not_there_twice(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(bos=True, no_template=True)
    upstream = connect(fake.url, chat_template="<s>" + CHATML)

    assert (await upstream.prompt([USER], needs_count=False)).content == "<|user|>Hi\n<|assistant|>"


async def test_a_template_in_the_settings_that_cannot_be_rendered_is_told_at_the_start(
    fake_tgi: StartFake, connect: Connect
) -> None:
    upstream = connect((await fake_tgi()).url, chat_template="{% if")
    with pytest.raises(TemplateBroken, match="line 1") as caught:
        await upstream.describe()
    assert caught.value.hint is not None


async def test_the_models_own_template_is_taken_from_the_cache(
    fake_tgi: StartFake, connect: Connect, tmp_path: Path
) -> None:
    add_model(tmp_path, "acme/new", "{{ bos_token }}" + CHATML, {"bos_token": {"content": "[B]"}})
    fake = await fake_tgi(no_template=True, model_id="acme/new")
    upstream = connect(fake.url, hub_cache=str(tmp_path))

    assert (await upstream.describe()).has_chat_template
    prompt = await upstream.prompt([USER], needs_count=False)
    assert (prompt.content, prompt.notices) == ("[B]<|user|>Hi\n<|assistant|>", ())


async def test_a_cached_template_that_fails_falls_back_to_a_transcript_with_a_notice(
    fake_tgi: StartFake, connect: Connect, tmp_path: Path
) -> None:
    add_model(tmp_path, "acme/new", "{{ messages.clear() }}", {})
    fake = await fake_tgi(no_template=True, model_id="acme/new")
    prompt = await connect(fake.url, hub_cache=str(tmp_path)).prompt([USER], needs_count=False)

    assert prompt.stop == ROLE_STOPS
    assert "SecurityError" in prompt.notices[0].message


def add_model(cache: Path, model: str, template: str, config: dict[str, Any]) -> Path:
    """Lay a model's files out as huggingface_hub does; return its folder."""
    folder = cache / ("models--" + model.replace("/", "--"))
    snapshot = folder / "snapshots" / "0123456789abcdef"
    (folder / "blobs").mkdir(parents=True)
    (folder / "refs").mkdir()
    snapshot.mkdir(parents=True)
    (folder / "refs" / "main").write_text(snapshot.name)
    for name, text in (
        ("chat_template.jinja", template),
        ("tokenizer_config.json", json.dumps(config)),
    ):
        (folder / "blobs" / name).write_text(text)
        (snapshot / name).symlink_to(folder / "blobs" / name)
    return folder


def test_a_template_is_found_by_commit_by_name_and_as_the_only_one(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "acme/new", "hello", {"eos_token": "</s>", "pad_token": None})
    expected = Template("hello", {"eos_token": "</s>"})

    for revision in ("0123456789abcdef", "main", ""):
        assert find_template(tmp_path, "acme/new", revision) == expected
    assert find_template(tmp_path, "acme/new", "other") is None
    assert find_template(tmp_path, "acme/old", "") is None
    (folder / "refs" / "main").unlink()
    assert find_template(tmp_path, "acme/new") == expected
    assert find_tokens(tmp_path, "acme/new") == {"eos_token": "</s>"}


def test_no_name_and_no_link_leads_out_of_the_models_folder(tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    folder = add_model(cache, "acme/new", "hello", {})
    secret = tmp_path / "chat_template.jinja"
    secret.write_text("secret")
    for model in ("../new", "acme/../new", str(tmp_path), "acme/new/x", "", "acme\\new", "a\0"):
        assert find_template(cache, model) is None
    for revision in ("../..", "..", "/etc", "a/../b", ".", "main\n"):
        assert find_template(cache, "acme/new", revision) is None
    link = folder / "snapshots" / "0123456789abcdef" / "chat_template.jinja"
    link.unlink()
    link.symlink_to(secret)
    assert find_template(cache, "acme/new") is None
    (folder / "refs" / "main").write_text("../../..")
    assert find_template(cache, "acme/new") is None


def test_a_template_that_is_too_large_or_no_text_counts_as_not_there(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "acme/new", "a" * (MAX_TEMPLATE_BYTES + 1), {})
    assert find_template(tmp_path, "acme/new") is None
    (folder / "blobs" / "chat_template.jinja").write_bytes(b"\xff")
    assert find_template(tmp_path, "acme/new") is None


# --- rendering, out of this process ---------------------------------------------------------------


async def test_templates_render_as_in_transformers(render: Callable[..., Any]) -> None:
    template = (
        "{%- generation %}\n{{ bos_token }}{{ messages | tojson }}\n{% endgeneration %}\n"
        "{% for m in messages %}\n  {% if loop.last %}\n{{ m.content.strip() }}\n"
        "  {% break %}\n  {% endif %}\n{% endfor %}\n{{ eos_token }}"
    )

    assert await render(template, Message("user", " <é>'\" "), bos_token="<s>") == (
        '<s>[{"role": "user", "content": " <é>\'\\" "}]\n<é>\'"\n'
    )


async def test_a_last_message_of_the_assistants_is_gone_on_with(render: Callable[..., Any]) -> None:
    assert await render(CHATML, USER, ASSISTANT) == "<|user|>Hi\n<|assistant|>Hello"


async def test_an_exception_of_a_template_is_a_refusal(render: Callable[..., Any]) -> None:
    with pytest.raises(TemplateRefused, match=r"^not you$"):
        await render("{{ raise_exception('not ' + 'you') }}")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(10**9) %}a{% endfor %}", "Range too big"),
        ("{{ 'a' * 10**9 }}", "memory"),
        (
            "{% set n = namespace(a='aa') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}"
            "{% endfor %}",
            "memory",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself"),
        pytest.param(
            # In large steps: there are so many characters before the seconds are over.
            "{% for i in range(99999) %}{% for j in range(99999) %}" + "a" * 10_000 + "{% endfor %}"
            "{% endfor %}",
            "characters",
            id="characters without end",
        ),
        ("{{ ().__class__.__base__.__subclasses__() }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__ }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% if", "line 1"),
    ],
)
async def test_a_template_gets_no_further_than_its_fences(
    render: Callable[..., Any], template: str, words: str
) -> None:
    with pytest.raises(TemplateBroken, match=words):
        await render(template)


async def test_a_template_that_never_ends_is_killed_and_the_next_prompt_is_rendered() -> None:
    template = (
        "{% if messages | length > 1 %}{% for i in range(99999) %}{% for j in range(99999) %}"
        "{% endfor %}{% endfor %}{% endif %}done"
    )
    renderer = Renderer(Template(template))
    try:
        with pytest.raises(TemplateBroken, match="takes more than 5 s"):
            await renderer.render([USER, ASSISTANT])
        assert await renderer.render([USER]) == "done"
    finally:
        await renderer.close()


async def test_code_that_leaves_the_sandbox_cannot_open_anything(tmp_path: Path) -> None:
    """A filter that opens files stands for whatever gets past Jinja2."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        f"import runpy\nnames = runpy.run_path({fences.__file__!r})\n"
        "names['close_doors']()\n"
        "for attempt in (lambda: open('/etc/passwd'), lambda: __import__('socket').socket()):\n"
        "    try:\n        attempt()\n    except OSError as error:\n        print(error.errno)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(worker), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.split() == [b"24", b"24"]


def test_events_of_the_tests_are_of_tgis_form() -> None:
    assert lone_data(event("a")) is not None


# --- a whole answer -------------------------------------------------------------------------------


async def answer_to(upstream: TGI, **parameters: Any) -> tuple[str, Finish]:
    shown: list[TokenInfo] = []
    prompt = await upstream.prompt([USER], needs_count=False)
    ask = Ask(prompt, {"max_new_tokens": 200, **parameters})
    finish = await upstream.generate(ask, shown.extend, lambda notice: None)
    return "".join(token.text for token in shown if not token.special), finish


async def test_an_answer_to_a_transcript_ends_where_the_model_writes_the_users_part(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(no_template=True, text=" Yes.\n\nUser: Hi again\n\nAssistant: No.")
    text, finish = await answer_to(connect(fake.url))

    assert (text, finish.reason) == (" Yes.", "stop")
    assert finish.prompt_tokens
    assert fake.state.requests[-1]["parameters"]["stop"] == ["\nUser:", "\nAssistant:"]


async def test_with_four_stop_texts_of_the_users_the_answer_still_ends_and_so_does_the_work(
    fake_tgi: StartFake, connect: Connect
) -> None:
    fake = await fake_tgi(no_template=True, text=" Yes.\n\nUser: Hi again", hold_after=8)
    text, finish = await answer_to(connect(fake.url), stop=list("wxyz"))

    assert (text, finish.reason) == (" Yes.", "stop")
    assert fake.state.requests[-1]["parameters"]["stop"] == list("wxyz")
    await fake.state.reaches(cancelled=1)
