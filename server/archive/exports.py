"""A conversation as a file: JSON with all of it, Markdown, or a page that needs nothing else.

Turns stand in the order of the tree: each branch whole before the next one. In the page all text is
escaped, and its policy lets nothing be loaded and nothing be run.
"""

import base64
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from math import floor, log10
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup

from server.archive.shapes import (
    FORMAT,
    FORMAT_VERSION,
    Answer,
    Conversation,
    Export,
    Turn,
)
from server.core.errors import ConversationLimit
from server.core.protocol import Cost

MARKDOWN: Final = "text/markdown"
HTML: Final = "text/html"

_TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"
# US dollars: what is less is not told apart.
_LEAST_COST: Final = 0.000001
_VERDICTS: Final = {
    "better": "better than the others",
    "tie": "as good as the others",
    "bad": "bad",
}


def export_json(conversation: Conversation, server: str) -> bytes:
    """Write everything there is of a conversation, loaded in full."""
    export = Export(FORMAT, FORMAT_VERSION, round(time.time(), 3), server, conversation)
    return msgspec.json.format(msgspec.json.encode(export), indent=1)


def export_markdown(conversation: Conversation, max_chars: int) -> bytes:
    """Write prompts and answers to be read, and what each answer took.

    Raises `ConversationLimit` when the answers' whole texts have more than `max_chars` characters.
    """
    texts = whole_texts(conversation, max_chars)
    parts = [f"# {_one_line(conversation.title) or 'A conversation'}"]
    parts.append(f"{moment(conversation.created)}, {_counted(conversation)}")
    for turn, branch, answers in walk(conversation):
        parts.append("## Prompt" + (f" (branch {branch})" if branch else ""))
        parts.append("\n".join(f"> {line}".rstrip() for line in turn.text.splitlines() or [""]))
        for answer in answers:
            parts.append(f"### {_one_line(answer.model)}")
            parts.append(texts[answer.turn, answer.id] or "*nothing*")
            parts.append(f"*{'; '.join(facts_of(answer, turn))}*")
    return ("\n\n".join(parts) + "\n").encode()


def export_html(conversation: Conversation, max_chars: int) -> bytes:
    """Write a page to be read, that is one file; raises what `export_markdown` does."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = _environment().get_template("conversation.html")
    return page.render(
        conversation=conversation,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'",
        # Our own file; in a style element nothing is unescaped.
        style=Markup(style),  # noqa: S704
        words=_counted(conversation),
        walk=walk,
        moment=moment,
        facts_of=facts_of,
        texts=whole_texts(conversation, max_chars),
    ).encode()


def walk(conversation: Conversation) -> Iterator[tuple[Turn, int, list[Answer]]]:
    """Yield turns with their answers, parents before children; branches beside the first counted.

    Without recursion: a conversation may be longer than Python's stack.
    """
    children: dict[str | None, list[Turn]] = defaultdict(list)
    for turn in conversation.turns:
        children[turn.parent].append(turn)
    answers: dict[str, list[Answer]] = defaultdict(list)
    for answer in conversation.answers:
        answers[answer.turn].append(answer)
    waiting = [(turn, number) for number, turn in reversed([*enumerate_turns(children[None])])]
    while waiting:
        turn, branch = waiting.pop()
        yield turn, branch, answers[turn.id]
        below = enumerate_turns(children[turn.id])
        waiting += [(child, number) for number, child in reversed([*below])]


def enumerate_turns(turns: list[Turn]) -> Iterator[tuple[int, Turn]]:
    """Number turns with one parent from 1; one that is alone has number 0."""
    return enumerate(turns, 1 if len(turns) > 1 else 0)


def whole_texts(conversation: Conversation, max_chars: int) -> dict[tuple[str, str], str]:
    """Return answers' texts by turn and id, each with those before it that it goes on from.

    Raises `ConversationLimit` beyond `max_chars` in all: many that go on from each other become
    much more text than there is of them.
    """
    texts: dict[tuple[str, str], str] = {}
    chars = 0
    # Each one goes on from an earlier one: there is no circle.
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


def facts_of(answer: Answer, turn: Turn) -> list[str]:
    """Return in words how an answer came about and how it ended."""
    facts: list[str] = [answer.finish_reason or answer.state]
    if answer.usage is not None:
        about = "about " if answer.usage.estimated else ""
        facts.append(f"{about}{answer.usage.completion_tokens} tokens")
    if answer.timings is not None:
        facts.append(f"{answer.timings.total_ms / 1000:.1f} s")
        if answer.timings.ttft_ms is not None:
            facts.append(f"first token after {answer.timings.ttft_ms / 1000:.2f} s")
        if answer.timings.tokens_per_second is not None:
            about = "about " if answer.usage is not None and answer.usage.estimated else ""
            facts.append(f"{about}{answer.timings.tokens_per_second:.1f} tokens/s")
    if answer.cost is not None:
        facts.append(_cost_of(answer.cost))
    if answer.answered_by:
        facts.append(f"answered by {answer.answered_by}")
    if "seed" in answer.parameters:
        facts.append(f"seed {answer.parameters['seed']}")
    if turn.vote is not None and answer.id in (turn.vote.winners or turn.vote.among):
        facts.append("voted " + _VERDICTS[turn.vote.verdict])
    if answer.error is not None:
        facts.append(answer.error.message)
    facts += [notice.message for notice in answer.notices]
    return [_one_line(fact) for fact in facts]


def moment(seconds: float) -> str:
    """Write a time for people, the same wherever it is read."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cost_of(cost: Cost) -> str:
    """Write a cost in dollars with as many digits as tell it from nothing."""
    amount = cost.amount
    if 0 < amount < _LEAST_COST:
        return f"less than ${_LEAST_COST:f}"
    digits = 2 if amount == 0 or amount >= 1 else max(4, 1 - floor(log10(amount)))
    return f"{'about ' if cost.estimated else ''}${amount:.{digits}f}"


def _counted(conversation: Conversation) -> str:
    models = sorted({answer.model for answer in conversation.answers})
    return ", ".join([f"{len(conversation.turns)} prompts", *map(_one_line, models)])


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    return (_TEMPLATES / "conversation.css").read_text(encoding="utf-8").strip()
