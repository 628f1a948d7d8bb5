"""How a server is reached: its address, both families, and proxies."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.core.container import is_in_container
from server.core.errors import EngineError, EngineLost
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from server.dialects.http.origin import is_loopback, read_origin
from server.dialects.http.proxies import proxy_for
from tests.support.certificates import authority, server_context
from tests.support.raw_http import HELLO, always, serving

# --- addresses ----------------------------------------------------------------------------------

ADDRESSES = {
    "http://gpu-box": ("gpu-box", 80, "gpu-box"),
    "http://gpu-box:80/v1": ("gpu-box", 80, "gpu-box"),
    "http://gpu-box:8000": ("gpu-box", 8000, "gpu-box:8000"),
    "https://gpu-box": ("gpu-box", 443, "gpu-box"),
    "https://gpu-box:80": ("gpu-box", 80, "gpu-box:80"),
    "http://[::1]:8000": ("::1", 8000, "[::1]:8000"),
    "https://[2001:db8::1]": ("2001:db8::1", 443, "[2001:db8::1]"),
    "http://[fe80::1%eth0]:1": ("fe80::1%eth0", 1, "[fe80::1]:1"),
    "http://user:pass@gpu-box:1": ("gpu-box", 1, "gpu-box:1"),
    "http://rechner-köln": ("xn--rechner-kln-zfb", 80, "xn--rechner-kln-zfb"),
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_is_read(url: str) -> None:
    origin = read_origin(url)
    assert (origin.host, origin.port, origin.host_header) == ADDRESSES[url]
    assert "pass" not in repr(origin) + str(origin)


NO_ADDRESSES = ["", "gpu-box:8000", "ftp://gpu-box", "http://", "http://a:99999", "http://[::1"]


@pytest.mark.parametrize("url", [*NO_ADDRESSES, "http://a b/", "http://.ü..x"])
async def test_an_invalid_address_is_an_error(url: str) -> None:
    with pytest.raises(EngineError, match="`url` is no address"):
        await HTTPClient(Endpoint(url), Timeouts()).get("/")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "LocalHost.", "a.localhost", "127.0.0.1")),
        *((host, True) for host in ("127.9.9.9", "::1", "::ffff:127.0.0.1")),
        *((host, False) for host in ("0.0.0.0", "10.0.0.1", "::2", "localhost.example")),
        *((host, False) for host in ("host.docker.internal", "127.0.0.1.example", "")),
    ],
)
def test_loopback_is_known_by_its_name(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("listens", ["127.0.0.1", "::1"])
async def test_localhost_is_both_families(listens: str) -> None:
    async with serving(always(HELLO), host=listens) as server:
        client = HTTPClient(Endpoint(server.url("localhost")), Timeouts())
        assert (await client.get("/")).body == b"hello"
        assert server.requests[0].headers["host"] == f"localhost:{server.port}"
        await client.close()


async def test_an_ipv6_address_is_in_brackets() -> None:
    async with serving(always(HELLO), host="::1") as server:
        client = HTTPClient(Endpoint(server.url("[::1]") + "/base/"), Timeouts())
        assert (await client.get("/models?a=b")).body == b"hello"
        [request] = server.requests
        assert request.headers["host"] == f"[::1]:{server.port}"
        assert request.first_line == "GET /base/models?a=b HTTP/1.1"
        await client.close()


async def test_a_name_that_nobody_knows_is_told() -> None:
    client = HTTPClient(Endpoint("http://no-such-host.invalid"), Timeouts(), environment={})
    with pytest.raises(EngineLost, match=r"the name 'no-such-host\.invalid' is unknown"):
        await client.get("/")


# --- in a container -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("inside", [True, False])
async def test_a_refused_loopback_in_a_container_says_what_it_means(
    host: str, inside: bool, unused_tcp_port: int
) -> None:
    endpoint = Endpoint(f"http://{host}:{unused_tcp_port}")
    client = HTTPClient(endpoint, Timeouts(), in_container=lambda: inside)
    with pytest.raises(EngineLost, match="connection refused") as error:
        await client.get("/")
    hint = error.value.hint or ""
    assert ("`host.docker.internal`" in hint) is inside
    assert ("listen on more than 127.0.0.1" in hint) is inside


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv", None])
def test_a_container_is_known_by_its_mark(tmp_path: Path, mark: str | None) -> None:
    (tmp_path / "run").mkdir()
    if mark:
        (tmp_path / mark).touch()
    assert is_in_container(tmp_path) is (mark is not None)


# --- which proxy --------------------------------------------------------------------------------

PROXY = "http://proxy.example:3128"
BOTH = {"http_proxy": PROXY, "https_proxy": "http://secure.example:1"}

CHOICES: dict[str, tuple[str, dict[str, str], str]] = {
    "none": ("http://gpu-box", {}, ""),
    "by scheme": ("http://gpu-box", BOTH, "http://proxy.example:3128"),
    "by the other scheme": ("https://gpu-box", BOTH, "http://secure.example:1"),
    "capitals": ("http://gpu-box", {"HTTP_PROXY": PROXY}, PROXY),
    "lower case first": ("http://gpu-box", {"HTTP_PROXY": "http://x", "http_proxy": PROXY}, PROXY),
    "an empty one is none": ("http://gpu-box", {"HTTP_PROXY": PROXY, "http_proxy": ""}, ""),
    "for all": ("https://gpu-box", {"ALL_PROXY": PROXY}, PROXY),
    "its own before all": ("http://gpu-box", {"all_proxy": "http://x", "http_proxy": PROXY}, PROXY),
    "without scheme": ("http://gpu-box", {"http_proxy": "proxy.example:3128"}, PROXY),
    "https proxy": ("http://gpu-box", {"http_proxy": "https://p.example"}, "https://p.example"),
    "loopback": ("http://127.0.0.1:1", BOTH, ""),
    "loopback by name": ("https://localhost:1", BOTH, ""),
    "loopback of IPv6": ("http://[::1]:1", BOTH, ""),
}
# The host, what is excepted, and whether it is asked directly.
EXCEPTIONS = [
    ("gpu-box", "gpu-box", True),
    ("GPU-box", "other, gpu-BOX ,", True),
    ("gpu-box", "*", True),
    ("gpu-box", "box", False),
    ("a.lan.example", "lan.example", True),
    ("a.lan.example", ".lan.example", True),
    ("a.lan.example", "*.lan.example", True),
    ("lan.example", ".lan.example", True),
    ("xlan.example", "lan.example", False),
    ("10.1.2.3", "10.0.0.0/8", True),
    ("11.1.2.3", "10.0.0.0/8", False),
    ("10.1.2.3", "10.1.2.3", True),
    ("[2001:db8::1]", "2001:db8::/32", True),
    ("[2001:db8::1]", "[2001:db8::1]", True),
    ("[2001:db8::1]", "[2001:db8::1]:80", True),
    ("gpu-box", "gpu-box:80", True),
    ("gpu-box", "gpu-box:81", False),
    ("gpu-box", "", False),
]


@pytest.mark.parametrize(("url", "environment", "expected"), CHOICES.values(), ids=CHOICES)
def test_the_environment_names_the_proxy(
    url: str, environment: dict[str, str], expected: str
) -> None:
    proxy = proxy_for(read_origin(url), environment)
    assert (str(proxy) if proxy else "") == expected


@pytest.mark.parametrize(("host", "exceptions", "expected"), EXCEPTIONS)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_the_environment_excepts_from_it(
    host: str, exceptions: str, expected: bool, name: str
) -> None:
    environment = {"all_proxy": PROXY, name: exceptions}
    assert (proxy_for(read_origin(f"http://{host}"), environment) is None) is expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks5://user:geheim@p.example:1080", "a proxy of the kind 'socks5'"),
        ("http://user:geheim@", "is no address of a proxy"),
        ("http://user:geheim@p:port", "is no address of a proxy"),
    ],
)
async def test_a_proxy_that_cannot_be_spoken_to_is_told(value: str, said: str) -> None:
    client = HTTPClient(Endpoint("http://gpu-box"), Timeouts(), environment={"ALL_PROXY": value})
    with pytest.raises(EngineError, match=said) as error:
        await client.get("/")
    assert "`ALL_PROXY`" in str(error.value)
    assert "geheim" not in f"{error.value} {error.value.hint}"


# --- through a proxy ----------------------------------------------------------------------------


@dataclass
class Proxy:
    """A proxy that leads to the one port it knows, whatever it is asked for."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        proxy.heads.append(head.decode())
        writer.write(proxy.answer)
        if b" 200 " not in proxy.answer:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.url = f"http://us%20er:geheim@127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield proxy


