"""One client's connection: its session, its outbox, and nothing of the socket under it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal

from server.access.principal import Caller
from server.access.quota import Quota
from server.archive.archive import Archive
from server.chat.session import Keeper, Session
from server.chat.session_store import SessionStore
from server.core.errors import InvalidCommand, RateLimited, SessionLimit
from server.core.outbox import Outbox
from server.core.protocol import Generate, Keeping, KeepingChanged, LogRecord, Model
from server.core.rate import TokenBucket
from server.models.added_servers import AddedServers
from server.models.fleet import Fleet
from server.models.logbook import LogBook
from server.web.observation.tally import Tally

# A page shows one log at a time, a tool perhaps one per model.
MAX_SUBSCRIPTIONS = 64

# Commands refused for their number at once before the socket is closed, as many more a second as
# are let through: a client that heeds errors never gets there.
MAX_REFUSED = 1000


class Connection:
    """Know who speaks and what is due to them; commands act on it.

    `wake` is called when something becomes due, `set_pace` with how many seconds the client wants
    between two frames.
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
        tally: Tally,
        archive: Archive | None = None,
    ) -> None:
        self.fleet = fleet
        self.servers = servers
        self.tally = tally
        self.archive = archive
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
            self._unsubscribe_from_archive = archive.recorder.subscribe(self._tell_keeping)
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._subscription_count = 0

    def check_rate(self) -> None:
        """Count a command; raises `RateLimited` when there are too many.

        Then `is_flooding` tells whether the client goes on although it is told to slow down.
        """
        now = time.monotonic()
        if self._rate.take(now):
            return
        self.is_flooding = not self._refusals.take(now)
        raise RateLimited("too many commands", hint=f"wait {self._rate.seconds_until():.2f} s")

    def check_command(self, kind: str) -> None:
        """Raise `Forbidden` when the caller may not give such a command."""
        self._caller.principal.check_command(kind)

    def check_model(self, model_id: str) -> None:
        """Raise `UnknownModel` when the model is not there for the caller."""
        self._caller.principal.check_model(model_id)

    def models(self) -> list[Model]:
        """Return the models that are there for the caller."""
        return [model for model in self.fleet.shown() if self._caller.principal.sees(model.id)]

    def generate(self, command: Generate, keep: Keeper | None = None) -> list[str]:
        """Have questions answered in the session; raises what `Session.generate` does."""
        self._quota.take_request(self._caller)
        return self.session.generate(command, keep, address=self._caller.address)

    @property
    def keeping(self) -> Keeping:
        """Return whether conversations are kept."""
        return Keeping("off") if self.archive is None else self.archive.recorder.keeping

    @property
    def session(self) -> Session:
        """Return the session, a fresh one for a client that opened none.

        Raises `SessionLimit` or `ShuttingDown` when no session can be had.
        """
        if self._session is None:
            self._session = self._sessions.create(self._caller.principal)
            self._session.attach(self.outbox)
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
            found.attach(self.outbox, cursors)
            self._session = found
        return found is not None

    def subscribe_to_log(self, book: LogBook, *, tail: int, follow: bool) -> str:
        """Have a log's lines sent; return the subscription's name.

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
        """Send no more of a log; a subscription that has ended is no error."""
        reading = self._subscriptions.get(name)
        if reading is not None:
            reading.cancel()
        self.outbox.drop_log(name)

    def close(self) -> None:
        """Leave the session, which goes on without us."""
        for reading in self._subscriptions.values():
            reading.cancel()
        self._unsubscribe()
        if self._unsubscribe_from_archive is not None:
            self._unsubscribe_from_archive()
        if self._session is None:
            self.outbox.close()
            return
        self._session.detach(self.outbox)
        self._sessions.discard_if_empty(self._session)

    def _tell(self, model: Model) -> None:
        if self._caller.principal.sees(model.id):
            self.outbox.put_model(model)

    def _tell_all(self, models: list[Model]) -> None:
        sees = self._caller.principal.sees
        self.outbox.put_models([model for model in models if sees(model.id)])

    def _tell_keeping(self, keeping: Keeping) -> None:
        state: Literal["on", "failing"] = "failing" if keeping.state == "failing" else "on"
        self.outbox.put(KeepingChanged(state, keeping.error))

    async def _send_log(self, name: str, book: LogBook, *, tail: int, follow: bool) -> None:
        async for lines in book.read(tail=tail, follow=follow):
            records = [LogRecord(line.time, line.stream, line.text) for line in lines]
            self.outbox.put_log(name, records)
        self.outbox.end_log(name)
