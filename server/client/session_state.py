"""The client's copy of a session: models, answers, logs, runs.

- Every `hello` tells the server how many deltas of each answer were received. The server continues
  from there: nothing is lost and nothing is doubled.
- If the session cannot be resumed, its live answers end as `interrupted`, and so does one that the
  server no longer has.
- Of an ended answer only the cursor is retained, and for a while the answer itself: it may end
  before its `generate` is answered, if that command had to be sent again.
"""

from collections.abc import Collection
from typing import Any, Final

from server.client.connection import ConnectionState, not_connected
from server.client.emitter import Emitter
from server.client.generation import Generation
from server.client.logs import LogReading
from server.client.messages import SESSION_LOST, Kind, Model, SidestreamError
from server.client.runs import FollowRuns, RunReadings

# Ended answers whose cursors are sent with the next `hello`, so that they are not sent again: far
# more than a server retains for one session.
_MAX_ENDED: Final = 4096

# More than can end at one `hello`.
_MAX_RECENT: Final = 512


class SessionState:
    """Keep the state of a session up to date, and emit events."""

    def __init__(
        self, session: str | None, kinds: Collection[Kind], follow_runs: FollowRuns
    ) -> None:
        self.session = session
        self._kinds = list(kinds)
        self.server: dict[str, str] = {}
        self.models: dict[str, Model] = {}
        self.generations: dict[str, Generation] = {}
        self.readings: set[LogReading] = set()
        self.runs = RunReadings(follow_runs)
        self.emitter = Emitter()
        self._ended: dict[str, int] = {}
        self._recent: dict[str, Generation] = {}

    def generation(self, generation_id: str, model: str) -> Generation:
        """Return the answer with that id; create it if it is new."""
        generation = self.generations.get(generation_id) or self._recent.get(generation_id)
        if generation is None:
            generation = Generation(generation_id, model)
            self.generations[generation_id] = generation
            self.emitter.emit("generation", generation)
        generation.model = generation.model or model
        return generation

    def take(self, wire: dict[str, Any]) -> None:
        """Take a model's latest form."""
        model = Model.from_wire(wire)
        if model != self.models.get(model.id):
            self.models[model.id] = model
            self.emitter.emit("model", model)

    # --- for the connection -----------------------------------------------------------------

    def greeting(self) -> dict[str, Any]:
        """Return the fields of `hello`."""
        fields: dict[str, Any] = {"kinds": self._kinds} if self._kinds else {}
        if self.session is not None:
            live = {generation.id: generation.seq for generation in self.generations.values()}
            fields |= {"session": self.session, "cursors": self._ended | live}
        return fields

    def welcome(self, result: dict[str, Any]) -> None:
        """Take the answer to `hello`."""
        self.server = result["server"]
        self.session = result["session"]
        known = {one["id"]: one for one in result["generations"]}
        self._lose(set(self.generations) - set(known) if result["resumed"] else self.generations)
        if not result["resumed"]:
            # The new session may give the same ids again.
            self._ended.clear()
            self._recent.clear()
            self.runs.begin_again()
        for generation_id, one in known.items():
            if generation_id not in self._ended:
                self.generation(generation_id, one["model"]).answer = one.get("answer")
        self._take_all(result["models"])

    def receive(self, event: dict[str, Any]) -> None:
        """Take an event that answers no command; ignore unknown ones."""
        kind = event["type"]
        if kind in ("state", "delta", "end"):
            self._receive_of_generation(event)
        elif kind == "model":
            self.take(event["model"])
        elif kind == "models":
            self._take_all(event["models"])
        elif kind == "log":
            for reading in self.readings:
                if reading.subscription == event["subscription"]:
                    reading.receive(event)
        elif kind == "run":
            self.runs.receive(event["run"])
        elif kind == "run_removed":
            self.runs.remove(event["run"])
        elif kind == "conversations":
            self.emitter.emit("conversations", event)
        elif kind == "error":
            self.emitter.emit("fault", SidestreamError.from_wire(event["error"]))

    def follow(self, state: ConnectionState) -> None:
        """Take a new state of the connection."""
        if state.name == "closed":
            error = not_connected(state.reason)
            for generation in list(self.generations.values()):
                generation.interrupt(error)
            self.generations.clear()
            for reading in self.readings:
                reading.fail(error)
            self.runs.fail(error)
        self.emitter.emit("connection", state)

    # --- inside -----------------------------------------------------------------------------

    def _take_all(self, wires: list[dict[str, Any]]) -> None:
        before = dict(self.models)
        self.models.clear()  # some are gone, and the order changes
        for wire in wires:
            self.models[wire["id"]] = Model.from_wire(wire)
        for model in self.models.values():
            if model != before.get(model.id):
                self.emitter.emit("model", model)

    def _receive_of_generation(self, event: dict[str, Any]) -> None:
        generation_id = event["generation"]
        if generation_id in self._ended:
            return
        generation = self.generation(generation_id, "")
        generation.receive(event)
        if not generation.is_live:
            del self.generations[generation_id]
            self._ended[generation_id] = generation.seq
            self._recent[generation_id] = generation
            for kept, limit in ((self._ended, _MAX_ENDED), (self._recent, _MAX_RECENT)):
                if len(kept) > limit:
                    kept.pop(next(iter(kept)))

    def _lose(self, generation_ids: Any) -> None:
        error = SidestreamError(SESSION_LOST, "The server no longer keeps this answer.")
        for generation_id in list(generation_ids):
            self.generations.pop(generation_id).interrupt(error)
