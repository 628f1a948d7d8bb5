"""The socket itself."""

import aiohttp

from tests.conformance.kit import Subject, rule
from tests.conformance.peer import require

_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@rule
async def frames_that_are_no_command_close_the_socket(subject: Subject) -> None:
    """A frame that is not a JSON object with a string `type` closes the socket with 4400."""
    for frame in ("no JSON", "[]", "7", "null", "{}", '{"type": 7}', '{"type": "ping"'):
        async with subject.peer() as peer:
            await peer.socket.send_str(frame)
            code = await peer.close_code()
            require(code == 4400, f"{frame} closed with {code}")


@rule
async def frames_of_bytes_close_the_socket(subject: Subject) -> None:
    """Frames are text: one of bytes closes the socket with 4400."""
    async with subject.peer() as peer:
        await peer.socket.send_bytes(b'{"id": 1, "type": "ping"}')
        code = await peer.close_code()
        require(code == 4400, f"it closed with {code}")


@rule
async def nothing_is_compressed(subject: Subject) -> None:
    """Compression is not agreed to, although it is offered."""
    async with subject.peer() as peer:
        require(peer.socket.compress == 0, "compression was agreed to")


@rule
async def pings_of_the_transport_are_answered(subject: Subject) -> None:
    """A WebSocket ping has its pong."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(subject.url, autoping=False) as socket,
    ):
        await socket.ping(b"there?")
        while (message := await socket.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
            pass
        is_pong = message.type is aiohttp.WSMsgType.PONG and message.data == b"there?"
        require(is_pong, f"what came was {message}")


@rule
async def foreign_pages_are_refused(subject: Subject) -> None:
    """A foreign `Origin` is refused before the upgrade: 403 and `{"error": {code, message}}`."""
    headers = _UPGRADE | {"Origin": "http://foreign.example"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(subject.http_url, headers=headers) as answer,
    ):
        require(answer.status == 403, f"the status is {answer.status}")
        body = await answer.json()
        require({"code", "message"} <= set(body["error"]), f"the body is {body}")
