"""What a connection sends: everything once, in order, whatever happens in between.

The state machine at the end plays any number of answers and sockets against each other; the tests
before it name what each of its rules means to somebody.
"""

import pytest

from server.core.generation import Generation
from server.core.outbox import Outbox
from server.core.protocol import (
    Delta,
    End,
    Event,
    Log,
    LogRecord,
    Model,
    ModelChanged,
    Result,
    State,
    TokenInfo,
)
from tests.core.test_events import MODEL


class Wakes:
    """Count how often an outbox wakes its writer."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def wakes() -> Wakes:
    """Return a counter of wake-ups."""
    return Wakes()


@pytest.fixture
def outbox(wakes: Wakes) -> Outbox:
    """Return an outbox of ordinary size."""
    return Outbox(wakes)


def running(generation_id: str, *texts: str, keeps_tokens: bool = False) -> Generation:
    """Return a generation that has written `texts`."""
    generation = Generation(generation_id, "a", now_ms=0, keeps_tokens=keeps_tokens)
    generation.move_to("running", now_ms=0)
    write(generation, *texts)
    return generation


def write(generation: Generation, *texts: str) -> None:
    """Append the texts and a token for each."""
    tokens = [TokenInfo(len(text), text, None, special=False) for text in texts]
    generation.append(list(texts), tokens, now_ms=1)


def kinds(events: list[Event]) -> list[str]:
    """Name the events' types."""
    return [type(event).__name__ for event in events]


def test_an_answer_goes_out_as_state_delta_end(outbox: Outbox) -> None:
    generation = Generation("g1", "a", now_ms=0)
    outbox.add_generation(generation)
    assert outbox.take() == [State("g1", "queued")]
    generation.move_to("starting", now_ms=0)
    generation.move_to("running", now_ms=0)
    assert outbox.take() == [State("g1", "running")]
    write(generation, "a")
    write(generation, "b", "c")
    assert outbox.take() == [Delta("g1", 3, "abc")]
    write(generation, "d")
    generation.end("stop", now_ms=2)
    assert outbox.take() == [Delta("g1", 4, "d"), generation.end_event]
    assert outbox.take() == []


def test_the_place_in_the_queue_is_told_each_time_it_changes(outbox: Outbox) -> None:
    generation = Generation("g1", "a", now_ms=0)
    outbox.add_generation(generation)
    for position in (3, 2, 1):
        generation.move_to("queued", now_ms=0, position=position)
        assert outbox.take() == [State("g1", "queued", position)]


def test_a_slow_reader_gets_the_latest_state_and_joined_text(outbox: Outbox) -> None:
    generation = Generation("g1", "a", now_ms=0)
    outbox.add_generation(generation)
    generation.move_to("queued", now_ms=0, position=2)
    generation.move_to("running", now_ms=0)
    for text in "abc":
        write(generation, text)
    assert outbox.take() == [State("g1", "running"), Delta("g1", 3, "abc")]


def test_after_text_a_state_would_say_nothing(outbox: Outbox) -> None:
    generation = running("g1", "a", "b")
    outbox.add_generation(generation, seq=1)
    assert outbox.take() == [Delta("g1", 2, "b")]


def test_an_answer_to_a_command_precedes_what_the_command_set_off(outbox: Outbox) -> None:
    outbox.add_generation(running("g1", "a"))
    outbox.put_log("l1", [LogRecord(0, "stdout", "x")])
    outbox.put_model(MODEL)
    outbox.put(Result(1, {}))
    assert kinds(outbox.take()) == ["Result", "ModelChanged", "Log", "State", "Delta"]


def test_only_the_latest_state_of_a_model_is_sent(outbox: Outbox) -> None:
    def other(model_id: str, waiting: int) -> Model:
        fields = {name: getattr(MODEL, name) for name in Model.__struct_fields__}
        return Model(**{**fields, "id": model_id, "waiting": waiting})

    for waiting in (1, 2, 3):
        outbox.put_model(other("a", waiting))
        outbox.put_model(other("b", -waiting))
    sent = outbox.take()
    assert [e.model.waiting for e in sent if isinstance(e, ModelChanged)] == [3, -3]


def test_the_oldest_lines_of_a_log_are_dropped_when_too_many_wait(outbox: Outbox) -> None:
    for number in range(5000):
        outbox.put_log("l1", [LogRecord(number, "stdout", "x")])
    lines = []
    while events := outbox.take():
        lines += [line.time for event in events if isinstance(event, Log) for line in event.lines]
    assert lines == list(range(3000, 5000))


def test_lines_of_a_log_nobody_wants_any_more_are_not_sent(outbox: Outbox) -> None:
    outbox.put_log("l1", [LogRecord(0, "stdout", "x")])
    outbox.drop_log("l1")
    outbox.drop_log("l2")
    assert outbox.take() == []


def test_the_writer_is_woken_once_however_much_becomes_due(outbox: Outbox, wakes: Wakes) -> None:
    generation = running("g1")
    outbox.add_generation(generation)
    outbox.put(Result(1, {}))
    write(generation, "a", "b")
    assert wakes.count == 1
    outbox.take()
    write(generation, "c")
    outbox.put_model(MODEL)
    assert wakes.count == 2


