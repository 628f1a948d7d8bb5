"""The page on containers names every cause there is, and none that there is not."""

import re
from pathlib import Path

from server.models import causes
from server.models.known_causes import OF_ALL, OF_ENGINE, ends
from server.models.runners.docker import containers, errors, runner

PAGE = Path(__file__).parents[2] / "docs" / "DOCKER.md"


def test_every_cause_is_named() -> None:
    known = [*OF_ALL, *ends.ALL, *(cause for causes in OF_ENGINE.values() for cause in causes)]
    codes = {cause.code for cause in known}
    codes |= {row[0] for row in errors._REFUSALS}
    for module in (causes, containers, errors, runner):
        source = Path(str(module.__file__)).read_text()
        codes |= set(re.findall(r'"cause"\]? ?[:=] ?"(\w+)"', source))
        codes |= set(re.findall(r'^ +"(engine_refused|name_taken)",$', source, re.MULTILINE))
    listed = PAGE.read_text().partition("`details.cause`:")[2].partition("##")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == codes | {"unknown"}
