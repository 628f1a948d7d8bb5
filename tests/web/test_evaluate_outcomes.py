"""`run.py evaluate`: what it says of judges that say nothing, and of checks that cannot be told."""

from pathlib import Path
from typing import Any

import pytest

from server.core.errors import Contradiction
from server.runs.judging import RunJudging
from server.settings.command_checks import CommandCheckSettings
from server.settings.tables import Settings
from tests.conftest import StartFake
from tests.web.conftest import StartWithFake
from tests.web.gateway import remote, running, server_settings
from tests.web.test_evaluate import evaluate

PROMPTS = "prompt\nOf France?\nOf Peru?\n"


async def test_a_judge_none_of_whose_replies_can_be_read_exits_with_1(
    before_fake: StartWithFake, tmp_path: Path
) -> None:
    gateway, _ = await before_fake(text="I would rather not say.")
    file = tmp_path / "prompts.csv"
    file.write_text(PROMPTS)
    words = [str(file), "--models", "m", "--url", gateway.url, "--judge", "m"]
    ended = await evaluate(tmp_path, *words)
    assert ended.code == 1
    assert "judge m: 2 judgements, 2 unreadable" in ended.out
    last = ended.err.splitlines()[-1]
    assert last.startswith("no reply of the judge m can be read; the first: the reply is neither")


async def test_a_judge_that_is_refused_in_the_end_leaves_table_and_file(
    before_fake: StartWithFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake(text="Paris.")
    file, out = tmp_path / "prompts.csv", tmp_path / "answers.csv"
    file.write_text(PROMPTS)

    async def refuse(*_: Any) -> None:
        raise Contradiction("there is nothing to judge")

    monkeypatch.setattr(RunJudging, "begin", refuse)
    words = [str(file), "--models", "m", "--url", gateway.url, "--judge", "m", "--out", str(out)]
    ended = await evaluate(tmp_path, *words)
    assert (ended.code, ended.err.splitlines()[-1]) == (
        1,
        "it is not judged: there is nothing to judge",
    )
    assert ended.out.splitlines()[2].startswith("m ")
    assert out.read_text().count("Paris.") == 2


async def test_checks_that_cannot_be_told_are_counted_below_the_table(
    fake_tgi: StartFake, tmp_path: Path
) -> None:
    fake = await fake_tgi(text="Paris.")
    gone = CommandCheckSettings(command=str(tmp_path / "gone"))
    settings = Settings(
        server=server_settings(), models={"m": remote(fake.url)}, command_checks={"gone": gone}
    )
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        '{"prompt_set": {"checks": [{"type": "command", "name": "gone"}]}}\n'
        '{"prompt": "Of France?"}\n{"prompt": "Of Peru?"}\n'
    )
    async with running(settings) as gateway:
        ended = await evaluate(tmp_path, str(file), "--models", "m", "--url", gateway.url)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[2].split()[:2] == ["m", "-"]
    assert "\n\n2 checks could not be told; the first: command gone: Cannot be told" in ended.out
