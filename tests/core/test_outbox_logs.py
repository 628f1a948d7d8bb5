"""Lines of logs leave in frames of bounded size, and a log that has ended says so, once."""

import pytest

from server.core.outbox import Outbox
from server.core.protocol import Log, LogRecord, Result


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(lambda: None, max_frame_chars=1000)


def lines(count: int, text: str = "x") -> list[LogRecord]:
    return [LogRecord(float(number), "stdout", text) for number in range(count)]


def frames(outbox: Outbox) -> list[list[Log]]:
    found = []
    while events := outbox.take():
        found.append([event for event in events if isinstance(event, Log)])
    return found


def test_a_long_log_leaves_in_several_frames_in_its_order(outbox: Outbox) -> None:
    outbox.put_log("l1", lines(10, "x" * 300))
    sent = frames(outbox)
    assert [len(log.lines) for (log,) in sent] == [3, 3, 3, 1]
    assert [line for (log,) in sent for line in log.lines] == lines(10, "x" * 300)


def test_a_line_that_is_larger_than_a_frame_still_leaves(outbox: Outbox) -> None:
    outbox.put_log("l1", lines(2, "x" * 5000))
    assert [[len(log.lines) for log in frame] for frame in frames(outbox)] == [[1], [1]]


def test_a_long_log_lets_another_have_its_turn(outbox: Outbox) -> None:
    outbox.put_log("long", lines(10, "x" * 300))
    outbox.put_log("short", lines(1))
    order = [log.subscription for frame in frames(outbox) for log in frame]
    assert order.index("short") <= 1


def test_the_end_is_said_once_after_the_last_line(outbox: Outbox) -> None:
    outbox.put_log("l1", lines(10, "x" * 300))
    outbox.end_log("l1")
    assert [log.ended for (log,) in frames(outbox)] == [False, False, False, True]
    outbox.put(Result(1, {}))
    assert frames(outbox) == [[]]


def test_an_empty_log_still_says_that_it_has_ended(outbox: Outbox) -> None:
    outbox.end_log("l1")
    assert frames(outbox) == [[Log("l1", [], True)]]


def test_a_log_nobody_wants_any_more_says_nothing_of_its_end(outbox: Outbox) -> None:
    outbox.put_log("l1", lines(1))
    outbox.end_log("l1")
    outbox.drop_log("l1")
    assert frames(outbox) == []


def test_the_writer_is_awake_until_all_lines_have_left() -> None:
    wakes: list[int] = []
    outbox = Outbox(lambda: wakes.append(1), max_frame_chars=1000)
    outbox.put_log("l1", lines(10, "x" * 300))
    outbox.take()
    outbox.put_log("l1", lines(1))
    assert len(wakes) == 1
    frames(outbox)
    outbox.put_log("l1", lines(1))
    assert len(wakes) == 2
