"""The gateway as a process: how it starts, and what it says when it cannot."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.support.dialogue import dialogue
from tests.support.gateway import ROOT, gateway
from tests.support.processes import Watched, children
from tests.web.processes import CEILING_SECONDS, PROGRAM, settings, until_exit

# Tells what is there once it listens, and ends.
STARTED = """\
import gc, sys
import server.__main__ as program

async def tell(*_):
    print(gc.isenabled(), gc.get_freeze_count() > 0, *sys.modules, sep="\\n")
    return True

program._is_told_to_stop = tell
sys.exit(program.main())
"""

# As on a kernel that was started with `ipv6.disable=1`.
WITHOUT_IPV6 = """\
import errno, os, socket, sys
import server.__main__ as program

class Socket(socket.socket):
    def __init__(self, family=-1, *rest, **more):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *rest, **more)

socket.socket = Socket
sys.exit(program.main())
"""


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    """Return a folder for the gateway, whose log is shown on failure."""
    log = tmp_path / "server.log"
    log.touch()
    keep_log("the gateway", log)
    return tmp_path


async def run(
    *arguments: str, program: tuple[str, str] = ("-m", "server"), **environment: str
) -> tuple[int, str, str]:
    """Run the program to its end; return its code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(CEILING_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_gateway_is_healthy_while_a_model_never_gets_ready(place: Path) -> None:
    """The model is started with it and never gets anywhere; asking for its health comes first."""
    text = settings("fake --never-healthy", model="preload = yes")
    async with gateway(text, place, program=PROGRAM) as running:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{running.address}/health") as answer,
        ):
            assert answer.status == 200
            assert (await answer.json())["status"] == "ok"
        async with dialogue(running.address) as client:
            await client.say(type="hello")
            models = client.events[-1]["result"]["models"]
            assert models[0]["state"] != "ready"


async def test_a_start_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    """Most of a start's time are imports; and it collects no garbage until it is over."""
    file = tmp_path / "settings.ini"
    file.write_text(
        f"[server]\nport = 0\nstate_dir = {tmp_path}\ninstance = start\n\n[model m]\nweights = x\n"
    )
    code, out, err = await run("--settings", str(file), program=("-c", STARTED))
    assert code == 0, err
    _, collects, is_frozen, *modules = out.splitlines()
    assert (collects, is_frozen) == ("True", "True")
    assert not {"aiodocker", "huggingface_hub", "xllamacpp"} & {*modules}
    assert "server.app" in modules


async def test_settings_that_cannot_be_used_are_told_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    file.write_text("[server]\nport = x\ncolour = red\n")
    code, out, err = await run("--settings", str(file), SIDESTREAM_SERVER__HEARTBEAT="never")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == "The settings cannot be used:"
    assert all(line.startswith(f"  {file}: [server] ") for line in lines[1:])
    assert len(lines) == 4


async def test_a_settings_file_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = await run("--settings", str(tmp_path / "none.ini"))
    assert code == 2
    assert "none.ini: cannot be read" in err


@pytest.mark.parametrize("port", ["70000", "-1", "http", "8_0"])
async def test_a_port_that_is_none_is_blamed_on_the_command(tmp_path: Path, port: str) -> None:
    code, _, err = await run("--settings", listening_settings(tmp_path), f"--port={port}")
    assert code == 2
    assert f"argument --port: expected a number from 0 to 65535, found {port!r}" in err


async def test_a_state_folder_that_cannot_be_had_is_told_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = listening_settings(tmp_path / "file")
    code, _, err = await run("--settings", file, SIDESTREAM_SERVER__PORT="0")
    assert code == 1
    assert err.startswith("Cannot lock the instance: ")
    assert "`state_dir` in [server]" in err


