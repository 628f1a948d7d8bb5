"""https by a certificate and its key; what is wrong with them is told at the start."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from server.settings.access import AccessSettings
from server.web.listening import CannotEncrypt, Certificate, certificate_of
from tests.access.test_exposure import refusal
from tests.conftest import KeepLog
from tests.support.gateway import gateway
from tests.web.test_reload import reload

pytestmark = pytest.mark.needs_openssl


def make(folder: Path, name: str, *words: str) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=sidestream"),
            *("-addext", "subjectAltName=IP:127.0.0.1", *(words or ("-nodes",))),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_a_gateway_with_a_certificate_speaks_only_tls(
    tmp_path: Path, keep_log: KeepLog
) -> None:
    keep_log("the gateway", tmp_path / "server.log")
    certificate, key = make(tmp_path, "own")
    settings = f"[access]\ntls_certificate = {certificate}\ntls_key = {key}\n"
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with gateway(settings, tmp_path) as running, aiohttp.ClientSession() as http:
        url = f"https://{running.address}"
        async with http.get(f"{url}/models", ssl=trusting) as reply:
            assert reply.status == 200
        own = {"Origin": url}
        async with http.ws_connect(f"{url}/ws", ssl=trusting, headers=own) as socket:
            await socket.send_str('{"id":1,"type":"hello"}')
            assert '"resumed":false' in await socket.receive_str()
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(f"{url}/models", ssl=ssl.create_default_context())
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"http://{running.address}/models")


async def test_a_renewed_certificate_is_used_from_a_reload_on(
    tmp_path: Path, keep_log: KeepLog
) -> None:
    """It took a restart, which ended every model's server and every answer."""
    keep_log("the gateway", tmp_path / "server.log")
    certificate, key = make(tmp_path, "own")
    settings = f"[access]\ntls_certificate = {certificate}\ntls_key = {key}\n"
    old = certificate.read_text()
    async with gateway(settings, tmp_path) as running:

        async def shown() -> str:
            host, port = running.address.split(":")
            return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))

        assert await shown() == old
        assert await reload(tmp_path) == (0, "Nothing is new.\n")
        make(tmp_path, "own")
        new = certificate.read_text()
        assert await shown() == old
        assert await reload(tmp_path) == (0, "renewed certificate\n")
        assert await shown() == new != old
        # In the middle of a renewal: the key is another one's.
        key.write_bytes(make(tmp_path, "other")[1].read_bytes())
        code, said = await reload(tmp_path)
        assert code == 2
        assert f"keeps its settings: {certificate} and {key} are no certificate" in said
        assert await shown() == new


async def test_files_that_are_none_are_told_in_one_line(tmp_path: Path) -> None:
    settings = f"[access]\ntls_certificate = {tmp_path}/no.pem\ntls_key = {tmp_path}/no.key\n"
    said = await refusal(tmp_path, settings)
    assert said == f"{tmp_path}/no.pem: cannot be read: No such file or directory\n"


def test_every_fault_is_named(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one")
    _, other = make(tmp_path, "two")
    locked_certificate, locked = make(tmp_path, "locked", "-passout", "pass:secret")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00 no certificate")
    faults = [
        (certificate, other, "key values mismatch"),
        (certificate, garbage, "are no certificate with its key"),
        (garbage, key, "are no certificate with its key"),
        (key, certificate, "are no certificate with its key"),
        (certificate, tmp_path, "cannot be read: Is a directory"),
        (locked_certificate, locked, "locked with a password"),
    ]
    for cert, its_key, said in faults:
        with pytest.raises(CannotEncrypt, match=said):
            Certificate(cert, its_key)
    own = certificate_of(AccessSettings(tls_certificate=str(certificate), tls_key=str(key)))
    assert own is not None
    assert own.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert certificate_of(AccessSettings()) is None
