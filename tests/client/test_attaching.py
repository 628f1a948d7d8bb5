"""The Python client puts pictures and files, and asks with them."""

from pathlib import Path

import pytest

from server.client import SidestreamError, connect
from tests.fakes.openai import serve
from tests.fakes.openai_options import Canned, FakeOptions
from tests.support.pictures import BOMB, REAL
from tests.web.gateway import remote
from tests.wire.gateway import gateway

SEES = {"GET /props": Canned({"default_generation_settings": {}, "modalities": {"vision": True}})}


async def test_a_picture_and_a_file_are_put_and_asked_about(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("one, two")
    async with serve(FakeOptions(text="Red.", routes=SEES)) as fake:
        model = remote(fake.url, dialect="openai", flavour="llama.cpp")
        async with (
            gateway({"m": model}) as running,
            connect(f"ws://127.0.0.1:{running.port}/ws") as client,
        ):
            picture = await client.attach(REAL["png"], name="a.png")
            assert (picture.kind, picture.width, picture.height) == ("image", 23, 17)
            file = await client.attach(notes)
            assert (file.kind, file.name, file.bytes) == ("text", "notes.txt", 8)
            (one,) = await client.generate("m", "What?", attachments=[picture, file])
            assert (await one.result()).text == "Red."
            (two,) = await client.generate("m", [{"role": "user", "content": [picture.part]}])
            await two.result()
        first, second = fake.state.requests[-2:]
        text, image, read = first["messages"][0]["content"]
        assert text == {"type": "text", "text": "What?"}
        assert image["type"] == "image_url"
        assert "one, two" in read["text"]
        assert second["messages"][0]["content"] == [image]


async def test_refused_attachments_raise_an_error_with_its_code(tmp_path: Path) -> None:
    async with (
        gateway({}) as running,
        connect(f"ws://127.0.0.1:{running.port}/ws") as client,
    ):
        with pytest.raises(SidestreamError, match="40,000 x 40,000") as raised:
            await client.attach(BOMB)
        assert raised.value.code == "too_large"
        with pytest.raises(FileNotFoundError):
            await client.attach(tmp_path / "none.png")
        picture = await client.attach(REAL["png"])
        with pytest.raises(ValueError, match="name their attachments themselves"):
            await client.generate("m", [], attachments=[picture])
        address = f"ws://127.0.0.1:{running.port}/ws"
    async with gateway({}) as other, connect(f"ws://127.0.0.1:{other.port}/ws") as client:
        client._url = address
        with pytest.raises(SidestreamError, match="was not put"):
            await client.attach(b"hello")