CREDENTIALS = f"Basic {base64.b64encode(b'us er:geheim').decode()}"


async def test_a_plain_request_names_the_whole_address() -> None:
    async with serving(always(HELLO)) as proxy:
        environment = {"http_proxy": f"http://us%20er:geheim@127.0.0.1:{proxy.port}"}
        endpoint = Endpoint("http://gpu-box.example:8000/base", api_key="key")
        client = HTTPClient(endpoint, Timeouts(), environment=environment)
        for _ in range(2):
            assert (await client.get("/models")).body == b"hello"
        assert proxy.connections == 1
        request = proxy.requests[0]
        assert request.first_line == "GET http://gpu-box.example:8000/base/models HTTP/1.1"
        assert request.headers["host"] == "gpu-box.example:8000"
        assert request.headers["proxy-authorization"] == CREDENTIALS
        assert request.headers["authorization"] == "Bearer key"
        await client.close()


async def test_a_proxys_refusal_of_a_plain_request_is_told() -> None:
    answer = b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n"
    async with serving(always(answer)) as proxy:
        client = HTTPClient(
            Endpoint("http://gpu-box"), Timeouts(), environment={"http_proxy": proxy.url()}
        )
        with pytest.raises(EngineError, match="refuses us without the right user and password"):
            await client.get("/")
        await client.close()


