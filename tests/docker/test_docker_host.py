"""Where the engine is: a socket file, TCP with TLS, another machine by SSH."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.errors import ModelFailed
from server.models.runners.base import Condition
from server.models.runners.docker.engines import DockerEnginesRunner
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import (
    DockerEngineSettings,
    DockerSettings,
    EngineSettings,
    ServerSettings,
    Settings,
)
from tests.docker.conftest import MakeRunner, end, model
from tests.docker.engine import INSTANCE, SOCKET, Engine
from tests.docker.own_engine import OwnEngine, into, own_engine, own_network
from tests.docker.watching import CEILING_SECONDS, NAME_A, NAME_B, A, B, answers, says, silent
from tests.support.ports import free_ports
from tests.support.processes import children

# As /proc/net/tcp writes it, with those that one side has ended.
ESTABLISHED = {"01", "04", "05", "08", "09", "0B"}


async def goes_through_its_life(runner: DockerRunner) -> None:
    """Start, ask, follow the log of, stop a container."""
    async with asyncio.timeout(CEILING_SECONDS):
        endpoint = await runner.start(A, model("fake/tgi"), silent)
        await says(runner, A, "Connected")
        assert await answers(endpoint.url) == 200
        assert (await runner.inspect(A)).condition is Condition.RUNNING
        await runner.stop(A, grace_seconds=5)
        assert (await runner.inspect(A)).condition is Condition.MISSING


async def test_docker_host_is_honoured(make_runner: MakeRunner, settings: DockerSettings) -> None:
    await goes_through_its_life(make_runner(environment={"DOCKER_HOST": f"unix://{SOCKET}"}))
    elsewhere = make_runner(environment={"DOCKER_HOST": "unix:///nonexistent"})
    assert (await elsewhere.inspect(A)).condition is Condition.UNKNOWN
    mine = replace(settings, host=f"unix://{SOCKET}")
    told = make_runner(settings=mine, environment={"DOCKER_HOST": "unix:///nonexistent"})
    assert (await told.inspect(A)).condition is Condition.MISSING


# --- TLS ----------------------------------------------------------------------------------------


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """Return a folder as DOCKER_CERT_PATH names one, with an engine's certificate beside."""
    folder = Path(tempfile.mkdtemp(prefix="sidestream-certs-"))
    key = ["-newkey", "rsa:2048", "-nodes"]
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for who, name in (("server", "engine"), ("key", "client")):
        certificate = "cert.pem" if who == "key" else "server.crt"
        openssl(folder, "req", *key, "-keyout", f"{who}.pem", "-out", "csr", "-subj", f"/CN={name}")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        openssl(folder, "x509", "-req", "-in", "csr", "-out", certificate, *signed)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tls_engine(alone: None, fake: str, certificates: Path) -> Iterator[tuple[OwnEngine, str]]:
    """Return an engine of our own and its address, at which it asks for a certificate."""
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    options = [
        f"--host={address}",
        "--tlsverify",
        f"--tlscacert={certificates / 'ca.pem'}",
        f"--tlscert={certificates / 'server.crt'}",
        f"--tlskey={certificates / 'server.pem'}",
    ]
    with own_engine(*options) as engine:
        engine.load(fake)
        yield engine, address


async def test_an_engine_behind_tls_is_used_with_the_clients_certificate(
    tls_engine: tuple[OwnEngine, str], settings: DockerSettings, certificates: Path
) -> None:
    engine, address = tls_engine
    (settings.hf_cache / "hub").mkdir()
    environment = {
        "DOCKER_HOST": address,
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(certificates),
    }
    ports = free_ports(10)
    runner = DockerRunner(settings, instance="test", ports=ports, environment=environment)
    await goes_through_its_life(runner)
    await end(runner)
    without = DockerRunner(
        settings, instance="test", ports=ports, environment={"DOCKER_HOST": address}
    )
    with pytest.raises(ModelFailed):
        await without.start(A, model("fake/tgi"), silent)
    await without.close()
    await good_byes_are_said(address)
    assert not engine.containers()


async def good_byes_are_said(address: str) -> None:
    """Return once no connection leads to `address`: TLS ends them behind aiohttp's back."""
    port = f":{int(address.rpartition(':')[2]):04X}"

    def connections() -> int:
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        columns = [line.split() for line in lines]
        return sum(one[2].endswith(port) and one[3] in ESTABLISHED for one in columns)

    async with asyncio.timeout(CEILING_SECONDS):
        while connections():  # noqa: ASYNC110  (the kernel's state)
            await asyncio.sleep(0.01)


async def test_certificates_that_are_not_there_are_named(
    settings: DockerSettings, tmp_path: Path
) -> None:
    environment = {
        "DOCKER_HOST": "tcp://127.0.0.1:1",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tmp_path / "nowhere"),
    }
    runner = DockerRunner(settings, instance="test", ports=(1, 1), environment=environment)
    with pytest.raises(ModelFailed, match="No such file"):
        await runner.start(A, model("fake/tgi"), silent)
    await runner.close()


