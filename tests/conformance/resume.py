"""Sessions that outlive their sockets."""

from tests.conformance.answers import ask
from tests.conformance.kit import Subject, rule
from tests.conformance.peer import Followed, at_once, require


async def _written(subject: Subject) -> tuple[str, str, Followed]:
    """Have a model answer; return the session, the generation, and how it came."""
    async with subject.peer() as peer:
        session = (await peer.enter())["session"]
        (name,) = await ask(peer, subject.models[0])
        (followed,) = await peer.hear_ends([name])
        return session, name, followed


@rule
async def what_is_missing_follows_at_once(subject: Subject) -> None:
    """From any cursor that was reached, what is missing follows exactly, and then the end."""
    session, name, whole = await _written(subject)
    heard = ""
    for delta in [{"seq": 0, "text": ""}, *whole.deltas]:
        heard += delta["text"]
        async with subject.peer() as peer:
            result = await peer.enter(session, **{name: delta["seq"]})
            require(result["resumed"] is True, "the session was not resumed")
            (rest,) = await peer.hear_ends([name])
            require(heard + rest.text == whole.text, f"from {delta['seq']} came {rest.text!r}")
            require(rest.end == whole.end, f"the end was {whole.end} and is {rest.end}")


@rule
async def without_a_cursor_all_is_sent(subject: Subject) -> None:
    """A generation without a cursor is sent from 0, and `hello` lists it."""
    session, name, whole = await _written(subject)
    async with subject.peer() as peer:
        (info,) = (await peer.enter(session))["generations"]
        assert whole.end is not None
        wanted = {
            "id": name,
            "model": subject.models[0],
            "state": "ended",
            "seq": whole.seq,
            "finish_reason": whole.end["finish_reason"],
        }
        require(wanted.items() <= info.items(), f"it is listed as {info}")
        (again,) = await peer.hear_ends([name])
        require(again.text == whole.text, f"what came was {again.text!r}")


@rule
async def a_cursor_beyond_is_refused(subject: Subject) -> None:
    """A cursor beyond what was produced is refused."""
    session, name, whole = await _written(subject)
    async with subject.peer() as peer:
        command = await peer.say("hello", session=session, cursors={name: whole.seq + 1})
        answer = await peer.answer_to(command)
        require(answer["type"] == "error", f"it was taken: {answer}")


@rule
async def unknown_sessions_are_not_resumed(subject: Subject) -> None:
    """A session that is not known is not resumed; another one is given."""
    async with subject.peer() as peer:
        result = await peer.enter("s_no-such-session", g1=3)
        require(result["resumed"] is False, "it was resumed")
        require(result["session"] != "s_no-such-session", "it was given that very session")


@rule
async def a_break_takes_no_answer_with_it(subject: Subject) -> None:
    """An answer goes on while no socket is attached, and is whole for who comes back."""
    async with subject.peer() as peer:
        session = (await peer.enter())["session"]
        (name,) = await ask(peer, subject.models[0])
        await peer.hear_until(lambda event: event["type"] == "delta")
        heard = peer.generations[name]
        peer.cut()
    async with subject.peer() as back:
        require((await back.enter(session, **{name: heard.seq}))["resumed"], "it is not known")
        (rest,) = await back.hear_ends([name])
    async with subject.peer() as third:
        await third.enter(session)
        (whole,) = await third.hear_ends([name])
    assert whole.end is not None
    require(whole.end["finish_reason"] in ("stop", "length"), f"it ended as {whole.end}")
    require(heard.text + rest.text == whole.text, f"{heard.text!r} and {rest.text!r}")


@rule
async def several_sockets_hear_the_same(subject: Subject) -> None:
    """Every socket of a session hears every answer, whoever asked, each from its own cursor."""
    async with subject.peer() as one, subject.peer() as other:
        session = (await one.enter())["session"]
        (first,) = await ask(one, subject.models[0])
        require((await other.enter(session))["resumed"], "the session is not known")
        (second,) = await ask(other, subject.models[-1])
        names = [first, second]
        heard = await at_once(one.hear_ends(names), other.hear_ends(names))
        texts = [[followed.text for followed in each] for each in heard]
        require(texts[0] == texts[1], f"one heard {texts[0]}, the other {texts[1]}")