def test_a_writer_that_has_not_taken_everything_need_not_be_woken(wakes: Wakes) -> None:
    outbox = Outbox(wakes, max_frame_chars=2)
    generation = running("g1", "aa", "bb", "cc")
    outbox.add_generation(generation)
    outbox.take()
    write(generation, "dd")
    assert wakes.count == 1
    while outbox.take():
        pass
    write(generation, "ee")
    assert wakes.count == 2


def test_a_frame_is_bounded_and_each_answer_has_its_turn(wakes: Wakes) -> None:
    outbox = Outbox(wakes, max_frame_chars=4)
    generations = [running(f"g{n}", *["xx"] * 4) for n in (1, 2, 3)]
    for generation in generations:
        outbox.add_generation(generation)
        generation.end("stop", now_ms=2)
    frames = []
    while events := outbox.take():
        frames.append([(e.generation, e.seq) for e in events if isinstance(e, Delta)])
    assert frames == [
        [("g1", 2)], [("g2", 2)], [("g3", 2)],
        [("g1", 4)], [("g2", 4)], [("g3", 4)],
    ]  # fmt: skip


def test_room_left_in_a_frame_is_filled_with_the_next_generation(wakes: Wakes) -> None:
    outbox = Outbox(wakes, max_frame_chars=5)
    for number in (1, 2):
        outbox.add_generation(running(f"g{number}", "xx", "xx"))
    first = [e for e in outbox.take() if isinstance(e, Delta)]
    assert first == [Delta("g1", 2, "xxxx"), Delta("g2", 1, "xx")]


def test_tokens_go_with_the_deltas_they_belong_to(wakes: Wakes) -> None:
    outbox = Outbox(wakes, max_frame_chars=100)
    outbox.add_generation(running("g1", "a", "", "b", keeps_tokens=True))
    sent = []
    while events := outbox.take():
        sent += [e for e in events if isinstance(e, Delta)]
    assert "".join(delta.text for delta in sent) == "ab"
    assert len(sent) > 1, "with its tokens a delta is a hundred times as long"
    cursor = 0
    for delta in sent:
        assert delta.tokens is not None
        assert len(delta.tokens) == delta.seq - cursor
        assert "".join(token.text for token in delta.tokens) == delta.text
        cursor = delta.seq


@pytest.mark.parametrize("seq", [-1, 3])
def test_a_cursor_that_cannot_be_is_refused(outbox: Outbox, seq: int) -> None:
    with pytest.raises(ValueError, match="cursor"):
        outbox.add_generation(running("g1", "a", "b"), seq=seq)
    assert outbox.is_empty


@pytest.mark.parametrize("seq", [0, 1, 2])
def test_late_subscribers_get_the_missing_text_and_the_end(outbox: Outbox, seq: int) -> None:
    generation = running("g1", "a", "b")
    generation.end("stop", now_ms=2)
    outbox.add_generation(generation, seq=seq)
    expected: list[Event] = [] if seq == 2 else [Delta("g1", 2, "ab"[seq:])]
    assert generation.end_event is not None
    assert outbox.take() == [*expected, generation.end_event]


def test_attaching_again_sends_it_all_once_more(outbox: Outbox) -> None:
    generation = running("g1", "a", "b")
    outbox.add_generation(generation)
    outbox.take()
    outbox.add_generation(generation)
    assert outbox.take() == [State("g1", "running"), Delta("g1", 2, "ab")]


def test_a_closed_outbox_neither_holds_nor_hears_anything(outbox: Outbox, wakes: Wakes) -> None:
    generation = running("g1", "a")
    outbox.add_generation(generation)
    outbox.put(Result(1, {}))
    outbox.put_model(MODEL)
    outbox.put_log("l1", [LogRecord(0, "stdout", "x")])
    outbox.close()
    woken = wakes.count
    write(generation, "b")
    generation.end("stop", now_ms=2)
    assert outbox.is_empty
    assert outbox.take() == []
    assert wakes.count == woken


def test_after_its_end_an_answer_is_let_go(outbox: Outbox) -> None:
    generation = running("g1", "a")
    outbox.add_generation(generation)
    generation.end("stop", now_ms=2)
    assert isinstance(outbox.take()[-1], End)
    assert not generation._watchers


def test_of_each_run_the_latest_state_goes_out_once(outbox: Outbox, wakes: Wakes) -> None:
    for number in range(100):
        outbox.put_run("r_1", Result(number, {}))
    outbox.put_run("r_2", Result(7, {}))
    assert wakes.count == 1
    assert outbox.take() == [Result(99, {}), Result(7, {})]
    assert outbox.is_empty


def test_runs_come_behind_control_messages_and_not_too_many_in_a_frame(
    outbox: Outbox, wakes: Wakes
) -> None:
    for number in range(20):
        outbox.put_run(f"r_{number}", Result(number, {}))
    outbox.put(Result(100, {}))
    first, is_due, second = outbox.take(), outbox.has_due, outbox.take()
    assert first[0] == Result(100, {})
    assert is_due
    assert first[1:] + second == [Result(number, {}) for number in range(20)]
    assert outbox.is_empty
    outbox.put_run("r_1", Result(1, {}))
    outbox.drop_runs()
    assert outbox.take() == []
    assert wakes.count == 2
