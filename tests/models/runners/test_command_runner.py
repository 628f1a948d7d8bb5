"""What only commands can do: listen elsewhere, fork into the background, flood the log.

`test_runner_contract.py` has what all runners have in common.
"""

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from server.core.errors import ModelFailed
from server.models.diagnosis.causes import explain_exit
from server.models.runners.base import Condition, Replica
from server.models.runners.programs.command import CommandLauncher
from server.models.runners.programs.listening import listening_ports
from server.models.runners.programs.runner import ProgramRunner
from server.settings.secrets import Secret
from tests.models.runners.test_runner_contract import A, B, answers, history, lines, silent
from tests.support.ports import free_ports
from tests.support.processes import Watched
from tests.support.specs import catalog, command_spec
from tests.support.supervisor import descendants

CEILING_SECONDS = 20
MIB = 1 << 20


@pytest.fixture
async def make() -> AsyncIterator[Callable[[int], ProgramRunner]]:
    """Return a function that makes a runner with so many ports, the same ones each time."""
    made: list[ProgramRunner] = []
    first, _ = free_ports(5)
    others = descendants(os.getpid()).keys()

    def make(count: int) -> ProgramRunner:
        runner = ProgramRunner(CommandLauncher(), ports=(first, first + count - 1))
        made.append(runner)
        return runner

    yield make
    for runner in made:
        await runner.close()
    assert not descendants(os.getpid()).keys() - others


@pytest.fixture
def runner(make: Callable[[int], ProgramRunner]) -> ProgramRunner:
    """Return a runner with three ports."""
    return make(3)


def port_of(url: str) -> int:
    """Return the port in a URL."""
    return int(url.rpartition(":")[2])


async def refused(runner: ProgramRunner, command: str, **settings: object) -> ModelFailed:
    """Return the error that a start by that command ends in."""
    model = catalog(a={"runner": "command", "command": command, **settings}).get("a")
    with pytest.raises(ModelFailed) as caught:
        await runner.start(A, model, silent)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    return caught.value


