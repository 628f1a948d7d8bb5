"""`docs/PROTOCOL.md` names everything the server says and understands, and its example is real."""

import json
import re

import msgspec
import pytest

from server.core import errors
from server.core.protocol import (
    COMMANDS,
    GenerationInfo,
    Hello,
    Model,
    Timings,
    parse_command,
)
from server.settings.document import ROOT
from server.web.sockets.events import EVENTS
from tests.docs.protocol_tables import render_tables, split_page

TEXT = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"^([CS]) (.+)$", TEXT, re.MULTILINE)


def _codes(error: type[errors.SidestreamError]) -> set[str]:
    return {error.code}.union(*(_codes(child) for child in error.__subclasses__()))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_row(command: str) -> None:
    row = re.search(rf"^\|[^|]*`{command}`[^|]*\|([^|]*)\|", TEXT, re.MULTILINE)
    assert row is not None
    fields = set(COMMANDS[command].__struct_fields__) - {"id"}
    assert {field for field in fields if f"`{field}" not in row[1]} == set()


@pytest.mark.parametrize("event", [event.__struct_config__.tag for event in EVENTS])
def test_every_event_has_its_row(event: str) -> None:
    row = re.search(rf"^\| `{event}` \|([^|]*)\|", TEXT, re.MULTILINE)
    assert row is not None
    struct = next(e for e in EVENTS if e.__struct_config__.tag == event)
    assert {field for field in struct.__struct_fields__ if f"`{field}" not in row[1]} == set()


@pytest.mark.parametrize("code", sorted(_codes(errors.SidestreamError)))
def test_every_error_code_is_listed(code: str) -> None:
    assert f"`{code}`" in TEXT


@pytest.mark.parametrize("code", sorted(_codes(errors.SidestreamError)))
def test_the_page_has_a_title_for_every_error_code(code: str) -> None:
    labels = (ROOT / "static" / "js" / "view" / "labels.js").read_text(encoding="utf-8")
    titles = labels.partition("const ERRORS = {")[2].partition("};")[0]
    assert f"\n  {code}: " in titles


@pytest.mark.parametrize("struct", [Model, GenerationInfo, Timings])
def test_every_field_of_a_shared_struct_is_named(struct: type[msgspec.Struct]) -> None:
    words = set(re.findall(r"\w+", TEXT))
    assert set(struct.__struct_fields__) - words == set()


def test_the_tables_of_messages_are_those_of_the_definitions() -> None:
    assert split_page()[1] == render_tables(), "run: python -m tests.docs.protocol_tables"


def test_an_attachment_is_named_by_its_digest() -> None:
    assert "**ImagePart**: `type`: `image`; `attachment`: digest." in split_page()[1]


def test_a_command_that_the_tables_lack_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Toy(Hello, frozen=True):
        """A command that nobody wrote down."""

        sound: str = "moo"

    monkeypatch.setitem(COMMANDS, "toy", Toy)
    assert "`sound`" in render_tables()
    assert "`sound`" not in split_page()[1]


def test_the_example_is_a_real_dialogue() -> None:
    assert len(EXAMPLE) > 6
    events = msgspec.json.Decoder(list[msgspec.Raw])
    kinds = {event.__struct_config__.tag: event for event in EVENTS}
    for side, frame in EXAMPLE:
        if side == "C":
            assert parse_command(frame).id >= 1
            continue
        for raw in events.decode(frame):
            msgspec.json.decode(raw, type=kinds[json.loads(bytes(raw))["type"]])
