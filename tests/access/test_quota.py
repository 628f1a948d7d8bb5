"""How much one key and one address may ask, and that only they are told to wait."""

from typing import Any

import pytest

from server.access.principal import LOCAL, Caller, Principal
from server.access.quota import Quota
from server.core.errors import RateLimited
from server.core.generation import Generation
from server.settings.access import AccessSettings
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway

BODY = {"model": "m", "inputs": "Once"}
QUESTION = {"targets": [{"model": "m"}], "prompt": "Once"}
ANN = Caller(Principal("a", "ann", "user"), "192.0.2.1")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def quota(clock: Clock, **limits: int) -> Quota:
    """Return a quota without any limit but these."""
    none: dict[str, Any] = {
        f"{what}_per_minute{of}": 0
        for what in ("requests", "tokens")
        for of in ("", "_per_address")
    }
    return Quota(AccessSettings(**{**none, **limits}), applies=lambda: True, clock=clock)


async def test_too_many_requests_of_one_key_are_told_to_wait_and_no_others(
    open_keyed: Open,
) -> None:
    keyed = await open_keyed(access={"requests_per_minute": 3})
    replies = [await keyed.ask("GET", "/models", key="use") for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 3 + [429] * 2
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 20
    assert replies[-1].json["error"]["code"] == "rate_limited"
    assert (await keyed.ask("GET", "/models", key="op")).status == 200
    assert (await keyed.ask("GET", "/health")).status == 200


@pytest.mark.parametrize("path", ["/generate", "/models/m/generate", "/v1/completions"])
async def test_an_exceeded_quota_is_a_429_in_every_http_form(open_keyed: Open, path: str) -> None:
    keyed = await open_keyed(access={"requests_per_minute": 1})
    await keyed.ask("GET", "/models", key="use")
    reply = await keyed.ask("POST", path, key="use", json={**BODY, "prompt": "Once"})
    assert reply.status == 429
    assert "Retry-After" in reply.headers
    assert "no more than 1 requests a minute" in reply.text


async def test_a_socket_is_told_by_the_code(open_keyed: Open) -> None:
    keyed = await open_keyed(access={"requests_per_minute": 2}, answer_tokens=3)
    async with keyed.speaking("use") as speaker:
        assert (await speaker.ask("generate", **QUESTION))["type"] == "result"
        refused = await speaker.ask("generate", **QUESTION)
        assert refused["error"]["code"] == "rate_limited"
        assert refused["error"]["details"]["retry_after_seconds"] >= 1
        assert (await speaker.ask("ping"))["type"] == "result"


async def test_two_keys_of_one_address_share_what_the_address_may(open_keyed: Open) -> None:
    keyed = await open_keyed(access={"requests_per_minute_per_address": 4})
    statuses = [
        (await keyed.ask("GET", "/models", key=key)).status for key in ("use", "op", "use") * 2
    ]
    assert statuses == [200] * 4 + [429] * 2


async def test_generated_tokens_count_over_every_transport(open_keyed: Open) -> None:
    keyed = await open_keyed(access={"tokens_per_minute": 10}, answer_tokens=8)
    assert (await keyed.ask("POST", "/generate", key="use", json=BODY)).status == 200
    async with keyed.speaking("use") as speaker:
        # Two are left, so this one is let through, and counts in full.
        assert (await speaker.ask("generate", **QUESTION))["type"] == "result"
        await speaker.hear_until(lambda event: event["type"] == "end")
        refused = await speaker.ask("generate", **QUESTION)
        assert refused["error"]["code"] == "rate_limited"
    reply = await keyed.ask("POST", "/generate", key="use", json=BODY)
    assert reply.status == 429
    # Twice eight and an end each, of ten: eight down, one to gain, at ten a minute.
    assert 40 <= int(reply.headers["Retry-After"]) <= 54
    assert (await keyed.ask("POST", "/generate", key="op", json=BODY)).status == 200


async def test_tokens_of_unfinished_answers_count(open_keyed: Open) -> None:
    text = "one two three four five six"
    keyed = await open_keyed(access={"tokens_per_minute": 4}, text=text, hold_after=4)
    async with keyed.speaking("use") as speaker:
        await speaker.ask("generate", **QUESTION)
        await speaker.hear_until(lambda event: event["type"] == "delta" and event["seq"] == 4)
        refused = await speaker.ask("generate", **QUESTION)
        assert refused["error"]["code"] == "rate_limited"


async def test_on_a_machine_of_ones_own_nothing_is_shared_out(open_keyed: Open) -> None:
    keyed = await open_keyed(keys=False, access={"requests_per_minute": 1})
    for _ in range(5):
        assert (await keyed.ask("GET", "/models")).status == 200


def test_a_minute_gives_back_what_a_minute_allows() -> None:
    clock = Clock()
    limited = quota(clock, requests_per_minute=60)
    for _ in range(60):
        limited.take_request(ANN)
    with pytest.raises(RateLimited) as refused:
        limited.take_request(ANN)
    assert refused.value.details == {"retry_after_seconds": 1}
    clock.now = 1.0
    limited.take_request(ANN)
    clock.now = 1000.0
    for _ in range(60):
        limited.take_request(ANN)
    with pytest.raises(RateLimited):
        limited.take_request(ANN)


def test_a_refusal_for_the_address_does_not_count_for_the_key() -> None:
    clock = Clock()
    limited = quota(clock, requests_per_minute=5, requests_per_minute_per_address=1)
    limited.take_request(ANN)
    for _ in range(20):
        with pytest.raises(RateLimited, match="one address"):
            limited.take_request(ANN)
    elsewhere = Caller(ANN.principal, "192.0.2.2")
    limited.take_request(elsewhere)


def test_strangers_without_keys_count_by_address() -> None:
    clock = Clock()
    limited = quota(clock, requests_per_minute=1, requests_per_minute_per_address=2)
    for address in ("192.0.2.1", "192.0.2.2"):
        for _ in range(2):
            limited.take_request(Caller(LOCAL, address))
        with pytest.raises(RateLimited):
            limited.take_request(Caller(LOCAL, address))


def test_one_ipv6_network_is_one_address() -> None:
    limited = quota(Clock(), requests_per_minute_per_address=1)
    limited.take_request(Caller(LOCAL, "2001:db8::1"))
    with pytest.raises(RateLimited):
        limited.take_request(Caller(LOCAL, "2001:db8::ffff:1"))
    limited.take_request(Caller(LOCAL, "2001:db8:0:1::1"))


def test_answers_that_ended_leave_nothing_but_their_count() -> None:
    clock = Clock()
    limited = quota(clock, tokens_per_minute=100)
    ends = []
    for number in range(50):
        generation = Generation(f"g{number}", "m", now_ms=0.0)
        ends.append(limited.begin(ANN, generation))
    for end in ends:
        end()
    assert not limited._tokens["key"]._live


async def test_a_prompt_that_is_too_long_is_refused_before_any_model(open_keyed: Open) -> None:
    keyed: KeyedGateway = await open_keyed(answers={"max_prompt_chars": 100}, answer_tokens=3)
    long = {"model": "m", "inputs": "x" * 101}
    reply = await keyed.ask("POST", "/generate", key="use", json=long)
    assert (reply.status, reply.json["error"]["code"]) == (422, "prompt_too_long")
    messages = [{"role": "user", "content": "x" * 60}] * 2
    async with keyed.speaking("use") as speaker:
        refused = await speaker.ask("generate", targets=[{"model": "m"}], messages=messages)
        assert refused["error"]["code"] == "prompt_too_long"
        fits = await speaker.ask("generate", targets=[{"model": "m"}], prompt="x" * 100)
        assert fits["type"] == "result"
        await keyed.fake.state.reaches(started=1)
    assert [len(asked["inputs"]) for asked in keyed.fake.state.requests] == [100]


async def test_the_length_of_a_prompt_is_checked_first(open_keyed: Open) -> None:
    keyed: KeyedGateway = await open_keyed(answers={"max_prompt_chars": 100})
    file = {"type": "file", "attachment": "0" * 64}
    text = {"type": "text", "text": "x" * 101}
    named = {"messages": [{"role": "user", "content": [text, file]}]}
    wrong = {"inputs": "x" * 101, "parameters": {"temperature": "hot"}}
    no_picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    pictured = {"messages": [{"role": "user", "content": [text, no_picture]}]}
    for path, asked, code in (
        ("/generate", named, "prompt_too_long"),
        ("/generate", wrong, "prompt_too_long"),
        ("/v1/chat/completions", pictured, "context_length_exceeded"),
    ):
        reply = await keyed.ask("POST", path, key="use", json={"model": "m", **asked})
        assert reply.json["error"]["code"] == code, asked
    async with keyed.speaking("use") as speaker:
        refused = await speaker.ask("generate", targets=[{"model": "m"}], **named)
        assert refused["error"]["code"] == "prompt_too_long"


async def test_an_answer_that_goes_on_for_too_long_is_cut_off(open_keyed: Open) -> None:
    keyed = await open_keyed(answers={"generation_timeout": 0.3}, text="one two", hold_after=1)
    async with keyed.speaking("use") as speaker:
        await speaker.ask("generate", **QUESTION)
        end = await speaker.hear_until(lambda event: event["type"] == "end")
    assert (end["finish_reason"], end["error"]["code"]) == ("failed", "engine_timeout")
    await keyed.fake.state.reaches(cancelled=1)
