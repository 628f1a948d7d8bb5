"""The unit, the compose file and the alerts say what the program has and asks for."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from server.doctor.containers import POLICY
from tests.support.gateway import ROOT
from tests.web.conftest import StartWithFake
from tests.web.test_metrics import QUESTION, scrape

DEPLOY = ROOT / "docs" / "deploy"
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()
ALERTS = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"][0]["rules"]


@pytest.mark.needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "sidestream.service"
    text = (DEPLOY / "sidestream.service").read_text()
    # Only where it is installed does it differ from what an operator uses.
    unit.write_text(text.replace("/opt/sidestream/.venv/bin/python", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "sidestream" in line]
    assert (done.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("key", ["ExecStart", "ExecReload"])
def test_commands_of_the_systemd_unit_can_be_run(key: str) -> None:
    text = (DEPLOY / "sidestream.service").read_text()
    (command,) = re.findall(rf"^{key}=(.+)$", text, re.MULTILINE)
    program, *words = shlex.split(command)
    assert program == "/opt/sidestream/.venv/bin/python"
    assert words[-2:] == ["--settings", "/etc/sidestream/settings.ini"]
    ours = [sys.executable, *words[:-2], "--help"]
    done = subprocess.run(ours, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--settings" in done.stdout


def test_the_proxy_before_the_docker_socket_lets_through_what_is_asked_and_no_more() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    wanted: dict[str, list[str]] = {}
    for method, pattern, _ in POLICY:
        wanted.setdefault(method, []).append(pattern)
    command = "\n".join(compose["services"]["socket-proxy"]["command"])
    allowed = dict(re.findall(r"^-allow([A-Z]+)=(.+)$", command, re.MULTILINE))
    assert allowed == {
        method: rf"(/v1\.[0-9]+)?({'|'.join(patterns)})" for method, patterns in wanted.items()
    }


def test_no_container_has_more_rights_than_it_needs() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert "privileged" not in service
    assert not [mount for mount in services["gateway"]["volumes"] if "docker.sock" in mount]


async def test_every_alert_asks_for_what_there_is_and_has_its_cure(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    await gateway.post("/generate", QUESTION)
    seen = await scrape(gateway)
    names = {sample.name for sample in seen.samples} | {"up"}
    for alert in ALERTS:
        asked = set(
            re.findall(r"\b(?:(?:sidestream|tgi|process)_\w+|up)\b(?=[\[{ )])", alert["expr"])
        )
        assert asked, alert["alert"]
        assert asked <= names, alert["alert"]
        assert f"`{alert['alert']}`" in OPERATIONS


def test_no_cure_is_for_an_alert_that_there_is_not() -> None:
    told = set(re.findall(r"`(Sidestream[A-Z]\w+)`", OPERATIONS))
    assert told == {alert["alert"] for alert in ALERTS}


def test_the_service_of_the_stack_has_no_more_rights_than_it_needs_and_is_never_two() -> None:
    (gateway,) = yaml.safe_load((DEPLOY / "stack.yaml").read_text())["services"].values()
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["read_only"] is True
    assert gateway["user"].startswith("10001:")
    deploy = gateway["deploy"]
    assert deploy["replicas"] == 1
    assert deploy["update_config"]["order"] == deploy["rollback_config"]["order"] == "stop-first"
    assert deploy["placement"]["constraints"] == ["node.role == manager"]
