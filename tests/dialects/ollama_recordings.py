"""What a real Ollama answered, byte for byte: server of 2026-08-21, SmolLM2-135M.

Each line of `tests/recordings/ollama.jsonl` is an exchange: `case`, `path`, the request's `body`,
`status`, and `reads`, the answer's body as it came, without its chunks' framing.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "recordings" / "ollama.jsonl"


@dataclass(frozen=True)
class Recording:
    """One exchange with a real server."""

    case: str
    path: str
    status: int
    reads: tuple[bytes, ...]

    @property
    def answer(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.reads)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the body's lines, read by another reader than ours."""
        return [json.loads(line) for line in self.answer.splitlines()]

    @property
    def text(self) -> str:
        """Return the answer's text without what was thought."""
        return "".join(
            line.get("response", "") + line.get("message", {}).get("content", "")
            for line in self.lines
        )

    @property
    def is_stream(self) -> bool:
        """Tell whether it is an answer, whole or in pieces."""
        return self.status == 200 and self.path in {"/api/chat", "/api/generate"}


RECORDINGS = {
    item["case"]: Recording(
        item["case"],
        item["path"],
        item["status"],
        tuple(read.encode() for read in item["reads"]),
    )
    for item in map(json.loads, _FILE.read_text().splitlines())
}
