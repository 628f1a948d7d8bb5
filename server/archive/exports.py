"""Export a conversation: complete as JSON, or to be read as Markdown or one HTML file.

Turns come in the order of the tree, each branch whole before the next. In the HTML answers are
rendered as on the page; its content security policy forbids scripts and loading anything.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import floor, log10
from typing import Any, Final

import msgspec

from server.archive.shapes import (
    FORMAT,
    FORMAT_VERSION,
    Conversation,
    Export,
    StoredAnswer,
    StoredCall,
    Turn,
)
from server.core.errors import ConversationLimit
from server.core.protocol import Cost, FilePart
from server.typesetting.pages import render_page

MARKDOWN: Final = "text/markdown"
HTML: Final = "text/html"

# US dollars; the smallest amount that is written out.
_LEAST_COST: Final = 0.000001
_VERDICTS: Final = {
    "better": "better than the others",
    "tie": "as good as the others",
    "bad": "bad",
}


def export_json(conversation: Conversation, server: str) -> bytes:
    """Write a conversation completely; it has to be loaded with `is_full`."""
    export = Export(FORMAT, FORMAT_VERSION, round(time.time(), 3), server, conversation)
    return msgspec.json.format(msgspec.json.encode(export), indent=1)


def export_markdown(
    conversation: Conversation, max_chars: int, names: Mapping[str, str] = {}
) -> bytes:
    """Write prompts, answers, and the figures of each answer.

    `names` has what models are called by their ids; others appear by their ids.

    Raises `ConversationLimit` when the answers' whole texts have more than `max_chars` characters.
    """
    texts = whole_texts(conversation, max_chars)
    parts = [f"# {_one_line(conversation.title) or 'A conversation'}"]
    named = _named(conversation, names)
    parts.append(f"{moment(conversation.created)}, {_counted(conversation, named)}")
    for turn, branch, answers in walk(conversation):
        parts.append("## Prompt" + (f" (branch {branch})" if branch else ""))
        parts.append(_quoted(turn.text))
        if files := attachments_of(conversation, turn):
            parts.append("\n".join(f"- {_one_line(words)}" for words, _ in files))
        for answer in answers:
            parts.append(f"### {named[answer.model]}")
            if answer.reasoning:
                parts += ["<details><summary>Thinking</summary>", _folded(answer.reasoning)]
                parts.append("</details>")
            text = texts[answer.turn, answer.id]
            if text or not answer.tool_calls:
                parts.append(text or "*nothing*")
            parts += map(_call_in_markdown, answer.tool_calls)
            parts.append(f"*{'; '.join(describe_answer(answer, turn))}*")
    return ("\n\n".join(parts) + "\n").encode()


def export_html(conversation: Conversation, max_chars: int, names: Mapping[str, str] = {}) -> bytes:
    """Write one HTML file with everything in it; as `export_markdown` otherwise."""
    named = _named(conversation, names)
    return render_page(
        "conversation.html",
        ("conversation.css",),
        conversation=conversation,
        words=_counted(conversation, named),
        named=named,
        walk=walk,
        attachments_of=attachments_of,
        moment=moment,
        describe_answer=describe_answer,
        texts=whole_texts(conversation, max_chars),
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines() or [""])


def _folded(text: str) -> str:
    """Write text that can neither end the fold it stands in, nor leave a code block open."""
    return _quoted(re.sub(r"</(?=details)", "&lt;/", text, flags=re.IGNORECASE))


def _call_in_markdown(call: StoredCall) -> str:
    fence = "`" * (max([2, *map(len, re.findall("`+", call.arguments))]) + 1)
    name = _one_line(call.name).replace("`", "'")
    return f"Calls `{name}`\n\n{fence}json\n{call.arguments}\n{fence}"


def walk(conversation: Conversation) -> Iterator[tuple[Turn, int, list[StoredAnswer]]]:
    """Yield each turn, its number among its siblings (0 if it has none) and its answers.

    Parents come before children. Without recursion: a conversation may be deeper than Python's
    stack.
    """
    children: dict[str | None, list[Turn]] = defaultdict(list)
    for turn in conversation.turns:
        children[turn.parent].append(turn)
    answers: dict[str, list[StoredAnswer]] = defaultdict(list)
    for answer in conversation.answers:
        answers[answer.turn].append(answer)
    waiting = [(turn, number) for number, turn in reversed([*enumerate_turns(children[None])])]
    while waiting:
        turn, branch = waiting.pop()
        yield turn, branch, answers[turn.id]
        below = enumerate_turns(children[turn.id])
        waiting += [(child, number) for number, child in reversed([*below])]


def attachments_of(conversation: Conversation, turn: Turn) -> list[tuple[str, str]]:
    """Return what is attached to a turn: each file in words, and a picture's URL if it is here."""
    files = {one.id: one for one in conversation.attachments}
    found = []
    for part in turn.attachments:
        file = files.get(part.attachment)
        if file is None:
            found.append(("a file that is not kept", ""))
            continue
        name = (part.name if isinstance(part, FilePart) else None) or file.name
        if file.kind == "image":
            url = f"data:{file.media_type};base64,{file.data}" if file.data else ""
            found.append((f"Picture: {name}, {file.width} x {file.height} pixels", url))
        else:
            found.append((f"File: {name}, {file.bytes:,} bytes", ""))
    return found


