"""Servers that are spoken to encrypted: whom we trust, what goes wrong in words, and how often."""

import asyncio
import ssl
from pathlib import Path

import pytest

from server.core.errors import EngineError, EngineLost
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from tests.support.certificates import authority, server_context
from tests.support.far import far_away
from tests.support.raw_http import CHUNKS, HELLO, Request, always, serving

pytestmark = pytest.mark.needs_openssl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the authority `ca.pem` is."""
    return authority(tmp_path_factory.mktemp("tls")).parent


@pytest.fixture(scope="module")
def tls(folder: Path) -> ssl.SSLContext:
    """Return how a server with a good certificate encrypts."""
    return server_context(folder)


async def failure(url: str, ca_file: Path | str = "") -> EngineError:
    """Return the error that asking leads to."""
    client = HTTPClient(Endpoint(url, ca_file=str(ca_file)), Timeouts())
    with pytest.raises(EngineError) as error:
        await client.get("/")
    await client.close()
    return error.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_second_request_has_no_second_handshake(
    folder: Path, tls: ssl.SSLContext, host: str
) -> None:
    async with serving(always(HELLO), tls=tls) as server:
        endpoint = Endpoint(server.url(host, "https"), ca_file=str(folder / "ca.pem"))
        client = HTTPClient(endpoint, Timeouts())
        for _ in range(3):
            assert (await client.get("/")).body == b"hello"
        handshakes = tls.session_stats()["accept_good"]
        assert (server.connections, len(server.requests)) == (1, 3)
        fresh = HTTPClient(endpoint, Timeouts())
        assert (await fresh.get("/")).body == b"hello"
        assert tls.session_stats()["accept_good"] == handshakes + 1, "nothing was counted"
        await client.close()
        await fresh.close()
        await server.has_open(0)


async def test_a_second_answer_from_far_away_begins_after_one_round_trip(
    folder: Path, tls: ssl.SSLContext
) -> None:
    async with serving(always(HELLO), tls=tls) as server, far_away(server.port) as distance:
        url = f"https://127.0.0.1:{distance.port}"
        client = HTTPClient(Endpoint(url, ca_file=str(folder / "ca.pem")), Timeouts())
        await client.get("/")
        first = distance.round_trips
        distance.forget()
        await client.get("/")
        # To connect, to shake hands, to ask; on loopback TLS' tickets may make another turn.
        assert first >= 3
        assert distance.round_trips == 1
        await client.close()


async def test_a_stream_is_cancelled_by_closing(folder: Path, tls: ssl.SSLContext) -> None:
    async def handler(request: Request) -> bool:
        request.writer.write(CHUNKS + b"1\r\na\r\n")
        await request.reader.read()
        return True

    async with serving(handler, tls=tls) as server:
        endpoint = Endpoint(server.url(scheme="https"), ca_file=str(folder / "ca.pem"))
        async with HTTPClient(endpoint, Timeouts()).request("GET", "/") as stream:
            assert stream.status == 200
        await server.has_open(0)


async def test_an_unknown_certificate_authority_is_refused(tls: ssl.SSLContext) -> None:
    async with serving(always(HELLO), tls=tls) as server:
        error = await failure(server.url(scheme="https"))
    assert type(error) is EngineError
    assert (
        f"the certificate of the model server at {server.url(scheme='https')} is not trusted"
        in (str(error))
    )
    assert "`ca_file`" in (error.hint or "")


async def test_a_certificate_is_for_one_name(folder: Path) -> None:
    other = server_context(folder, names="DNS:elsewhere.example")
    async with serving(always(HELLO), tls=other) as server:
        for host in ("127.0.0.1", "localhost"):
            error = await failure(server.url(host, "https"), folder / "ca.pem")
            assert "is for another name" in str(error)


async def test_a_certificate_is_for_a_time(folder: Path) -> None:
    old = server_context(folder, days=-1)
    async with serving(always(HELLO), tls=old) as server:
        error = await failure(server.url(scheme="https"), folder / "ca.pem")
    assert "is out of its time: certificate has expired" in str(error)


async def test_plain_http_behind_an_https_address_is_named(folder: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a handshake as a server does that takes it for a bad request."""
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        error = await failure(url, folder / "ca.pem")
    assert "speaks plain http where its address says https" in str(error)
    assert error.hint == "write http:// in `url`"


async def test_https_behind_an_http_address_is_named() -> None:
    """OpenSSL's servers answer what is no handshake with an alert."""

    async def serve(request: Request) -> bool:
        request.writer.write(b"\x15\x03\x01\x00\x02\x02\x46")
        return True

    async with serving(serve) as server:
        error = await failure(server.url())
    assert type(error) is EngineError
    assert "speaks https where its address says http" in str(error)
    assert error.hint == "write https:// in `url`"


async def test_https_that_closes_without_a_word_is_thought_of(tls: ssl.SSLContext) -> None:
    """Python's servers do not even send the alert."""
    async with serving(always(HELLO), tls=tls) as server:
        error = await failure(server.url())
    assert type(error) is EngineLost
    assert error.hint == "if the server speaks https, write https:// in `url`"


def broken(folder: Path, content: bytes | None) -> Path:
    file = folder / "some.pem"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    return file


FILES = {
    "missing": (None, "cannot be read: No such file or directory"),
    "empty": (b"", "has no certificates"),
    "garbage": (b"\x00\x01 no certificate", "has no certificates"),
    "a broken certificate": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "has no certificates",
    ),
}


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
async def test_a_file_without_certificates_is_named(
    tmp_path: Path, tls: ssl.SSLContext, content: bytes | None, said: str
) -> None:
    file = broken(tmp_path, content)
    async with serving(always(HELLO), tls=tls) as server:
        error = await failure(server.url(scheme="https"), file)
        assert str(error) == f"{file}: {said}"
        assert "`ca_file`" in (error.hint or "")


async def test_a_file_that_is_mended_is_read_again(
    folder: Path, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    file = tmp_path / "ca.pem"
    async with serving(always(HELLO), tls=tls) as server:
        client = HTTPClient(Endpoint(server.url(scheme="https"), ca_file=str(file)), Timeouts())
        with pytest.raises(EngineError):
            await client.get("/")
        file.write_bytes((folder / "ca.pem").read_bytes())
        assert (await client.get("/")).body == b"hello"
        await client.close()


async def test_a_directory_is_no_file(tmp_path: Path, tls: ssl.SSLContext) -> None:
    async with serving(always(HELLO), tls=tls) as server:
        error = await failure(server.url(scheme="https"), tmp_path)
        assert str(tmp_path) in str(error)
