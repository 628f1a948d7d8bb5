"""Check and read an exported conversation; errors name the field.

An export comes from anywhere. The types check its form, and the caller its size. This module checks
that references name something that exists, and that the turns are a tree.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from server.archive.files import checked_files
from server.archive.refusals import in_words, not_json
from server.archive.shapes import (
    Conversation,
    Export,
    StoredAnswer,
    StoredAttachment,
    StoredCall,
    Turn,
    VoteGiven,
)
from server.archive.writing import size_of
from server.core.attachments import AttachmentLimits
from server.core.errors import Contradiction, ConversationLimit, InvalidCommand
from server.core.json_halves import half_problem
from server.core.protocol import Usage

# The view state of a page, sent with every conversation.
MAX_VIEW_CHARS: Final = 64 * 1024
# 64 columns, each with a long system prompt.
MAX_COLUMNS_CHARS: Final = 512 * 1024

# More than any model writes, and what every reader of JSON can hold.
_MAX_COUNT: Final = 2**53
# More than any tool's name or call's id has.
_MAX_NAME_CHARS: Final = 1_000
# US dollars, more than any answer costs.
_MAX_COST: Final = 1e9

_export = msgspec.json.Decoder(Export)


def read_export(
    body: bytes, *, max_size: int, attachments: AttachmentLimits
) -> tuple[Conversation, list[StoredAttachment]]:
    """Return the conversation of an export with the attachments of which it has the bytes.

    The others, which it only names, are the second item.
    Raises `InvalidCommand` with the path of the wrong field, or `ConversationLimit`.
    """
    try:
        export = _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidCommand(in_words(str(error))) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidCommand(half_problem(body) or not_json(body, str(error))) from None
    except RecursionError:
        raise InvalidCommand("the file is nested too deeply") from None
    conversation = export.conversation
    if size_of(conversation) > max_size:
        raise ConversationLimit(
            f"a conversation may have {max_size} characters",
            hint="raise `max_conversation_size` in [conversations]",
        )
    check_outline(conversation)
    own = _check_turns(conversation)
    _check_messages(conversation)
    _check_answers(conversation)
    _check_votes(conversation, own)
    files = checked_files(conversation.attachments, attachments)
    there = {one.id for one in files}
    named = [one for one in conversation.attachments if one.id not in there]
    return msgspec.structs.replace(conversation, attachments=files), named


def _decode(body: bytes) -> Export:
    try:
        return _export.decode(body)
    except msgspec.ValidationError:
        # Many JSON writers do not distinguish 5 from 5.0.
        return msgspec.convert(_with_whole_numbers(msgspec.json.decode(body)), Export)


def _with_whole_numbers(value: Any) -> Any:
    """Return JSON with 5.0 replaced by 5."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_outline(outline: Any) -> None:
    """Raise `InvalidCommand` when columns or view are too large or have an id twice."""
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


def check_turn(answer: str, found: str, turn: str | None, place: str) -> None:
    """Raise `Contradiction` when an answer, found in one turn, does not belong to `turn`."""
    if found != turn:
        where = "a parent" if turn is None else f"the turn {turn!r}"
        raise Contradiction(f"{answer!r} is no answer of {where} - at `{place}`")


def _check_turns(conversation: Conversation) -> dict[str, set[str]]:
    """Check the turns and their votes; return the ids of each turn's answers."""
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
            found = answers[turn.history].turn
            check_turn(turn.history, found, turn.parent, f"{place}.history")
        if turn.vote is not None:
            check_vote(turn.vote, own[turn.id], f"{place}.vote")
        earlier[turn.id] = turn
    return own


def _check_votes(conversation: Conversation, own: Mapping[str, set[str]]) -> None:
    turns = {turn.id for turn in conversation.turns}
    for number, vote in enumerate(conversation.votes):
        place = f"$.conversation.votes[{number}]"
        _check_known(vote.turn or "", turns, f"{place}.turn", "turn")
        check_vote(vote, own.get(vote.turn or "", set()), place)
        compared = [one.answer for one in vote.candidates]
        winners = {one.answer for one in vote.candidates if one.won}
        if vote.candidates and (compared != vote.among or winners != set(vote.winners)):
            raise Contradiction(
                f"`candidates` differ from `among` or `winners` - at `{place}.candidates`"
            )


def _check_messages(conversation: Conversation) -> None:
    for number, asked in enumerate(conversation.messages):
        if (asked.role == "tool") != bool(asked.tool_call_id):
            raise Contradiction(
                "`tool_call_id` goes with the role tool, which needs it"
                f" - at `$.conversation.messages[{number}]`"
            )


def _check_answers(conversation: Conversation) -> None:
    answers = conversation.answers
    _check_unique([answer.id for answer in answers], "conversation.answers")
    turns = {turn.id for turn in conversation.turns}
    earlier: dict[str, StoredAnswer] = {}
    for number, answer in enumerate(answers):
        place = f"$.conversation.answers[{number}]"
        _check_known(answer.turn, turns, f"{place}.turn", "turn")
        if answer.continues is not None:
            _check_known(answer.continues, earlier, f"{place}.continues", "earlier answer")
            found = earlier[answer.continues].turn
            check_turn(answer.continues, found, answer.turn, f"{place}.continues")
        if answer.usage is not None:
            _check_counts(answer.usage, f"{place}.usage")
        if answer.cost is not None and not 0 <= answer.cost.amount <= _MAX_COST:
            raise Contradiction(
                f"no answer costs {answer.cost.amount:g} dollars - at `{place}.cost.amount`"
            )
        _check_calls(answer.tool_calls, f"{place}.tool_calls")
        for index, asked in enumerate(answer.asked):
            if asked >= len(conversation.messages):
                raise Contradiction(f"there is no such message - at `{place}.asked[{index}]`")
        earlier[answer.id] = answer


def _check_counts(usage: Usage, place: str) -> None:
    for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens", "context_tokens"):
        count = getattr(usage, name)
        if count is not None and not 0 <= count <= _MAX_COUNT:
            raise Contradiction(f"no answer has {count} tokens - at `{place}.{name}`")


def _check_calls(calls: Sequence[StoredCall], place: str) -> None:
    last = -1
    for number, call in enumerate(calls):
        if not last < call.index <= _MAX_COUNT:
            raise Contradiction(
                f"calls have rising indexes from 0 on - at `{place}[{number}].index`"
            )
        last = call.index
        for name in ("id", "name"):
            if len(getattr(call, name)) > _MAX_NAME_CHARS:
                raise Contradiction(
                    f"the {name} of a call has {_MAX_NAME_CHARS} characters at most"
                    f" - at `{place}[{number}].{name}`"
                )


def _check_known(name: str, known: Container[str], place: str, what: str) -> None:
    if name not in known:
        raise Contradiction(f"there is no {what} {name!r} - at `{place}`")


def _check_unique(names: Iterable[str], place: str) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if name in seen:
            raise Contradiction(f"{name!r} is there twice - at `$.{place}[{number}].id`")
        seen.add(name)