def enumerate_turns(turns: list[Turn]) -> Iterator[tuple[int, Turn]]:
    """Return sibling turns with their numbers, from 1; an only child has number 0."""
    return enumerate(turns, 1 if len(turns) > 1 else 0)


def whole_texts(conversation: Conversation, max_chars: int) -> dict[tuple[str, str], str]:
    """Return answers' texts by turn and id, each behind the text of the answer it continues.

    Raises `ConversationLimit` beyond `max_chars` in all: a long chain of continued answers becomes
    much longer than its parts.
    """
    texts: dict[tuple[str, str], str] = {}
    chars = 0
    # An answer continues an earlier one: there is no circle.
    for answer in conversation.answers:
        text = texts.get((answer.turn, answer.continues or ""), "") + answer.text
        chars += len(text)
        if chars > max_chars:
            raise ConversationLimit(
                f"written out, the answers have more than {max_chars} characters",
                hint="export it as JSON, or raise `max_conversation_size` in [conversations]",
            )
        texts[answer.turn, answer.id] = text
    return texts


def describe_answer(answer: StoredAnswer, turn: Turn) -> list[str]:
    """Describe in words how an answer was generated and how it ended."""
    facts: list[str] = [answer.finish_reason or answer.state]
    if answer.usage is not None:
        about = "about " if answer.usage.estimated else ""
        facts.append(f"{about}{answer.usage.completion_tokens} tokens")
        if answer.usage.reasoning_tokens:
            facts.append(f"{answer.usage.reasoning_tokens} of them thinking")
    if answer.timings is not None:
        facts.append(f"{answer.timings.total_ms / 1000:.1f} s")
        if answer.timings.ttft_ms is not None:
            facts.append(f"first token after {answer.timings.ttft_ms / 1000:.2f} s")
        if answer.timings.answer_ms is not None:
            facts.append(f"answer after {answer.timings.answer_ms / 1000:.2f} s")
        if answer.timings.tokens_per_second is not None:
            about = "about " if answer.usage is not None and answer.usage.estimated else ""
            facts.append(f"{about}{answer.timings.tokens_per_second:.1f} tokens/s")
    if answer.cost is not None:
        facts.append(_cost_of(answer.cost))
    if answer.answered_by:
        facts.append(f"answered by {answer.answered_by}")
    facts += [
        f"{name.replace('_', ' ')} {_in_words(value)}"
        for name, value in answer.parameters.items()
        if value is not None
    ]
    if turn.vote is not None and answer.id in (turn.vote.winners or turn.vote.among):
        facts.append("voted " + _VERDICTS[turn.vote.verdict])
    if answer.error is not None:
        facts.append(answer.error.message)
    facts += [notice.message for notice in answer.notices]
    return [_one_line(fact) for fact in facts]


def moment(seconds: float) -> str:
    """Write a time for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cost_of(cost: Cost) -> str:
    """Write a cost in dollars, with enough digits that it is not rounded to zero."""
    amount = cost.amount
    if 0 < amount < _LEAST_COST:
        return f"less than ${_LEAST_COST:f}"
    digits = 2 if amount == 0 or amount >= 1 else max(4, 1 - floor(log10(amount)))
    return f"{'about ' if cost.estimated else ''}${amount:.{digits}f}"


def _named(conversation: Conversation, names: Mapping[str, str]) -> dict[str, str]:
    """Return what to call each model; several of one name have their ids beside it."""
    models = dict.fromkeys(answer.model for answer in conversation.answers)
    called = {model: _one_line(names.get(model) or model) for model in models}
    found = list(called.values())
    return {
        model: name if found.count(name) == 1 else f"{name} ({_one_line(model)})"
        for model, name in called.items()
    }


def _counted(conversation: Conversation, named: Mapping[str, str]) -> str:
    return ", ".join([f"{len(conversation.turns)} prompts", *sorted(named.values())])


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())
