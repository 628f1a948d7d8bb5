"""Thinking, calls of tools and answers to them, through a gateway: on the socket and over HTTP."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessage

from server.settings.tables import AnswerSettings, Settings
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import Canned, FakeOptions, like
from tests.support.dialogue import Event
from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway, before_fake, remote, running, server_settings
from tests.web.speaking import ready, speaking

QUESTION: list[Any] = [{"role": "user", "content": "What is up there?"}]
CHAT = {"model": "m", "messages": QUESTION}
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "look", "description": "Look", "parameters": SCHEMA}}
]
ARGUMENTS = '{"at": "sky"}'
BLOCK = f'<tool_call>\n{{"name": "look", "arguments": {ARGUMENTS}}}\n</tool_call>\n'

Start = Callable[..., Awaitable[tuple[Gateway, Fake]]]


def chunk(delta: Any, reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def call(arguments: str, **more: Any) -> dict[str, Any]:
    name = more.pop("name", None)
    return chunk({"tool_calls": [{"function": {"name": name, "arguments": arguments}, **more}]})


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}
LOOKS = (
    chunk({"reasoning_content": "I have"}),
    chunk({"reasoning_content": " to look."}),
    chunk({"content": "Let me see."}),
    call("", index=0, id="c1", name="look", type="function"),
    call('{"at":', index=0),
    call(' "sky"}', index=0),
    chunk({}, "tool_calls"),
    USAGE,
)


def canned(*chunks: dict[str, Any]) -> dict[str, Canned]:
    """Return a route that answers chats with these chunks."""
    body = "".join(f"data: {event}\n\n" for event in [*map(json.dumps, chunks), "[DONE]"])
    headers = {"Content-Type": "text/event-stream"}
    return {"POST /v1/chat/completions": Canned(body, headers=headers)}


@pytest.fixture
async def before() -> AsyncIterator[Start]:
    """Return `gateway, fake = await before(chunks, flavour="vllm")`: its model is `m`."""
    async with AsyncExitStack() as stack:

        async def start(
            chunks: Sequence[dict[str, Any]], flavour: str = "vllm", **options: Any
        ) -> tuple[Gateway, Fake]:
            routes = canned(*chunks) if chunks else {}
            known: FakeOptions = like(flavour, routes=routes, **options)
            return await stack.enter_async_context(before_fake(known, flavour=flavour))

        yield start


@asynccontextmanager
async def client_of(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key="none", max_retries=0
    ) as client:
        yield client


def last(fake: Fake) -> Any:
    """Return the body of the last question."""
    return json.loads(fake.state.bodies[-1])


def only_call(message: ChatCompletionMessage) -> tuple[str, str, str]:
    """Return id, name and arguments of a message's one call."""
    assert message.tool_calls
    (called,) = message.tool_calls
    assert called.type == "function"
    return called.id, called.function.name, called.function.arguments


async def heard(gateway: Gateway, *kinds: str, **options: Any) -> tuple[list[Event], Event]:
    """Return the deltas and the end that a socket with these kinds gets."""
    async with speaking(gateway) as client:
        await client.say(type="hello", kinds=list(kinds))
        await ready(client, "m")
        (name,) = await client.ask("m", **{"messages": QUESTION, **options})
        end = await client.end(name)
        return [event for event in client.events if event["type"] == "delta"], end


# --- on the socket --------------------------------------------------------------------------------


async def test_a_call_comes_as_pieces_of_its_own_kind(before: Start) -> None:
    gateway, fake = await before(LOOKS)
    deltas, end = await heard(gateway, "reasoning", "tool_call", tools=TOOLS, tool_choice="auto")
    told: dict[Any, str] = {}
    for delta in deltas:
        key = (delta.get("kind", "answer"), json.dumps(delta.get("call")))
        told[key] = told.get(key, "") + delta["text"]
    assert told == {
        ("reasoning", "null"): "I have to look.",
        ("answer", "null"): "Let me see.",
        ("tool_call", '{"index": 0, "name": "look", "id": "c1"}'): ARGUMENTS,
    }
    assert end["finish_reason"] == "stop"
    assert end["details"]["finish_reason"] == "tool_calls"
    assert end["details"]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}
    ]
    assert end["usage"]["reasoning_tokens"] == 3
    sent = last(fake)
    assert (sent["tools"], sent["tool_choice"]) == (TOOLS, "auto")


