"""A model in several files is fetched whole, and found again by the name of its first."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from server.weights.shards import parts_of
from tests.fakes.hub import COMMIT, FakeHub, FakeRepo, serve

PARTS = ["sub/m-00001-of-00003.gguf", "sub/m-00002-of-00003.gguf", "sub/m-00003-of-00003.gguf"]
PROGRAM = """
import sys
from pathlib import Path
from server.weights.errors import WeightsFailed
from server.weights.obtaining import WeightsRequest, obtain_weights
try:
    request = WeightsRequest(sys.argv[1], "m", Path("unused"), None)
    print(obtain_weights(request, lambda message, progress=None: None).path)
except WeightsFailed as error:
    sys.exit(str(error))
"""


async def obtain(hub: FakeHub, home: Path, spec: str) -> tuple[int, str]:
    """Obtain weights in a program of its own: the hub's library reads its environment once."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": ""}
    for name in ("HTTP_PROXY", "http_proxy"):
        environment.pop(name, None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, spec),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode().strip()


async def test_all_files_lie_beside_the_first(tmp_path: Path) -> None:
    sizes = dict.fromkeys(PARTS, 1)
    async with serve(FakeHub({"org/m": FakeRepo(sizes)})) as hub:
        code, said = await obtain(hub, tmp_path, f"hf:org/m/{PARTS[0]}")
        folder = tmp_path / "hub/models--org--m/snapshots" / COMMIT
        assert (code, said) == (0, str(folder / PARTS[0]))
        for name in PARTS:
            assert (folder / name).read_bytes() == hub.repos["org/m"].body(name)
        asked = len(hub.asked)
        assert await obtain(hub, tmp_path, f"hf:org/m/{PARTS[0]}") == (0, said)
        assert len(hub.asked) == asked


async def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    async with serve(FakeHub({"org/m": FakeRepo(dict.fromkeys(PARTS[:2], 1))})) as hub:
        code, said = await obtain(hub, tmp_path, f"hf:org/m/{PARTS[0]}")
        assert code == 1
        assert f"has no file '{PARTS[2]}'" in said


async def test_a_name_that_leads_elsewhere_is_asked_of_nobody(tmp_path: Path) -> None:
    async with serve(FakeHub({"org/m": FakeRepo({"x.gguf": 1})})) as hub:
        code, said = await obtain(hub, tmp_path, "hf:org/m/../../../x.gguf")
        assert code == 1
        assert "is not of the form" in said
        assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("m.gguf", ["m.gguf"]),
        (PARTS[1], PARTS),
        ("m-00000-of-00003.gguf", ["m-00000-of-00003.gguf"]),
        ("m-00004-of-00003.gguf", ["m-00004-of-00003.gguf"]),
        ("m-00001-of-99999.gguf", ["m-00001-of-99999.gguf"]),
        ("m-00001-of-00001.GGUF", ["m-00001-of-00001.GGUF"]),
    ],
)
def test_the_names_of_all_follow_from_one(name: str, parts: list[str]) -> None:
    assert parts_of(name) == parts
