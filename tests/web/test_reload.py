"""An operator changes the settings of a gateway that runs; nobody who uses it is disturbed."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from server.client import connect
from server.settings.added import add_entry, remove_entry
from tests.conftest import KeepLog
from tests.support.dialogue import dialogue
from tests.support.gateway import ROOT, Gateway, gateway
from tests.web.processes import CEILING_SECONDS, PROGRAM, settings

MORE = "[model n]\nweights = fake\nname = Newcomer\n"


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    """Return a folder for the gateway, whose log is shown on failure."""
    keep_log("the gateway", tmp_path / "server.log")
    return tmp_path


def write(place: Path, text: str) -> None:
    """Replace all but `[server]` of the settings."""
    file = place / "settings.ini"
    file.write_text(file.read_text().split("\n\n")[0] + "\n\n" + text)


async def reload(place: Path, **environment: str) -> tuple[int, str]:
    """Do as `run.py reload` does; return its exit code and all it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.reload", "--settings", "settings.ini"),
        cwd=ROOT,
        env={**os.environ, "CALLED_FROM": str(place), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(CEILING_SECONDS):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def log(place: Path) -> list[dict[str, str]]:
    """Return the gateway's log, which is JSON when nobody looks on."""
    return [json.loads(line) for line in (place / "server.log").read_text().splitlines()]


async def test_models_come_and_go_before_the_eyes_of_those_who_are_connected(place: Path) -> None:
    text = settings("fake --hold-after 2")
    async with (
        gateway(text, place, program=PROGRAM) as running,
        dialogue(running.address) as client,
    ):
        (generation,) = await client.ask("m", prompt="Tell me.")
        await client.delta(generation)
        write(place, text + MORE)
        assert await reload(place) == (0, "added n\n")
        told = await client.until(lambda event: event["type"] == "models")
        assert [model["id"] for model in told["models"]] == ["m", "n"]
        assert told["models"][1]["name"] == "Newcomer"

        seen = len(client.events)
        write(place, text.split("[model")[0] + MORE)
        assert await reload(place) == (0, "removed m\n")
        told = await client.until(lambda event: event["type"] == "models", skip=seen)
        assert [model["id"] for model in told["models"]] == ["n"]
        (other,) = await client.ask("n", prompt="Tell me.")
        assert (await client.end(other))["finish_reason"] in {"length", "stop"}
        refused = await client.try_to(type="start", model="m")
        assert refused["error"]["code"] == "unknown_model"


async def test_programs_see_models_come_and_go(place: Path) -> None:
    text = settings()
    async with (
        gateway(text, place, program=PROGRAM) as running,
        connect(f"ws://{running.address}/ws") as client,
    ):
        changed = asyncio.Event()
        client.on("model", lambda _: changed.set())
        write(place, text.split("[model")[0] + MORE)
        assert await reload(place) == (0, "added n\nremoved m\n")
        async with asyncio.timeout(CEILING_SECONDS):
            while list(client.models) != ["n"]:
                changed.clear()
                await changed.wait()


async def test_a_broken_file_changes_nothing_and_is_reported(place: Path) -> None:
    text = settings()
    async with gateway(text, place, program=PROGRAM) as running:
        write(place, text + MORE + "[model n]\n")
        code, said = await reload(place)
        assert code == 2
        assert "[model n] is there twice" in said
        # Nobody checks the file before a bare signal.
        running.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(CEILING_SECONDS):
            while not (told := [line for line in log(place) if line["level"] == "error"]):
                await visit(running)
        assert "[model n] is there twice" in told[0]["message"]
        assert "the settings stay as they were" in told[0]["message"]
        assert await models(running) == ["m"]


async def test_a_reload_applies_what_it_can_and_names_what_takes_a_restart(place: Path) -> None:
    text = settings()
    async with gateway(text, place, program=PROGRAM) as running:
        changed = text.replace("drain_timeout = 0", "drain_timeout = 7\nmax_running = 3") + MORE
        write(place, changed.replace("weights = fake\n", "weights = fake\nslots = 2\n", 1))
        code, said = await reload(place)
        assert code == 0
        assert said.splitlines() == [
            "added n",
            "changed m (slots)",
            "This takes a restart: [engines] max_running, [engines] drain_timeout",
        ]
        assert await models(running) == ["m", "n"]
        # It is named until it has happened, and what has happened is not done again.
        assert await reload(place) == (0, f"Nothing is new.\n{said.splitlines()[2]}\n")
        assert log(place)[-1]["message"].startswith("this takes a restart: [engines] max_running")


async def test_programs_that_check_answers_come_and_go(place: Path) -> None:
    text = settings()
    asks = {"prompts": ["a"], "checks": [{"type": "command", "name": "units"}]}
    check = "[check units]\ncommand = units --strict\n"

    async def keep(running: Gateway) -> int:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://{running.address}/prompt-sets", json=asks) as reply,
        ):
            return reply.status

    async with gateway(text, place, program=PROGRAM) as running:
        assert await keep(running) == 422
        write(place, text + check)
        assert await reload(place) == (0, "added check units\n")
        assert await keep(running) == 201
        write(place, text + check.replace("strict", "loose"))
        assert await reload(place) == (0, "changed check units (command)\n")
        write(place, text)
        assert await reload(place) == (0, "removed check units\n")
        assert await keep(running) == 422


