"""One answer's log: what may follow what, what it counts, and what it says of its time."""

from collections.abc import Callable
from typing import get_args

import pytest

from server.core.deltas import ANSWER, Label
from server.core.generation import TRANSITIONS, Generation, LogState
from server.core.protocol import ErrorInfo, GenerationState, Notice, Timings, TokenInfo


def in_state(state: LogState, *, keeps_tokens: bool = False) -> Generation:
    """Return a generation that came to be at 1000 ms and is in that state now."""
    generation = Generation("g1", "a", now_ms=1000, keeps_tokens=keeps_tokens)
    if state == "ended":
        generation.end("stop", now_ms=1000)
    elif state != "queued":
        generation.move_to(state, now_ms=1000)
    return generation


@pytest.mark.parametrize("after", get_args(GenerationState))
@pytest.mark.parametrize("before", TRANSITIONS)
def test_a_move_is_made_if_the_table_has_it_and_refused_if_not(
    before: LogState, after: GenerationState
) -> None:
    generation = in_state(before)
    if after in TRANSITIONS[before]:
        generation.move_to(after, now_ms=1000)
        assert generation.state == after
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}"):
            generation.move_to(after, now_ms=1000)
        assert generation.state == before


@pytest.mark.parametrize("before", ["queued", "starting", "running"])
def test_generations_can_end_in_any_state_but_only_once(before: LogState) -> None:
    generation = in_state(before)
    generation.end("cancelled", now_ms=1000)
    assert generation.has_ended
    with pytest.raises(ValueError, match="from ended to ended"):
        generation.end("stop", now_ms=1000)
    assert generation.info(now_ms=1000).finish_reason == "cancelled"


@pytest.mark.parametrize("state", ["queued", "starting", "ended"])
def test_text_comes_only_while_it_runs(state: LogState) -> None:
    with pytest.raises(ValueError, match=f"while {state}"):
        in_state(state).append(["a"], [], now_ms=1000)


def test_after_its_first_token_it_does_not_go_back_to_the_queue() -> None:
    generation = in_state("running")
    generation.append(["a"], [], now_ms=1000)
    with pytest.raises(ValueError, match="after its first delta"):
        generation.move_to("queued", now_ms=1000)


def test_watchers_are_told_once_of_each_change() -> None:
    told: list[Generation] = []
    generation = in_state("queued")
    generation.watch(told.append)
    changes: list[Callable[[], None]] = [
        lambda: generation.move_to("queued", now_ms=1000, position=2),
        lambda: generation.move_to("queued", now_ms=1000, position=1),
        lambda: generation.move_to("starting", now_ms=1000),
        lambda: generation.move_to("running", now_ms=1000),
        lambda: generation.append(["a"], [], now_ms=1000),
        lambda: generation.end("stop", now_ms=1000),
    ]
    for count, change in enumerate(changes, start=1):
        change()
        assert told == [generation] * count


def test_a_move_to_where_it_is_already_is_no_change() -> None:
    told: list[Generation] = []
    generation = in_state("queued")
    generation.move_to("queued", now_ms=1000, position=2)
    generation.watch(told.append)
    generation.move_to("queued", now_ms=1000, position=2)
    assert told == []


def test_why_it_waits_may_change_while_it_runs() -> None:
    """Regression: what a server said while it read the prompt broke the answer."""
    generation = in_state("running")
    loads = Notice("server_loads", "the server loads the model")
    for notice in (loads, None):
        generation.move_to("running", now_ms=2000, notice=notice)
        event = generation.state_event()
        assert event is not None
        assert event.notice == notice
    generation.end("stop", now_ms=3000)
    assert generation.end_event is not None
    assert generation.end_event.timings.queued_ms == 0


def test_removed_watchers_are_not_told_again() -> None:
    told: list[Generation] = []
    generation = in_state("queued")
    generation.watch(told.append)
    generation.unwatch(told.append)
    generation.move_to("running", now_ms=1000)
    assert told == []


def test_info_describes_a_generation_for_hello() -> None:
    generation = in_state("running")
    generation.append(["a", "b"], [], now_ms=1000)
    info = generation.info(now_ms=1000)
    assert (info.id, info.model, info.state, info.seq, info.finish_reason) == (
        ("g1", "a", "running", 2, None)
    )
    generation.end("length", now_ms=1000)
    info = generation.info(now_ms=2000)
    assert (info.state, info.finish_reason, info.timings) == ("ended", "length", None)


