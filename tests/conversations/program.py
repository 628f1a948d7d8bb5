"""The program's part of a recorded dialogue, done with the Python client."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from server.client import Generation, Rhythm, SidestreamError, Target, connect
from server.client.messages import KINDS, Kind

# Cuts are many and waits are not what is tested here.
QUICK = Rhythm(min_delay_seconds=0.01, max_delay_seconds=0.05)


# The answer as iterated over; then answer, thinking and calls' arguments out of the pieces.
Said = tuple[str, str, str, dict[int, str]]


class Program:
    """Execute the steps, and report the client's state in the end."""

    def __init__(self, url: str, kinds: Sequence[Kind] = KINDS) -> None:
        self.client = connect(url, rhythm=QUICK, kinds=kinds)
        self._generations: list[Generation] = []
        self._read: list[asyncio.Task[Said]] = []
        self._commands: list[asyncio.Task[Any]] = []
        self._connecting: asyncio.Task[Any] | None = None
        self._logs: list[list[str]] = []
        self._runs: list[list[list[Any]]] = []
        self._readings: list[asyncio.Task[None]] = []

    async def do(self, verb: str, what: Any) -> None:
        """Start a step, without waiting for its end."""
        match verb:
            case "connect":
                self._connecting = asyncio.create_task(self.client.__aenter__())
            case "generate":
                self._command(self._generate(what))
            case "cancel":
                chosen = None if what is None else [self._generations[index] for index in what]
                self._command(self.client.cancel(chosen))
            case "start":
                self._command(self.client.start(what))
            case "stop":
                self._command(self.client.stop(what))
            case "use":
                self._command(self.client.use(what))
            case "ping":
                self._command(self.client.ping())
            case "logs":
                lines: list[str] = []
                self._logs.append(lines)
                self._readings.append(asyncio.create_task(self._read_log(lines, what)))
            case "follow_runs":
                told: list[list[Any]] = []
                self._runs.append(told)
                self._readings.append(asyncio.create_task(self._follow(told, what)))
            case "leave":
                self._readings[what].cancel()
            case _:
                raise AssertionError(f"what is {verb!r}?")
        await asyncio.sleep(0)  # tasks begin

    async def outcome(self) -> dict[str, Any]:
        """Wait for all steps; return the client's state in the form of `expect`."""
        commands = [await _outcome_of(command) for command in self._commands]
        for generation, reading in zip(self._generations, self._read, strict=True):
            if not generation.is_live:
                assert await reading == _said(generation), "who iterates gets the same"
        return {
            "generations": [
                {
                    "model": one.model,
                    "text": one.text,
                    "finish_reason": one.finish_reason,
                    "error": one.error and one.error.code,
                    **_remarks_of(one),
                }
                for one in self._generations
            ],
            "commands": commands,
            "models": {model.id: model.state for model in self.client.models.values()},
            "logs": self._logs,
            **({"runs": self._runs} if self._runs else {}),
        }

    async def close(self) -> None:
        """Close the client and its tasks."""
        await self.client.close()
        tasks = [*self._readings, *self._commands, *self._read]
        tasks += [self._connecting] if self._connecting else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _command(self, work: Any) -> None:
        self._commands.append(asyncio.create_task(work))

    async def _generate(self, fields: dict[str, Any]) -> None:
        begun = await self.client.generate(
            [Target.from_wire(target) for target in fields["targets"]],
            fields.get("messages"),
            prompt=fields.get("prompt"),
            parameters=fields.get("parameters"),
            details=fields.get("details", False),
        )
        self._generations += begun
        self._read += [asyncio.create_task(_read(generation)) for generation in begun]

    async def _read_log(self, lines: list[str], what: dict[str, Any]) -> None:
        reading = self.client.logs(what["model"], tail=what["tail"], follow=what["follow"])
        async for line in reading:
            lines.append(line.text)  # noqa: PERF401 - they are looked at as they come

    async def _follow(self, told: list[list[Any]], what: list[str] | None) -> None:
        async for run in self.client.follow_runs(*(what or ())):
            told.append([run.id, run.state, run.answered])  # noqa: PERF401 - as above


def _remarks_of(generation: Generation) -> dict[str, Any]:
    """Return what a server says of few answers."""
    cost = generation.cost
    remarks: dict[str, Any] = {
        "reasoning": generation.reasoning,
        "tool_calls": [asdict(call) for call in generation.tool_calls],
        "notices": [notice.code for notice in generation.notices],
        "details": generation.details,
        "answered_by": generation.answered_by,
        "cost": None if cost is None else cost.amount,
        "estimated": generation.usage.estimated,
    }
    return {name: value for name, value in remarks.items() if value}


async def _outcome_of(command: asyncio.Task[Any]) -> str:
    try:
        await command
    except SidestreamError as error:
        return error.code
    return "ok"


def _said(generation: Generation) -> Said:
    calls = {call.index: call.arguments for call in generation.tool_calls}
    return generation.text, generation.text, generation.reasoning, calls


async def _read(generation: Generation) -> Said:
    """Read a generation in both ways, while it is written."""

    async def read_answer() -> str:
        text = ""
        with contextlib.suppress(SidestreamError):  # how it ended is told by the generation, too
            async for piece in generation:
                text += piece
        return text

    async def read_pieces() -> tuple[str, str, dict[int, str]]:
        texts, calls = {"answer": "", "reasoning": ""}, dict[int, str]()
        with contextlib.suppress(SidestreamError):
            async for piece in generation.pieces():
                if piece.call is None:
                    texts[piece.kind] += piece.text
                else:
                    calls[piece.call] = calls.get(piece.call, "") + piece.text
        return texts["answer"], texts["reasoning"], calls

    answer, pieces = await asyncio.gather(read_answer(), read_pieces())
    return answer, *pieces
