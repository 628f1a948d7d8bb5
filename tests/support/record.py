"""Record what a server of OpenAI's form answers, as the lines that `tests/recordings/` has.

    python -m tests.support.record looks http://127.0.0.1:8000 --server NAME --version 1.2 \
        >> tests/recordings/openai_looks.jsonl
    python -m tests.support.record exchange http://127.0.0.1:8000/v1/chat/completions \
        --server NAME --version 1.2 --case "chat stream" --body '{"model": "m", ...}' \
        >> tests/recordings/openai_flavours.jsonl

The first asks by GET what is asked to find out who answers, and nothing else: it costs the server
nothing. The second sends one request and keeps the answer's bytes, framing and all, a read a read.
A key goes into the environment variable `KEY`, and into no recording.
"""

import argparse
import asyncio
import base64
import json
import os
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from server.dialects.detection import ROUTES
from server.dialects.openai.flavour import MODELS
from tests.support.recording_proxy import read_messages

LIST = "/v1" + MODELS
# What tells one answer from the next, and nothing of the server.
_PASSING = frozenset({"date", "content-length", "connection", "keep-alive", "set-cookie"})


@dataclass(frozen=True)
class Answer:
    """What came, read by read, until the server closed the connection."""

    reads: list[bytes]

    @property
    def whole(self) -> bytes:
        return b"".join(self.reads)


async def ask(url: str, method: str, path: str, body: bytes = b"", key: str = "") -> Answer:
    """Send one request on a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80), ssl=_tls(parts.scheme)
    )
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    reads = []
    try:
        while data := await reader.read(1 << 16):
            reads.append(data)
    finally:
        writer.close()
    return Answer(reads)


async def looks(url: str, key: str = "") -> list[dict[str, Any]]:
    """Return one line for each route that is asked to find out who answers."""
    found = []
    for path in (LIST, *ROUTES):
        (message,) = read_messages((await ask(url, "GET", path, key=key)).whole)
        headers = {n: v for n, v in message.headers.items() if n not in _PASSING}
        body = message.body.decode(errors="replace")
        found.append({"path": path, "status": message.status, "headers": headers, "body": body})
    return found


async def exchange(url: str, body: dict[str, Any], key: str = "") -> dict[str, Any]:
    """Return one request and its answer, head and framing as they came."""
    parts = urlsplit(url)
    answer = await ask(url, "POST", parts.path, json.dumps(body).encode(), key)
    head = answer.whole.partition(b"\r\n\r\n")[0]
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = [[name.strip(), value.strip()] for name, _, value in pairs]
    return {
        "request": {"method": "POST", "path": parts.path, "body": body},
        "status_line": status_line,
        "headers": headers,
        "reads": [_read(data) for data in _behind(answer.reads, len(head) + 4)],
    }


def _behind(reads: list[bytes], place: int) -> list[bytes]:
    """Return what came after so many bytes, read by read."""
    rest = []
    for data in reads:
        if place < len(data):
            rest.append(data[place:])
        place = max(0, place - len(data))
    return rest


def _read(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}


def _tls(scheme: str) -> bool | None:
    return True if scheme == "https" else None


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.record")
    parser.add_argument("what", choices=["looks", "exchange"])
    parser.add_argument("url")
    parser.add_argument("--server", required=True, help="the flavour's name")
    parser.add_argument("--version", required=True, help="the server's own version")
    parser.add_argument("--case", help="what an exchange shows, in a few words")
    parser.add_argument("--body", type=json.loads, help="what to send, as JSON")
    given = parser.parse_args()
    about = {"server": given.server, "version": given.version}
    key = os.environ.get("KEY", "")
    if given.what == "looks":
        lines = await looks(given.url, key)
    else:
        about |= {"case": given.case}
        lines = [await exchange(given.url, given.body, key)]
    for line in lines:
        print(json.dumps(about | line, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