async def ended(runner: ProgramRunner, what: str) -> ModelFailed:
    """Run the program to its end, and return what is said of that."""
    await runner.start(A, command_spec(what), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        return explain_exit(await runner.wait(A))


# --- what cannot be run -------------------------------------------------------------------------


async def test_a_program_that_is_not_there_is_named(runner: ProgramRunner) -> None:
    error = await refused(runner, "no-such-server --port {port}")
    assert error.message == (
        "the model server cannot be executed: No such file or directory: no-such-server"
    )
    assert "`command`" in (error.hint or "")


async def test_a_file_that_is_no_program_is_named(runner: ProgramRunner, tmp_path: Path) -> None:
    file = tmp_path / "server"
    file.write_text("serve")
    error = await refused(runner, f"{file} {{port}}")
    assert error.message == f"the model server cannot be executed: Permission denied: {file}"
    file.chmod(0o755)
    error = await refused(runner, f"{file} {{port}}")
    assert "Exec format error" in error.message
    file.write_text("#!/no/such/interpreter\n")
    assert str(file) in (await refused(runner, f"{file} {{port}}")).message


async def test_a_program_that_ends_at_once_is_told_with_its_last_words(
    runner: ProgramRunner,
) -> None:
    error = await ended(runner, "exit")
    assert "exit code 3" in error.message
    assert error.details == {"log": ["one", "two", "three"], "cause": "unknown", "exit_code": 3}


async def test_a_program_that_goes_into_the_background_is_told_and_killed(
    runner: ProgramRunner,
) -> None:
    error = await ended(runner, "daemon")
    assert error.details is not None
    assert error.details["cause"] == "went_into_the_background"
    assert "exec" in (error.hint or "")


async def test_the_path_of_its_own_environment_finds_the_program(
    runner: ProgramRunner, tmp_path: Path
) -> None:
    (tmp_path / "my-server").symlink_to("/bin/true")
    model = catalog(
        a={"runner": "command", "command": "my-server {port}", "env": {"PATH": str(tmp_path)}}
    ).get("a")
    await runner.start(A, model, silent)
    async with asyncio.timeout(CEILING_SECONDS):
        assert (await runner.wait(A)).exit_code == 0


# --- what it is given ---------------------------------------------------------------------------


async def told(runner: ProgramRunner) -> tuple[dict[str, str], list[str]]:
    """Return the environment and the arguments that a program told."""
    (line, _) = await lines(runner, A, until="ready")
    environment, arguments = json.loads(line)
    return environment, arguments


async def test_port_placeholders_are_replaced_without_a_shell(runner: ProgramRunner) -> None:
    words = ["a{port}b{port}", "$HOME;`id`", "*", '{"a": {"b": 1}}', "{{x}}", "two words"]
    endpoint = await runner.start(A, command_spec("tell", *words), silent)
    port = port_of(endpoint.url)
    _, arguments = await told(runner)
    assert arguments == [f"a{port}b{port}", *words[1:]]


async def test_a_command_gets_the_environment_without_our_secrets() -> None:
    ours = {
        "PATH": os.environ["PATH"],
        "HOME": "/h",
        "SIDESTREAM_X__API_KEY": "k",
        "LISTEN_FDS": "1",
    }
    runner = ProgramRunner(CommandLauncher(environment=ours), ports=free_ports(1))
    try:
        model = command_spec(
            "tell", env={"HOME": "/own", "EMPTY": "", "UMLAUT": "ü", "AT": "h:{port}"}
        )
        endpoint = await runner.start(A, model, silent)
        environment, _ = await told(runner)
        environment.pop("LC_CTYPE", None)  # Python's own doing.
        assert environment == {
            "PATH": os.environ["PATH"],
            "HOME": "/own",
            "EMPTY": "",
            "UMLAUT": "ü",
            "AT": f"h:{port_of(endpoint.url)}",
            "GOMP_SPINCOUNT": "1000",
        }
    finally:
        await runner.close()


async def test_an_openmp_setting_of_the_user_is_kept() -> None:
    runner = ProgramRunner(
        CommandLauncher(environment={"GOMP_SPINCOUNT": "7"}), ports=free_ports(1)
    )
    try:
        await runner.start(A, command_spec("tell"), silent)
        assert (await told(runner))[0]["GOMP_SPINCOUNT"] == "7"
    finally:
        await runner.close()


async def test_an_environment_larger_than_a_pipe_reaches_it(runner: ProgramRunner) -> None:
    await runner.start(
        A, command_spec("tell", env={f"V{n}": "x" * 50_000 for n in range(6)}), silent
    )
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.stop(A, grace_seconds=CEILING_SECONDS)


async def test_secrets_that_it_prints_are_not_shown(runner: ProgramRunner) -> None:
    env = {
        "A": Secret("hunter2-from-file", "file:/x"),
        "MY_TOKEN": "hunter2-written",
        "P": "plainly",
    }
    model = command_spec("tell", api_key="hunter2-as-key", env=env)
    model = catalog(
        a={
            "runner": "command",
            "command": f"{model.settings.command} hunter2-as-key",
            "env": env,
            "api_key": "hunter2-as-key",
        }
    ).get("a")
    await runner.start(A, model, silent)
    (line, _) = await lines(runner, A, until="ready")
    assert "hunter2" not in line
    assert "plainly" in line


# --- ports --------------------------------------------------------------------------------------


async def test_two_gateways_take_two_ports_though_nobody_listens_yet(
    make: Callable[[int], ProgramRunner],
) -> None:
    sleeper = catalog(a={"runner": "command", "command": "sleep 6{port}"}).get("a")
    ports = {port_of((await make(2).start(A, sleeper, silent)).url) for _ in range(2)}
    assert len(ports) == 2
    with pytest.raises(ModelFailed, match="no free port between"):
        await make(2).start(A, sleeper, silent)


async def test_a_port_that_is_taken_is_passed_over(make: Callable[[int], ProgramRunner]) -> None:
    runner = make(2)
    first = port_of((await runner.start(A, command_spec("serve"), silent)).url)
    await runner.stop(A, grace_seconds=CEILING_SECONDS)
    with socket.create_server(("127.0.0.1", first)):
        assert port_of((await runner.start(A, command_spec("serve"), silent)).url) == first + 1


async def test_a_port_is_free_again_once_its_server_is_gone(
    make: Callable[[int], ProgramRunner],
) -> None:
    """Connections that were closed just now linger on it."""
    runner = make(1)
    for _ in range(3):
        endpoint = await runner.start(A, command_spec("serve"), silent)
        await lines(runner, A, until="ready")
        assert await answers(endpoint.url) == 200
        await runner.stop(A, grace_seconds=CEILING_SECONDS)


async def test_a_port_of_its_own_is_not_shared(runner: ProgramRunner) -> None:
    (port, _) = free_ports(1)
    program = command_spec("serve").settings.command.replace("{port}", str(port))
    model = catalog(a={"runner": "command", "command": program, "url": f"http://localhost:{port}"})
    endpoint = await runner.start(A, model.get("a"), silent)
    assert endpoint.url == f"http://localhost:{port}"
    await lines(runner, A, until="ready")
    with pytest.raises(ModelFailed, match=f"port {port}, .* is taken already"):
        await runner.start(B, model.get("a"), silent)
    await runner.stop(A, grace_seconds=CEILING_SECONDS)
    with socket.create_server(("127.0.0.1", port)):
        assert "taken already" in (await refused(runner, program, url=f"localhost:{port}")).message


async def test_an_address_may_have_the_port_too(runner: ProgramRunner) -> None:
    model = command_spec("serve", url="http://127.0.0.1:{port}/openai/v1", model_id="m")
    endpoint = await runner.start(A, model, silent)
    port = port_of(endpoint.url.removesuffix("/openai"))
    assert (endpoint.url, endpoint.api) == (f"http://127.0.0.1:{port}/openai", "/v1")
    assert (endpoint.dialect, endpoint.model) == ("auto", "m")


async def test_a_program_that_listens_at_another_port_is_seen(runner: ProgramRunner) -> None:
    await runner.start(A, command_spec("elsewhere"), silent)
    await lines(runner, A, until="ready")
    (pid,) = [p for p, text in descendants(os.getpid()).items() if " elsewhere " in text]
    seen = await runner.inspect(A)
    assert seen.ports_elsewhere == listening_ports(pid)
    assert len(seen.ports_elsewhere) == 1
    await runner.start(B, command_spec("serve"), silent)
    await lines(runner, B, until="ready")
    assert not (await runner.inspect(B)).ports_elsewhere


# --- the end ------------------------------------------------------------------------------------


async def test_all_that_a_program_has_started_ends_with_it(runner: ProgramRunner) -> None:
    """Those too that have left its group, and whose parent has gone before."""
    await runner.start(A, command_spec("family"), silent)
    (pids, *_) = await lines(runner, A, until="ready")
    family = [Watched(int(pid)) for pid in pids.split()]
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.stop(A, grace_seconds=0.1)
    for one in family:
        await one.gone()


@pytest.mark.parametrize("what", ["mother", "deserter"])
async def test_children_of_a_crashed_program_end_too(runner: ProgramRunner, what: str) -> None:
    await runner.start(A, command_spec(what), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await runner.wait(A)
    assert (seen.condition, seen.exit_code) == (Condition.EXITED, 3)
    await Watched(int(seen.tail[0].text)).gone()


@pytest.mark.parametrize("victim", ["program", "supervisor"])
async def test_a_killed_program_is_reported_by_its_signal(
    runner: ProgramRunner, victim: str
) -> None:
    await runner.start(A, command_spec("family"), silent)
    (pids, *_) = await lines(runner, A, until="ready")
    ours = descendants(os.getpid())
    word = " family " if victim == "program" else "programs/supervisor.py"
    (pid,) = [pid for pid, text in ours.items() if word in text]
    program = Watched(next(pid for pid, text in ours.items() if " family " in text))
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(CEILING_SECONDS):
        seen = await runner.wait(A)
    assert (seen.condition, seen.exit_code) == (Condition.EXITED, -signal.SIGKILL)
    await program.gone()
    child, deserter = map(int, pids.split())
    await Watched(child).gone()
    if victim == "supervisor":
        # Nobody is left who could find one that has gone apart.
        os.kill(deserter, signal.SIGKILL)
    await Watched(deserter).gone()


async def test_a_terminals_ctrl_c_reaches_neither_program_nor_supervisor(
    runner: ProgramRunner,
) -> None:
    others = descendants(os.getpid()).keys()
    await runner.start(A, command_spec("serve"), silent)
    await lines(runner, A, until="ready")
    for pid in descendants(os.getpid()).keys() - others:
        assert os.getpgid(pid) == pid != os.getpgrp()


async def test_no_program_outlives_a_gateway_that_is_killed() -> None:
    owner = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.support.owner", "--commands"],
        *map(str, free_ports(5)),
        *["serve", "family"],
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    async with asyncio.timeout(CEILING_SECONDS):
        servers = [Watched(int(pid)) for pid in (await owner.stdout.readline()).split()]
        assert len(servers) == 6  # Two supervisors, two programs, and two of the family.
        owner.kill()
        await owner.communicate()
    for server in servers:
        await server.gone()


# --- the log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["flood", "endless"])
async def test_a_flood_of_log_neither_stops_the_program_nor_fills_memory(
    runner: ProgramRunner, what: str
) -> None:
    before = _memory_bytes()
    endpoint = await runner.start(A, command_spec(what), silent)
    async with asyncio.timeout(CEILING_SECONDS):
        async for line in runner.logs(A, tail=10, follow=True):
            if line.text == "ready":
                break
    assert await answers(endpoint.url) == 200
    assert _memory_bytes() - before < 32 * MIB
    kept = [line.text for line in await history(runner, A, tail=5000)]
    assert "flooded" in kept
    assert any("bytes left out: the program writes faster" in text for text in kept)
    assert max(map(len, kept)) <= 64 * 1024


async def test_a_progress_bar_is_a_line_for_each_of_its_states(runner: ProgramRunner) -> None:
    bar = r"import sys; sys.stdout.write('10%\r50%\r100%\r\ndone\rx')"
    command = shlex.join([sys.executable, "-S", "-c", bar, "{port}"])
    model = catalog(a={"runner": "command", "command": command}).get("a")
    await runner.start(A, model, silent)
    async with asyncio.timeout(CEILING_SECONDS):
        await runner.wait(A)
    assert [line.text for line in await history(runner, A)] == ["10%", "50%", "100%", "done", "x"]


async def test_several_replicas_of_one_model_are_told_apart(runner: ProgramRunner) -> None:
    replicas = [Replica("test", name) for name in ("a", "b")]
    for replica in replicas:
        await runner.start(replica, command_spec("serve"), silent)
    assert [seen.replica for seen in await runner.list()] == replicas


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