async def test_a_client_without_kinds_gets_it_as_text(before: Start) -> None:
    gateway, _ = await before(LOOKS)
    deltas, _ = await heard(gateway, tools=TOOLS)
    text = "".join(delta["text"] for delta in deltas)
    assert text == f"<think>\nI have to look.\n</think>\n\nLet me see.{BLOCK}"
    assert json.loads(BLOCK.splitlines()[1]) == {"name": "look", "arguments": {"at": "sky"}}


async def test_a_call_is_answered_with_a_tools_message(before: Start) -> None:
    gateway, fake = await before((chunk({"content": "A kite."}, "stop"),))
    called = {"id": "c1", "name": "look", "arguments": ARGUMENTS}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "content": "a kite", "tool_call_id": "c1"},
    ]
    deltas, _ = await heard(gateway, messages=messages, tools=TOOLS)
    assert "".join(delta["text"] for delta in deltas) == "A kite."
    _, call, answer = last(fake)["messages"]
    assert call["content"] is None
    assert call["tool_calls"][0]["function"] == {"name": "look", "arguments": ARGUMENTS}
    assert answer == messages[2]


async def test_a_form_of_answers_is_a_grammar(before: Start) -> None:
    gateway, fake = await before((chunk({"content": "{}"}, "stop"),))
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    await heard(gateway, response_format=wanted)
    sent = last(fake)["response_format"]
    assert sent["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            {"messages": [*QUESTION, {"role": "tool", "content": "5", "tool_call_id": "9"}]},
            "invalid_command",
            "`messages[1]` answers a call that no message before it makes",
        ),
        ({"tools": [*TOOLS, *TOOLS]}, "invalid_parameters", "`tools[1]` has the name"),
        ({"tools": "look"}, "invalid_command", "$.tools"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 5}}}},
            "invalid_parameters",
            "`response_format.json_schema.schema.type` is no type",
        ),
        ({"messages": None, "prompt": "Once", "tools": TOOLS}, "invalid_parameters", "`messages`"),
        ({"parameters": {"reasoning": "deep"}}, "invalid_parameters", "`$.parameters.reasoning`"),
        (
            {"targets": [{"model": "m", "parameters": {"tools": [*TOOLS, *TOOLS]}}]},
            "invalid_parameters",
            "`targets[0].parameters.tools[1]` has the name of `targets[0].parameters.tools[0]`",
        ),
        (
            {"parameters": {"grammar": {"type": "json", "value": {"type": "q"}}}},
            "invalid_parameters",
            "`parameters.grammar.value.type` is no type",
        ),
    ],
    ids=[
        "tool message",
        "twice",
        "no list",
        "no schema",
        "a text",
        "no effort",
        "own",
        "no grammar",
    ],
)
async def test_invalid_tools_start_nothing(
    before: Start, options: dict[str, Any], code: str, words: str
) -> None:
    gateway, fake = await before(())
    async with speaking(gateway) as client:
        asked = {"targets": [{"model": "m"}], "messages": QUESTION, **options}
        answer = await client.try_to(type="generate", **asked)
        assert answer["error"]["code"] == code
        assert words in answer["error"]["message"]
        # The socket goes on, and so does the model.
        (name,) = await client.ask("m")
        assert (await client.end(name))["finish_reason"] == "stop"
    assert len(fake.state.requests) == 1