def listening_settings(directory: Path) -> str:
    """Write settings without models; return the file."""
    file = directory.with_name(f"{directory.name}.ini")
    file.write_text(f"[server]\nstate_dir = {directory}\n[access]\ninsecure = yes\n")
    return str(file)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "another program uses the port; choose one with --port"),
        ("host.invalid", ""),
        ("203.0.113.1", "Cannot assign requested address"),
    ],
)
async def test_an_address_that_cannot_be_had_is_told_in_one_line(
    tmp_path: Path, host: str, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = listening_settings(tmp_path)
        code, out, err = await run("--settings", file, "--host", host, "--port", str(port))
    assert (code, out) == (1, "")
    assert err.startswith(f"Cannot listen on {host}:{port}: {said}")
    assert err.count("\n") == 1


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
async def test_all_of_ipv6_is_all_of_ipv4_too(place: Path) -> None:
    text = settings("fake", model="preload = no") + "[access]\ninsecure = yes\n"
    async with gateway(text, place, options=("--host", "::")) as running:
        port = running.address.rpartition(":")[2]
        async with aiohttp.ClientSession() as http:
            for host in ("127.0.0.1", "[::1]"):
                async with http.get(f"http://{host}:{port}/health") as answer:
                    assert answer.status == 200, host
    log = (place / "server.log").read_text()
    assert "::ffff:" not in log, "an address of IPv4 is written as one"


async def test_a_system_without_ipv6_says_so(tmp_path: Path) -> None:
    file = listening_settings(tmp_path)
    arguments = ("--settings", file, "--host", "::", "--port", "0")
    code, out, err = await run(*arguments, program=("-c", WITHOUT_IPV6))
    assert (code, out) == (1, "")
    assert err.startswith("Cannot listen on [::]:0: this system has no IPv6; --host 0.0.0.0")
    assert err.count("\n") == 1


async def test_a_second_gateway_of_the_same_name_is_refused(place: Path) -> None:
    async with gateway("", place, instance="twin") as running:
        code, out, err = await run("--settings", str(place / "settings.ini"))
        assert (code, out) == (1, "")
        assert err.startswith(f"A Sidestream named 'twin' runs already (process {running.pid}).")
    async with gateway("", place, instance="twin"):
        pass


async def test_a_database_that_is_locked_is_waited_for_until_ctrl_c(place: Path) -> None:
    async with gateway("", place):
        pass
    (file,) = place.glob("*.conversations")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "--settings", str(place / "settings.ini")),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(CEILING_SECONDS):
        while b"is locked by another program; waiting for it" not in (
            line := await process.stderr.readline()
        ):
            assert line, "it ended before"
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    other.close()


async def test_a_standby_takes_over_when_the_first_one_goes(place: Path) -> None:
    async with gateway("", place, instance="pair") as first:
        standby = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "--standby"),
            *("--settings", str(place / "settings.ini")),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert standby.stdout is not None
        async with asyncio.timeout(CEILING_SECONDS):
            waits = await standby.stdout.readline()
            assert waits.decode() == f"Standing by until 'pair' (process {first.pid}) goes\n"
            await first.kill()
            assert b" is at http://" in await standby.stdout.readline()
            standby.send_signal(signal.SIGTERM)
            await standby.communicate()
            assert standby.returncode == 0


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.5, 0.8])
async def test_ctrl_c_at_any_moment_of_the_start_leaves_no_process(
    place: Path, seconds: float
) -> None:
    file = place / "settings.ini"
    file.write_text(
        f"[server]\nport = 0\nstate_dir = {place}\n"
        + settings("fake --load-seconds 30", model="preload = yes")
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROGRAM, "--settings", str(file)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    engines = [Watched(pid) for pid in children(process.pid)]
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(CEILING_SECONDS):
        # With whatever code: the signal may hit Python itself, before there is anything of ours.
        await process.wait()
    for engine in engines:
        await engine.gone()


@pytest.mark.parametrize("state", ["starting", "ready"])
async def test_ctrl_c_while_a_model_starts_or_waits_leaves_no_process(
    place: Path, state: str
) -> None:
    weights = "fake --load-seconds 30" if state == "starting" else "fake"
    async with gateway(settings(weights), place, program=PROGRAM) as running:
        async with dialogue(running.address) as client:
            await client.say(type="start", model="m")
            await client.model("m", state)
            if state == "starting":
                # From its log: the process is there and has begun to load.
                await client.model("m", "loading")
        engine = Watched(running.engine("m"))
        running.process.send_signal(signal.SIGINT)
        assert await until_exit(running) == 0
        await engine.gone()
