"""What an evaluation asks of a gateway over HTTP."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

# A gateway that is restarted is back by then.
_PATIENCE_SECONDS: Final = 120.0
# A connection that lasted longer was there, whatever came over it: making one takes 10 s at most.
_HELD_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 1.0
_PIECE_BYTES: Final = 1 << 18
_MAX_LINE_BYTES: Final = 16 << 20
_STREAM: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)


class Refused(Exception):
    """The gateway refuses, or cannot be reached; the message is for the user."""


class Api:
    """The prompt sets and runs of one gateway; an asynchronous context.

    `certificate` is the gateway's own file (PEM), if known; else the machine's trust counts.
    """

    def __init__(self, url: str, key: str | None, certificate: str = "") -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connector = aiohttp.TCPConnector(ssl=_trusting(certificate)) if certificate else None
        self._http = aiohttp.ClientSession(
            headers=headers, read_bufsize=_MAX_LINE_BYTES, connector=connector
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def ask(
        self, method: str, path: str, body: Any = None, data: bytes | None = None, **query: Any
    ) -> Any:
        """Make a request and return its JSON, or its bytes if it answers with other types.

        Raises `Refused`.
        """
        try:
            async with self._http.request(
                method, self._url + path, json=body, data=data, params=query
            ) as response:
                answer = await response.read()
                is_json = response.content_type == "application/json"
                if response.status >= 400:
                    raise Refused(_words(answer, response.status))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(f"{self._url} cannot be reached: {error}") from None
        return json.loads(answer) if is_json else answer

    async def save(self, path: str, out: Path, **query: Any) -> None:
        """Save what a request answers, whole or not at all; raises `Refused`."""
        part = out.with_name(f"{out.name}.part")
        try:
            async with self._http.get(self._url + path, params=query, timeout=_STREAM) as response:
                if response.status >= 400:
                    raise Refused(_words(await response.read(), response.status))
                with part.open("wb") as file:
                    async for piece in response.content.iter_chunked(_PIECE_BYTES):
                        await asyncio.to_thread(file.write, piece)
            part.replace(out)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(f"{out} is not written, as {self._url} broke off: {error}") from None
        except OSError as error:
            raise Refused(f"{out} cannot be written: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)

    async def follow(
        self, run_id: str, *, with_judges: bool = False
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield a run now and after changes, until it is over, or none of its judges is at work.

        A connection that breaks is made again for a while. Raises `Refused`.
        """
        loop = asyncio.get_running_loop()
        broken_at: float | None = None
        while True:
            began_at = loop.time()
            try:
                async for run in self._events(run_id, with_judges=with_judges):
                    broken_at = None
                    yield run
                    if not _is_under_way(run, with_judges=with_judges):
                        return
                why = "the gateway closed the connection"
            except (aiohttp.ClientError, TimeoutError) as error:
                why = str(error) or type(error).__name__
            now = loop.time()
            if broken_at is None or now - began_at > _HELD_SECONDS:
                broken_at = now
            if now - broken_at > _PATIENCE_SECONDS:
                raise Refused(f"{self._url} cannot be reached: {why}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _events(self, run_id: str, *, with_judges: bool) -> AsyncIterator[Mapping[str, Any]]:
        address = f"{self._url}/runs/{run_id}/events"
        query = {"judges": "1"} if with_judges else {}
        async with self._http.get(address, params=query, timeout=_STREAM) as response:
            if response.status in (502, 503):
                return
            if response.status >= 400:
                raise Refused(_words(await response.read(), response.status))
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line.removeprefix(b"data: "))
                if "error" in event and "state" not in event:
                    raise Refused(event["error"]["message"])
                yield event


def _is_under_way(run: Mapping[str, Any], *, with_judges: bool) -> bool:
    """Tell whether a run is asked, or a judge of it is at work and that counts, too."""
    judges = run["judges"] if with_judges else []
    return any(one["state"] == "running" for one in (run, *judges))


def _trusting(certificate: str) -> ssl.SSLContext:
    """Trust this certificate alone, whatever name it is for: it is asked at a loopback address."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _words(answer: bytes, status: int) -> str:
    """Return what an error says, each of a set's problems in a line of its own."""
    try:
        error = json.loads(answer)["error"]
        lines = [error["message"]]
        problems = (error.get("details") or {}).get("problems", [])
        if len(problems) > 1:
            lines += [f"  {_place(problem)}{problem['message']}" for problem in problems]
        if error.get("hint"):
            lines.append(f"  {error['hint']}")
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered with HTTP status {status}"
    return "\n".join(lines)


def _place(problem: Mapping[str, Any]) -> str:
    row, column = problem.get("row"), problem.get("column")
    words = [f"line {row}"] if row is not None else []
    words += [f"column {column}"] if column else []
    return f"{', '.join(words)}: " if words else ""
