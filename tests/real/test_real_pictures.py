"""Pictures and real model servers whose models have no eyes: no vision model is small enough here.

What is sent to those that see is shown against fakes, in `tests/dialects/test_pictures.py`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real.over_servers import Over, over, remote
from tests.support.pictures import REAL
from tests.support.real_servers import RealServer, available

SERVERS = available("llama.cpp", "ollama", "tgi")
real = pytest.mark.parametrize("any_process", SERVERS, indirect=True)


@asynccontextmanager
async def showing(
    server: RealServer, folder: Path, *lines: str
) -> AsyncIterator[tuple[Over, list[dict[str, Any]]]]:
    """Speak to a gateway before the server; return a message with a picture, too."""
    settings = remote(server, f"model_id = {server.model}", *lines)
    async with over(settings, folder) as page:
        await page.answers("m")
        address = f"http://{page.gateway.address}/attachments"
        async with page.http.put(address, data=REAL["png"]) as response:
            picture = (await response.json())["id"]
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "attachment": picture},
        ]
        yield page, [{"role": "user", "content": parts}]


@real
async def test_one_without_eyes_says_so_and_is_not_asked(
    real_server: RealServer, tmp_path: Path
) -> None:
    async with showing(real_server, tmp_path / "gateway") as (page, messages):
        _, end = await page.answer("m", {"prompt": "Hello"})
        assert end["finish_reason"] in ("length", "stop")
        model = await page.sees("m", lambda model: "vision" in model["capabilities"])
        assert model["capabilities"]["vision"] is False
        failed = await page.client.try_to(
            type="generate", targets=[{"model": "m"}], messages=messages
        )
        assert failed["error"]["code"] == "cannot_see"
        assert failed["error"]["details"] == {"model": "m"}


@real
async def test_lenient_it_answers_without_the_picture(
    real_server: RealServer, tmp_path: Path
) -> None:
    """Also where that is found out by asking: TGI alone does not refuse."""
    sees = "vision = auto" if real_server.name == "tgi" else "vision = yes"
    async with showing(real_server, tmp_path / "gateway", sees) as (page, messages):
        result = await page.client.say(
            type="generate",
            targets=[{"model": "m", "lenient": True, "parameters": {"max_new_tokens": 5}}],
            messages=messages,
        )
        end = await page.client.end(result["generations"][0])
        assert end["finish_reason"] in ("length", "stop")
        assert "picture_left_out" in [notice["code"] for notice in end["notices"]]


@pytest.mark.parametrize("any_process", available("llama.cpp", "ollama"), indirect=True)
async def test_asked_all_the_same_the_servers_own_refusal_is_told(
    real_server: RealServer, tmp_path: Path
) -> None:
    async with showing(real_server, tmp_path / "gateway", "vision = yes") as (page, messages):
        text, end = await page.answer("m", {"messages": messages})
        assert (text, end["finish_reason"]) == ("", "failed")
        assert end["error"]["code"] == "cannot_see"
        words = end["error"]["message"]
        assert "multimodal requests" in words or "image input is not supported" in words
        _, again = await page.answer("m", {"prompt": "Hello"})
        assert again["finish_reason"] in ("length", "stop")