async def test_a_cache_that_is_not_on_the_engines_machine_is_an_error_that_says_so(
    tls_engine: tuple[OwnEngine, str], settings: DockerSettings, certificates: Path
) -> None:
    """We cannot make a folder there."""
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    there = replace(settings, host=tls_engine[1], hf_cache=Path("/nonexistent/cache"))
    runner = DockerRunner(there, instance="test", ports=free_ports(3), environment=environment)
    with pytest.raises(ModelFailed, match="folder for weights cannot be mounted"):
        await runner.start(A, model("fake/tgi"), silent)
    await end(runner)
    await good_byes_are_said(tls_engine[1])


# --- SSH ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(alone: None) -> Iterator[tuple[str, str]]:
    """Return a network as good as another machine's, and the address that leads there."""
    with own_network() as network:
        yield network


@pytest.fixture(scope="module")
def far_engine(far: tuple[str, str], fake: str) -> Iterator[OwnEngine]:
    """Return an engine there."""
    with own_engine(network=far[0]) as engine:
        engine.load(fake)
        yield engine


@pytest.fixture
def ssh_host(
    far: tuple[str, str],
    far_engine: OwnEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Return the address of the far engine: behind an sshd there, by keys of the user here."""
    network, address = far
    folder = Path(tempfile.mkdtemp(prefix="sidestream-sshd-"))
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "known").write_text(f"{address} {(folder / 'host.pub').read_text()}")
    (folder / "sshd_config").write_text(
        f"ListenAddress {address}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPermitRootLogin yes\n"
        "UsePAM no\nPasswordAuthentication no\n"
    )
    (folder / "ssh_config").write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {folder}/known\nStrictHostKeyChecking yes\n"
    )
    # As the user's own ~/.ssh/config would.
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    Path("/run/sshd").mkdir(exist_ok=True)
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")]
    with subprocess.Popen([*into(network), *command], stderr=subprocess.PIPE, text=True) as sshd:
        assert sshd.stderr is not None
        assert "listening" in sshd.stderr.readline()
        yield f"ssh://root@{address}{far_engine.path}"
        sshd.terminate()
    shutil.rmtree(folder)


@pytest.mark.needs_ssh
async def test_an_engine_on_another_machine_is_used_through_ssh(
    far_engine: OwnEngine, settings: DockerSettings, ssh_host: str
) -> None:
    """Its socket and its models' ports come through one ssh, which ends with the runner."""
    (settings.hf_cache / "hub").mkdir()
    ports = free_ports(3)
    there = replace(settings, host=ssh_host)
    runner = DockerRunner(there, instance="test", ports=ports, environment={})
    before = children()
    try:
        # A port that is taken here does not lead there.
        with socket.create_server(("127.0.0.1", ports[0])):
            await goes_through_its_life(runner)
        assert children() - before
        await runner.start(A, model("fake/tgi"), silent)
        assert port_of(far_engine) != ports[0]
    finally:
        await end(runner)
    assert children() == before
    assert not far_engine.containers()


@pytest.mark.needs_ssh
async def test_engines_here_and_behind_ssh_may_use_the_same_port(
    engine: Engine, far_engine: OwnEngine, settings: DockerSettings, ssh_host: str
) -> None:
    """Each is reached by a port of its own here, also after the ssh has died, and in a next run."""
    (settings.hf_cache / "hub").mkdir()
    several = Settings(
        server=ServerSettings(instance=INSTANCE),
        engines=EngineSettings(ports=free_ports(1)),
        docker=replace(settings, host="unix:///nonexistent"),
        docker_engines={
            "far": DockerEngineSettings(host=ssh_host),
            "near": DockerEngineSettings(host=engine.host),
        },
    )
    before = children()
    runner = DockerEnginesRunner(several, environment={})
    far = await runner.start(A, model("fake/tgi", engine_host="far"), silent)
    near = await runner.start(B, model("fake/tgi", "b", engine_host="near"), silent)
    assert port_of(far_engine) == port_of(engine, NAME_B) == several.engines.ports[0]
    assert near.url.endswith(f":{several.engines.ports[0]}")
    assert [await answers(one.url) for one in (far, near)] == [200, 200]
    (ssh,) = children() - before
    os.kill(ssh, signal.SIGKILL)
    member = runner.pool.members["far"]
    async with asyncio.timeout(CEILING_SECONDS):
        await member.wait_until(answers=False)
        await member.wait_until(answers=True)
    assert await answers(far.url) == 200
    await runner.close()
    successor = DockerEnginesRunner(several, environment={})
    found = {one.replica: one.endpoint for one in await successor.list()}
    for replica in (A, B):
        endpoint = found[replica]
        assert endpoint is not None
        assert await answers(endpoint.url) == 200
        await successor.stop(replica, grace_seconds=0)
    await successor.close()
    assert children() == before
    assert not far_engine.containers()


def port_of(engine: Engine, name: str = NAME_A) -> int:
    """Return the port that a container has on the engine's machine."""
    bindings = engine.inspect(name)["HostConfig"]["PortBindings"]
    return int(next(iter(bindings.values()))[0]["HostPort"])


@pytest.mark.needs_ssh
async def test_a_machine_that_ssh_does_not_reach_is_an_error_with_its_words(
    settings: DockerSettings,
) -> None:
    there = replace(settings, host="ssh://root@127.0.0.1:1")
    runner = DockerRunner(there, instance="test", ports=(1, 1), environment={})
    with pytest.raises(ModelFailed, match="Connection refused"):
        await runner.start(A, model("fake/tgi"), silent)
    await runner.close()