def answered_call(**fields: str) -> list[Any]:
    called = {"id": "c1", "name": "look", "arguments": "{}", **fields}
    return [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "content": "a kite", "tool_call_id": called["id"]},
    ]


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"messages": answered_call(), "tools": TOOLS}, True),
        ({"messages": answered_call(id="c" * 150)}, False),
        ({"messages": answered_call(name="n" * 128, arguments="x" * 128)}, False),
        ({"tools": [{"function": {"name": "look", "description": "x" * 300}}]}, False),
    ],
    ids=["short", "id", "name", "tools"],
)
async def test_tools_and_calls_count_for_the_length_of_a_prompt(
    options: dict[str, Any], fits: bool
) -> None:
    async with serve(like("vllm")) as fake:
        settings = Settings(
            server=server_settings(),
            answers=AnswerSettings(max_prompt_chars=250),
            models={"m": remote(fake.api, dialect="openai", flavour="vllm")},
        )
        async with running(settings) as gateway, speaking(gateway) as client:
            question = {"type": "generate", "targets": [{"model": "m"}], "messages": QUESTION}
            answer = await client.try_to(**{**question, **options})
            assert answer["type"] == ("result" if fits else "error")
            assert fits or answer["error"]["code"] == "prompt_too_long"


@pytest.mark.parametrize("asked", [{"reasoning": "low"}, {"tools": TOOLS}], ids=["think", "tools"])
async def test_tgi_refuses_by_name_and_answers_without(
    before_fake: StartWithFake, asked: dict[str, Any]
) -> None:
    gateway, fake = await before_fake(text="Hello")
    (name,) = asked
    async with speaking(gateway) as client:
        await ready(client, "m")
        target = {"model": "m", "parameters": asked}
        question = {"type": "generate", "messages": QUESTION}
        answer = await client.try_to(**question, targets=[target])
        assert answer["error"]["code"] == "invalid_parameters"
        assert answer["error"]["message"] == f"`{name}` is not taken by TGI, which serves m"
        result = await client.say(**question, targets=[{**target, "lenient": True}])
        end = await client.end(result["generations"][0])
        assert end["notices"][0]["code"] == "parameter_left_out"
        assert end["notices"][0]["details"] == {"parameter": name}
    assert name not in fake.state.requests[-1]["parameters"]


# --- a budget of thinking -------------------------------------------------------------------------

FOREVER = [chunk({"reasoning": "hm "}) for _ in range(500)]


@pytest.mark.parametrize("kind", ["field", "marks"])
async def test_thinking_that_never_ends_is_ended_by_the_budget(before: Start, kind: str) -> None:
    texts = ["<think>", *["hm "] * 500]
    chunks = FOREVER if kind == "field" else [chunk({"content": text}) for text in texts]
    gateway, _ = await before(chunks)
    deltas, end = await heard(gateway, "reasoning", parameters={"reasoning": 20})
    assert "".join(delta["text"] for delta in deltas) == "hm " * 20
    assert end["finish_reason"] == "length"
    assert [(n["code"], n["details"]) for n in end["notices"]] == [
        ("reasoning_budget", {"tokens": 20})
    ]
    assert end["usage"]["reasoning_tokens"] == 20
    assert "error" not in end
    deltas, _ = await heard(gateway, parameters={"reasoning": 20})
    text = "".join(delta["text"] for delta in deltas)
    assert text.startswith("<think>")
    # Beside the model's own opening mark stands its own closing one.
    assert text.endswith("\n</think>\n\n" if kind == "field" else "hm </think>")


async def test_thinking_within_the_budget_goes_on_to_the_answer(before: Start) -> None:
    thoughts = [chunk({"reasoning": "hm "}) for _ in range(20)]
    gateway, fake = await before([*thoughts, chunk({"content": "Yes"}, "stop")])
    deltas, end = await heard(gateway, "reasoning", parameters={"reasoning": 20})
    assert deltas[-1]["text"] == "Yes"
    assert "notices" not in end
    assert last(fake)["chat_template_kwargs"]["enable_thinking"]


async def test_a_server_that_keeps_budgets_has_some_words_more(before: Start) -> None:
    """It may end the thinking by words of its own, and is stopped only where it keeps none."""
    gateway, fake = await before(FOREVER, "llama.cpp")
    deltas, end = await heard(gateway, "reasoning", parameters={"reasoning": 20})
    assert "".join(delta["text"] for delta in deltas) == "hm " * (20 + 64)
    assert end["notices"][0]["code"] == "reasoning_budget"
    assert last(fake)["reasoning_budget_tokens"] == 20


