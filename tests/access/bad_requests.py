"""Every kind of bad request, as bytes: what is wrong with one, and the rest as it should be."""

import base64
import json
import random
from collections.abc import Callable

Chance = random.Random
Kind = Callable[[Chance, str], bytes]
KINDS: list[Kind] = []


def kind(make: Kind) -> Kind:
    KINDS.append(make)
    return make


def request(line: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    lines = [f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def post(path: str, key: str, body: bytes, content_type: str = "application/json") -> bytes:
    bearer = f"Authorization: Bearer {key}"
    return request(f"POST {path}", bearer, f"Content-Type: {content_type}", body=body)


def upgrade(key: str, *headers: str, path: str = "/ws") -> bytes:
    return request(
        f"GET {path}",
        *("Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: Bearer {key}",
        *headers,
    ).replace(b"Connection: close", b"Connection: Upgrade")


def frame(payload: bytes, *, opcode: int = 1, masked: bool = True) -> bytes:
    size = len(payload)
    assert size < 65536
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    head = bytes([0x80 | opcode, length[0] | (0x80 if masked else 0)]) + length[1:]
    return head + (b"\0\0\0\0" if masked else b"") + payload


PATHS = ["/generate", "/generate_stream", "/v1/chat/completions", "/models/m", "/v1/completions"]


@kind
def noise(chance: Chance, key: str) -> bytes:
    return chance.randbytes(chance.randrange(1, 400)) + b"\r\n\r\n"


@kind
def half_a_request(chance: Chance, key: str) -> bytes:
    whole = post("/generate", key, b'{"model": "m", "inputs": "Once"}')
    return whole[: chance.randrange(1, len(whole) - 1)]


@kind
def no_key(chance: Chance, key: str) -> bytes:
    return request(f"GET {chance.choice(['/', '/models', '/docs', '/nowhere', '/ws'])}")


@kind
def wrong_key(chance: Chance, key: str) -> bytes:
    wrong = base64.b64encode(chance.randbytes(chance.randrange(60))).decode()
    return request("GET /models", f"Authorization: {chance.choice(['Bearer', 'x'])} {wrong}")


@kind
def wrong_cookie_or_ticket(chance: Chance, key: str) -> bytes:
    name = f"sidestream-{chance.randrange(99)}={chance.randrange(10**9)}; ;=; a"
    return request(f"GET /ws?ticket={chance.randrange(10**9)}", f"Cookie: {name}")


@kind
def foreign_host(chance: Chance, key: str) -> bytes:
    return request("GET /models", host=chance.choice(["evil.test", "", "[", "a" * 500, "a b"]))


@kind
def foreign_origin(chance: Chance, key: str) -> bytes:
    return upgrade(key, f"Origin: http://evil{chance.randrange(99)}.test")


@kind
def wrong_method(chance: Chance, key: str) -> bytes:
    verb = chance.choice(["DELETE", "PATCH", "TRACE", "OPTIONS", "X", "CONNECT"])
    return request(f"{verb} {chance.choice(PATHS)}", f"Authorization: Bearer {key}")


@kind
def wild_address(chance: Chance, key: str) -> bytes:
    wild = chance.choice(
        ["/%00", "/../../etc/passwd", "/static/%2e%2e/x", "//", "/models/%ff/logs"]
    )
    return request(f"GET {wild}?{chance.randrange(99)}&&=%", f"Authorization: Bearer {key}")


@kind
def no_json(chance: Chance, key: str) -> bytes:
    bad = [b"{", b"[]", b"null", b"\xff\xfe", b'{"model": 3}', b'"x"', b'{"a":1e999}', b"nan"]
    return post(chance.choice(PATHS), key, chance.choice(bad))


@kind
def deep_json(chance: Chance, key: str) -> bytes:
    return post(chance.choice(PATHS), key, b'{"model":' + b"[" * 50_000)


@kind
def wrong_content_type(chance: Chance, key: str) -> bytes:
    form = chance.choice(["text/plain", "multipart/form-data; boundary=x", "", "application/xml"])
    return post(chance.choice(PATHS), key, b'{"model":"m","inputs":"x"}', form)


@kind
def wrong_parameters(chance: Chance, key: str) -> bytes:
    parameters = {
        chance.choice(["top_p", "seed", "no_such", "best_of"]): chance.choice([-7, "x", []])
    }
    body = {"model": "m", "inputs": "Once", "parameters": parameters}
    return post("/generate", key, json.dumps(body).encode())


@kind
def unknown_model(chance: Chance, key: str) -> bytes:
    body = {"model": "x" * chance.randrange(2000), "inputs": "Once", "prompt": "Once"}
    return post(chance.choice(["/generate", "/v1/completions"]), key, json.dumps(body).encode())


@kind
def too_large(chance: Chance, key: str) -> bytes:
    return post("/generate", key, b"x" * 20_000)


@kind
def a_length_that_is_none(chance: Chance, key: str) -> bytes:
    length = chance.choice(["-1", "x", "99999999999999999999", "1, 2", "+3"])
    return request("POST /generate", f"Content-Length: {length}", f"Authorization: Bearer {key}")


@kind
def a_body_that_is_not_compressed(chance: Chance, key: str) -> bytes:
    path, form = chance.choice(
        [
            ("/generate", "application/json"),
            ("/conversations/import", "application/json"),
            ("/sign-in", "application/x-www-form-urlencoded"),
        ]
    )
    encoding = chance.choice(["gzip", "deflate"])
    bearer = f"Authorization: Bearer {key}"
    headers = (bearer, f"Content-Type: {form}", f"Content-Encoding: {encoding}")
    return request(f"POST {path}", *headers, body=b"{}")


@kind
def broken_chunks(chance: Chance, key: str) -> bytes:
    head = request("POST /generate", "Transfer-Encoding: chunked", "Content-Type: application/json")
    return head + chance.choice([b"zz\r\n", b"-1\r\n\r\n", b"5\r\nab", b"ffffffffffffffff\r\n"])


@kind
def long_headers(chance: Chance, key: str) -> bytes:
    return request("GET /health", f"X-Long: {'x' * 9000}")


@kind
def sign_in_attempt(chance: Chance, key: str) -> bytes:
    form = "application/x-www-form-urlencoded"
    bad = chance.choice([b"key=guess", b"key=%", b"\xff", b"&" * 3000, b"key=" + b"x" * 9000])
    return request("POST /sign-in", f"Content-Type: {form}", body=bad)


@kind
def half_an_upgrade(chance: Chance, key: str) -> bytes:
    return upgrade(key).replace(b"Version: 13", b"Version: 7")


@kind
def a_frame_that_is_no_command(chance: Chance, key: str) -> bytes:
    bad = [b"{", b"[]", b"3", b'{"id":1}', b'{"type":7}', b"\xff\xfe", b"[" * 5000]
    return upgrade(key) + frame(chance.choice(bad))


@kind
def a_command_that_is_wrong(chance: Chance, key: str) -> bytes:
    commands = [
        {"id": 1, "type": "applaud"},
        {"id": 0, "type": "ping"},
        {"id": 1, "type": "generate", "targets": [], "prompt": "x"},
        {"id": 1, "type": "generate", "targets": [{"model": "nobody"}], "prompt": "x"},
        {"id": 1, "type": "hello", "session": "s_stolen", "cursors": {"g1": 10**9}},
        {"id": 1, "type": "logs", "model": "m", "tail": -1},
        {"id": 1, "type": "stop", "model": "m"},
    ]
    return upgrade(key) + frame(json.dumps(chance.choice(commands)).encode())


@kind
def a_frame_that_is_none(chance: Chance, key: str) -> bytes:
    bad = [
        frame(b"x", masked=False),
        frame(b"x", opcode=7),
        frame(b"x" * 20_000),
        frame(b"\xff", opcode=2),
        b"\xff" * 20,
    ]
    return upgrade(key) + chance.choice(bad)
