"""Sections of programs that check answers."""

from pathlib import Path

import pytest

from server.settings.loading import load
from server.settings.values import SettingsError


def read(tmp_path: Path, text: str, **environment: str) -> object:
    file = tmp_path / "settings.ini"
    file.write_text(text)
    return load(file, environment)


def test_a_section_is_a_check(tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "token").chmod(0o600)
    file.write_text(
        "[check units]\ncommand = ~/check --units 'a b'\ntimeout = 2.5\nmax_output = 1K\n"
        "env = TOKEN=file:token LEVEL=3\n\n[check other]\ncommand = other\n"
    )
    settings = load(file, {"SIDESTREAM_CHECK_OTHER__MAX_CONCURRENT": "5"})
    units, other = settings.command_checks.values()
    assert (units.timeout, units.max_output, units.max_concurrent) == (2.5, 1024, 2)
    assert dict(units.env) == {"TOKEN": "secret", "LEVEL": "3"}
    assert "secret" not in repr(settings)
    assert (other.command, other.max_concurrent) == ("other", 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[check a]\n", "[check a] command: missing"),
        ("[check a]\ncommand = x | y\n", "no shell runs it"),
        ("[check a]\ncommand = A=1 x\n", "belongs into `env`"),
        ("[check a]\ncommand = ./x\n", "a program in PATH"),
        ("[check a]\ncommand = x 'y\n", "a quote is not closed"),
        ("[check a]\ncommand = x\ntimeout = 0\n", "at least 0.1"),
        ("[check a]\ncommand = x\ntimeout = 601\n", "at most 600"),
        ("[check a]\ncommand = x\nmax_output = 1G\n", "at most"),
        ("[check a]\ncommand = x\nmax_concurrent = 0\n", "at least 1"),
        ("[check a]\ncommand = x\nport = 1\n", "unknown key"),
        ("[check a]\ncommand = x\nenv = TOKEN=env:NOWHERE\n", "NOWHERE"),
        ("[check a b]\ncommand = x\n", "unknown section"),
        ("[check]\ncommand = x\n", "unknown section"),
        ("[check a]\ncommand = x\n\n[check A]\ncommand = x\n", "the check is there twice"),
    ],
)
def test_a_wrong_section_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)
    assert told in str(refused.value)


def test_the_pages_file_cannot_have_one(tmp_path: Path) -> None:
    added = tmp_path / "servers.ini"
    added.write_text("[check a]\ncommand = x\n")
    added.chmod(0o600)
    with pytest.raises(SettingsError, match="can be added in the page"):
        read(tmp_path, "")