async def test_a_model_that_always_thinks_is_not_taken_to_where_it_cannot(before: Start) -> None:
    """Its prompt opens the thinking, unless it is off or a grammar holds from the first token."""
    gateway, _ = await before([chunk({"content": "Four."}, "stop")], models=("deepseek-r1",))
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    for asked in ({"parameters": {"reasoning": "off"}}, {"response_format": schema}):
        deltas, _ = await heard(gateway, "reasoning", **asked)
        assert [(delta.get("kind"), delta["text"]) for delta in deltas] == [(None, "Four.")]
    deltas, _ = await heard(gateway, "reasoning")
    assert [(delta["kind"], delta["text"]) for delta in deltas] == [("reasoning", "Four.")]


# --- OpenAI's form --------------------------------------------------------------------------------


async def test_openais_package_gets_thinking_and_calls_apart(before: Start) -> None:
    gateway, fake = await before(LOOKS)
    async with client_of(gateway) as client:
        whole = await client.chat.completions.create(
            model="m", messages=QUESTION, tools=TOOLS, tool_choice="auto", reasoning_effort="low"
        )
        (choice,) = whole.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Let me see."
        assert (choice.message.model_extra or {})["reasoning_content"] == "I have to look."
        assert only_call(choice.message) == ("c1", "look", ARGUMENTS)
        assert whole.usage is not None
        details = whole.usage.completion_tokens_details
        assert details is not None
        assert details.reasoning_tokens == 3
    sent = last(fake)
    assert (sent["reasoning_effort"], sent["tools"]) == ("low", TOOLS)


async def test_openais_package_joins_the_stream_to_the_same(before: Start) -> None:
    gateway, _ = await before(LOOKS)
    async with (
        client_of(gateway) as client,
        client.chat.completions.stream(model="m", messages=QUESTION, tools=TOOLS) as stream,
    ):
        thinking = ""
        async for event in stream:
            if event.type == "chunk" and event.chunk.choices:
                delta = event.chunk.choices[0].delta
                thinking += (delta.model_extra or {}).get("reasoning_content") or ""
        whole = await stream.get_final_completion()
    assert thinking == "I have to look."
    (choice,) = whole.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see.")
    assert only_call(choice.message) == ("c1", "look", ARGUMENTS)


async def test_openais_package_sends_the_turn_back_with_an_answer(before: Start) -> None:
    alone = (*LOOKS[3:6], chunk({}, "tool_calls"))
    gateway, fake = await before(alone)
    async with client_of(gateway) as client:
        first = await client.chat.completions.create(model="m", messages=QUESTION, tools=TOOLS)
        turn = first.choices[0].message
        assert turn.content is None
        messages = [
            *QUESTION,
            turn.model_dump(exclude_none=False),
            {"role": "tool", "tool_call_id": "c1", "content": "a kite"},
        ]
        second = await client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
        assert second.choices
    _, call, answer = last(fake)["messages"]
    assert call["content"] is None
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"] == "c1"


async def test_a_tool_may_answer_nothing(before: Start) -> None:
    gateway, fake = await before((chunk({"content": "I see."}), chunk({}, "stop")))
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": None},
    ]
    reply = await gateway.post("/v1/chat/completions", {**CHAT, "messages": messages})
    assert reply.json["choices"][0]["message"]["content"] == "I see."
    assert last(fake)["messages"][-1]["content"] == ""


@pytest.mark.parametrize("form", ["none", "raw"])
async def test_thinking_may_stand_in_the_content(before: Start, form: str) -> None:
    gateway, _ = await before((*LOOKS[:3], chunk({}, "stop")))
    asked = {**CHAT, "reasoning_format": form}
    message = (await gateway.post("/v1/chat/completions", asked)).json["choices"][0]["message"]
    text = "<think>\nI have to look.\n</think>\n\nLet me see."
    assert (message["content"], "reasoning_content" in message) == (text, False)
    events = (await gateway.post("/v1/chat/completions", {**asked, "stream": True})).events
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert not any("reasoning_content" in delta for delta in deltas)