def test_info_has_the_timings_so_far() -> None:
    generation = Generation("g1", "a", now_ms=1000)
    generation.move_to("starting", now_ms=1010)
    assert generation.info(now_ms=1500).timings == Timings(None, None, 500, None, starting_ms=490)
    generation.move_to("queued", now_ms=2010, position=2)
    waiting = Timings(None, None, 1500, None, starting_ms=1000)
    assert generation.info(now_ms=2500).timings == waiting
    loads = Notice("server_loads", "the server loads the model")
    generation.move_to("running", now_ms=3000, notice=loads)
    loading = Timings(2000, None, 2200, None, load_ms=200, starting_ms=1000)
    assert generation.info(now_ms=3200).timings == loading
    generation.move_to("running", now_ms=3400)
    for moment in (3500, 3600, 3700):
        generation.append(["a"], [], now_ms=moment)
    writing = Timings(2000, 2500, 7000, 10.0, load_ms=400, starting_ms=1000)
    assert generation.info(now_ms=8000).timings == writing
    assert generation.timings_so_far(9000).total_ms == 8000


def test_a_queue_says_its_limits_while_an_answer_waits_in_it() -> None:
    generation = in_state("queued")
    generation.max_concurrent, generation.queue_timeout = 4, 600.0
    event = generation.state_event()
    assert event is not None
    assert (event.max_concurrent, event.queue_timeout) == (4, 600.0)
    generation.move_to("running", now_ms=1000)
    event = generation.state_event()
    assert event is not None
    assert (event.max_concurrent, event.queue_timeout) == (None, None)


def test_the_end_says_what_it_cost_and_how_long_it_took() -> None:
    generation = Generation("g1", "a", now_ms=1000)
    generation.move_to("starting", now_ms=1010)
    generation.move_to("running", now_ms=1100)
    generation.append(["a"], [], now_ms=1150)
    generation.append(["b"], [], now_ms=1200)
    generation.append(["c", "d", "e"], [], now_ms=1350)
    generation.end("stop", now_ms=1360, prompt_tokens=31, completion_tokens=6)
    assert generation.end_event is not None
    assert (generation.end_event.usage.prompt_tokens, generation.end_event.seq) == (31, 5)
    assert generation.end_event.usage.completion_tokens == 6
    timings = generation.end_event.timings
    assert (timings.queued_ms, timings.ttft_ms, timings.total_ms) == (100, 150, 360)
    # Six tokens are five steps, which took from 1150 to 1350 ms.
    assert timings.tokens_per_second == 25


def test_an_engine_that_does_not_count_leaves_the_deltas_to_be_counted() -> None:
    generation = in_state("running")
    generation.append(["a", "b"], [], now_ms=1000)
    generation.end("cancelled", now_ms=1000)
    assert generation.end_event is not None
    assert generation.end_event.usage.completion_tokens == 2
    assert generation.end_event.usage.prompt_tokens is None


def test_the_time_in_which_the_server_loads_the_model_is_told_apart() -> None:
    loads = Notice("server_loads", "the server loads the model")
    generation = Generation("g1", "a", now_ms=0)
    generation.move_to("running", now_ms=10, notice=loads)
    generation.move_to("running", now_ms=40, notice=Notice("server_loads", "nearly there"))
    generation.move_to("running", now_ms=100, notice=Notice("prompt_progress", "reads"))
    generation.move_to("queued", now_ms=120)
    generation.move_to("running", now_ms=150, notice=loads)
    generation.move_to("running", now_ms=160)
    generation.append(["a"], [], now_ms=200)
    generation.end("stop", now_ms=250)
    assert generation.end_event is not None
    assert generation.end_event.timings.load_ms == 100
    assert generation.end_event.timings.ttft_ms == 200


def test_an_answer_that_ends_while_the_model_loads_says_how_long_it_did() -> None:
    generation = Generation("g1", "a", now_ms=0)
    generation.move_to("running", now_ms=10, notice=Notice("server_loads", "loads"))
    generation.end("cancelled", now_ms=70)
    assert generation.end_event is not None
    assert generation.end_event.timings.load_ms == 60


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b"]])
def test_a_rate_that_cannot_be_known_is_not_made_up(texts: list[str]) -> None:
    """All at once, or one token only: there is no time between tokens to measure."""
    generation = in_state("running")
    if texts:
        generation.append(texts, [], now_ms=1100)
    generation.end("stop", now_ms=1200)
    assert generation.end_event is not None
    assert generation.end_event.timings.tokens_per_second is None
    assert generation.end_event.timings.ttft_ms == (100 if texts else None)