@pytest.mark.needs_openssl
async def test_https_goes_through_a_tunnel_of_the_proxy(tmp_path: Path) -> None:
    """The proxy sees the host alone; the tunnel is used again."""
    ca_file = authority(tmp_path)
    tls = server_context(tmp_path, names="DNS:gpu-box.example")
    async with serving(always(HELLO), tls=tls) as server, proxy_to(server.port) as proxy:
        endpoint = Endpoint("https://gpu-box.example/v1", api_key="key", ca_file=str(ca_file))
        client = HTTPClient(endpoint, Timeouts(), environment={"https_proxy": proxy.url})
        for _ in range(2):
            assert (await client.get("/models")).body == b"hello"
        assert server.connections == 1
        [head] = proxy.heads
        assert head.split("\r\n") == [
            "CONNECT gpu-box.example:443 HTTP/1.1",
            "Host: gpu-box.example:443",
            f"Proxy-Authorization: {CREDENTIALS}",
            "",
            "",
        ]
        assert "proxy-authorization" not in server.requests[0].headers
        await client.close()


@pytest.mark.needs_openssl
async def test_a_certificate_is_looked_at_through_a_tunnel_too(tmp_path: Path) -> None:
    ca_file = authority(tmp_path)
    tls = server_context(tmp_path, names="DNS:other.example")
    async with serving(always(HELLO), tls=tls) as server, proxy_to(server.port) as proxy:
        endpoint = Endpoint("https://gpu-box.example", ca_file=str(ca_file))
        client = HTTPClient(endpoint, Timeouts(), environment={"https_proxy": proxy.url})
        with pytest.raises(EngineError, match="is for another name"):
            await client.get("/")
        await server.has_open(0)


REFUSALS = {
    407: (EngineError, "refuses us without the right user and password (407)"),
    403: (EngineError, "refuses the way to gpu-box.example:443: it answered 403"),
    503: (EngineLost, "does not reach gpu-box.example:443: it answered 503"),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_proxys_refusal_of_a_tunnel_is_told(status: int) -> None:
    kind, said = REFUSALS[status]
    async with proxy_to(0) as proxy:
        proxy.answer = f"HTTP/1.1 {status} No\r\nContent-Length: 3\r\n\r\nno\n".encode()
        client = HTTPClient(
            Endpoint("https://gpu-box.example"), Timeouts(), environment={"https_proxy": proxy.url}
        )
        with pytest.raises(EngineError) as error:
            await client.get("/")
        assert type(error.value) is kind
        assert said in str(error.value)
        assert "geheim" not in f"{error.value} {error.value.hint}"


async def test_a_proxy_that_is_not_there_is_named(unused_tcp_port: int) -> None:
    environment = {"all_proxy": f"http://127.0.0.1:{unused_tcp_port}"}
    for url in ("http://gpu-box", "https://gpu-box"):
        client = HTTPClient(Endpoint(url), Timeouts(), environment=environment)
        with pytest.raises(EngineLost, match=r"no connection to the proxy at http://127\.0\.0\.1"):
            await client.get("/")


async def test_a_proxy_that_closes_the_tunnel_is_an_error() -> None:
    async with proxy_to(0) as proxy:
        proxy.answer = b""
        client = HTTPClient(
            Endpoint("https://gpu-box.example"), Timeouts(), environment={"https_proxy": proxy.url}
        )
        with pytest.raises(EngineLost):
            await client.get("/")


async def test_loopback_is_asked_directly_whatever_the_environment_says(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    async with serving(always(HELLO)) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        assert (await client.get("/")).body == b"hello"
        await client.close()