async def test_no_stop_text_is_looked_for_in_thinking_and_calls(before: Start) -> None:
    chunks = (chunk({"reasoning": "END?"}), chunk({"content": "the EN"}), *LOOKS[3:6])
    gateway, _ = await before((*chunks, chunk({}, "tool_calls")))
    asked = {**CHAT, "stop": ["END", "sky"], "tools": TOOLS}
    choice = (await gateway.post("/v1/chat/completions", asked)).json["choices"][0]
    assert choice["message"]["content"] == "the EN"
    assert choice["message"]["reasoning_content"] == "END?"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == ARGUMENTS
    events = (await gateway.post("/v1/chat/completions", {**asked, "stream": True})).events
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == "the EN"
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert "".join(piece["function"]["arguments"] for piece in pieces) == ARGUMENTS
    assert [piece["function"].get("name") for piece in pieces].count("look") == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": [*QUESTION, {"role": "tool", "content": "5"}]}, "tool_call_id"),
        (
            {"messages": [*QUESTION, {"role": "tool", "content": "5", "tool_call_id": "9"}]},
            "messages",
        ),
        ({"tools": [*TOOLS, *TOOLS]}, "tools"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "hear"}}}, "tool_choice"),
        ({"reasoning_effort": "very"}, "reasoning_effort"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": 5}}}},
            "response_format",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_tools_are_refused_in_openais_form(
    before: Start, change: dict[str, Any], param: str
) -> None:
    gateway, fake = await before(())
    reply = await gateway.post("/v1/chat/completions", {**CHAT, **change})
    assert reply.status == 400
    assert param in reply.json["error"]["message"]
    assert fake.state.requests == []


async def test_a_break_in_a_call_is_told_behind_what_came(before: Start) -> None:
    gateway, _ = await before((*LOOKS[:5], {"error": {"message": "out of memory", "code": 500}}))
    events = (await gateway.post("/v1/chat/completions", {**CHAT, "stream": True})).events
    *begun, error = [event for event in events if event != "[DONE]"]
    pieces = [
        piece for event in begun for piece in event["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert "".join(piece["function"]["arguments"] for piece in pieces) == '{"at":'
    assert "out of memory" in error["error"]["message"]


# --- TGI's form -----------------------------------------------------------------------------------


async def test_tgis_form_has_it_all_as_text(before: Start) -> None:
    gateway, fake = await before(LOOKS)
    body = {**CHAT, "parameters": {"tools": TOOLS, "reasoning": "low"}}
    text = f"<think>\nI have to look.\n</think>\n\nLet me see.{BLOCK}"
    assert (await gateway.post("/generate", body)).json["generated_text"] == text
    events = (await gateway.post("/generate_stream", body)).events
    assert "".join(event["token"]["text"] for event in events) == text
    assert last(fake)["tools"] == TOOLS


async def test_calls_and_answers_to_them_are_stored_and_asked_again(before: Start) -> None:
    gateway, fake = await before(LOOKS)
    made = await gateway.post("/conversations", {"columns": [{"id": "a", "model": "m"}]})
    name = made.json["id"]
    messages = [
        *QUESTION,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c0", "name": "look", "arguments": ARGUMENTS}],
        },
        {"role": "tool", "content": "blue", "tool_call_id": "c0"},
    ]
    async with speaking(gateway) as client:
        await ready(client, "m")
        for turn, asked in (("t1", QUESTION), ("t2", messages)):
            record = {"conversation": name, "turn": turn, "parent": "t1" if turn == "t2" else None}
            (generation,) = await client.ask("m", messages=asked, tools=TOOLS, record=record)
            await client.end(generation)
    kept = (await gateway.get(f"/conversations/{name}?full=1")).json
    for answer in kept["answers"]:
        assert (answer["text"], answer["reasoning"]) == ("Let me see.", "I have to look.")
        assert answer["tool_calls"] == [
            {"index": 0, "id": "c1", "name": "look", "arguments": ARGUMENTS}
        ]
    stored = [kept["messages"][place] for place in kept["answers"][1]["asked"]]
    assert stored == messages
    assert kept["turns"][1]["text"] == "blue"
    async with speaking(gateway) as client:
        await ready(client, "m")
        before_it = last(fake)
        (generation,) = await client.ask("m", messages=stored, tools=TOOLS)
        await client.end(generation)
    assert last(fake)["messages"] == before_it["messages"]