async def test_docker_engines_come_and_go_with_a_restart_and_so_do_models_that_name_them(
    place: Path,
) -> None:
    one = "[docker one]\nhost = unix:///nonexistent\n"
    two = "[docker two]\nhost = unix:///nonexistent2\nmemory_budget = 1G\n"
    model = "[model n]\nrunner = docker\nmodel_id = acme/n\nengine_host = {}\n"
    plain = settings()
    text = plain + one
    async with gateway(text + model.format("one"), place, program=PROGRAM) as running:
        write(place, text + two + model.format("two") + model.replace("n]", "o]").format("two"))
        said = "This takes a restart: [docker two], [model n] engine_host, [model o] engine_host\n"
        assert await reload(place) == (0, f"Nothing is new.\n{said}")
        assert await models(running) == ["m", "n"]
        write(place, plain + two + model.format("any"))
        code, told = await reload(place)
        assert code == 0
        assert "This takes a restart: [docker two], [docker one]" in told
        write(place, plain + two + model.format("one"))
        code, told = await reload(place)
        assert code == 2
        assert "[model n] engine_host: there is no section [docker one]" in told


async def test_a_model_keeps_its_kind_of_runner_while_the_gateway_runs(place: Path) -> None:
    text = settings()
    async with gateway(text, place, program=PROGRAM) as running:
        ini = text.split("[model")[0]
        write(place, f"{ini}[model m]\nrunner = remote\nurl = http://127.0.0.1:9\n")
        code, said = await reload(place)
        assert (code, said) == (0, "Nothing is new.\nThis takes a restart: [model m] runner\n")
        async with dialogue(running.address) as client:
            (generation,) = await client.ask("m", prompt="Tell me.")
            assert (await client.end(generation))["finish_reason"] in {"length", "stop"}


async def test_servers_come_and_go_whoever_wrote_them_down(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = settings()
    monkeypatch.setenv("BOX_KEY", "hunter2")
    box = "[upstream box]\nurl = http://127.0.0.1:9\napi_key = env:BOX_KEY\n"
    async with gateway(text, place, program=PROGRAM) as running:
        # Who asks for it needs not have the keys.
        monkeypatch.delenv("BOX_KEY")
        write(place, text + box)
        assert await reload(place) == (0, "added upstream box\n")
        add_entry(place / "settings.ini", "upstream", "found", {"url": "http://127.0.0.1:9"})
        assert await reload(place) == (0, "added upstream found\n")
        write(place, text + box + 'models = a*\nheaders = {"X-Key": "hunter2"}\n')
        assert await reload(place) == (0, "changed upstream box (headers, models)\n")
        write(place, text + "[discovery]\nports = 1, 2\ninterval = 60\n")
        assert remove_entry(place / "settings.ini", "upstream", "found")
        assert await reload(place) == (
            0,
            "[discovery] ports = 1, 2\n[discovery] interval = 60\n"
            "removed upstream box\nremoved upstream found\n",
        )
        assert await reload(place) == (0, "Nothing is new.\n")
        write(place, text + box.replace("BOX_KEY", "NO_KEY"))
        code, said = await reload(place)
        assert code == 2
        assert "[upstream box] api_key: the environment variable 'NO_KEY' is not set" in said
        assert await models(running) == ["m"]
    assert "hunter2" not in (place / "server.log").read_text()


async def test_the_log_level_changes_at_once(place: Path) -> None:
    async with gateway(settings(), place, program=PROGRAM) as running:
        file = place / "settings.ini"
        file.write_text(file.read_text().replace("[server]\n", "[server]\nlog_level = error\n"))
        assert await reload(place) == (0, "log_level = error\n")
        before = len(log(place))
        await models(running)
        assert len(log(place)) == before


async def test_reload_without_a_gateway_signals_nobody(place: Path) -> None:
    async with gateway(settings(), place, program=PROGRAM):
        pass
    code, said = await reload(place)
    assert code == 1
    assert "No gateway named" in said
    assert not list(place.glob("*.reload"))


async def test_signals_without_end_end_nothing(place: Path) -> None:
    async with gateway(settings(), place, program=PROGRAM) as running:
        for _ in range(200):
            running.process.send_signal(signal.SIGHUP)
        assert await reload(place) == (0, "Nothing is new.\n")
        assert await models(running) == ["m"]


@pytest.mark.parametrize("time", range(5))
async def test_other_signals_along_with_it_keep_no_stop_from_being_in_order(
    place: Path, time: int
) -> None:
    """Regression: one SIGTERM could count as two, and the gateway ended at once."""
    async with gateway(settings(), place, program=PROGRAM) as running:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            running.process.send_signal(number)
        async with asyncio.timeout(CEILING_SECONDS):
            assert await running.process.wait() == 0


@pytest.mark.parametrize("is_ignored", [False, True])
def test_the_gateway_ends_with_its_terminal_unless_sighup_was_ignored(
    place: Path, is_ignored: bool
) -> None:
    """A terminal that closes sends SIGHUP too; a server nobody sees would be left behind."""
    file = place / "settings.ini"
    file.write_text(f"[server]\nport = 0\nstate_dir = {place}\n\n{settings()}")
    pid, terminal = pty.fork()
    if pid == 0:
        # Whoever runs the tests may have it ignored, and that is inherited.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
        os.dup2(os.open(place / "server.log", os.O_CREAT | os.O_WRONLY), 2)
        os.chdir(ROOT)
        command = [sys.executable, "-m", PROGRAM, "--settings", str(file)]
        os.execv(sys.executable, command)
    said = b""
    while not (found := re.search(rb" is at (http://\S+)\s", said)):
        said += os.read(terminal, 1000)
    os.close(terminal)
    if is_ignored:
        with urllib.request.urlopen(f"{found[1].decode()}/health") as answer:
            assert answer.status == 200
        os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def models(running: Gateway) -> list[str]:
    """Return the models that the gateway has."""
    async with dialogue(running.address) as client:
        return [model["id"] for model in (await client.say(type="hello"))["models"]]


async def visit(running: Gateway) -> None:
    """Let some time pass in which the gateway does something."""
    await models(running)
