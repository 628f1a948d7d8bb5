"""Clients of TGI get what TGI would give them, from llama.cpp's own server behind the gateway."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.real.asking import events_of
from tests.real.over_servers import Over, over, remote
from tests.support.real_servers import RealServer, available

TEXT = "The capital of France is"
GREEDY = {"temperature": 0, "max_new_tokens": 24}

pytestmark = pytest.mark.parametrize(
    "any_process", available("llama.cpp", "llama-server"), indirect=True
)


async def generate(o: Over, inputs: str = TEXT, **parameters: Any) -> dict[str, Any]:
    """Return what `/generate` answers."""
    body = {"model": "m", "inputs": inputs, "parameters": {**GREEDY, **parameters}}
    async with o.http.post(f"http://{o.gateway.address}/generate", json=body) as response:
        answer: dict[str, Any] = await response.json()
        return {"status": response.status, **answer}


async def test_answers_whole_with_their_tokens(real_server: RealServer, tmp_path: Path) -> None:
    async with over(remote(real_server), tmp_path) as o:
        await o.answers("m")
        whole = await generate(o, details=True, top_n_tokens=2)
        details = whole["details"]
        assert "".join(token["text"] for token in details["tokens"]) == whole["generated_text"]
        assert details["generated_tokens"] == len(details["tokens"]) == 24
        assert (details["finish_reason"], details["seed"]) == ("length", None)
        assert all(token["id"] >= 0 for token in details["tokens"])
        assert [len(top) for top in details["top_tokens"]] == [2] * 24

        stop = whole["generated_text"][11:14]
        cut = await generate(o, details=True, stop=[stop])
        assert cut["generated_text"] == whole["generated_text"].split(stop)[0]
        assert cut["details"]["finish_reason"] == "stop_sequence"
        assert cut["details"]["generated_tokens"] < 24

        full = await generate(o, return_full_text=True, truncate=3)
        assert full["generated_text"].startswith(TEXT)

        drawn = await generate(o, temperature=1.2, seed=2**63, details=True)
        assert drawn["details"]["seed"] == 2**63
        again = await generate(o, temperature=1.2, seed=2**63)
        assert again["generated_text"] == drawn["generated_text"]


async def test_grammars_of_tgi(real_server: RealServer, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}}
    async with over(remote(real_server), tmp_path) as o:
        await o.answers("m")
        regex = {"type": "regex", "value": r"[A-Z][a-z]{2,8} \d+\."}
        answer = await generate(o, grammar=regex, details=True)
        assert re.fullmatch(regex["value"], answer["generated_text"])
        assert answer["details"]["finish_reason"] == "eos_token"
        assert answer["details"]["tokens"][-1]["special"]
        answer = await generate(o, grammar={"type": "json", "value": schema})
        assert json.loads(answer["generated_text"]).keys() <= {"n"}
        refused = await generate(o, grammar={"type": "regex", "value": "(?=a)"})
        assert refused["status"] == 422
        words = refused["error"]["message"]
        assert words.startswith("`grammar` has a regular expression that looks around")


async def test_stream_has_an_event_for_each_token(real_server: RealServer, tmp_path: Path) -> None:
    grammar = {"type": "regex", "value": "🙂日a"}
    body = {"model": "m", "inputs": TEXT, "parameters": {**GREEDY, "grammar": grammar}}
    async with over(remote(real_server), tmp_path) as o:
        await o.answers("m")
        address = f"http://{o.gateway.address}/generate_stream"
        async with o.http.post(address, json=body) as response:
            events = events_of(await response.read())
    texts = [event["token"]["text"] for event in events if not event["token"]["special"]]
    assert "".join(texts) == "🙂日a"
    assert texts.count("") >= 2
    assert events[-1]["generated_text"] == "🙂日a"
    assert events[-1]["details"]["generated_tokens"] == len(events)
    assert events[-1]["details"]["finish_reason"] == "eos_token"


async def test_last_token_of_a_length_is_in_the_last_event(
    real_server: RealServer, tmp_path: Path
) -> None:
    body = {"model": "m", "inputs": TEXT, "parameters": GREEDY}
    async with over(remote(real_server), tmp_path) as o:
        await o.answers("m")
        address = f"http://{o.gateway.address}/generate_stream"
        async with o.http.post(address, json=body) as response:
            events = events_of(await response.read())
    assert len(events) == events[-1]["details"]["generated_tokens"] == 24
    assert events[-1]["details"]["finish_reason"] == "length"
    assert not any(event["token"]["special"] for event in events)
