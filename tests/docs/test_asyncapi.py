"""`docs/asyncapi.yaml` is valid, says what the server knows, and fits what is really said."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from server.core.protocol import COMMANDS, BadCommand, parse_command
from tests.conversations.script import FILES, load
from tests.docs.asyncapi import PAGE, render

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION: dict[str, Any] = yaml.safe_load(PAGE.read_text(encoding="utf-8"))


def validator(message: str) -> jsonschema_rs.Validator:
    """Return what checks a message's payload."""
    payload = DESCRIPTION["components"]["messages"][message]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": DESCRIPTION["components"]})


VALIDATORS = {name: validator(name) for name in (*COMMANDS, "frame")}


def test_the_page_is_written_from_the_definitions() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m tests.docs.asyncapi"


@pytest.mark.needs_node
def test_the_page_is_valid() -> None:
    schema = ROOT / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
    jsonschema_rs.validator_for(json.loads(schema.read_text())).validate(DESCRIPTION)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_conversations_fit_the_description(path: Path) -> None:
    known = {
        schema["properties"]["type"]["enum"][0]
        for schema in DESCRIPTION["components"]["schemas"].values()
        if "type" in schema.get("properties", {}) and "enum" in schema["properties"]["type"]
    }
    for step in load(path):
        if "client" in step:
            VALIDATORS[step["client"]["type"]].validate(step["client"])
        # What is newer than the description is not in it.
        events = [event for event in step.get("server", ()) if event["type"] in known]
        if events:
            VALIDATORS["frame"].validate(events)


@pytest.mark.parametrize(
    "command",
    [
        {"type": "ping", "id": 0},
        {"type": "ping"},
        {"type": "ping", "id": "1"},
        {"type": "hello", "id": 1, "cursors": {"g1": -1}},
        {"type": "hello", "id": 1, "cursors": {"g1": 1.5}},
        {"type": "generate", "id": 1, "targets": [], "prompt": "x"},
        {"type": "generate", "id": 1, "targets": [{"model": "m"}]},
        {"type": "generate", "id": 1, "targets": [{"model": "m"}], "prompt": "x", "messages": []},
        {"type": "generate", "id": 1, "targets": [{"model": 1}], "prompt": "x"},
        {
            "type": "generate",
            "id": 1,
            "targets": [{"model": "m"}],
            "messages": [{"role": "boss", "content": "x"}],
        },
        {"type": "cancel", "id": 1, "generations": "g1"},
        {"type": "logs", "id": 1, "model": "m", "tail": 10_001},
        {"type": "start", "id": 1},
        {"type": "unsubscribe", "id": 1, "subscription": None},
    ],
    ids=json.dumps,
)
def test_commands_the_server_refuses_do_not_fit_the_description(command: dict[str, Any]) -> None:
    with pytest.raises(BadCommand):
        parse_command(msgspec.json.encode(command))
    assert not VALIDATORS[command["type"]].is_valid(command)
