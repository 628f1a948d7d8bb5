"""Run all checks and show them: `python3 run.py doctor [--json]`.

`--nodes` also looks inside a container on each node of the swarm. `--clean` removes containers and
services that belong to no model any more, `--policy` prints what a proxy before the Docker engine's
socket has to let through.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from server.doctor.checks import CHECKS
from server.doctor.containers import clean, policy_text
from server.doctor.docker import DockerUnavailable
from server.doctor.findings import Check, Finding, Wanted, side_by_side
from server.doctor.nodes import look_at_nodes
from server.doctor.reading import read_settings
from server.doctor.swarm import clean_swarm

CEILING_SECONDS = 3.5


def main(words: list[str]) -> int:
    """Show every finding; returns 1 if something the server needs is missing."""
    parser = argparse.ArgumentParser(
        prog="run.py doctor", description="Tell what is there, what is missing, and the mend."
    )
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")
    parser.add_argument(
        "--clean",
        action="store_true",
        help="remove containers and services that belong to no model any more",
    )
    parser.add_argument(
        "--policy", action="store_true", help="print what Sidestream asks of a Docker engine"
    )
    parser.add_argument(
        "--nodes",
        action="store_true",
        help="also start a container on each node of the swarm, to see what services lack there",
    )
    parser.add_argument("--settings", type=Path, help="settings file")
    arguments = parser.parse_args(words)
    if arguments.policy:
        print(policy_text())
        return 0
    wanted = read_settings(_named(arguments.settings))
    if arguments.clean:
        return _clean(wanted)
    findings = examine(CHECKS, wanted, CEILING_SECONDS)
    if arguments.nodes:
        findings += look_at_nodes(wanted)
    can_run = all(finding.level != "fail" for finding in findings)
    if arguments.json:
        checks = [asdict(finding) for finding in findings]
        print(json.dumps({"can_run": can_run, "checks": checks}, indent=2))
    else:
        print("\n".join(map(render, findings)))
        print("\nSidestream can run here." if can_run else "\nSidestream cannot run here yet.")
    return 0 if can_run else 1


def _named(file: Path | None) -> Path | None:
    """Return the file that is named: a relative path means the caller's folder."""
    return None if file is None else Path(os.environ.get("CALLED_FROM", ""), file)


def _clean(wanted: Wanted) -> int:
    if wanted.container_models is None:
        print("The settings cannot be read, so that nothing can be told to be left over.")
        return 1
    try:
        removed = clean_swarm(wanted) + _clean_containers(wanted)
    except DockerUnavailable as error:
        print(f"{error.seen}. {error.mend}")
        return 1
    print("\n".join(f"removed {name}" for name in removed) or "Nothing is left over.")
    return 0


def _clean_containers(wanted: Wanted) -> list[str]:
    try:
        return clean(wanted)
    except DockerUnavailable:
        # Where models run in a swarm only, there need be no engine here.
        if wanted.swarm_models and not wanted.container_models:
            return []
        raise


def examine(checks: tuple[Check, ...], wanted: Wanted, ceiling_seconds: float) -> list[Finding]:
    """Run the checks side by side and return their findings in order.

    A check without an answer after `ceiling_seconds` in all is reported as such and left behind.
    """
    findings = side_by_side(lambda check: check(wanted), checks, ceiling_seconds)
    return [findings.get(check) or _unanswered(check) for check in checks]


def _unanswered(check: Check) -> Finding:
    name = check.__name__.removeprefix("check_").replace("_", " ")
    return Finding(name, "warn", "could not be told in time")


def render(finding: Finding) -> str:
    """Return a finding as one line, and a second one with the mend where there is one."""
    line = f"{finding.level:<5} {finding.name:<12} {finding.seen}"
    return f"{line}\n{'':<18} -> {finding.mend}" if finding.mend else line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
