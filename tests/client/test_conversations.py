"""The Python client says in every recorded dialogue what was recorded, and knows the same."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from server.core.protocol import EVENTS, parse_command
from tests.conversations.player import CEILING_SECONDS, player
from tests.conversations.program import Program
from tests.conversations.script import FILES, kinds_of, load

KINDS = {event.__struct_config__.tag: event for event in EVENTS}


def test_there_are_dialogues() -> None:
    assert len(FILES) >= 12
    assert sum(bool(kinds_of(load(path))) for path in FILES) >= 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_replay(path: Path) -> None:
    async with player() as played:
        steps = load(path)
        program = Program(played.url, kinds_of(steps))
        try:
            expected = await played.play(steps, program.do)
            async with asyncio.timeout(CEILING_SECONDS):
                assert await program.outcome() == expected
        finally:
            await program.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_frame_is_of_the_protocol(path: Path) -> None:
    for step in load(path):
        if "client" in step:
            parse_command(msgspec.json.encode(step["client"]))
        for event in step.get("server", ()):
            if event["type"] in KINDS:
                msgspec.convert(event, KINDS[event["type"]])
            else:
                assert path.stem.startswith("hand-"), event
