"""The page's client outside the page, against the real gateway over a wire that breaks."""

import asyncio
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartFake
from tests.wire.cutter import Cut, Side, cutting
from tests.wire.gateway import gateway, until
from tests.wire.ledger import deltas_of

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = {"max_new_tokens": 100}
DIALOGUES = 40
CUTS = 3


async def node(*words: str) -> Any:
    """Run a script of ours with Node; return what it prints as JSON."""
    process = await asyncio.create_subprocess_exec(
        str(shutil.which("node")),
        *words,
        cwd=ROOT / "tests/js",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            output, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, complaints.decode()) == (0, "")
    return json.loads(output)


@pytest.mark.needs_node
@pytest.mark.parametrize("where", [[], ["--worker"]], ids=["node", "worker"])
async def test_whatever_is_cut_every_answer_is_whole(fake_tgi: StartFake, where: list[str]) -> None:
    fakes = [await fake_tgi(model_id=name, answer_tokens=16, delay_ms=1) for name in ("a", "b")]
    places = random.Random(42)
    sides: list[Side] = ["up", "down"]

    def somewhere() -> Cut:
        side = places.choice(sides)
        # Beyond the handshake: what fails there is not told apart from the attempt after it.
        offset = places.randint(*{"up": (400, 700), "down": (700, 4000)}[side])
        return Cut(side, offset, places.random() < 0.5)

    models = {fake.options.model_id: fake.url for fake in fakes}
    async with gateway(models, server={"command_rate": 1e6}) as running:
        async with cutting(running.port) as cutter:
            plans = [cutter.plan([somewhere() for _ in range(CUTS)]) for _ in range(DIALOGUES)]
            dialogues = [
                {
                    "url": plan.url,
                    "models": ["a", "b"],
                    "prompt": f"dialogue {number}",
                    "parameters": PARAMETERS,
                    "cuts": CUTS,
                }
                for number, plan in enumerate(plans)
            ]
            answered = await node("dialogues.js", *where, json.dumps(dialogues))
            assert sum(plan.made for plan in plans) == CUTS * DIALOGUES
        for dialogue, answers in zip(dialogues, answered, strict=True):
            for fake, answer in zip(fakes, answers, strict=True):
                prompt = str(dialogue["prompt"])
                text = "".join(deltas_of(fake.options, prompt, PARAMETERS))
                assert answer == {
                    "heard": text,
                    "read": text,
                    "text": text,
                    "finish_reason": "stop",
                }
        assert all(fake.state.counts["started"] == DIALOGUES for fake in fakes), "nothing twice"
        await until(lambda: running.sockets == 0, "every socket is gone")
