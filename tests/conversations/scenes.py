"""What is recorded: one function for each dialogue, its docstring is what it shows."""

import sys

from server.models.catalog import ModelSpec
from server.settings import ModelSettings
from tests.conversations.record import Stage, question, scene
from tests.support.ports import free_ports
from tests.wire.gateway import until


@scene
async def side_by_side(stage: Stage) -> None:
    """Two models answer one question at once, one of them with parameters of its own."""
    one = await stage.fake(model_id="one", answer_tokens=12, delay_ms=2)
    two = await stage.fake(model_id="two", delay_ms=2)
    await stage.gateway({"one": one.url, "two": two.url})
    await stage.connect()
    asked = question("one", "two", parameters={"max_new_tokens": 20})
    asked["targets"][1] |= {"parameters": {"max_new_tokens": 8}, "system": "Be brief."}
    await stage.do("generate", asked)
    await stage.answered()
    await stage.ended()


@scene
async def cut_in_the_middle(stage: Stage) -> None:
    """The connection breaks twice while two models answer; nothing is lost or doubled."""
    one = await stage.fake(model_id="one", answer_tokens=12, delay_ms=2, hold_after=6)
    two = await stage.fake(model_id="two", answer_tokens=12, delay_ms=2, hold_after=3)
    await stage.gateway({"one": one.url, "two": two.url})
    await stage.connect()
    await stage.do("generate", question("one", "two"))
    await stage.answered()
    await stage.text(0, 2)
    stage.relay.cut()
    await stage.reconnected()
    await stage.text(1, 2)
    stage.relay.cut()
    two.state.release()
    await two.state.reaches(served=1)
    await stage.reconnected()
    one.state.release()
    await stage.ended()


@scene
async def cut_before_the_first_token(stage: Stage) -> None:
    """The connection breaks before there is any text, and once more after the end."""
    fake = await stage.fake(answer_tokens=8, hold_after=0)
    await stage.gateway({"m": fake.url})
    await stage.connect()
    await stage.do("generate", question("m"))
    await stage.answered()
    await fake.state.reaches(started=1)
    stage.relay.cut()
    await stage.reconnected()
    fake.state.release()
    await stage.ended()
    stage.relay.cut()
    await stage.reconnected()


@scene
async def answer_lost(stage: Stage) -> None:
    """The answers to commands are lost; the commands are sent again and start nothing twice."""
    fake = await stage.fake(answer_tokens=8)
    await stage.gateway({"m": fake.url})
    await stage.connect()
    stage.relay.is_deaf = True
    await stage.do("generate", question("m", "m"))
    await stage.do("ping")
    await fake.state.reaches(served=2)
    stage.relay.cut()
    await stage.answered()
    await stage.ended()


@scene
async def server_restarted(stage: Stage) -> None:
    """The server goes away and another one comes, which knows nothing of the session."""
    fake = await stage.fake(answer_tokens=8, hold_after=4)
    await stage.gateway({"m": fake.url})
    await stage.connect()
    await stage.do("generate", question("m", "m"))
    await stage.answered()
    await stage.text(0, 1)
    await stage.text(1, 1)
    fake.state.release()
    await stage.gateway({"m": fake.url})
    await stage.relay.say_goodbye(1001)
    await stage.reconnected()
    await stage.do("generate", question("m"))
    await stage.answered()
    await until(lambda: not stage.program._generations[2].is_live, "the new one has ended")


@scene
async def session_lost_with_a_cancel(stage: Stage) -> None:
    """A cancel whose answer was lost with its session does not reach into the next session."""
    fake = await stage.fake(answer_tokens=8, hold_after=4)
    await stage.gateway({"m": fake.url})
    await stage.connect()
    await stage.do("generate", question("m"))
    await stage.answered()
    await stage.text(0, 1)
    stage.relay.is_deaf = True
    await stage.do("generate", question("m"))
    await stage.do("cancel", [0])
    await fake.state.reaches(started=2, cancelled=1)
    fake.state.release()
    await stage.gateway({"m": fake.url})
    stage.relay.cut()
    await stage.answered()
    await stage.ended()


