"""A server that others can reach does not start without keys, unless it is told to."""

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from server.access.exposure import is_exposed
from server.access.key import Key, digest_of, make_secret
from server.access.key_file import KeyFile
from server.settings.access import AccessSettings
from server.settings.tables import ServerSettings, Settings
from tests.conftest import KeepLog
from tests.support.gateway import ROOT, gateway

CEILING_SECONDS = 30


async def refusal(folder: Path, settings: str = "", *words: str) -> str:
    """Start a server that is to refuse; return what it says."""
    file = folder / "settings.ini"
    file.write_text(f"[server]\nport = 0\nstate_dir = {folder}/state\n{settings}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "--settings", str(file), *words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    try:
        async with asyncio.timeout(CEILING_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 1
    assert out == b""
    assert err.count(b"\n") == 1, err
    return err.decode()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.1", "host.example"])
async def test_an_exposed_gateway_does_not_start_without_keys_and_says_how(
    tmp_path: Path, host: str
) -> None:
    said = await refusal(tmp_path, "", "--host", host)
    assert f"listens on {host} and has no keys" in said
    assert "run.py key add NAME" in said
    assert "`insecure = yes`" in said


async def test_trusted_proxies_without_keys_are_refused(tmp_path: Path) -> None:
    said = await refusal(tmp_path, "[access]\ntrusted_proxies = 127.0.0.1\n")
    assert "`trusted_proxies`" in said


async def test_damaged_keys_are_told_and_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    file = tmp_path / "state" / "default.keys.json"
    file.write_text('{"version": 1, "keys": [{"name": "ann"}')
    file.chmod(0o600)
    before = file.read_bytes()
    said = await refusal(tmp_path)
    assert f"{file}: this is no file of keys" in said
    assert file.read_bytes() == before


@pytest.mark.parametrize("how", ["insecure", "keys"])
async def test_an_exposed_gateway_starts_with_keys_or_insecure(
    tmp_path: Path, keep_log: KeepLog, how: str
) -> None:
    keep_log("the gateway", tmp_path / "server.log")
    secret = make_secret()
    if how == "keys":
        key = Key("ann", digest_of(secret), "user", None, 0.0, None)
        KeyFile(tmp_path, "shown").change(lambda keys: (*keys, key))
    access = "[access]\ninsecure = yes\n" if how == "insecure" else ""
    options = ("--host", "0.0.0.0")
    async with (
        gateway(access, tmp_path, instance="shown", options=options) as running,
        aiohttp.ClientSession() as http,
    ):
        url = f"http://127.0.0.1:{running.address.rpartition(':')[2]}/models"
        async with http.get(url) as reply:
            assert reply.status == (401 if how == "keys" else 200)
        async with http.get(url, headers={"Authorization": f"Bearer {secret}"}) as reply:
            assert reply.status == 200


@pytest.mark.parametrize(
    ("host", "proxies", "exposed"),
    [
        ("127.0.0.1", (), False),
        ("127.0.0.2", (), False),
        ("::1", (), False),
        ("localhost", (), False),
        ("LOCALHOST", (), False),
        ("127.0.0.1", ("127.0.0.1",), True),
        ("0.0.0.0", (), True),
        ("::", (), True),
        ("192.168.0.4", (), True),
        ("localhost.example", (), True),
    ],
)
def test_only_addresses_of_this_machine_are_not_exposed(
    host: str, proxies: tuple[str, ...], exposed: bool
) -> None:
    settings = Settings(
        server=ServerSettings(host=host), access=AccessSettings(trusted_proxies=proxies)
    )
    assert is_exposed(settings) is exposed
