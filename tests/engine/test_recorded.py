"""The engine's answers have the shape of TGI's own description and of its recorded answers.

Both lie beside a development checkout and not in it: each check runs over what is there.
"""

import json
from pathlib import Path
from typing import Any

from tests.engine.client import Client

RECORDS = Path(__file__).resolve().parents[3] / "shared" / "tgi"


def schemas() -> dict[str, Any]:
    """Return TGI's schemas, if they are there."""
    path = RECORDS / "openapi.json"
    if not path.exists():
        return {}
    described: dict[str, Any] = json.loads(path.read_text())["components"]["schemas"]
    return described


def recorded() -> list[dict[str, Any]]:
    """Return TGI's recorded answers, if they are there."""
    path = RECORDS / "recorded.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def check(value: dict[str, Any], name: str) -> None:
    """Check that an object has a schema's properties, and those only."""
    schema = schemas().get(name)
    if schema is not None:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])


async def test_answers_are_as_described(engine: Client) -> None:
    answer = await engine.generate(max_new_tokens=2, details=True, top_n_tokens=1)
    assert set(answer) == {"generated_text", "details"}
    check(answer, "GenerateResponse")
    check(answer["details"], "Details")
    check(answer["details"]["tokens"][0], "Token")
    for event in await engine.stream(max_new_tokens=2, details=True):
        check(event, "StreamResponse")
    (error,) = await engine.stream("")
    check(error, "ErrorResponse")
    async with engine.session.get(engine.url + "/info") as response:
        check(await response.json(), "Info")


async def test_answers_are_as_recorded(engine: Client) -> None:
    answer = await engine.generate(max_new_tokens=2, details=True)
    details = answer["details"]
    for record in recorded():
        for token in record["tokens"]:
            assert set(token) == set(details["tokens"][0])
        assert record["finish_reason"] in {"length", "eos_token", "stop_sequence"}
        assert set(record) - {"source", "item", "input_length"} <= {*answer, *details}
    assert set(details) >= {"finish_reason", "generated_tokens", "seed", "prefill", "tokens"}
