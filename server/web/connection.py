"""One client's connection: its session, its outbox, and nothing of the socket under it."""

from collections.abc import Callable, Mapping

from server.chat.session import Session, SessionStore
from server.core.errors import InvalidCommand
from server.core.outbox import Outbox
from server.models.fleet import Fleet


class Connection:
    """Know who speaks and what is due to them; commands act on it.

    `wake` is called when something becomes due.
    """

    def __init__(
        self, fleet: Fleet, sessions: SessionStore, principal: str, wake: Callable[[], None]
    ) -> None:
        self.fleet = fleet
        self.outbox = Outbox(wake)
        self._sessions = sessions
        self._principal = principal
        self._session: Session | None = None
        self._unsubscribe = fleet.subscribe(self.outbox.put_model)

    @property
    def session(self) -> Session:
        """Return the session, a fresh one for a client that opened none.

        Raises `SessionLimit` or `ShuttingDown` when no session can be had.
        """
        if self._session is None:
            self._session = self._sessions.create(self._principal)
            self._session.attach(self.outbox)
        return self._session

    def open_session(self, session_id: str | None, cursors: Mapping[str, int]) -> bool:
        """Enter the session named, or a fresh one; tell whether it was the one named.

        Raises `InvalidCommand` when a session is open already.
        """
        if self._session is not None:
            raise InvalidCommand("`hello` comes first and once")
        found = self._sessions.find(session_id, self._principal) if session_id else None
        if found is not None:
            found.attach(self.outbox, cursors)
            self._session = found
        return found is not None

    def close(self) -> None:
        """Leave the session, which goes on without us."""
        self._unsubscribe()
        if self._session is None:
            self.outbox.close()
            return
        self._session.detach(self.outbox)
        self._sessions.discard_if_empty(self._session)
