"""A fake TGI that writes Markdown: what models write most, token by token, at a steady rate.

`python -m benchmarks.page.upstream RATE TOKENS` listens on a free port of loopback, prints it, and
serves until its standard input ends. Every answer has TOKENS tokens whatever was asked for. All
streams share one timer; each begins elsewhere in the text, so no two columns are alike.
"""

import asyncio
import json
import re
import sys
from typing import Final

from aiohttp import web

TEXT: Final = """\
## What the sea does

The sea looks blue because water takes up **red light** first; what is left, and what comes back \
from below, is *blue*. On a grey day it looks grey, since it also mirrors the sky. See \
[the long story](https://example.org/sea) or `colour(depth)`.

1. Light falls in from above.
2. Red is gone after five metres, green after thirty.
3. Blue goes on, is scattered, and returns:
   - a little of it at once,
   - most of it from deep below.

| depth | what is left | how much |
|------:|:-------------|---------:|
| 1 m   | nearly all   | 91 %     |
| 10 m  | no red       | 38 %     |
| 50 m  | blue alone   | 4 %      |

```python
def remaining(depth_metres: float, absorption: float) -> float:
    \"\"\"Return which part of the light is left.\"\"\"
    return math.exp(-absorption * depth_metres)
```

> A lighthouse is for those who cannot see the coast: it says where it is, and by the rhythm of \
its light also which one it is.

And so on, from the beginning, since nobody asked for an end.

"""
# About four characters each, as tokens of English are.
TOKENS: Final = re.findall(r"\n+|[ ]?[^\W\d_]{1,6}|[ ]?\d+|[ ]?(?:[^\w\s]|_)+|\s+", TEXT)
_INFO: Final = {
    "model_id": "bench",
    "version": "3.3.7",
    "max_input_tokens": 100_000,
    "max_total_tokens": 1_000_000,
    "max_concurrent_requests": 100,
}
_CHAT: Final = {
    "templated_text": "user: Hi\nassistant:",
    "tokenize_response": [{"id": 7, "text": "user", "start": 0, "stop": 4}],
}


class Server:
    """Answer requests, and count what was written."""

    def __init__(self, rate: float, tokens: int) -> None:
        self._interval_seconds = 1 / rate
        self._tokens = tokens
        self._answers = 0
        self.written = 0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Write one answer, a token in each interval."""
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        first = self._answers * 37
        self._answers += 1
        loop = asyncio.get_running_loop()
        due = loop.time() + self._answers % 8 / 8 * self._interval_seconds
        for place in range(self._tokens):
            await asyncio.sleep(max(due - loop.time(), 0))
            due += self._interval_seconds
            await response.write(self._event(place, TOKENS[(first + place) % len(TOKENS)]))
            self.written += 1
        return response

    def _event(self, place: int, text: str) -> bytes:
        is_last = place == self._tokens - 1
        details = {"finish_reason": "length", "generated_tokens": self._tokens, "seed": None}
        event = {
            "index": place + 1,
            "token": {"id": 7, "text": text, "logprob": -0.3, "special": False},
            "generated_text": "(the whole text)" if is_last else None,
            "details": details if is_last else None,
        }
        return b"data: " + json.dumps(event).encode() + b"\n\n"

    async def count(self, request: web.Request) -> web.Response:
        """Tell how many tokens were written so far."""
        return web.json_response(self.written)


async def main() -> None:
    """Serve until the standard input ends."""
    server = Server(float(sys.argv[1]), int(sys.argv[2]))
    app = web.Application()
    app.add_routes(
        [
            web.post("/generate_stream", server.stream),
            web.post("/chat_tokenize", lambda _: _json(_CHAT)),
            web.post("/tokenize", lambda _: _json([])),
            web.get("/info", lambda _: _json(_INFO)),
            web.get("/health", lambda _: _json({})),
            web.get("/bench/written", server.count),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def _json(content: object) -> web.Response:
    return web.json_response(content)


if __name__ == "__main__":
    asyncio.run(main())
