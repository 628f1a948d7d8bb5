"""What is recorded: one function for each dialogue, its docstring is what it shows."""

from server.settings.models import ModelSettings
from tests.conversations.record import Recording, question, scene
from tests.support.launching import fake_launcher
from tests.support.ports import free_ports
from tests.wire.gateway import until


@scene
async def side_by_side(recording: Recording) -> None:
    """Two models answer one question at once, one of them with parameters of its own."""
    one = await recording.fake(model_id="one", answer_tokens=12, delay_ms=2)
    two = await recording.fake(model_id="two", delay_ms=2)
    await recording.gateway({"one": one.url, "two": two.url})
    await recording.connect()
    asked = question("one", "two", parameters={"max_new_tokens": 20})
    asked["targets"][1] |= {"parameters": {"max_new_tokens": 8}, "system": "Be brief."}
    await recording.do("generate", asked)
    await recording.answered()
    await recording.ended()


@scene
async def cut_in_the_middle(recording: Recording) -> None:
    """The connection breaks twice while two models answer; nothing is lost or doubled."""
    one = await recording.fake(model_id="one", answer_tokens=12, delay_ms=2, hold_after=6)
    two = await recording.fake(model_id="two", answer_tokens=12, delay_ms=2, hold_after=3)
    await recording.gateway({"one": one.url, "two": two.url})
    await recording.connect()
    await recording.do("generate", question("one", "two"))
    await recording.answered()
    await recording.text(0, 2)
    recording.relay.cut()
    await recording.reconnected()
    await recording.text(1, 2)
    recording.relay.cut()
    two.state.release()
    await two.state.reaches(served=1)
    await recording.reconnected()
    one.state.release()
    await recording.ended()


@scene
async def cut_before_the_first_token(recording: Recording) -> None:
    """The connection breaks before there is any text, and once more after the end."""
    fake = await recording.fake(answer_tokens=8, hold_after=0)
    await recording.gateway({"m": fake.url})
    await recording.connect()
    await recording.do("generate", question("m"))
    await recording.answered()
    await fake.state.reaches(started=1)
    recording.relay.cut()
    await recording.reconnected()
    fake.state.release()
    await recording.ended()
    recording.relay.cut()
    await recording.reconnected()


@scene
async def answer_lost(recording: Recording) -> None:
    """The answers to commands are lost; the commands are sent again and start nothing twice."""
    fake = await recording.fake(answer_tokens=8)
    await recording.gateway({"m": fake.url})
    await recording.connect()
    recording.relay.is_deaf = True
    await recording.do("generate", question("m", "m"))
    await recording.do("ping")
    await fake.state.reaches(served=2)
    recording.relay.cut()
    await recording.answered()
    await recording.ended()


@scene
async def server_restarted(recording: Recording) -> None:
    """The server goes away and another one comes, which knows nothing of the session."""
    fake = await recording.fake(answer_tokens=8, hold_after=4)
    await recording.gateway({"m": fake.url})
    await recording.connect()
    await recording.do("generate", question("m", "m"))
    await recording.answered()
    await recording.text(0, 1)
    await recording.text(1, 1)
    fake.state.release()
    await recording.gateway({"m": fake.url})
    await recording.relay.say_goodbye(1001)
    await recording.reconnected()
    await recording.do("generate", question("m"))
    await recording.answered()
    await until(lambda: not recording.program._generations[2].is_live, "the new one has ended")


@scene
async def session_lost_with_a_cancel(recording: Recording) -> None:
    """A cancel whose answer was lost with its session does not reach into the next session."""
    fake = await recording.fake(answer_tokens=8, hold_after=4)
    await recording.gateway({"m": fake.url})
    await recording.connect()
    await recording.do("generate", question("m"))
    await recording.answered()
    await recording.text(0, 1)
    recording.relay.is_deaf = True
    await recording.do("generate", question("m"))
    await recording.do("cancel", [0])
    await fake.state.reaches(started=2, cancelled=1)
    fake.state.release()
    await recording.gateway({"m": fake.url})
    recording.relay.cut()
    await recording.answered()
    await recording.ended()


@scene
async def queued_and_cancelled(recording: Recording) -> None:
    """Answers wait in a queue; one of them is cancelled there, then all the rest."""
    fake = await recording.fake(answer_tokens=8, hold_after=3)
    await recording.gateway({"m": ModelSettings(runner="remote", url=fake.url, max_concurrent=1)})
    await recording.connect()
    await recording.do("generate", question("m", "m", "m", "m"))
    await recording.answered()
    await recording.text(0, 1)
    await recording.do("cancel", [2])
    await recording.answered()
    last = recording.program._generations[3]
    await until(lambda: last.position == 2, "the one behind moves up")
    recording.relay.cut()
    await recording.reconnected()
    await recording.do("cancel")
    await recording.answered()
    await recording.ended()
    await recording.do("cancel")
    await recording.answered()


