"""Calls of tools in pieces: whatever the fragments, the same calls; joined, the text is JSON."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import TokenInfo
from server.dialects.tool_calls import ToolCalls

Call = tuple[str, str, str]


def read(*chunks: Sequence[object], whole: bool = False) -> list[TokenInfo]:
    calls = ToolCalls("prefix00")
    tokens = [
        token for chunk in chunks for token in (calls.take_whole if whole else calls.take)(chunk)
    ]
    return [*tokens, *calls.close()]


def calls_of(tokens: Sequence[TokenInfo]) -> list[Call]:
    """Return id, name and arguments of each call, as a client that knows kinds joins them."""
    found: dict[int, Call] = {}
    for token in tokens:
        assert token.kind == "tool_call"
        assert token.call is not None
        call_id, name, arguments = found.get(token.call.index, (token.call.id, token.call.name, ""))
        assert (call_id, name) == (token.call.id, token.call.name)
        text = "" if token.mark else token.text
        found[token.call.index] = (call_id, name, arguments + text)
    assert sorted(found) == list(range(len(found)))
    return [found[index] for index in sorted(found)]


def blocks_of(tokens: Sequence[TokenInfo]) -> list[Any]:
    """Return the calls as a client that knows no kinds reads them out of the text."""
    text = "".join(token.text for token in tokens)
    _, *blocks = text.split("<tool_call>\n")
    return [json.loads(block.removesuffix("\n</tool_call>\n")) for block in blocks]


def fragment(
    arguments: object = None, name: str | None = None, call_id: str | None = None, **more: Any
) -> dict[str, Any]:
    return {"id": call_id, "function": {"name": name, "arguments": arguments}, **more}


def test_a_call_in_pieces_stands_between_marks() -> None:
    tokens = read(
        [fragment("", "look", "a", index=0)],
        [fragment('{"at": ', index=0)],
        [fragment('"sky"}', index=0)],
    )
    assert [(token.text, token.mark) for token in tokens] == [
        ('<tool_call>\n{"name": "look", "arguments": ', True),
        ('{"at": ', False),
        ('"sky"}', False),
        ("}\n</tool_call>\n", True),
    ]
    assert calls_of(tokens) == [("a", "look", '{"at": "sky"}')]


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        pytest.param(
            [[fragment("{}", "a", "1"), fragment("{}", "a", "2")]],
            [("1", "a", "{}"), ("2", "a", "{}")],
            id="a new id begins a call",
        ),
        pytest.param(
            [[fragment('{"x"', "a", "1")], [fragment(":1}")], [fragment("{}", "b")]],
            [("1", "a", '{"x":1}'), ("prefix001", "b", "{}")],
            id="another name begins a call",
        ),
        pytest.param(
            [[fragment('{"x"', "a")], [fragment(":1}", "a")], [fragment("{}", "a")]],
            [("prefix000", "a", '{"x":1}'), ("prefix001", "a", "{}")],
            id="a repeated name begins one only behind a whole call",
        ),
        pytest.param(
            [[fragment("", "a"), fragment("", "a")]],
            [("prefix000", "a", "{}"), ("prefix001", "a", "{}")],
            id="two in one list without anything to tell them apart",
        ),
        pytest.param(
            [[fragment('{"x"', "a", "1", index=7)], [fragment(":1}", "a", "1", index=7)]],
            [("1", "a", '{"x":1}')],
            id="name and id in each chunk",
        ),
        pytest.param(
            [[fragment({"x": 1}, "a", "1")]],
            [("1", "a", '{"x":1}')],
            id="arguments as an object",
        ),
        pytest.param(
            [[fragment('{"x"', None, "1")], [fragment(":1}", "a")]],
            [("1", "a", '{"x":1}')],
            id="a late name",
        ),
        pytest.param(
            [[None, 3, {}, {"function": 1}, fragment("{}", "a", "1", index=True)]],
            [("1", "a", "{}")],
            id="among what is no call",
        ),
    ],
)
def test_forms_of_servers(chunks: list[list[object]], calls: list[Call]) -> None:
    tokens = read(*chunks)
    assert calls_of(tokens) == calls
    assert blocks_of(tokens) == [
        {"name": name, "arguments": json.loads(arguments)} for _, name, arguments in calls
    ]


def test_a_thousand_fragments_without_index_are_one_call() -> None:
    text = json.dumps({"text": "x" * 1000})
    chunks = [[fragment(letter)] for letter in text[1:]]
    assert len(chunks) > 1000
    tokens = read([fragment(text[0], "write", "1")], *chunks)
    assert calls_of(tokens) == [("1", "write", text)]


def test_calls_that_are_all_numbered_0_are_told_apart_by_their_ids() -> None:
    tokens = read(
        [fragment('{"x":1}', "look", "c1", index=0)],
        [fragment('{"y"', "hear", "c2", index=0)],
        [fragment(":2}", index=0)],
    )
    assert calls_of(tokens) == [("c1", "look", '{"x":1}'), ("c2", "hear", '{"y":2}')]


def test_whole_calls_need_no_index() -> None:
    call = {"function": {"name": "look", "arguments": {"at": "sky"}, "index": 0}}
    tokens = read([call], [call, call], whole=True)
    assert blocks_of(tokens) == [{"name": "look", "arguments": {"at": "sky"}}] * 3


def test_fragments_for_a_closed_call_are_not_lost() -> None:
    calls = ToolCalls("prefix00")
    tokens = calls.take([fragment('{"x"', "a", "1", index=0)])
    tokens += calls.close()
    assert not calls.is_open
    tokens += calls.take([fragment(":1}", index=0)])
    assert calls_of(tokens) == [("1", "a", '{"x":1}')]


_ARGUMENTS = st.one_of(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=8), max_size=3).map(
        json.dumps
    ),
    st.text(min_size=1, max_size=12).filter(str.strip),
)
_CALLS = st.lists(st.tuples(st.text(min_size=1, max_size=6), _ARGUMENTS), min_size=1, max_size=4)


@given(_CALLS, st.data())
def test_any_fragments_in_any_order_give_the_same_calls(
    calls: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Each call in any pieces, the pieces of all shuffled but for their own order."""
    left: list[list[dict[str, Any]]] = []
    for index, (name, arguments) in enumerate(calls):
        places = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=6)))
        edges = [0, *places, len(arguments)]
        texts = [arguments[a:b] for a, b in pairwise(edges)]
        repeats = data.draw(st.booleans())
        left.append(
            [
                fragment(text, name if n == 0 or repeats else None, f"id{index}", index=index)
                for n, text in enumerate(texts)
            ]
        )
    chunks: list[list[object]] = [[pieces.pop(0)] for pieces in left]
    while any(left):
        pieces = data.draw(st.sampled_from([pieces for pieces in left if pieces]))
        piece = pieces.pop(0)
        if data.draw(st.booleans()):
            chunks.append([piece])
        else:
            chunks[-1].append(piece)
    tokens = read(*chunks)
    assert calls_of(tokens) == [
        (f"id{index}", name, arguments) for index, (name, arguments) in enumerate(calls)
    ]
    text = "".join(token.text for token in tokens)
    assert all(arguments in text for _, arguments in calls)
    assert [token.text for token in tokens if token.mark][1::2] == ["}\n</tool_call>\n"] * len(
        calls
    )


@given(_CALLS, st.data())
def test_without_an_index_ids_tell_calls_apart(
    calls: list[tuple[str, str]], data: st.DataObject
) -> None:
    chunks: list[list[object]] = []
    for number, (name, arguments) in enumerate(calls):
        places = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=6)))
        edges = [0, *places, len(arguments)]
        texts = [arguments[a:b] for a, b in pairwise(edges)]
        chunks.append([fragment(texts[0], name, f"id{number}")])
        chunks += [[fragment(text)] for text in texts[1:]]
    assert calls_of(read(*chunks)) == [
        (f"id{number}", name, arguments) for number, (name, arguments) in enumerate(calls)
    ]
