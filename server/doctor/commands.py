"""Check that the programs that the settings name are on this machine: of models and of checks."""

import shutil

from server.doctor.findings import Finding, Wanted


def check_commands(wanted: Wanted) -> Finding:
    """See whether the program of each command can be executed."""
    if not wanted.commands:
        return Finding("commands", "ok", "no model and no check is a command")
    missing = [one for one in wanted.commands if not shutil.which(one.program, path=one.path)]
    if not missing:
        programs = dict.fromkeys(one.program for one in wanted.commands)
        return Finding("commands", "ok", f"{', '.join(programs)} can be executed")
    seen = [f"[{one.section}] {one.program} is not there or not executable" for one in missing]
    mend = "Install it, or correct `command`, or PATH in the section's `env`."
    return Finding("commands", "warn", "; ".join(seen), mend)
