"""The Python client and conversations that are kept by the real gateway."""

from pathlib import Path

import aiohttp

from server.client import Target, connect
from tests.conftest import StartFake
from tests.wire.gateway import gateway


async def test_a_program_has_its_answers_kept_and_knows_them_again(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(answer_tokens=4, hold_after=3)
    kept = {"enabled": True, "file": str(tmp_path / "kept")}
    async with gateway({"m": fake.url}, conversations=kept) as running:
        address = f"127.0.0.1:{running.port}"
        async with aiohttp.ClientSession() as http:
            columns = [{"id": "a", "model": "m"}]
            made = await http.post(f"http://{address}/conversations", json={"columns": columns})
            name = (await made.json())["id"]
            async with connect(f"ws://{address}/ws") as client:
                (answer,) = await client.generate(
                    Target("m", column="a"), "Why?", record={"conversation": name, "turn": "t1"}
                )
                assert answer.answer is not None
                async with connect(f"ws://{address}/ws", session=client.session) as other:
                    (same,) = other.generations.values()
                    assert same.answer == answer.answer
                await http.post(f"{fake.url}/_fake/release")
                text = (await answer.result()).text
            shown = await (await http.get(f"http://{address}/conversations/{name}")).json()
        (found,) = shown["answers"]
        assert (found["id"], found["column"], found["text"]) == (answer.answer, "a", text)
