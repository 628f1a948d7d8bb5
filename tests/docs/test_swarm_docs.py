"""The page on swarms names every cause that only they have, and what its examples say is taken."""

import re
from pathlib import Path

from server.models.runners.swarm import errors
from server.settings.loading import load

PAGE = (Path(__file__).parents[2] / "docs" / "SWARM.md").read_text()


def test_every_cause_of_a_swarm_is_named() -> None:
    told = set(re.findall(r"^(\w+)  +", str(errors.__doc__), re.MULTILINE))
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("`details.cause`")[2], re.MULTILINE)
    assert set(rows) == told
    source = Path(str(errors.__file__)).read_text()
    assert all(f'"{code}"' in source for code in told)


def test_the_settings_of_the_page_are_taken(tmp_path: Path) -> None:
    (example,) = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "settings.ini").write_text(example)
    settings = load(tmp_path / "settings.ini", {})
    assert settings.swarm.host == ("ssh://root@10.0.0.2",)
    assert {model.runner for model in settings.models.values()} == {"swarm"}
