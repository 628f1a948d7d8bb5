"""Every way to have a model server, in one comparison, in a browser.

A TGI container, a llama.cpp container, a command, a server that was found on this machine, and the
embedded engine: the first by the real TGI where `shared/servers` is, else by the fake one.
"""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import KeepLog
from tests.docker import image, real_images
from tests.docker.engine import INSTANCE, Engine
from tests.support.gateway import ROOT, gateway
from tests.support.ports import free_ports
from tests.support.real_servers import has, llama_cpp, small_model

CEILING_SECONDS = 240
SETTINGS = """\
[engines]
ports = {first}-{last}

[docker]
allowed_images = sidestream-test/*
hf_cache = {directory}/hf

[discovery]
ports = {found}
interval = 5

[model tgi]
name = In TGI
runner = docker
image = {tgi}
gpus = none
model_id = {tgi_model}

[model container]
name = In a container
runner = docker
engine = llama.cpp
image = {llama}
gpus = none
model_id = {llama_model}
slots = 1
max_total_tokens = 512

[model command]
name = By a command
runner = command
command = {python} -m tests.support.llama_program {weights} --port {{port}} --slots 1

[model embedded]
name = Embedded
weights = {weights}
slots = 1
threads = 1
context_tokens = 512
"""
OWN = ("In TGI", "In a container", "By a command", "Embedded")
FOUND = "found"


@pytest.mark.needs_chromium
async def test_five_ways_to_have_a_server_answer_side_by_side(
    engine: Engine, fake: str, llama: str, tmp_path: Path, keep_log: KeepLog, artifacts: Path
) -> None:
    keep_log("the gateway", tmp_path / "server.log")
    image.put_model(tmp_path / "hf")
    is_real = has("tgi")
    if is_real:
        real_images.put_tgi_model(tmp_path / "hf")
    first, last = free_ports(10)
    try:
        async with llama_cpp(slots=1, context=512, model=FOUND) as found:
            settings = SETTINGS.format(
                first=first,
                last=last,
                directory=tmp_path,
                found=found.port,
                tgi=real_images.real_image("tgi") if is_real else fake,
                tgi_model=real_images.TGI_MODEL if is_real else "fake/tgi",
                llama=llama,
                llama_model=image.MODEL,
                python=sys.executable,
                weights=small_model(),
            )
            async with gateway(settings, tmp_path, instance=INSTANCE) as running:
                seen = await _visit(f"http://{running.address}/", artifacts / "five.png")
        assert not seen["complaints"]
        assert seen["texts"].keys() == {*OWN, FOUND}
        assert all(text.strip() for text in seen["texts"].values()), seen
        # The same model, asked for its most likely words, whoever runs its server.
        embedded = seen["texts"]["Embedded"]
        assert seen["texts"]["By a command"].split()[:1] == embedded.split()[:1]
        # What was found is written down where it is found again.
        assert f"127.0.0.1:{found.port}" in (tmp_path / "servers.ini").read_text()
    finally:
        for name in engine.containers():
            engine.remove(name)


async def _visit(url: str, picture: Path) -> dict[str, dict[str, str]]:
    visit = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.browser.side_by_side", url, str(picture), *OWN, FOUND),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CEILING_SECONDS):
            said, errors = await visit.communicate()
    finally:
        if visit.returncode is None:
            visit.kill()
            await visit.wait()
    assert visit.returncode == 0, errors.decode()
    seen: dict[str, dict[str, str]] = json.loads(said)
    return seen
