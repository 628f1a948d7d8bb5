"""Commands and their answers."""

from tests.conformance.kit import Subject, rule
from tests.conformance.peer import require


def _target(subject: Subject) -> dict[str, str]:
    return {"model": subject.models[0]}


@rule
async def hello_tells_how_everything_stands(subject: Subject) -> None:
    """`hello` is answered with the protocol's version, the server, a session and the models."""
    async with subject.peer() as peer:
        result = await peer.enter()
        require(result["protocol"] == 1, f"the protocol is {result['protocol']!r}")
        require({"name", "version"} <= set(result["server"]), f"server is {result['server']}")
        require(result["session"] and isinstance(result["session"], str), "there is no session")
        require(result["resumed"] is False, "a fresh session was resumed")
        require(result["generations"] == [], "a fresh session has generations")
        known = {model["id"] for model in result["models"]}
        require(known.issuperset(subject.models), f"the models are {sorted(known)}")


@rule
async def models_have_their_fields(subject: Subject) -> None:
    """Every model has all the fields of `Model`."""
    fields = {
        *("id", "name", "description", "runner", "engine", "state", "progress", "error"),
        *("running", "waiting", "limits", "capabilities", "parameters", "outdated"),
        *("defaults", "server", "details"),
    }
    async with subject.peer() as peer:
        for model in (await peer.enter())["models"]:
            missing = fields - set(model)
            require(not missing, f"{model['id']} lacks {sorted(missing)}")


@rule
async def hello_comes_once(subject: Subject) -> None:
    """A second `hello` on a socket is refused."""
    async with subject.peer() as peer:
        await peer.enter()
        await peer.be_refused("invalid_command", "hello")


@rule
async def every_command_has_one_answer(subject: Subject) -> None:
    """Every command gets exactly one answer, with its id."""
    async with subject.peer() as peer:
        said = [await peer.say("ping") for _ in range(10)]
        for command in said:
            if command not in peer.answers:
                await peer.answer_to(command)
        await peer.ask("ping")
        require(sorted(peer.answers) == [*said, said[-1] + 1], f"answers: {peer.answers}")


@rule
async def unknown_commands_are_answered(subject: Subject) -> None:
    """An unknown type is answered with `unknown_type`, and the socket stays."""
    async with subject.peer() as peer:
        await peer.be_refused("unknown_type", "applaud")


@rule
async def wrong_fields_are_answered(subject: Subject) -> None:
    """Fields of the wrong type are answered with `invalid_command`, and the socket stays."""
    async with subject.peer() as peer:
        await peer.be_refused("invalid_command", "start")
        await peer.be_refused("invalid_command", "start", model=7)
        await peer.be_refused("invalid_command", "cancel", generations="g1")
        await peer.be_refused("invalid_command", "logs", model=subject.models[0], tail=-1)
        await peer.be_refused("invalid_command", "hello", cursors={"g1": -1})


@rule
async def commands_without_a_usable_id_are_answered(subject: Subject) -> None:
    """A command whose id is missing or below 1 is answered with an error, and the socket stays."""
    async with subject.peer() as peer:
        for frame in ('{"type": "ping"}', '{"type": "ping", "id": 0}'):
            await peer.socket.send_str(frame)
            answer = await peer.hear_until(lambda event: event["type"] == "error")
            code = answer["error"]["code"]
            require(code == "invalid_command", f"{frame} was answered with {code}")
        await peer.ask("ping")


@rule
async def unknown_fields_are_ignored(subject: Subject) -> None:
    """A field that the server does not know changes nothing."""
    async with subject.peer() as peer:
        require(await peer.ask("ping", colour="green") == {}, "`ping` has a result")


@rule
async def unknown_models_are_refused(subject: Subject) -> None:
    """A model that is not there is answered with `unknown_model`, by every command."""
    nobody = "no-such-model"
    async with subject.peer() as peer:
        for kind in ("start", "stop", "logs"):
            await peer.be_refused("unknown_model", kind, model=nobody)
        await peer.be_refused("unknown_model", "generate", targets=[{"model": nobody}], prompt="x")


@rule
async def one_bad_target_fails_all(subject: Subject) -> None:
    """One bad target fails the whole command, and nothing starts."""
    async with subject.peer() as peer:
        session = (await peer.enter())["session"]
        for bad in (
            {"model": "no-such-model"},
            {**_target(subject), "parameters": {"temperature": -1}},
        ):
            answer = await peer.answer_to(
                await peer.say("generate", targets=[_target(subject), bad], prompt="x")
            )
            require(answer["type"] == "error", f"{bad} was taken")
        async with subject.peer() as other:
            result = await other.enter(session)
            require(result["generations"] == [], "something has started")


@rule
async def bad_parameters_are_refused(subject: Subject) -> None:
    """An unknown parameter, and one out of its range, is answered with `invalid_parameters`."""
    async with subject.peer() as peer:
        for parameters in ({"no_such_parameter": 1}, {"top_p": 7}, {"max_new_tokens": "many"}):
            await peer.be_refused(
                "invalid_parameters",
                "generate",
                targets=[_target(subject)],
                prompt="x",
                parameters=parameters,
            )


@rule
async def one_of_messages_and_prompt_is_given(subject: Subject) -> None:
    """`generate` has exactly one of `messages` and `prompt`, and at least one target."""
    messages = [{"role": "user", "content": "x"}]
    async with subject.peer() as peer:
        for fields in (
            {"targets": [_target(subject)]},
            {"targets": [_target(subject)], "prompt": "x", "messages": messages},
            {"targets": [], "prompt": "x"},
            {"targets": [_target(subject)], "messages": [{"role": "boss", "content": "x"}]},
            {"targets": [_target(subject)], "prompt": "x", "trim": "oldest_turns"},
            {"targets": [_target(subject)], "prompt": "x", "trim": "newest_turns"},
        ):
            await peer.be_refused("invalid_command", "generate", **fields)


@rule
async def a_started_model_becomes_ready(subject: Subject) -> None:
    """`start` returns the model at once; what follows comes as `model` events, up to `ready`."""
    name = subject.models[0]
    async with subject.peer() as peer:
        await peer.enter()
        model = (await peer.ask("start", model=name))["model"]
        require(model["id"] == name, f"the result is {model}")
        while model["state"] != "ready":
            require(model["state"] != "failed", f"it failed: {model['error']}")
            event = await peer.hear_until(lambda event: event["type"] == "model")
            model = event["model"] if event["model"]["id"] == name else model


@rule
async def logs_come_and_end(subject: Subject) -> None:
    """`logs` without `follow` brings at most `tail` lines and says that they have `ended`."""
    async with subject.peer() as peer:
        fields = {"model": subject.models[0], "tail": 2, "follow": False}
        name = (await peer.ask("logs", **fields))["subscription"]
        lines = 0
        while True:
            event = await peer.hear_until(lambda event: event["type"] == "log")
            require(event["subscription"] == name, f"lines of another subscription: {event}")
            lines += len(event["lines"])
            if event.get("ended"):
                break
        require(lines <= 2, f"there were {lines} lines")


@rule
async def subscriptions_can_be_left(subject: Subject) -> None:
    """`unsubscribe` is answered with `{}`, also for one that has ended."""
    async with subject.peer() as peer:
        name = (await peer.ask("logs", model=subject.models[0]))["subscription"]
        for _ in range(2):
            require(await peer.ask("unsubscribe", subscription=name) == {}, "it has a result")
