"""Answers and sockets played against each other in any order, checked after every step.

A writer here does what the real one does: it sleeps until it is woken, takes frame after frame
until there is none, and may be held up after any of them. A reader checks each event it gets
against the answer's log.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from server.core.deltas import ANSWER, Label
from server.core.generation import TRANSITIONS, Generation
from server.core.outbox import _DETAILS_FACTOR, Outbox
from server.core.protocol import Delta, End, Model, ModelChanged, Result, State, TokenInfo, ToolCall
from tests.core.test_events import MODEL

_TEXTS = st.lists(st.text("ab🙂\u2028", max_size=3), min_size=1, max_size=4)
_CALLS = (ToolCall(0, "look"), ToolCall(1, "look", "c1"))
_LABELS = st.one_of(
    st.just(ANSWER),
    st.builds(Label, st.just("reasoning"), st.booleans()),
    st.builds(Label, st.just("tool_call"), st.booleans(), st.sampled_from(_CALLS)),
)
_KINDS = st.sampled_from(
    [(), ("reasoning",), ("tool_call", "unheard of"), ("reasoning", "tool_call")]
)


class Log:
    """A generation, and what was put into it."""

    def __init__(self, number: int, *, keeps_tokens: bool) -> None:
        self.generation = Generation(f"g{number}", "a", now_ms=0, keeps_tokens=keeps_tokens)
        self.texts: list[str] = []
        self.labels: list[Label] = []
        self.tokens: list[TokenInfo] = []

    def pieces(self, start: int, stop: int, kinds: tuple[str, ...]) -> list[tuple[Label, str]]:
        """Return what a reader who knows these kinds has to be told, piece by piece."""
        told = []
        for text, label in zip(self.texts[start:stop], self.labels[start:stop], strict=True):
            if label.kind not in kinds:
                told.append((ANSWER, text))
            else:
                told.append((label._replace(is_mark=False), "" if label.is_mark else text))
        return told

    def text(self, kinds: tuple[str, ...]) -> str:
        return "".join(text for _, text in self.pieces(0, len(self.texts), kinds))


class Received:
    """What one socket has had of one generation."""

    def __init__(self, log: Log, cursor: int, kinds: tuple[str, ...]) -> None:
        self.log = log
        self.cursor = cursor
        self.has_text = cursor > 0
        self.has_ended = False
        self.text = "".join(text for _, text in log.pieces(0, cursor, kinds))


class Socket:
    """A writer and a reader on the two ends of one outbox."""

    def __init__(self, max_frame_chars: int, kinds: tuple[str, ...]) -> None:
        self.outbox = Outbox(self.wake, max_frame_chars=max_frame_chars)
        self.outbox.kinds = frozenset(kinds)
        self.kinds = kinds
        self.max_frame_chars = max_frame_chars
        self.is_awake = False
        self.received: dict[str, Received] = {}
        self.results_due: list[int] = []
        self.models_due: dict[str, int] = {}

    def wake(self) -> None:
        assert not self.is_awake, "woken although it is awake"
        self.is_awake = True

    def attach(self, log: Log, cursor: int) -> None:
        self.received[log.generation.id] = Received(log, cursor, self.kinds)
        self.outbox.add_generation(log.generation, seq=cursor)

    def take_frame(self) -> None:
        events = self.outbox.take()
        self.is_awake = not self.outbox.is_empty
        assert events or not self.is_awake, "a frame without events, though something is due"
        cost = 0
        for event in events:
            if isinstance(event, Result):
                assert event.id == self.results_due.pop(0)
            elif isinstance(event, ModelChanged):
                assert self.models_due.pop(event.model.id) == event.model.waiting
            else:
                assert isinstance(event, (State, Delta, End))
                assert cost < self.max_frame_chars or not isinstance(event, Delta)
                cost += self.receive(event)
        assert not self.results_due, "answers to commands are never held back"
        assert not self.models_due

    def receive(self, event: State | Delta | End) -> int:
        received = self.received[event.generation]
        log = received.log
        assert not received.has_ended, "something came after the end"
        if isinstance(event, State):
            assert not received.has_text, "a state came after text"
            assert event.state == log.generation.state
            return 0
        if isinstance(event, Delta):
            assert received.cursor < event.seq <= log.generation.seq
            told = log.pieces(received.cursor, event.seq, self.kinds)
            assert event.text == "".join(text for _, text in told)
            assert {(label.kind, label.call) for label, _ in told} == {(event.kind, event.call)}
            if log.generation.keeps_tokens:
                assert event.tokens == log.tokens[received.cursor : event.seq]
            else:
                assert event.tokens is None
            received.cursor = event.seq
            received.text += event.text
            received.has_text = True
            return len(event.text) * (_DETAILS_FACTOR if log.generation.keeps_tokens else 1)
        assert event is log.generation.end_event
        assert received.cursor == event.seq == len(log.texts), "the end came before the text"
        received.has_ended = True
        return 0


class OutboxMachine(RuleBasedStateMachine):
    """Rules are what may happen; invariants what must hold after each."""

    logs = Bundle("logs")
    sockets = Bundle("sockets")

    @initialize()
    def begin(self) -> None:
        self.all_sockets: list[Socket] = []
        self.all_logs: list[Log] = []
        self.count = 0

    def next_number(self) -> int:
        self.count += 1
        return self.count

    @rule(target=logs, keeps_tokens=st.booleans())
    def ask(self, keeps_tokens: bool) -> Log:
        log = Log(self.next_number(), keeps_tokens=keeps_tokens)
        self.all_logs.append(log)
        for socket in self.all_sockets:
            socket.attach(log, 0)
        return log

    @rule(
        log=logs, state=st.sampled_from(["queued", "starting", "running"]), place=st.integers(1, 3)
    )
    def move(self, log: Log, state: str, place: int) -> None:
        generation = log.generation
        if state in TRANSITIONS[generation.state] and not log.texts:
            position = place if state == "queued" else None
            generation.move_to(state, now_ms=0, position=position)  # type: ignore[arg-type]

    @rule(log=logs, texts=_TEXTS, label=_LABELS)
    def write(self, log: Log, texts: list[str], label: Label) -> None:
        if log.generation.state in ("queued", "starting"):
            log.generation.move_to("running", now_ms=0)
        if log.generation.state == "running":
            tokens = [
                TokenInfo(len(log.tokens) + n, text, None, special=False)
                for n, text in enumerate(texts)
            ]
            log.texts += texts
            log.tokens += tokens
            log.labels += [label] * len(texts)
            log.generation.append(texts, tokens, now_ms=0, label=label)

    @rule(log=logs)
    def end(self, log: Log) -> None:
        if not log.generation.has_ended:
            log.generation.end("stop", now_ms=0)

    @rule(
        target=sockets,
        max_frame_chars=st.sampled_from([1, 3, 7, 150, 1000]),
        kinds=_KINDS,
        data=st.data(),
    )
    def connect(self, max_frame_chars: int, kinds: tuple[str, ...], data: st.DataObject) -> Socket:
        """Come, or come back, with a cursor anywhere in each answer."""
        socket = Socket(max_frame_chars, kinds)
        self.all_sockets.append(socket)
        for log in self.all_logs:
            socket.attach(log, data.draw(st.integers(0, len(log.texts))))
        return socket

    @rule(socket=sockets, log=logs, data=st.data())
    def attach_again(self, socket: Socket, log: Log, data: st.DataObject) -> None:
        if socket in self.all_sockets:
            socket.attach(log, data.draw(st.integers(0, len(log.texts))))

    @rule(socket=sockets)
    def disconnect(self, socket: Socket) -> None:
        if socket in self.all_sockets:
            self.all_sockets.remove(socket)
            socket.outbox.close()

    @rule(socket=sockets)
    def answer(self, socket: Socket) -> None:
        if socket in self.all_sockets:
            number = self.next_number()
            socket.results_due.append(number)
            socket.outbox.put(Result(number, {}))

    @rule(model=st.sampled_from("xy"))
    def change_model(self, model: str) -> None:
        number = self.next_number()
        fields = {name: getattr(MODEL, name) for name in Model.__struct_fields__}
        changed = Model(**{**fields, "id": model, "waiting": number})
        for socket in self.all_sockets:
            socket.models_due[model] = number
            socket.outbox.put_model(changed)

    @rule(socket=sockets)
    def send_one_frame(self, socket: Socket) -> None:
        if socket.is_awake and socket in self.all_sockets:
            socket.take_frame()

    @rule(socket=sockets)
    def send_all(self, socket: Socket) -> None:
        while socket.is_awake and socket in self.all_sockets:
            socket.take_frame()

    @invariant()
    def nobody_sleeps_while_something_is_due(self) -> None:
        for socket in self.all_sockets:
            assert socket.is_awake or socket.outbox.is_empty, "a lost wake-up"

    @invariant()
    def who_sleeps_has_had_everything(self) -> None:
        for socket in self.all_sockets:
            if not socket.is_awake:
                for received in socket.received.values():
                    assert received.text == received.log.text(socket.kinds)
                    assert received.has_ended == received.log.generation.has_ended

    def teardown(self) -> None:
        for log in self.all_logs:
            self.end(log)
        for socket in self.all_sockets:
            while socket.is_awake:
                socket.take_frame()
        self.who_sleeps_has_had_everything()


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=150, stateful_step_count=40)
