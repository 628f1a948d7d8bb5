"""Gateways before gateways: their models can be asked, and their lists come to an end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings
from tests.fakes.openai import serve
from tests.fakes.openai_options import like
from tests.web.gateway import Gateway, running, server_settings

QUESTION = {"messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def before(url: str) -> AsyncIterator[Gateway]:
    """Run a gateway before one server with many models."""
    upstreams = {"u": UpstreamSettings(url=url, models=("*",))}
    async with running(Settings(server=server_settings(), upstreams=upstreams)) as gateway:
        yield gateway


async def test_a_gateway_has_what_is_behind_another_one_and_no_more() -> None:
    """Those that list each other would have longer and longer lists."""
    async with serve(like("vllm")) as fake, before(fake.url) as first:
        await first.until_any(lambda model: model.id == "u/fake-model")
        async with before(first.url) as second:
            await second.until_any(lambda model: model.id == "u/u/fake-model")
            reply = await second.post(
                "/v1/chat/completions", {"model": "u/u/fake-model", **QUESTION}
            )
            assert reply.status == 200, reply.text
            owners = [
                (await one.get("/v1/models")).json["data"][0]["owned_by"] for one in (first, second)
            ]
            assert owners == ["sidestream", "sidestream-relayed"]
            async with before(second.url) as third:
                await third.until_any(lambda model: model.state == "failed")
                (model,) = (await third.get("/models")).json
                assert model["id"] == "[upstream u]"
                assert model["server"]["left_out"] == 1