def test_generations_that_never_ran_have_no_queued_time() -> None:
    generation = in_state("starting")
    generation.end("failed", now_ms=1500, error=ErrorInfo("model_failed", "m"))
    assert generation.end_event is not None
    assert generation.end_event.timings.queued_ms is None
    assert generation.end_event.timings.total_ms == 500


def test_a_restart_before_the_first_token_counts_as_waiting() -> None:
    generation = in_state("queued")
    generation.move_to("running", now_ms=1100)
    generation.move_to("queued", now_ms=1200)
    generation.move_to("running", now_ms=1700)
    generation.end("stop", now_ms=1800)
    assert generation.end_event is not None
    assert generation.end_event.timings.queued_ms == 700


@pytest.mark.parametrize(
    ("cursor", "max_chars", "expected"),
    [
        (0, 100, ("aabbbc", 4)),
        (0, 6, ("aabbbc", 4)),
        (0, 5, ("aabbb", 3)),
        (0, 4, ("aa", 2)),
        (0, 2, ("aa", 2)),
        (1, 100, ("bbbc", 4)),
        (4, 100, ("", 4)),
        (3, 0, ("c", 4)),
    ],
)
def test_text_is_given_out_in_whole_deltas(
    cursor: int, max_chars: int, expected: tuple[str, int]
) -> None:
    generation = in_state("running")
    generation.append(["aa", "", "bbb", "c"], [], now_ms=1000)
    assert generation.text_since(cursor, max_chars=max_chars) == (*expected, ANSWER)


def test_a_delta_larger_than_the_room_is_given_out_nevertheless() -> None:
    generation = in_state("running")
    generation.append(["x" * 50, "y"], [], now_ms=1000)
    assert generation.text_since(0, max_chars=10) == ("x" * 50, 1, ANSWER)


def test_tokens_are_kept_only_where_somebody_asked_for_them() -> None:
    token = TokenInfo(1, "a", -0.5, special=False)
    for keeps_tokens in (True, False):
        generation = in_state("running", keeps_tokens=keeps_tokens)
        generation.append(["a", "b"], [token, token], now_ms=1000)
        assert generation.tokens_between(1, 2) == ([token] if keeps_tokens else None)


def test_thinking_is_counted_and_timed_apart() -> None:
    generation = Generation("g", "a", now_ms=0)
    generation.move_to("starting", now_ms=0)
    generation.move_to("running", now_ms=70)
    generation.append(["<think>"], [], now_ms=100, label=Label("reasoning", is_mark=True))
    generation.append(["so", " so"], [], now_ms=100, label=Label("reasoning"))
    generation.append(["</think>"], [], now_ms=300, label=Label("reasoning", is_mark=True))
    generation.append(["yes"], [], now_ms=500)
    generation.end("stop", now_ms=600)
    end = generation.end_event
    assert end is not None
    assert end.seq == 5
    assert (end.usage.completion_tokens, end.usage.reasoning_tokens) == (3, 2)
    timings = end.timings
    assert (timings.starting_ms, timings.ttft_ms) == (70, 100)
    assert (timings.reasoning_ms, timings.answer_ms) == (100, 500)


@pytest.mark.parametrize(("told", "expected"), [(None, 6), (0, 6), (7, 7)])
def test_thinking_is_counted_by_the_server_or_by_its_share(told: int | None, expected: int) -> None:
    generation = Generation("g", "a", now_ms=0)
    generation.move_to("running", now_ms=0)
    generation.append(["so", " so"], [], now_ms=1, label=Label("reasoning"))
    generation.append(["yes"], [], now_ms=2)
    generation.end("stop", now_ms=3, completion_tokens=9, reasoning_tokens=told)
    assert generation.end_event is not None
    assert generation.end_event.usage.reasoning_tokens == expected


def test_an_answer_without_thinking_says_nothing_of_it() -> None:
    generation = Generation("g", "a", now_ms=0)
    generation.move_to("running", now_ms=0)
    generation.append(["yes"], [], now_ms=2)
    generation.end("stop", now_ms=3)
    assert generation.end_event is not None
    assert generation.end_event.usage.reasoning_tokens is None
    assert generation.end_event.timings.answer_ms is None
    assert generation.end_event.timings.reasoning_ms is None
