"""Several requests at once: slots, the queue, what is too much, and who goes away."""

import asyncio
import contextlib

from tests.engine.client import PROMPT, Client, text_of

BUSY = "tgi_batch_current_size"
WAITING = "tgi_queue_size"
DROPPED = 'tgi_request_failure{err="dropped"}'
LONG = 3000


async def test_eight_at_once_on_four_slots_all_answer(engine: Client) -> None:
    prompts = [f"Number {number} is" for number in range(8)]
    alone = [await engine.generate(prompt, max_new_tokens=8) for prompt in prompts]
    streams = [engine.stream(prompt, max_new_tokens=8, details=True) for prompt in prompts]
    together = await asyncio.gather(*streams)
    for answer, events in zip(alone, together, strict=True):
        assert events[-1]["generated_text"] == text_of(events) == answer["generated_text"]


async def test_closing_the_connection_frees_the_slot_and_the_other_goes_on(
    engine: Client,
) -> None:
    await engine.wait_for_metric(BUSY, 0)
    dropped = await engine.metric(DROPPED)
    other = asyncio.ensure_future(engine.stream("Once upon", max_new_tokens=60, details=True))
    async with engine.open_stream(max_new_tokens=LONG) as events:
        await anext(events)
        await engine.wait_for_metric(BUSY, 2)
    await engine.wait_for_metric(BUSY, 1)
    assert not other.done()
    assert (await other)[-1]["details"]["generated_tokens"] == 60
    assert await engine.metric(DROPPED) == dropped + 1


async def test_leaving_before_the_first_token_frees_the_slot(engine: Client) -> None:
    await engine.wait_for_metric(BUSY, 0)
    async with engine.open_stream("word " * 600, max_new_tokens=5):
        await engine.wait_for_metric(BUSY, 1)
    await engine.wait_for_metric(BUSY, 0)


async def test_leaving_a_whole_answer_frees_the_slot(engine: Client) -> None:
    await engine.wait_for_metric(BUSY, 0)
    answer = asyncio.ensure_future(engine.generate(max_new_tokens=LONG))
    await engine.wait_for_metric(BUSY, 1)
    answer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await answer
    await engine.wait_for_metric(BUSY, 0)


async def test_the_second_waits_with_signs_of_life_and_the_third_is_too_much(
    small: Client,
) -> None:
    await small.wait_for_metric(BUSY, 0)
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 3}}
    async with small.open_stream(max_new_tokens=60) as first:
        await anext(first)
        async with small.session.post(small.url + "/generate_stream", json=body) as second:
            assert await second.content.readexactly(3) == b":\n\n"
            assert await small.metric(WAITING) == 1
            (event,) = await small.stream(max_new_tokens=1)
            assert event == {"error": "Model is overloaded", "error_type": "overloaded"}
            status, answer = await small.post("/generate", body)
            assert (status, answer["error_type"]) == (429, "overloaded")
            async for _ in first:
                pass
            rest = await second.read()
    assert rest.count(b"data: ") == 3
    assert b'"generated_text":"' in rest


async def test_leaving_the_queue_costs_the_others_nothing(small: Client) -> None:
    await small.wait_for_metric(BUSY, 0)
    async with small.open_stream(max_new_tokens=50, details=True) as first:
        await anext(first)
        async with small.open_stream(max_new_tokens=5):
            await small.wait_for_metric(WAITING, 1)
        await small.wait_for_metric(WAITING, 0)
        rest = [event async for event in first]
    assert rest[-1]["details"]["generated_tokens"] == 50
    assert len(await small.stream(max_new_tokens=2)) == 2


async def test_slow_readers_get_everything(engine: Client) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 20, "details": True}}
    async with engine.session.post(engine.url + "/generate_stream", json=body) as response:
        read = b""
        while chunk := await response.content.read(7):
            read += chunk
    assert read.count(b"data: ") == 20
    assert read.endswith(b"}\n\n")
