"""Addresses of model servers: whatever people paste leads to the server and to its API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.settings.addresses import Address, is_this_machine, resolve_address

HOST = "http://gpu-box:8000"

# What is pasted, the server's base, the path from there to its API.
PASTED = [
    ("gpu-box:8000", HOST, "/v1"),
    ("http://gpu-box:8000", HOST, "/v1"),
    ("  http://gpu-box:8000/ ", HOST, "/v1"),
    ("<http://gpu-box:8000>", HOST, "/v1"),
    ("HTTP://GPU-Box:8000//", HOST, "/v1"),
    ("//gpu-box:8000", HOST, "/v1"),
    ("http://gpu-box:8000/v1", HOST, "/v1"),
    ("http://gpu-box:8000//v1//", HOST, "/v1"),
    ("gpu-box:8000/v1/chat/completions", HOST, "/v1"),
    ("http://gpu-box:8000/v1/completions", HOST, "/v1"),
    ("http://gpu-box:8000/v1/models", HOST, "/v1"),
    ("http://gpu-box:8000/v1/models/", HOST, "/v1"),
    ("http://gpu-box:8000/v1/embeddings", HOST, "/v1"),
    ("http://gpu-box:8000/generate_stream", HOST, "/v1"),
    ("http://gpu-box:8000/health", HOST, "/v1"),
    ("http://gpu-box:8000/docs", HOST, "/v1"),
    ("http://localhost:11434/api", "http://localhost:11434", "/v1"),
    ("http://localhost:11434/api/", "http://localhost:11434", "/v1"),
    ("http://localhost:11434/api/chat", "http://localhost:11434", "/v1"),
    ("http://localhost:11434/api/tags", "http://localhost:11434", "/v1"),
    ("http://localhost:1234/api/v0/models", "http://localhost:1234/api", "/v0"),
    ("https://open.example/api/paas/v4", "https://open.example/api/paas", "/v4"),
    ("https://open.example/api/paas/v4/chat/completions", "https://open.example/api/paas", "/v4"),
    ("https://g.example/v1beta/openai/", "https://g.example", "/v1beta/openai"),
    ("https://g.example/openai/v1", "https://g.example/openai", "/v1"),
    ("http://localhost:12434/engines/v1", "http://localhost:12434/engines", "/v1"),
    ("https://router.example/api/v1", "https://router.example/api", "/v1"),
    ("https://c.example/v4/accounts/1/ai/v1", "https://c.example/v4/accounts/1/ai", "/v1"),
    ("http://gw/models/llama", "http://gw/models/llama", "/v1"),
    ("http://gw:9292/upstream/qwen/v1", "http://gw:9292/upstream/qwen", "/v1"),
    ("https://m.example/inference/chat/completions", "https://m.example/inference", ""),
    ("https://p.example/chat/completions", "https://p.example", ""),
    ("http://[::1]:8080/v1", "http://[::1]:8080", "/v1"),
    ("[2001:db8::7]:8080", "http://[2001:db8::7]:8080", "/v1"),
    ("2001:db8::7", "http://[2001:db8::7]", "/v1"),
    ("http://0.0.0.0:8000", "http://127.0.0.1:8000", "/v1"),
    ("http://[::]:8000", "http://[::1]:8000", "/v1"),
    ("api.example:443", "https://api.example:443", "/v1"),
    ("localhost", "http://localhost", "/v1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "url", "api"), PASTED, ids=[text for text, _, _ in PASTED])
def test_pasted_addresses_are_resolved(text: str, url: str, api: str) -> None:
    address = resolve_address(text)
    assert (address.url, address.api) == (url, api)
    assert resolve_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected http://HOST:PORT, found ''"),
        ("http://", "http://HOST:PORT"),
        ("http://:80", "http://HOST:PORT"),
        ("http://a b", "http://HOST:PORT"),
        ("http://a\nb", "http://HOST:PORT"),
        ("http://a:99999", "http://HOST:PORT"),
        ("http://a:0", "http://HOST:PORT"),
        ("http://a:b", "http://HOST:PORT"),
        ("http://[::1", "http://HOST:PORT"),
        ("http://[nowhere]", "http://HOST:PORT"),
        ("ftp://a", "http://HOST:PORT"),
        ("file:///etc/passwd", "http://HOST:PORT"),
        ("unix:///run/x.sock", "http://HOST:PORT"),
        ("http://a\\b", "http://HOST:PORT"),
        ("http://a/../b", "`.` and `..`"),
        ("http://me:hunter2@a", "no name or password"),
        ("http://a/v1?key=hunter2", "no `?` or `#`"),
        ("http://a/v1#hunter2", "no `?` or `#`"),
    ],
)
def test_invalid_addresses_are_refused_without_showing_secrets(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        resolve_address(text)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


HOSTS = st.sampled_from(["gpu-box", "10.0.0.5", "[::1]", "a.example", "xn--bcher-kva.example"])
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
PARTS = st.sampled_from(
    [
        *("", "v1", "V2", "v4", "v1beta", "api", "chat", "completions", "models", "openai"),
        *("generate", "health", "info", "x", "docs", "tags", "%20"),
    ]
)
TEXTS = st.builds(
    lambda scheme, host, port, parts: f"{scheme}{host}{port}/{'/'.join(parts)}",
    st.sampled_from(["", "http://", "https://", "//"]),
    HOSTS,
    PORTS,
    st.lists(PARTS, max_size=6),
)


@given(TEXTS)
def test_an_address_that_was_resolved_means_itself(text: str) -> None:
    address = resolve_address(text)
    assert resolve_address(str(address)) == address
    if address.api:
        assert resolve_address(f"{address.url}{address.api}") == address
    assert not address.url.endswith("/")
    assert "//" not in address.url.partition("://")[2]
    assert address.api == "" or (address.api[0] == "/" and address.api[-1] != "/")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_is_refused_in_words(text: str) -> None:
    try:
        address = resolve_address(text)
    except ValueError as error:
        said = str(error)
    else:
        said = ""
        assert resolve_address(str(address)) == address
    assert not said or said.startswith(("expected http://HOST:PORT", "an address has no"))


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.3.2.1", True),
        ("http://[::1]:1", True),
        ("http://[::ffff:127.0.0.1]:1", True),
        ("http://localhost.:1", True),
        ("http://a.localhost", True),
        ("http://host.docker.internal:11434", True),
        ("http://gpu-box", False),
        ("http://10.0.0.5", False),
        ("http://localhost.example", False),
    ],
)
def test_this_machine_is_known_by_its_names(url: str, is_here: bool) -> None:
    assert is_this_machine(url) is is_here


def test_an_address_is_shown_whole() -> None:
    assert str(Address(HOST)) == f"{HOST}/v1"
    assert str(Address("https://p.example", "")) == "https://p.example/chat/completions"
