"""Which turns are left out: whole ones, the oldest, no more than need be, by few measurements."""

from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.properties  # noqa: F401
from server.core.protocol import ImagePart, Message, PastCall, TextPart
from server.core.token_bounds import estimated_tokens, most_tokens
from server.core.trimming import MAX_MEASUREMENTS, TrimSearch, Turns

messages = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=5)),
    max_size=12,
)
# Tokens and bytes of older turns, which have little to do with one another.
older_turns = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2000)), max_size=60)


def said(*texts: str) -> list[Message]:
    """Return messages: `s:…` of the system, `u:…` of a user, `a:…` of a model."""
    roles: dict[str, Literal["system", "user", "assistant"]]
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [Message(roles[text[0]], text[2:]) for text in texts]


@pytest.mark.parametrize(
    ("conversation", "most", "shortest"),
    [
        (said("u:1"), 0, said("u:1")),
        (said("s:S", "u:1", "a:1", "u:2", "a:2", "u:3"), 2, said("s:S", "u:3")),
        # What is to be gone on with belongs to the last question.
        (said("u:1", "a:1", "u:2", "a:2"), 1, said("u:2", "a:2")),
        # Two questions in a row are two turns; a greeting before the first is one, too.
        (said("a:Hi", "u:1", "u:2", "a:2", "u:3"), 3, said("u:3")),
        # What the system says later goes with its turn, what it says first never.
        (said("s:S", "s:T", "u:1", "s:U", "a:1", "u:2"), 1, said("s:S", "s:T", "u:2")),
        (said("s:S"), 0, said("s:S")),
    ],
)
def test_the_system_prompt_and_the_last_turn_stay(
    conversation: list[Message], most: int, shortest: list[Message]
) -> None:
    turns = Turns.of(conversation)
    assert (turns.most, turns.without(most)) == (most, shortest)


CALL, OTHER = PastCall("c1", "look", "{}"), PastCall("c2", "look", "{}")
CALLS = [
    Message("user", "1"),
    Message("assistant", "", tool_calls=[CALL]),
    Message("tool", "yes", tool_call_id="c1"),
    Message("user", "2"),
]


@pytest.mark.parametrize(
    ("conversation", "most", "shortest"),
    [
        (CALLS, 1, CALLS[3:]),
        # Called in the first turn, answered again in the second: one turn.
        ([*CALLS, CALLS[2]], 0, [*CALLS, CALLS[2]]),
        ([*said("u:0", "a:0"), *CALLS, CALLS[2]], 1, [*CALLS, CALLS[2]]),
        # The same id is used anew: its answer is that of the last call.
        ([*CALLS, CALLS[1], CALLS[2]], 1, [CALLS[3], CALLS[1], CALLS[2]]),
        # What lies between is one turn with both.
        ([*CALLS, Message("user", "3"), CALLS[2], *said("u:4")], 1, said("u:4")),
        # A call of a turn that has become part of an earlier one is in that one.
        (
            [
                *CALLS[:2],
                Message("user", "2"),
                Message("assistant", "", tool_calls=[OTHER]),
                CALLS[2],
                Message("user", "3"),
                Message("tool", "no", tool_call_id="c2"),
                *said("u:4"),
            ],
            1,
            said("u:4"),
        ),
        # No call is known: as it stands.
        ([*said("u:0", "u:1"), CALLS[2]], 1, [*said("u:1"), CALLS[2]]),
    ],
)
def test_an_answer_of_a_tool_stays_with_its_call(
    conversation: list[Message], most: int, shortest: list[Message]
) -> None:
    turns = Turns.of(conversation)
    assert (turns.most, turns.without(most)) == (most, shortest)


calling = st.lists(
    st.one_of(
        st.builds(Message, st.just("user"), st.just("?")),
        st.builds(
            Message,
            st.just("assistant"),
            st.just(""),
            tool_calls=st.lists(st.sampled_from([CALL, OTHER]), min_size=1, max_size=2),
        ),
        st.builds(
            Message, st.just("tool"), st.just("!"), tool_call_id=st.sampled_from(["c1", "c2"])
        ),
    ),
    max_size=12,
)


@given(calling)
def test_no_trimmed_conversation_answers_a_call_that_was_left_out(
    conversation: list[Message],
) -> None:
    def unanswerable(messages: Sequence[Message]) -> int:
        called: set[str] = set()
        count = 0
        for message in messages:
            called.update(call.id for call in message.tool_calls)
            count += message.role == "tool" and message.tool_call_id not in called
        return count

    turns = Turns.of(conversation)
    for count in range(turns.most + 1):
        assert unanswerable(turns.without(count)) <= unanswerable(conversation)


