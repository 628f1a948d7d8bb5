"""Take an exported conversation back: what a type cannot say is checked here, with its place.

An export is a file from anywhere. Its form is checked by the types, its size before it is read;
here follows that what names something names what is there, and that the turns are a tree.
"""

import codecs
from collections import defaultdict
from collections.abc import Container, Iterable
from typing import Any, Final

import msgspec

from server.archive.shapes import Answer, Conversation, Export, Turn, VoteGiven
from server.archive.writing import size_of
from server.core.errors import Contradiction, ConversationLimit, InvalidCommand
from server.core.protocol import Usage

# What a page remembers of its look; it comes and goes with every conversation.
MAX_VIEW_CHARS: Final = 64 * 1024
# 64 columns, each with a long system prompt.
MAX_COLUMNS_CHARS: Final = 512 * 1024

# More than any model writes, and what every reader of JSON can hold.
_MAX_COUNT: Final = 2**53
# US dollars, more than any answer costs.
_MAX_COST: Final = 1e9

_export = msgspec.json.Decoder(Export)


def read_export(body: bytes, *, max_size: int) -> Conversation:
    """Return the conversation of an export.

    Raises `InvalidCommand` with the place of what is wrong, or `ConversationLimit`.
    """
    try:
        export = _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidCommand(f"this is no export of a conversation: {error}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidCommand(f"the file is not JSON: {error}") from None
    except RecursionError:
        raise InvalidCommand("the file is nested too deeply") from None
    conversation = export.conversation
    if size_of(conversation) > max_size:
        raise ConversationLimit(
            f"a conversation may have {max_size} characters",
            hint="raise `max_conversation_size` in [conversations]",
        )
    check_outline(conversation)
    _check_turns(conversation)
    _check_answers(conversation)
    return conversation


def _decode(body: bytes) -> Export:
    body = body.removeprefix(codecs.BOM_UTF8)  # as some editors save it
    try:
        return _export.decode(body)
    except msgspec.ValidationError:
        # JSON and many of its writers know one kind of number.
        return msgspec.convert(_with_whole_numbers(msgspec.json.decode(body)), Export)


def _with_whole_numbers(value: Any) -> Any:
    """Return JSON with 5.0 written as 5."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_outline(outline: Any) -> None:
    """Raise `InvalidCommand` when columns or view of something are not as they may be."""
    if outline.columns is not None:
        _check_unique([column.id for column in outline.columns], "columns")
        if len(msgspec.json.encode(outline.columns)) > MAX_COLUMNS_CHARS:
            raise InvalidCommand(f"`columns` may have {MAX_COLUMNS_CHARS} characters as JSON")
    if outline.view is not None and len(msgspec.json.encode(outline.view)) > MAX_VIEW_CHARS:
        raise InvalidCommand(f"`view` may have {MAX_VIEW_CHARS} characters as JSON")


def check_vote(vote: VoteGiven, answers: Container[str], place: str = "$") -> None:
    """Raise `Contradiction` when a vote contradicts itself or names an unknown answer."""
    for name, several in (("winners", vote.winners), ("among", vote.among)):
        for number, answer in enumerate(several):
            _check_known(answer, answers, f"{place}.{name}[{number}]", "answer of this turn")
    if (vote.verdict == "better") != bool(vote.winners):
        raise Contradiction(f"`winners` belong to the verdict `better` - at `{place}.winners`")
    if not set(vote.winners) <= set(vote.among):
        raise Contradiction(f"`winners` have to be among `among` - at `{place}.winners`")


def _check_turns(conversation: Conversation) -> None:
    turns = conversation.turns
    _check_unique([turn.id for turn in turns], "conversation.turns")
    answers = {answer.id: answer for answer in conversation.answers}
    own: dict[str, set[str]] = defaultdict(set)
    for answer in conversation.answers:
        own[answer.turn].add(answer.id)
    earlier: dict[str, Turn] = {}
    for number, turn in enumerate(turns):
        place = f"$.conversation.turns[{number}]"
        if turn.parent is not None:
            # What comes later cannot be a parent: so there is no circle.
            _check_known(turn.parent, earlier, f"{place}.parent", "earlier turn")
        if turn.history is not None:
            _check_known(turn.history, answers, f"{place}.history", "answer")
        if turn.vote is not None:
            check_vote(turn.vote, own[turn.id], f"{place}.vote")
        earlier[turn.id] = turn


def _check_answers(conversation: Conversation) -> None:
    answers = conversation.answers
    _check_unique([answer.id for answer in answers], "conversation.answers")
    turns = {turn.id for turn in conversation.turns}
    earlier: dict[str, Answer] = {}
    for number, answer in enumerate(answers):
        place = f"$.conversation.answers[{number}]"
        _check_known(answer.turn, turns, f"{place}.turn", "turn")
        if answer.continues is not None:
            _check_known(answer.continues, earlier, f"{place}.continues", "earlier answer")
        if answer.usage is not None:
            _check_counts(answer.usage, f"{place}.usage")
        if answer.cost is not None and not 0 <= answer.cost.amount <= _MAX_COST:
            raise Contradiction(
                f"no answer costs {answer.cost.amount:g} dollars - at `{place}.cost.amount`"
            )
        for index, asked in enumerate(answer.asked):
            if asked >= len(conversation.messages):
                raise Contradiction(f"there is no such message - at `{place}.asked[{index}]`")
        earlier[answer.id] = answer


def _check_counts(usage: Usage, place: str) -> None:
    for name in ("prompt_tokens", "completion_tokens"):
        count = getattr(usage, name)
        if count is not None and not 0 <= count <= _MAX_COUNT:
            raise Contradiction(f"no answer has {count} tokens - at `{place}.{name}`")


def _check_known(name: str, known: Container[str], place: str, what: str) -> None:
    if name not in known:
        raise Contradiction(f"there is no {what} {name!r} - at `{place}`")


def _check_unique(names: Iterable[str], place: str) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if name in seen:
            raise Contradiction(f"{name!r} is there twice - at `$.{place}[{number}].id`")
        seen.add(name)
