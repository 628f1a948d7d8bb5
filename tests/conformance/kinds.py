"""Kinds of text: what is thinking, what is a call of a tool, what is answer."""

from collections.abc import Iterable
from typing import Any, Final

from tests.conformance.answers import ask
from tests.conformance.kit import Subject, rule
from tests.conformance.peer import Followed, at_once, require

KINDS: Final = ("reasoning", "tool_call")


async def _both(subject: Subject, model: str) -> tuple[str, str, Followed, Followed]:
    """Have one answer heard by who knows no kinds and by who does; return it as each hears it."""
    async with subject.peer() as plain, subject.peer(KINDS) as apart:
        session = (await plain.enter())["session"]
        (name,) = await ask(plain, model, details=True)
        require((await apart.enter(session))["resumed"], "the session is not known")
        heard = await at_once(plain.hear_ends([name]), apart.hear_ends([name]))
        return session, name, heard[0][0], heard[1][0]


def _tokens(deltas: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [token for delta in deltas for token in delta.get("tokens") or ()]


def _said(token: dict[str, Any], kinds: tuple[str, ...]) -> tuple[str, str]:
    """Return the kind and the text of a token, for who knows these kinds."""
    text = "" if token["special"] else token["text"]
    kind = token.get("kind", "answer")
    if kind not in kinds:
        return "answer", text
    return kind, "" if token.get("mark") else text


def _by_kind(pieces: Iterable[tuple[str, str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for kind, text in pieces:
        if text:
            texts[kind] = texts.get(kind, "") + text
    return texts


def _heard(deltas: Iterable[dict[str, Any]]) -> dict[str, str]:
    return _by_kind((delta.get("kind", "answer"), delta["text"]) for delta in deltas)


@rule
async def who_lists_no_kind_gets_text(subject: Subject) -> None:
    """Who lists no kinds gets all as text of the answer, every word of every kind in its place."""
    for model in subject.models:
        _, _, plain, apart = await _both(subject, model)
        told = [delta for delta in plain.deltas if delta.get("kind") or delta.get("call")]
        require(not told, f"a kind that was not listed: {told[:1]}")
        require(plain.end == apart.end, f"one ended with {plain.end}, one with {apart.end}")
        place = 0
        for token in _tokens(apart.deltas):
            _, text = _said(token, KINDS)
            place = plain.text.find(text, place)
            require(place >= 0, f"{text!r} is missing or in another place in {plain.text!r}")
            place += len(text)


@rule
async def a_delta_is_of_one_kind(subject: Subject) -> None:
    """Who lists kinds gets deltas of one kind each, without the marks around them."""
    for model in subject.models:
        _, _, _, apart = await _both(subject, model)
        for delta in apart.deltas:
            kind = delta.get("kind", "answer")
            require(kind in ("answer", *KINDS), f"a kind that was not listed: {delta}")
            require((kind == "tool_call") == bool(delta.get("call")), f"of which call? {delta}")
            said = [_said(token, KINDS) for token in delta.get("tokens") or ()]
            require({kind} >= {one for one, _ in said}, f"of several kinds: {delta}")
            text = "".join(text for _, text in said)
            require(text == delta["text"], f"the tokens are not the text: {delta}")


@rule
async def cursors_mean_the_same_to_everybody(subject: Subject) -> None:
    """From any cursor, who knows kinds and who does not get exactly what is missing."""
    for model in subject.models:
        session, name, plain, apart = await _both(subject, model)
        tokens = _tokens(plain.deltas)
        require(len(tokens) == plain.seq == apart.seq, "the tokens are not the deltas")
        for cursor in sorted({0, *(delta["seq"] for delta in (*plain.deltas, *apart.deltas))}):
            for kinds in ((), KINDS):
                async with subject.peer(kinds) as peer:
                    await peer.enter(session, **{name: cursor})
                    (rest,) = await peer.hear_ends([name])
                wanted = _by_kind(_said(token, kinds) for token in tokens[cursor:])
                heard = _heard(rest.deltas)
                require(heard == wanted, f"from {cursor} came {heard}, wanted {wanted}")