@given(messages)
def test_trimmed_conversations_keep_the_system_prompt_and_the_last_turns(
    conversation: list[Message],
) -> None:
    turns = Turns.of(conversation)
    weights = turns.weights()
    assert turns.without(0) == conversation
    assert len(weights) == turns.most + 1
    assert weights == sorted(weights, reverse=True)
    questions = sum(message.role == "user" for message in conversation)
    for count in range(turns.most + 1):
        left = turns.without(count)
        head, rest = len(turns.system), len(left) - len(turns.system)
        assert left == conversation[:head] + conversation[len(conversation) - rest :]
        if count:
            assert left[head].role == "user"
            assert sum(m.role == "user" for m in left) in (questions - count, questions - count + 1)


def searched(weights: Sequence[int], tokens: Sequence[int], most: int) -> tuple[int | None, int]:
    """Return what a search finds if that is measured, and how often it measures."""
    search = TrimSearch(weights, tokens[0], most_tokens=most)
    count = 0
    while (guess := search.guess) is not None:
        count += 1
        search.take(guess, tokens[guess])
    return search.found, count


@given(older_turns, st.integers(1, 50), st.integers(0, 3000))
def test_the_fewest_turns_are_left_out_whatever_the_bytes_say(
    older: list[tuple[int, int]], always: int, most: int
) -> None:
    counts = range(len(older) + 1)
    tokens = [always + sum(tokens for tokens, _ in older[count:]) for count in counts]
    weights = [16 + sum(size for _, size in older[count:]) for count in counts]
    found, count = searched(weights, tokens, most)
    fits = [left_out for left_out, length in enumerate(tokens) if length <= most]
    assert count <= MAX_MEASUREMENTS + 1
    assert (found is None) == (not fits)
    if found is not None:
        assert found in fits
        if count < MAX_MEASUREMENTS:
            assert found == fits[0]


@given(st.integers(1, 400), st.integers(0, 20_000))
def test_where_bytes_tell_two_measurements_are_enough(turns: int, most: int) -> None:
    tokens = [40 + 50 * left for left in range(turns, -1, -1)]
    weights = [4 * length for length in tokens]
    found, count = searched(weights, tokens, most)
    assert count <= 2
    assert found == next((k for k, length in enumerate(tokens) if length <= most), None)


def test_a_long_system_prompt_and_a_long_turn_in_between_take_few_more() -> None:
    always, older = 900, [30] * 40 + [2000] + [30] * 40
    tokens = [always + sum(older[count:]) for count in range(len(older) + 1)]
    # A token of the system prompt has two bytes, one of the rest five.
    weights = [2 * always + 5 * sum(older[count:]) for count in range(len(older) + 1)]
    for most in range(900, 4500, 50):
        found, count = searched(weights, tokens, most)
        assert found == next((k for k, n in enumerate(tokens) if n <= most), None)
        assert count <= MAX_MEASUREMENTS


@given(st.text())
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    size = len(text.encode(errors="replace"))
    assert most_tokens(text) >= size
    assert most_tokens([Message("user", text)]) > most_tokens(text)
    assert estimated_tokens([Message("user", text)] * 3) >= size


def test_an_estimate_is_rather_too_high() -> None:
    english = "The lighthouse keeper counted the ships again, slowly, as if one might change. "
    assert estimated_tokens(english * 10) > 16 * 10
    assert estimated_tokens("灯台守は船をもう一度ゆっくり数えた。" * 10) > 15 * 10


def test_pictures_and_calls_of_tools_weigh_something() -> None:
    plain = [Message("user", "Look"), Message("assistant", "Yes"), Message("user", "Why?")]
    picture = [Message("user", [TextPart("Look"), ImagePart("0" * 64)]), *plain[1:]]
    calls = [PastCall("c1", "look", '{"a": "' + "x" * 1000 + '"}')]
    called = [plain[0], Message("assistant", "Yes", tool_calls=calls), plain[2]]
    for heavier in (picture, called):
        assert Turns.of(heavier).weights()[0] > Turns.of(plain).weights()[0] + 1000
        assert Turns.of(heavier).weights()[1] == Turns.of(plain).weights()[1]


def test_ids_of_calls_are_in_the_bound() -> None:
    called = Message("assistant", "", tool_calls=[PastCall("c" * 2000, "look", "")])
    answer = Message("tool", "", tool_call_id="c" * 2000)
    assert most_tokens([called]) > 2000 + most_tokens([])
    assert most_tokens([answer]) > 2000 + most_tokens([])