@scene
async def queued_and_cancelled(stage: Stage) -> None:
    """Answers wait in a queue; one of them is cancelled there, then all the rest."""
    fake = await stage.fake(answer_tokens=8, hold_after=3)
    await stage.gateway({"m": ModelSettings(runner="remote", url=fake.url, max_concurrent=1)})
    await stage.connect()
    await stage.do("generate", question("m", "m", "m", "m"))
    await stage.answered()
    await stage.text(0, 1)
    await stage.do("cancel", [2])
    await stage.answered()
    last = stage.program._generations[3]
    await until(lambda: last.position == 2, "the one behind moves up")
    stage.relay.cut()
    await stage.reconnected()
    await stage.do("cancel")
    await stage.answered()
    await stage.ended()
    await stage.do("cancel")
    await stage.answered()


@scene
async def errors(stage: Stage) -> None:
    """Commands are refused, and an answer fails in the middle while another goes on."""
    good = await stage.fake(answer_tokens=6)
    bad = await stage.fake(answer_tokens=6, error_after=3)
    await stage.gateway({"good": good.url, "bad": bad.url})
    await stage.connect()
    await stage.do("generate", question("good", "nobody"))
    await stage.do("generate", question("good", parameters={"temperature": -1}))
    await stage.do("stop", "good")
    await stage.do("start", "nobody")
    await stage.answered()
    await stage.do("generate", question("good", "bad"))
    await stage.answered()
    await stage.ended()


@scene
async def details(stage: Stage) -> None:
    """Tokens with what the model thought of them, some of them without a text."""
    fake = await stage.fake(answer_tokens=10)
    await stage.gateway({"m": fake.url})
    await stage.connect()
    fields = {"prompt": "Once", "details": True, "parameters": {"top_n_tokens": 2}}
    await stage.do("generate", {"targets": [{"model": "m"}], **fields})
    await stage.answered()
    await stage.ended()


@scene
async def start_and_stop(stage: Stage) -> None:
    """A model is started and stopped; its states come as they change, also over a break."""

    def command_for(_: ModelSpec, listener: int, lifeline: int) -> list[str]:
        fake = [sys.executable, "-m", "tests.fakes.tgi", "--json-output", "--load-seconds", "0.2"]
        return [*fake, "--fd", str(listener), "--lifeline-fd", str(lifeline)]

    model = ModelSettings(runner="process", weights="/nowhere")
    engines = {"ports": free_ports(2), "stop_grace": 5.0, "drain_timeout": 0.0}
    await stage.gateway({"m": model}, engines=engines, command_for=command_for)
    models = stage.program.client.models
    await stage.connect()
    await stage.do("start", "m")
    await until(lambda: models["m"].state == "ready", "it is ready")
    await stage.answered()
    stage.relay.is_deaf = True
    await stage.do("stop", "m")
    stage.relay.cut()
    await stage.answered()
    await until(lambda: models["m"].state == "stopped", "it is stopped")


@scene
async def logs_over_a_break(stage: Stage) -> None:
    """A log is followed over a break without a line twice; another is read to its end, once."""
    fake = await stage.fake(answer_tokens=4)
    running = await stage.gateway({"m": fake.url})
    await stage.connect()
    await stage.do("logs", {"model": "m", "tail": 10, "follow": True})
    await stage.do("generate", question("m"))
    await stage.answered()
    await stage.ended()
    log = stage.program._logs[0]
    await until(lambda: len(log) == 2, "its first lines are here")
    stage.relay.cut()
    await until(lambda: running.sockets == 0, "the server has noticed")
    await stage.reconnected()
    await stage.do("logs", {"model": "m", "tail": 1, "follow": False})
    await until(stage.program._readings[1].done, "the second is read to its end")
    await stage.do("leave", 0)
    await stage.do("ping")
    await stage.do("logs", {"model": "nobody", "tail": 1, "follow": True})
    await stage.answered()
    await until(stage.program._readings[2].done, "there is no such log")
