"""What an evaluation asks of a gateway over HTTP."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from server.evaluate.patience import Patience
from server.evaluate.refused import Away, Refused

# A connection that lasted longer was there, whatever came over it: making one takes 10 s at most.
_HELD_SECONDS: Final = 15.0
_PIECE_BYTES: Final = 1 << 18
_MAX_LINE_BYTES: Final = 16 << 20
_STREAM: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)


class Api:
    """The prompt sets and runs of one gateway; an asynchronous context.

    `certificate` is the gateway's own file (PEM), if known; else the machine's trust counts. `say`
    is told that the gateway is away, where it is waited for.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        certificate: str = "",
        *,
        say: Callable[[str], None],
    ) -> None:
        self._url = url
        self._say = say
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

        Raises `Refused`, `Away` where another attempt may be worth it.
        """
        try:
            async with self._http.request(
                method, self._url + path, json=body, data=data, params=query
            ) as response:
                answer = await response.read()
                is_json = response.content_type == "application/json"
                if response.status >= 400:
                    raise _refusal(answer, response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Away(f"{self._url} cannot be reached: {why}") from None
        return json.loads(answer) if is_json else answer

    async def ask_patiently(self, method: str, path: str, **query: Any) -> Any:
        """Make a request that may be made twice, as `ask` does; waits for a gateway that is away.

        Raises `Refused`.
        """
        patience = Patience(self._say)
        while True:
            try:
                return await self.ask(method, path, **query)
            except Away as error:
                await patience.wait(str(error))

    async def save(self, path: str, out: Path, **query: Any) -> None:
        """Save what a request answers, whole or not at all; raises `Refused`."""
        part = out.with_name(f"{out.name}.part")
        try:
            async with self._http.get(self._url + path, params=query, timeout=_STREAM) as response:
                if response.status >= 400:
                    raise _refusal(await response.read(), response.status)
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
        patience = Patience(self._say)
        while True:
            began_at = loop.time()
            try:
                async for run in self._events(run_id, with_judges=with_judges):
                    patience.met()
                    yield run
                    if not _is_under_way(run, with_judges=with_judges):
                        return
                why = "the gateway closed the connection"
            except (aiohttp.ClientError, TimeoutError) as error:
                why = str(error) or type(error).__name__
            if loop.time() - began_at > _HELD_SECONDS:
                patience.met()
            await patience.wait(f"{self._url} cannot be reached: {why}")

    async def _events(self, run_id: str, *, with_judges: bool) -> AsyncIterator[Mapping[str, Any]]:
        address = f"{self._url}/runs/{run_id}/events"
        query = {"judges": "1"} if with_judges else {}
        async with self._http.get(address, params=query, timeout=_STREAM) as response:
            if response.status in (502, 503):
                return
            if response.status >= 400:
                raise _refusal(await response.read(), response.status)
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


def _refusal(answer: bytes, status: int) -> Refused:
    """Return what a gateway's error is here."""
    try:
        code = json.loads(answer)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = ""
    # A 503 of the gateway itself is an answer, unless it is about to stop.
    is_away = status == 502 or (status == 503 and code in ("", "shutting_down"))
    return (Away if is_away else Refused)(_words(answer, status))


def _words(answer: bytes, status: int) -> str:
    """Return what an error says, each of a set's problems in a line of its own."""
    try:
        error = json.loads(answer)["error"]
        lines = [error["message"]]
        if status == 401:
            # The gateway's own hint is for programs that ask it.
            error = {**error, "hint": "give one with --key, or in SIDESTREAM_KEY"}
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
