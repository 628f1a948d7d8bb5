"""Read a recorded dialogue, and compare a client's frames with it."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.jsonl"))

Step = dict[str, Any]


def load(path: Path) -> list[Step]:
    """Return the steps of a dialogue."""
    # Not `splitlines`: the answers hold characters that it takes for line ends.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").strip("\n").split("\n")]


def kinds_of(steps: list[Step]) -> list[Any]:
    """Return the kinds that the recorded client knows, by its first `hello`."""
    first = next(step["client"] for step in steps if "client" in step)
    kinds: list[Any] = first.get("kinds", [])
    return kinds


class Names:
    """Map the ids of the recording to those of the client."""

    def __init__(self) -> None:
        self._ids: dict[int, int] = {}
        self._request_ids: dict[str, str] = {}

    def match(self, recorded: dict[str, Any], said: dict[str, Any]) -> None:
        """Assert that the client sends the recorded frame, whatever its ids."""
        wanted, got = dict(recorded), dict(said)
        command_id = wanted.pop("id")
        assert self._ids.setdefault(command_id, got.pop("id")) == said["id"], said
        if "request_id" in wanted:
            name = wanted.pop("request_id")
            assert self._request_ids.setdefault(name, got.pop("request_id")) == said["request_id"]
        assert got == wanted

    def translate(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return events with the client's ids."""
        return [
            {**event, "id": self._ids[event["id"]]} if event.get("id") in self._ids else event
            for event in events
        ]
