"""Thinking and tools with real servers: what they take, what they refuse, and what comes."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KeepLog
from tests.real.over_servers import Over, over, remote
from tests.support.dialogue import Event
from tests.support.real_servers import RealServer, available, has, llama_cpp

SCHEMA = {
    "type": "object",
    "properties": {"at": {"type": "string", "enum": ["sea", "sky"]}},
    "required": ["at"],
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": SCHEMA}}
]
GREEDY = {"temperature": 0, "max_new_tokens": 80}
# Hermes' and Qwen's form, which llama.cpp finds out by rendering it.
TEMPLATE = r"""{%- if tools %}{{- '<|im_start|>system\nFunctions:\n' }}
{%- for tool in tools %}{{- tool | tojson }}{{- '\n' }}{%- endfor %}
{{- 'Call one:\n<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}
{%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}
{%- endif %}{{- message.content if message.content else '' }}
{%- if message.tool_calls %}{%- for call in message.tool_calls %}
{%- if call.function %}{%- set call = call.function %}{%- endif %}
{{- '<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
{%- if call.arguments is string %}{{- call.arguments }}
{%- else %}{{- call.arguments | tojson }}{%- endif %}
{{- '}\n</tool_call>' }}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
{%- if tools or enable_thinking is not defined %}
{%- elif enable_thinking %}{{- '<think>\n' }}
{%- else %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"""


def called(number: int, at: str) -> list[dict[str, Any]]:
    """Return a turn in which the model looked somewhere."""
    call = {"id": f"c{number}", "name": "look", "arguments": json.dumps({"at": at})}
    return [
        {"role": "user", "content": f"Look at the {at}."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]


# So small a model calls only what it has seen called.
HISTORY = [message for n, at in enumerate(["sea", "sky", "sea"]) for message in called(n, at)]


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, keep_log: KeepLog) -> None:
    keep_log("the gateway", tmp_path / "server.log")


@pytest.fixture
async def before_llama(tmp_path: Path, keep_log: KeepLog) -> AsyncIterator[Over]:
    """Run a gateway over llama.cpp with a template that knows thinking and tools."""
    async with llama_cpp(template=TEMPLATE) as server:
        keep_log(server.name, server.log)
        async with over(remote(server), tmp_path) as o:
            await o.state("m", "ready")
            await o.client.say(type="hello", kinds=["reasoning", "tool_call"])
            yield o


def told(o: Over, name: str) -> dict[str, list[Event]]:
    """Return an answer's deltas by their kinds."""
    kinds: dict[str, list[Event]] = {}
    for event in o.client.events:
        if event["type"] == "delta" and event["generation"] == name:
            kinds.setdefault(event.get("kind", "answer"), []).append(event)
    return kinds


async def test_llama_cpp_calls_a_tool_and_reads_the_answer(before_llama: Over) -> None:
    o = before_llama
    messages = [*HISTORY, {"role": "user", "content": "Look at the sky."}]
    asked = {"tools": TOOLS, "tool_choice": "required", "parameters": GREEDY}
    (name,) = await o.client.ask("m", messages=messages, **asked)
    end = await o.client.end(name)
    pieces = told(o, name)["tool_call"]
    (call,) = {json.dumps(piece["call"]) for piece in pieces}
    assert json.loads(call)["name"] == "look"
    arguments = "".join(piece["text"] for piece in pieces)
    assert json.loads(arguments) == {"at": "sky"}
    assert end["details"]["finish_reason"] == "tool_calls"
    assert end["details"]["tool_calls"][0]["function"]["arguments"] == arguments
    call_id = json.loads(call)["id"]
    turn = {"id": call_id, "name": "look", "arguments": arguments}
    answered = [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [turn]},
        {"role": "tool", "content": "a kite", "tool_call_id": call_id},
    ]
    (name,) = await o.client.ask("m", messages=answered, parameters=GREEDY)
    assert (await o.client.end(name))["finish_reason"] in ("stop", "length")


async def test_llama_cpp_is_told_whether_to_think(before_llama: Over) -> None:
    """What its template makes of it shows in how long the prompt is."""
    o = before_llama
    lengths = {}
    for effort in ("off", "high", 500):
        asked = {"parameters": {"temperature": 0, "max_new_tokens": 2, "reasoning": effort}}
        _, end = await o.answer("m", {}, **asked)
        lengths[effort] = end["usage"]["prompt_tokens"]
    assert lengths["off"] > lengths["high"] == lengths[500]


async def test_llama_cpp_ends_thinking_at_a_budget_and_answers(before_llama: Over) -> None:
    o = before_llama
    parameters = {"temperature": 0, "max_new_tokens": 60, "reasoning": 10}
    (name,) = await o.client.ask("m", parameters=parameters)
    end = await o.client.end(name)
    assert "notices" not in end
    thinking, answer = told(o, name)["reasoning"], told(o, name)["answer"]
    assert thinking[-1]["seq"] <= 10 + 5
    assert "".join(event["text"] for event in answer).strip()


async def test_llama_cpp_thinking_that_never_ends_is_ended(before_llama: Over) -> None:
    """Within a grammar no server can end it, and so we do."""
    o = before_llama
    grammar = {"type": "regex", "value": "<think>[a-z ]{2000}</think>ok"}
    parameters = {"temperature": 0, "max_new_tokens": 500, "grammar": grammar, "reasoning": 10}
    (name,) = await o.client.ask("m", parameters=parameters)
    end = await o.client.end(name)
    assert end["finish_reason"] == "length"
    assert [notice["code"] for notice in end["notices"]] == ["reasoning_budget"]
    assert told(o, name).keys() == {"reasoning"}
    assert end["usage"]["completion_tokens"] < 500


# --- the others -----------------------------------------------------------------------------------


async def _refused(o: Over, **asked: Any) -> str:
    """Return why an answer is refused, at once or at its end."""
    target = {"model": "m", "parameters": asked.pop("parameters", {})}
    question = {"messages": [{"role": "user", "content": "Hi"}], **asked}
    answer = await o.client.try_to(type="generate", targets=[target], **question)
    if answer["type"] == "result":
        answer = await o.client.end(answer["result"]["generations"][0])
    assert answer["error"]["code"] == "invalid_parameters"
    words: str = answer["error"]["message"]
    return words


async def _lenient(o: Over, parameters: dict[str, Any]) -> list[str]:
    """Return which parameters were left out of a lenient question that was answered."""
    parameters = {**parameters, "max_new_tokens": 2}
    target = {"model": "m", "parameters": parameters, "lenient": True}
    question = [{"role": "user", "content": "Hi"}]
    result = await o.client.say(type="generate", targets=[target], messages=question)
    end = await o.client.end(result["generations"][0])
    assert "error" not in end
    return [notice["details"]["parameter"] for notice in end.get("notices", ())]


@pytest.mark.parametrize("any_process", available("llama.cpp", "ollama"), indirect=True)
async def test_ollama_refuses_by_the_models_name(real_server: RealServer, tmp_path: Path) -> None:
    """A model that neither thinks nor calls; llama.cpp, which is not asked that, answers."""
    settings = remote(real_server, f"model_id = {real_server.model}")
    async with over(settings, tmp_path) as o:
        await o.answers("m")
        if real_server.name == "llama.cpp":
            # The model's template knows no tools, and the server would pass over them.
            assert "`tools` is not taken by llama.cpp" in await _refused(o, tools=TOOLS)
            assert await _lenient(o, {"reasoning": "low", "tools": TOOLS}) == ["tools"]
            return
        words = await _refused(o, parameters={"reasoning": "low"})
        assert f'"{real_server.model}" does not support thinking' in words
        assert "`tools` is not taken by Ollama" in await _refused(o, tools=TOOLS)
        assert await _lenient(o, {"reasoning": "low", "tools": TOOLS}) == ["reasoning", "tools"]
        assert await _lenient(o, {"reasoning": "off"}) == []


if has("tgi"):

    async def test_tgi_refuses_thinking_and_tools(real_tgi: RealServer, tmp_path: Path) -> None:
        async with over(remote(real_tgi), tmp_path) as o:
            await o.state("m", "ready")
            for asked in ({"reasoning": "off"}, {"tools": TOOLS}):
                (name,) = asked
                words = await _refused(o, parameters=asked)
                assert words == f"`{name}` is not taken by TGI, which serves m"
                assert await _lenient(o, asked) == [name]

    async def test_tgi_marks_in_text_are_thinking(real_tgi: RealServer, tmp_path: Path) -> None:
        async with over(remote(real_tgi), tmp_path) as o:
            await o.state("m", "ready")
            await o.client.say(type="hello", kinds=["reasoning"])
            content = "[[say <think>I am to say so.</think>A kite.]]"
            (name,) = await o.client.ask("m", messages=[{"role": "user", "content": content}])
            await o.client.end(name)
            texts = {k: "".join(e["text"] for e in es) for k, es in told(o, name).items()}
            assert texts == {"reasoning": "I am to say so.", "answer": "A kite."}

    async def test_tgi_calls_a_tool_where_it_is_asked_in_openais_form(
        real_tgi: RealServer, tmp_path: Path
    ) -> None:
        call = {"function": {"_name": "look", "at": "sky"}}
        content = f"[[say {json.dumps(call)}]]"
        settings = remote(real_tgi, "dialect = openai", "flavour = tgi-openai")
        async with over(settings, tmp_path) as o:
            await o.state("m", "ready")
            await o.client.say(type="hello", kinds=["tool_call"])
            messages = [{"role": "user", "content": content}]
            (name,) = await o.client.ask("m", messages=messages, tools=TOOLS)
            end = await o.client.end(name)
            pieces = told(o, name)["tool_call"]
            assert pieces[0]["call"]["name"] == "look"
            assert json.loads("".join(piece["text"] for piece in pieces)) == {"at": "sky"}
            assert end["finish_reason"] == "stop"
            # A call that is answered.
            turn = {"id": "c1", "name": "look", "arguments": '{"at": "sky"}'}
            answered = [
                {"role": "user", "content": "Look."},
                {"role": "assistant", "content": None, "tool_calls": [turn]},
                {"role": "tool", "content": "[[say A kite.]]", "tool_call_id": "c1"},
            ]
            (name,) = await o.client.ask("m", messages=answered)
            assert (await o.client.end(name))["finish_reason"] == "stop"
            assert o.client.text(name) == "A kite."
