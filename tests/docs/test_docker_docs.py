"""The page on containers names every cause and every engine that there is, and what each takes."""

import re
from pathlib import Path

import pytest

from server.engines.cause import Cause
from server.engines.engine import Engine
from server.engines.known import ENGINES
from server.models.diagnosis import causes
from server.models.diagnosis.known_causes import OF_ALL, OF_ENGINE, ends
from server.models.runners.containers import errors
from server.models.runners.docker import containers, runner

PAGE = Path(__file__).parents[2] / "docs" / "DOCKER.md"


def test_every_cause_is_named() -> None:
    of_ends = [cause for cause in vars(ends).values() if isinstance(cause, Cause)]
    known = [
        *OF_ALL,
        *of_ends,
        *(cause for causes in OF_ENGINE.values() for cause in causes),
    ]
    codes = {cause.code for cause in known}
    codes |= {row[0] for row in errors._REFUSALS}
    for module in (causes, containers, errors, runner):
        source = Path(str(module.__file__)).read_text()
        codes |= set(re.findall(r'"cause"\]? ?[:=] ?"(\w+)"', source))
        codes |= set(re.findall(r'^ +"(engine_refused|name_taken)",$', source, re.MULTILINE))
    listed = PAGE.read_text().partition("`details.cause`:")[2].partition("##")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == codes | {"unknown"}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_every_engine_stands_there_with_what_it_takes(engine: Engine) -> None:
    page = PAGE.read_text()
    (row,) = re.findall(rf"^\| `{re.escape(engine.name)}` .*", page, re.MULTILINE)
    assert f"`{engine.image}`" in row
    assert f"{engine.stop_grace_seconds:g} s | {engine.start_seconds:g} s |" in row
    (listed,) = re.findall(
        rf"^- \*\*{re.escape(engine.title)}\*\*: ((?:.+\n)+?)(?=- |\n)", page, re.MULTILINE
    )
    assert set(re.findall(r"`(--[\w-]+)`", listed)) == engine.with_value | engine.without_value
    column = 1 + list(ENGINES).index(engine.name)
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", page.partition("| key |")[2], re.MULTILINE)
    taken = {key for key, cells in rows if cells.split("|")[column - 1].strip() != "none"}
    assert taken == engine.keys - {"host", "port", "chat_template"}