@scene
async def errors(recording: Recording) -> None:
    """Commands are refused, and an answer fails in the middle while another goes on."""
    good = await recording.fake(answer_tokens=6)
    bad = await recording.fake(answer_tokens=6, error_after=3)
    await recording.gateway({"good": good.url, "bad": bad.url})
    await recording.connect()
    await recording.do("generate", question("good", "nobody"))
    await recording.do("generate", question("good", parameters={"temperature": -1}))
    await recording.do("stop", "good")
    await recording.do("start", "nobody")
    await recording.answered()
    await recording.do("generate", question("good", "bad"))
    await recording.answered()
    await recording.ended()


@scene
async def details(recording: Recording) -> None:
    """Tokens with what the model thought of them, some of them without a text."""
    fake = await recording.fake(answer_tokens=10)
    await recording.gateway({"m": fake.url})
    await recording.connect()
    fields = {"prompt": "Once", "details": True, "parameters": {"top_n_tokens": 2}}
    await recording.do("generate", {"targets": [{"model": "m"}], **fields})
    await recording.answered()
    await recording.ended()


@scene
async def start_and_stop(recording: Recording) -> None:
    """A model is started and stopped; its states come as they change, also over a break."""
    fake = fake_launcher("--json-output", "--load-seconds", "0.2")
    model = ModelSettings(runner="process", weights="/nowhere")
    engines = {"ports": free_ports(2), "stop_grace": 5.0, "drain_timeout": 0.0}
    await recording.gateway({"m": model}, engines=engines, embedded=fake)
    models = recording.program.client.models
    await recording.connect()
    await recording.do("start", "m")
    await until(lambda: models["m"].state == "ready", "it is ready")
    await recording.answered()
    recording.relay.is_deaf = True
    await recording.do("stop", "m")
    recording.relay.cut()
    await recording.answered()
    await until(lambda: models["m"].state == "stopped", "it is stopped")


@scene
async def logs_over_a_break(recording: Recording) -> None:
    """A log is followed over a break without a line twice; another is read to its end, once."""
    fake = await recording.fake(answer_tokens=4)
    running = await recording.gateway({"m": fake.url})
    await recording.connect()
    await recording.do("logs", {"model": "m", "tail": 10, "follow": True})
    await recording.do("generate", question("m"))
    await recording.answered()
    await recording.ended()
    log = recording.program._logs[0]
    await until(lambda: len(log) == 2, "its first lines are here")
    recording.relay.cut()
    await until(lambda: running.sockets == 0, "the server has noticed")
    await recording.reconnected()
    await recording.do("logs", {"model": "m", "tail": 1, "follow": False})
    await until(recording.program._readings[1].done, "the second is read to its end")
    await recording.do("leave", 0)
    await recording.do("ping")
    await recording.do("logs", {"model": "nobody", "tail": 1, "follow": True})
    await recording.answered()
    await until(recording.program._readings[2].done, "there is no such log")


@scene
async def thinking_cut_in_the_middle(recording: Recording) -> None:
    """Connections break in the middle of thinking and of answers; each text stays of its kind."""
    text = (
        "<think>\nRivers carry salt, the sun\nlifts water.</think>\n\nRivers <think>do</think> it."
    )
    one = await recording.fake(model_id="one", text=text, delay_ms=2, hold_after=7)
    two = await recording.fake(model_id="two", text=text, delay_ms=2, hold_after=20)
    plain = await recording.fake(model_id="plain", answer_tokens=6)
    await recording.gateway({"one": one.url, "two": two.url, "plain": plain.url})
    await recording.connect()
    await recording.do("generate", question("one", "two", "plain"))
    await recording.answered()
    await recording.text(0, 7)
    await recording.text(1, 20)
    recording.relay.cut()
    await recording.reconnected()
    one.state.release()
    await until(lambda: "Rivers" in recording.program._generations[0].text, "it answers")
    recording.relay.cut()
    two.state.release()
    await recording.reconnected()
    await recording.ended()


@scene
async def thinking_without_an_end(recording: Recording) -> None:
    """An answer's length is reached in its thinking: there is no answer, and no word is lost."""
    fake = await recording.fake(text="<think>On and on and on it goes and on", delay_ms=1)
    await recording.gateway({"m": fake.url})
    await recording.connect()
    limited = question("m", parameters={"max_new_tokens": 8})
    await recording.do("generate", limited | {"details": True})
    await recording.answered()
    await recording.ended()
