"""One client's connection: its caller, session and outbox; it does not know the socket."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal

from server.access.principal import Caller
from server.access.quota import Quota
from server.archive.archive import Archive
from server.archive.attachments import Attachments
from server.archive.shapes import StoredAnswer
from server.chat.prompt_attachments import PromptAttachments, find_attachments
from server.chat.repeating import find_repeated
from server.chat.session import Session
from server.chat.session_store import SessionStore
from server.chat.storing import Destination, find_destination
from server.core.errors import ConversationsOff, InvalidCommand, RateLimited, SessionLimit
from server.core.outbox import Outbox
from server.core.protocol import (
    Command,
    FollowRuns,
    Generate,
    LogRecord,
    Model,
    ModelCommand,
    Record,
    StorageChanged,
    StorageStatus,
)
from server.core.rate import TokenBucket
from server.models.catalogue.added_servers import AddedServers
from server.models.fleet import Fleet
from server.models.logbook import LogBook
from server.runs.service import RunService
from server.web.metrics.service import RequestCounters
from server.web.sockets.followed_runs import FollowedRuns

# A page shows one log at a time, a tool perhaps one per model.
MAX_SUBSCRIPTIONS = 64

# So many commands over the rate limit are refused at once, and as many more a second as the limit
# lets through, before the socket is closed: a client that heeds errors never gets there.
MAX_REFUSED = 1000


class Connection:
    """Hold the state of one connection; the handlers of commands act on it.

    `wake` is called when the outbox has something to send, `set_pace` with the least time in
    seconds that the client wants between two frames.
    """

    def __init__(
        self,
        fleet: Fleet,
        servers: AddedServers,
        sessions: SessionStore,
        caller: Caller,
        quota: Quota,
        wake: Callable[[], None],
        set_pace: Callable[[float], None],
        *,
        command_rate: float,
        max_frame_bytes: int,
        counters: RequestCounters,
        attachments: Attachments,
        archive: Archive | None = None,
        runs: RunService | None = None,
    ) -> None:
        self.fleet = fleet
        self.servers = servers
        self.counters = counters
        self.max_frame_bytes = max_frame_bytes
        self._attachments = attachments
        self._archive = archive
        self._rate = TokenBucket(rate=command_rate, burst=2 * command_rate)
        self._refusals = TokenBucket(rate=command_rate, burst=MAX_REFUSED)
        self.is_flooding = False
        self.set_pace = set_pace
        self.outbox = Outbox(wake)
        self._sessions = sessions
        self._caller = caller
        self._quota = quota
        self._session: Session | None = None
        self._unsubscribe = fleet.subscribe(self._tell, self._tell_all)
        self._unsubscribe_from_archive: Callable[[], None] | None = None
        if archive is not None:
            self._unsubscribe_from_archive = archive.recorder.subscribe(self._tell_storage)
        self._runs = FollowedRuns(runs, caller.principal.id, self.outbox)
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._subscription_count = 0

    def check_rate(self) -> None:
        """Count a command; raises `RateLimited` when there are too many.

        Then `is_flooding` tells whether the client ignores these errors.
        """
        now = time.monotonic()
        if self._rate.take(now):
            return
        self.is_flooding = not self._refusals.take(now)
        raise RateLimited("too many commands", hint=f"wait {self._rate.seconds_until():.2f} s")

    def admit(self, command: Command, kind: str) -> None:
        """Let a command through; raises `Forbidden`, `UnknownModel`, or `RateLimited` by quota."""
        principal = self._caller.principal
        principal.check_role(command.role, f"`{kind}`")
        if isinstance(command, ModelCommand):
            principal.check_model(command.model)
        if isinstance(command, Generate):
            self._quota.take_request(self._caller)

    def models(self) -> list[Model]:
        """Return the models that the caller may see."""
        return [model for model in self.fleet.shown() if self._caller.principal.sees(model.id)]

    def generate(
        self, command: Generate, destination: Destination | None, attachments: PromptAttachments
    ) -> list[str]:
        """Start generations in the session; raises what `Session.generate` does."""
        return self.session.generate(
            command, destination, address=self._caller.address, attachments=attachments
        )

    async def find_attachments(self, command: Generate) -> PromptAttachments:
        """Find what a command's messages name; raises what `find_attachments` does."""
        return await find_attachments(
            self._attachments, self._caller.principal.id, command.messages or ()
        )

    async def find_repeated(self, command: Generate) -> list[StoredAnswer]:
        """Return the answers to a command that was given in another session, none for a new one.

        Raises what `find_repeated` does.
        """
        if self._archive is None or self.session.knows(command.request_id):
            return []
        return await find_repeated(self._archive, self._caller.principal.id, command)

    async def find_destination(self, record: Record, command: Generate) -> Destination | None:
        """Find where answers are to be stored, None if nothing can be for the time being.

        Raises `ConversationsOff` and what `Archive.find_slot` does, except for `StorageFailed`.
        """
        if self._archive is None:
            raise ConversationsOff("this server keeps no conversations")
        return await find_destination(
            self._archive,
            self._caller.principal.id,
            record,
            command.targets,
            command.request_id,
        )

    @property
    def storage(self) -> StorageStatus:
        """Return whether conversations are stored."""
        return StorageStatus("off") if self._archive is None else self._archive.recorder.status

    @property
    def session(self) -> Session:
        """Return the session, a fresh one for a client that opened none.

        Raises `SessionLimit` or `ShuttingDown` when no session can be had.
        """
        if self._session is None:
            self._session = self._sessions.create(self._caller.principal)
            self._session.add_outbox(self.outbox)
        return self._session

    def open_session(self, session_id: str | None, cursors: Mapping[str, int]) -> bool:
        """Enter the session named, or a fresh one; tell whether it was the one named.

        Raises `InvalidCommand` when a session is open already.
        """
        if self._session is not None:
            raise InvalidCommand("`hello` comes first and once")
        principal = self._caller.principal
        found = self._sessions.find(session_id, principal) if session_id else None
        if found is not None:
            found.add_outbox(self.outbox, cursors)
            self._session = found
            if found.follows is not None:
                self._runs.restore(found.follows.runs)
        return found is not None

    async def follow_runs(self, command: FollowRuns) -> None:
        """Follow runs in this session; raises what `FollowedRuns.follow` does."""
        session = self.session
        await self._runs.follow(command.runs)
        session.follow(command)

    def subscribe_to_log(self, book: LogBook, *, tail: int, follow: bool) -> str:
        """Subscribe to a log; return the subscription's name.

        Raises `SessionLimit` when this connection reads too many logs already.
        """
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise SessionLimit(f"a connection may follow {MAX_SUBSCRIPTIONS} logs at once")
        self._subscription_count += 1
        name = f"l{self._subscription_count}"
        reading = asyncio.create_task(
            self._send_log(name, book, tail=tail, follow=follow), name=f"log {name}"
        )
        self._subscriptions[name] = reading
        reading.add_done_callback(lambda _: self._subscriptions.pop(name, None))
        return name

    def unsubscribe_from_log(self, name: str) -> None:
        """End a subscription to a log; one that has ended is no error."""
        reading = self._subscriptions.get(name)
        if reading is not None:
            reading.cancel()
        self.outbox.drop_log(name)

    def close(self) -> None:
        """End all subscriptions and leave the session, which goes on."""
        for reading in self._subscriptions.values():
            reading.cancel()
        self._runs.close()
        self._unsubscribe()
        if self._unsubscribe_from_archive is not None:
            self._unsubscribe_from_archive()
        if self._session is None:
            self.outbox.close()
            return
        self._session.remove_outbox(self.outbox)
        self._sessions.discard_if_empty(self._session)

    def _tell(self, model: Model) -> None:
        if self._caller.principal.sees(model.id):
            self.outbox.put_model(model)

    def _tell_all(self, models: list[Model]) -> None:
        sees = self._caller.principal.sees
        self.outbox.put_models([model for model in models if sees(model.id)])

    def _tell_storage(self, status: StorageStatus) -> None:
        state: Literal["on", "failing"] = "failing" if status.state == "failing" else "on"
        self.outbox.put(StorageChanged(state, status.error))

    async def _send_log(self, name: str, book: LogBook, *, tail: int, follow: bool) -> None:
        async for lines in book.read(tail=tail, follow=follow):
            records = [LogRecord(line.time, line.stream, line.text) for line in lines]
            self.outbox.put_log(name, records)
        self.outbox.end_log(name)
