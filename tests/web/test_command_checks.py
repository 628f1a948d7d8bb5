"""Checks by the operator's programs, over HTTP and through reloads."""

import sys
from pathlib import Path
from typing import Any

import pytest

from server.reload.reloader import Reloader
from server.settings.command_checks import CommandCheckSettings
from server.settings.tables import Settings
from server.web.keys import CATALOG_SOURCE, COMMAND_CHECKS, DISCOVERY, FLEET, SETTINGS
from tests.conftest import StartFake
from tests.web.gateway import Gateway, remote, running, server_settings

CODE = """\
import json, sys
given = json.load(sys.stdin)
words = given["options"].get("words", 3)
count = len(given["answer"].split())
print(json.dumps({"passed": count <= words, "explanation": f"has {count} words of {words}"}))
"""


@pytest.fixture
def section(tmp_path: Path) -> CommandCheckSettings:
    """Return the section of a program that counts words."""
    file = tmp_path / "count.py"
    file.write_text(CODE)
    return CommandCheckSettings(command=f"{sys.executable} {file}")


def prompt_set(name: str) -> dict[str, Any]:
    """Return a set of two prompts that a command checks, the second by fewer words."""
    second = {"type": "command", "name": name, "options": {"words": 1}}
    return {
        "prompts": ["Of France?", {"prompt": "Of Peru?", "checks": [second]}],
        "checks": [{"type": "command", "name": name}],
    }


async def test_answers_are_checked_by_a_command(
    fake_tgi: StartFake, section: CommandCheckSettings
) -> None:
    fake = await fake_tgi(text="It is Paris.")
    settings = Settings(
        server=server_settings(),
        models={"m": remote(fake.url)},
        command_checks={"count": section},
    )
    async with running(settings) as gateway:
        refused = await gateway.post("/prompt-sets", prompt_set("counts"))
        assert (refused.status, refused.json["error"]["code"]) == (422, "invalid_prompt_set")
        (first, second) = refused.json["error"]["details"]["problems"]
        assert (first["row"], first["column"]) == (None, "checks[0].name")
        assert (second["row"], second["column"]) == (2, "checks[0].name")
        kept = (await gateway.post("/prompt-sets", prompt_set("count"))).json["id"]
        run = (await _begin(gateway, kept)).json["id"]
        await gateway.get(f"/runs/{run}/events")
        rows = (await gateway.get(f"/runs/{run}/rows")).json["rows"]
        assert [row["cells"][0]["passed"] for row in rows] == [True, False]
        assert rows[1]["cells"][0]["reason"] == "has 3 words of 1"

        reloader = _reloader(gateway, settings, {})
        assert reloader.reload().changed == ["removed check count"]
        refused = await _begin(gateway, kept)
        assert (refused.status, refused.json["error"]["code"]) == (422, "invalid_prompt_set")
        assert "no section [check count]" in refused.json["error"]["message"]
        assert (await gateway.post("/prompt-sets", prompt_set("count"))).status == 422
        reloader = _reloader(gateway, settings, {"count": section, "other": section})
        assert reloader.reload().changed == ["added check other"]
        assert (await _begin(gateway, kept)).status == 201


async def _begin(gateway: Gateway, kept: str) -> Any:
    return await gateway.post("/runs", {"prompt_set": kept, "targets": [{"model": "m"}]})


def _reloader(
    gateway: Gateway, settings: Settings, checks: dict[str, CommandCheckSettings]
) -> Reloader:
    wanted = Settings(server=settings.server, models=dict(settings.models), command_checks=checks)
    app = gateway.app
    return Reloader(
        app[SETTINGS],
        lambda: wanted,
        app[FLEET],
        app[CATALOG_SOURCE],
        app[DISCOVERY],
        app[COMMAND_CHECKS].apply,
    )
