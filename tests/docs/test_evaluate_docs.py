"""docs/EVALUATE.md: its table of checks, its files and its requests are what there is."""

import json
import re
import subprocess
import sys
from pathlib import Path

from server.evaluate.thresholds import read_threshold
from server.evaluation.files.reading import read_prompts
from server.runs.sets import SetGiven
from server.runs.shapes import RunGiven
from tests.docs.check_table import PAGE, with_table

TEXT = PAGE.read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_table_of_checks_is_that_of_the_declarations() -> None:
    assert with_table(TEXT) == TEXT


def test_the_files_that_are_shown_can_be_read() -> None:
    (table,), (lines, _) = _blocks("csv"), _blocks("json")
    read = [read_prompts(block.encode()).prompt_set for block in (table, lines)]
    assert [len(one.prompts) for one in read] == [4, 4]
    assert read[1].checks


def test_the_program_that_is_shown_checks_what_is_shown(tmp_path: Path) -> None:
    (code,), (_, given) = _blocks("python"), _blocks("json")
    file = tmp_path / "haiku.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, str(file)], input=given, capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == {
        "passed": False,
        "explanation": "has 1 lines instead of 3",
    }
    assert set(json.loads(given)) == {"messages", "answer", "expected", "variables", "options"}


def test_the_bodies_that_are_shown_are_taken() -> None:
    bodies = re.findall(r"-d '(\{.*?\})'", TEXT, re.DOTALL)
    prompt_set, run = (json.loads(body) for body in bodies)
    assert SetGiven(**prompt_set).prompts
    assert RunGiven(**run).targets


def test_the_thresholds_that_are_shown_can_be_read() -> None:
    shown = re.findall(r"--fail-under '(.*?)'", TEXT)
    assert [str(read_threshold(one)) for one in shown] == shown
