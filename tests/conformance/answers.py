"""Generations: asked for, followed, cancelled."""

from typing import Any

from tests.conformance.kit import Subject, rule
from tests.conformance.peer import Followed, Peer, require

LENGTH = 24

_REASONS = {"stop", "length"}


async def ask(peer: Peer, *models: str, **fields: Any) -> list[str]:
    """Have models answer a short question."""
    given = {"messages": [{"role": "user", "content": "Name three rivers."}]}
    given |= {"parameters": {"max_new_tokens": LENGTH, "temperature": 0}} | fields
    if "prompt" in fields:
        del given["messages"]
    result = await peer.ask("generate", targets=[{"model": model} for model in models], **given)
    return [str(name) for name in result["generations"]]


def require_whole(followed: Followed) -> None:
    """Raise `Breach` unless an answer has come to an end of its own."""
    assert followed.end is not None
    reason = followed.end["finish_reason"]
    require(reason in _REASONS, f"it ended with {reason}: {followed.end}")
    require(followed.text, "it has no text")


@rule
async def several_targets_answer_at_once(subject: Subject) -> None:
    """Every target answers, a model named twice too, in the order `state`s, `delta`s, `end`."""
    async with subject.peer() as peer:
        await peer.enter()
        names = await ask(peer, *subject.models, subject.models[0])
        require(len(set(names)) == len(subject.models) + 1, f"the ids are {names}")
        for followed in await peer.hear_ends(names):
            require_whole(followed)


@rule
async def hello_may_be_left_out(subject: Subject) -> None:
    """Who skips `hello` works in a fresh session."""
    async with subject.peer() as peer:
        for followed in await peer.hear_ends(await ask(peer, subject.models[0])):
            require_whole(followed)


@rule
async def an_end_tells_what_it_took(subject: Subject) -> None:
    """`end` has the usage, and timings in milliseconds that fit together."""
    async with subject.peer() as peer:
        (followed,) = await peer.hear_ends(await ask(peer, subject.models[0]))
        assert followed.end is not None
        usage, timings = followed.end["usage"], followed.end["timings"]
        require(0 < usage["completion_tokens"] <= LENGTH, f"the usage is {usage}")
        require(
            0 <= timings["queued_ms"] <= timings["ttft_ms"] <= timings["total_ms"],
            f"the timings are {timings}",
        )


@rule
async def remarks_are_a_list(subject: Subject) -> None:
    """`notices` of an `end`, where there are any, are a list, each with its code and its words."""
    async with subject.peer() as peer:
        (followed,) = await peer.hear_ends(await ask(peer, subject.models[0]))
        assert followed.end is not None
        for notice in followed.end.get("notices", []):
            require(notice["code"] and notice["message"], f"a notice without words: {notice}")


@rule
async def unknown_fields_of_targets_are_ignored(subject: Subject) -> None:
    """A field of a target, or of `generate`, that the server does not know changes nothing."""
    target = {"model": subject.models[0], "colour": "green"}
    messages = [{"role": "user", "content": "Name a river.", "mood": "good"}]
    parameters = {"max_new_tokens": 4, "temperature": 0}
    fields = {"targets": [target], "messages": messages, "parameters": parameters}
    async with subject.peer() as peer:
        result = await peer.ask("generate", **fields, volume=11)
        for followed in await peer.hear_ends(result["generations"]):
            require_whole(followed)


@rule
async def the_length_is_kept(subject: Subject) -> None:
    """`max_new_tokens` is kept, and an answer that reaches it ends with `length`."""
    parameters = {"max_new_tokens": 1, "temperature": 0}
    async with subject.peer() as peer:
        names = await ask(peer, subject.models[0], prompt="One, two,", parameters=parameters)
        (followed,) = await peer.hear_ends(names)
        assert followed.end is not None
        require(followed.seq <= 1, f"there were {followed.seq} deltas")
        require(followed.end["finish_reason"] in _REASONS, f"it ended with {followed.end}")


@rule
async def neutral_values_mean_off(subject: Subject) -> None:
    """`temperature` 0, `top_p` 1 and `top_k` 0 are taken as "off", and null removes a key."""
    parameters: dict[str, Any] = {"temperature": 0, "top_p": 1, "top_k": 0}
    parameters |= {"max_new_tokens": 4, "repetition_penalty": None}
    async with subject.peer() as peer:
        names = await ask(peer, subject.models[0], parameters=parameters)
        for followed in await peer.hear_ends(names):
            require_whole(followed)


@rule
async def details_bring_tokens(subject: Subject) -> None:
    """With `details`, every delta has its tokens, and what is not special in them is its text."""
    async with subject.peer() as peer:
        (followed,) = await peer.hear_ends(await ask(peer, subject.models[0], details=True))
        require_whole(followed)
        count = 0
        for delta in followed.deltas:
            tokens = delta.get("tokens") or []
            count += len(tokens)
            text = "".join(token["text"] for token in tokens if not token["special"])
            require(text == delta["text"], f"the tokens are not the text: {delta}")
        require(count == followed.seq, f"{count} tokens in {followed.seq} deltas")


@rule
async def a_repeated_request_starts_nothing(subject: Subject) -> None:
    """The second `generate` with a `request_id` returns what the first did and starts nothing."""
    async with subject.peer() as peer:
        first = await ask(peer, subject.models[0], request_id="once")
        again = await ask(peer, subject.models[0], request_id="once")
        require(first == again, f"{first} and then {again}")
        await peer.hear_ends(first)
        require(await ask(peer, subject.models[0], request_id="once") == first, "afterwards, too")
        other = await ask(peer, subject.models[0], request_id="twice")
        require(other != first, "another request id is another request")
        await peer.hear_ends(other)


@rule
async def cancelling_ends_an_answer(subject: Subject) -> None:
    """`cancel` ends what is live with `cancelled`; what has ended or never was is no error."""
    parameters = {"max_new_tokens": 400, "temperature": 0}
    async with subject.peer() as peer:
        names = await ask(peer, subject.models[0], subject.models[0], parameters=parameters)
        first, second = names
        cancelled = (await peer.ask("cancel", generations=[first, "never-was"]))["cancelled"]
        require(cancelled in ([first], []), f"cancelled: {cancelled}")
        await peer.ask("cancel")
        ended = await peer.hear_ends(names)
        if cancelled:
            assert ended[0].end is not None
            reason = ended[0].end["finish_reason"]
            require(reason == "cancelled", f"{first} ended with {reason}")
        again = (await peer.ask("cancel", generations=[first, second]))["cancelled"]
        require(again == [], f"what has ended was cancelled: {again}")
        require((await peer.ask("cancel"))["cancelled"] == [], "nothing is live any more")
