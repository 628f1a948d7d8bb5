"""What a request says, to whom, and what is never shown."""

from collections.abc import Mapping

import pytest

from server.core.errors import EngineError
from server.core.trace import Trace, enter
from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from tests.support.raw_http import HELLO, always, serving

KEY = "sk-geheim"


async def asked(
    api_key: str = "",
    configured: tuple[tuple[str, str], ...] = (),
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers of a request."""
    async with serving(always(HELLO)) as server:
        endpoint = Endpoint(server.url(), api_key=api_key, headers=configured)
        client = HTTPClient(endpoint, Timeouts())
        await client.post("/", {"a": "ü"}, headers=headers or {})
        await client.close()
        [request] = server.requests
        assert request.body == '{"a":"ü"}'.encode()
        return request.headers


async def test_the_key_and_the_settings_headers_are_sent() -> None:
    headers = await asked(KEY, (("X-Team", "a, b\tc"),))
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["x-team"] == "a, b\tc"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert "connection" not in headers


async def test_a_header_is_sent_once_as_the_last_one_says_it() -> None:
    settings = (("authorization", "Own key"), ("Accept-encoding", "br"), ("HOST", "other"))
    headers = await asked(KEY, settings, {"ACCEPT-ENCODING": "identity"})
    assert headers["authorization"] == "Own key"
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == "other"


async def test_latin_letters_are_sent_as_such() -> None:
    async with serving(always(HELLO)) as server:
        client = HTTPClient(Endpoint(server.url(), headers=(("X-Name", "Jürgen"),)), Timeouts())
        async with client.request("GET", "/") as stream:
            await stream.read_bytes(max_bytes=10)
        assert b"X-Name: J\xfcrgen\r\n" in server.requests[0].head + b"\r\n"
        await client.close()


async def test_trace_headers_are_passed_on() -> None:
    parent = f"00-{'1' * 32}-{'2' * 16}-01"
    enter(Trace("id", parent))
    try:
        assert (await asked())["traceparent"] == parent
    finally:
        enter(Trace())
    assert "traceparent" not in await asked()


async def test_the_user_of_an_address_is_sent_and_not_shown() -> None:
    async with serving(always(HELLO)) as server:
        url = server.url().replace("//", "//user:geheim@")
        client = HTTPClient(Endpoint(url), Timeouts())
        await client.get("/")
        assert server.requests[0].headers["authorization"] == "Basic dXNlcjpnZWhlaW0="
        await client.close()
    with pytest.raises(EngineError) as error:
        await client.get("/")
    assert "geheim" not in f"{error.value!r} {error.value.hint}"


UNSENDABLE = {
    "a line break": ("X-A", f"{KEY}\r\nX-B: c"),
    "a line feed": ("X-A", f"{KEY}\n"),
    "a zero": ("X-A", f"{KEY}\0"),
    "another alphabet": ("X-A", f"{KEY}Ω"),
    "blanks at an end": ("X-A", f"{KEY} "),
    "a name with a colon": ("X:A", KEY),
    "a name with a line break": ("X\r\nA", KEY),
    "no name": ("", KEY),
    "a header of the framing": ("Content-Length", "3"),
    "another one": ("transfer-encoding", "chunked"),
    "the connection's": ("Connection", "close"),
}


@pytest.mark.parametrize("header", UNSENDABLE.values(), ids=UNSENDABLE)
async def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(
    header: tuple[str, str],
) -> None:
    async with serving(always(HELLO)) as server:
        client = HTTPClient(Endpoint(server.url(), headers=(header,)), Timeouts())
        with pytest.raises(EngineError) as error:
            await client.get("/")
        assert KEY not in f"{error.value!r} {error.value.hint}"
        assert "`headers`" in (error.value.hint or "")
        assert server.connections == 0


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}Ω", f"{KEY}\r\nX: y"])
async def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    client = HTTPClient(Endpoint("http://127.0.0.1:1", api_key=key), Timeouts())
    with pytest.raises(EngineError, match="header Authorization cannot be sent") as error:
        await client.get("/")
    assert KEY not in f"{error.value!r} {error.value.hint}"
    assert "`api_key`" in (error.value.hint or "")


async def test_a_path_can_end_no_line() -> None:
    async with serving(always(HELLO)) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        await client.get("/models/a b\r\nX: y/ü#c%20d")
        [request] = server.requests
        assert request.first_line == "GET /models/a%20b%0D%0AX:%20y/%C3%BC%23c%20d HTTP/1.1"
        await client.close()


REDIRECTS = {
    "https": ("https://gpu-box/v1/models", "https://gpu-box/v1/models", "https://gpu-box/v1"),
    "a path": ("/login?next=/v1", "{url}/login", "{url}/login"),
    "another path": ("/api/v1/models", "{url}/api/v1/models", "{url}/api/v1"),
    "credentials": ("http://me:geheim@x/y?token=geheim", "http://x/y", "http://x/y"),
    "no address": ("http://[", "http://[", "http://["),
}


@pytest.mark.parametrize(("location", "named", "hinted"), REDIRECTS.values(), ids=REDIRECTS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_named_and_not_followed(
    status: int, location: str, named: str, hinted: str
) -> None:
    answer = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    async with serving(always(answer.encode())) as server:
        client = HTTPClient(Endpoint(f"{server.url()}/v1", api_key=KEY), Timeouts())
        with pytest.raises(EngineError) as error:
            await client.get("/models")
        assert type(error.value) is EngineError
        said = f"answered {status}: it redirects to {named.format(url=server.url())}, "
        assert said in str(error.value)
        assert (error.value.hint or "").endswith(f"`url`: {hinted.format(url=server.url())}")
        assert "geheim" not in f"{error.value!r} {error.value.hint}"
        assert len(server.requests) == 1
        await client.close()


async def test_a_redirect_to_nowhere_is_one() -> None:
    async with serving(always(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        with pytest.raises(EngineError, match="answered 302, a redirect to nowhere"):
            await client.get("/")
        await client.close()


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_errors_status_is_an_answer(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".encode()
    async with serving(always(answer)) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        reply = await client.get("/")
        assert (reply.status, reply.body, reply.headers["retry-after"]) == (status, b"no", "7")
        assert (await client.get("/", max_bytes=1)).body == b"n"
        await client.close()


async def test_an_answer_that_is_too_long_is_an_error() -> None:
    async with serving(always(HELLO)) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        assert (await client.get("/", max_bytes=5)).body == b"hello"
        with pytest.raises(EngineError, match="answered /x with more than 4 bytes"):
            await client.get("/x", max_bytes=4)
        await client.close()


async def test_an_answer_that_is_compressed_all_the_same_is_told() -> None:
    answer = HELLO.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with serving(always(answer)) as server:
        client = HTTPClient(Endpoint(server.url()), Timeouts())
        with pytest.raises(EngineError, match=r"compressed \(gzip\)"):
            await client.get("/")
        await client.close()


async def test_a_client_shows_no_secret() -> None:
    endpoint = Endpoint("http://u:geheim@x", api_key=KEY, headers=(("X", KEY),))
    client = HTTPClient(endpoint, Timeouts())
    assert "geheim" not in repr(client)
