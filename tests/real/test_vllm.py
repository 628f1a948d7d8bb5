"""vLLM through the gateway: thinking, tools, structured answers, and a context that fills up.

Run by hand, where `SIDESTREAM_VLLM` names a Python that has vLLM (`tests/support/vllm.py`).
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.client import Target
from tests.conftest import KeepLog
from tests.real.asking import post
from tests.real.over_servers import Over, over, remote, until_idle
from tests.real.test_thinking import ANSWER, FORCED, THOUGHT, check, hearing
from tests.real.test_tools import HISTORY, TOOLS, told
from tests.support.pictures import png
from tests.support.real_servers import RealServer
from tests.support.vllm import PYTHON, vllm

__test__ = bool(PYTHON)
GREEDY = {"temperature": 0, "max_new_tokens": 60}
CONTEXT = 512
THINKS = {"reasoning": "high"}


@pytest.fixture(scope="module")
def vllm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    # This one tells thinking apart only where the request wants thinking.
    parsers = ["--reasoning-parser", "deepseek_v3", "--enable-auto-tool-choice"]
    parsers += ["--tool-call-parser", "hermes"]
    with vllm(tmp_path_factory.mktemp("vllm"), *parsers, context=CONTEXT) as server:
        yield server


@pytest.fixture
async def before_vllm(
    vllm_process: RealServer, tmp_path: Path, keep_log: KeepLog
) -> AsyncIterator[Over]:
    keep_log("vllm", vllm_process.log)
    keep_log("the gateway", tmp_path / "server.log")
    async with over(remote(vllm_process), tmp_path) as o:
        await o.state("m", "ready")
        await o.client.say(type="hello", kinds=["reasoning", "tool_call"])
        yield o


async def test_vllm_reports_its_engine_and_context_length(before_vllm: Over) -> None:
    model = await before_vllm.sees("m")
    assert model["engine"] == "vLLM"
    assert model["limits"]["max_total_tokens"] == CONTEXT


async def test_its_parser_tells_thinking_in_chats(vllm_process: RealServer, tmp_path: Path) -> None:
    """The small model greets with "Hello!", whose "!" is what ends thinking here."""
    chat = [{"role": "user", "content": "Hi"}]
    target = Target("m", {**GREEDY, **THINKS})
    async with hearing(remote(vllm_process), tmp_path, target, question=chat) as heard:
        check(heard)
        assert heard.apart.reasoning == "Hello"
        assert heard.apart.text.startswith(" How can I ")  # the next word differs by processor


async def test_the_gateway_tells_thinking_in_texts(
    vllm_process: RealServer, tmp_path: Path
) -> None:
    target = Target("m", FORCED)
    asked = {"prompt": "The sea is salty:"}
    async with hearing(remote(vllm_process), tmp_path, target, **asked) as heard:
        check(heard)
        assert THOUGHT.fullmatch(heard.apart.reasoning), heard.apart.reasoning
        assert ANSWER.fullmatch(heard.apart.text), heard.apart.text


async def test_an_answer_that_is_cut_while_it_thinks_has_no_text(before_vllm: Over) -> None:
    o = before_vllm
    length = {"temperature": 0, "max_new_tokens": 1, **THINKS}
    text, end = await o.answer(
        "m", {"messages": [{"role": "user", "content": "Hi"}]}, parameters=length
    )
    assert text == "Hello"
    assert list(told(o, end["generation"])) == ["reasoning"]
    assert end["usage"]["completion_tokens"] == end["usage"]["reasoning_tokens"] == 1


async def test_a_tool_is_called_and_answered(before_vllm: Over) -> None:
    o = before_vllm
    messages = [*HISTORY, {"role": "user", "content": "Look at the sky."}]
    choice = {"type": "function", "function": {"name": "look"}}
    asked = {"tools": TOOLS, "tool_choice": choice, "parameters": GREEDY}
    (name,) = await o.client.ask("m", messages=messages, **asked)
    end = await o.client.end(name)
    pieces = told(o, name)["tool_call"]
    arguments = "".join(piece["text"] for piece in pieces)
    # Beside a parser of thinking vLLM 0.32.0 allows any JSON; the small model writes a text.
    assert json.loads(arguments), pieces
    (call,) = end["details"]["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": arguments}
    turn = {"id": call["id"], "name": "look", "arguments": arguments}
    answered = [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [turn]},
        {"role": "tool", "content": "a kite", "tool_call_id": call["id"]},
    ]
    (name,) = await o.client.ask("m", messages=answered, parameters=GREEDY)
    assert (await o.client.end(name))["finish_reason"] in ("stop", "length")


async def test_an_answer_fits_its_schema(before_vllm: Over) -> None:
    schema = TOOLS[0]["function"]["parameters"]
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "Where?"}],
        "max_completion_tokens": 60,
        "response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}},
    }
    address = f"http://{before_vllm.gateway.address}"
    status, answer = await post(f"{address}/v1/chat/completions", body)
    assert status == 200, answer
    assert json.loads(answer["choices"][0]["message"]["content"])["at"] in ("sea", "sky")


async def test_a_picture_is_refused_or_left_out(before_vllm: Over) -> None:
    o = before_vllm
    url = f"http://{o.gateway.address}/attachments"
    async with o.http.put(url, data=png(4, 4)) as response:
        picture = (await response.json())["id"]
    content = [{"type": "text", "text": "What is it?"}, {"type": "image", "attachment": picture}]
    messages = [{"role": "user", "content": content}]
    (name,) = await o.client.ask("m", messages=messages, parameters=GREEDY)
    assert (await o.client.end(name))["error"]["code"] == "cannot_see"
    target = {"model": "m", "lenient": True, "parameters": GREEDY}
    result = await o.client.say(type="generate", targets=[target], messages=messages)
    end = await o.client.end(result["generations"][0])
    assert [notice["code"] for notice in end["notices"]] == ["picture_left_out"]


async def test_a_prompt_is_too_long_by_so_many_tokens_or_trimmed(before_vllm: Over) -> None:
    o = before_vllm
    turn = [
        {"role": "user", "content": "Where is it? " + "near the sea " * 12},
        {"role": "assistant", "content": "It is there."},
    ]
    messages = [*(turn * 14), {"role": "user", "content": "What is the sea?"}]
    (name,) = await o.client.ask("m", messages=messages, parameters=GREEDY)
    error = (await o.client.end(name))["error"]
    assert error["code"] == "prompt_too_long"
    assert error["details"]["over_by"] > 0
    (name,) = await o.client.ask("m", messages=messages, parameters=GREEDY, trim="oldest_turns")
    end = await o.client.end(name)
    (notice,) = end["notices"]
    assert notice["code"] == "turns_left_out"
    assert "estimated" not in notice["details"]
    assert end["usage"]["prompt_tokens"] + 60 <= CONTEXT


async def test_an_answer_that_is_stopped_is_aborted(
    before_vllm: Over, vllm_process: RealServer
) -> None:
    o = before_vllm
    (name,) = await o.client.ask("m", prompt="1, 2, 3,", parameters={"temperature": 0.9})
    await o.client.delta(name, 3)
    await o.client.say(type="cancel", generations=[name])
    end = await o.client.end(name)
    assert end["finish_reason"] == "cancelled"
    await until_idle(vllm_process, o.http)
