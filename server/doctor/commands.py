"""Check that the programs of models with `runner = command` are on this machine."""

import shutil

from server.doctor.findings import Finding, Wanted


def check_commands(wanted: Wanted) -> Finding:
    """See whether the program of each command can be executed."""
    if not wanted.commands:
        return Finding("commands", "ok", "no model is a command")
    missing = [one for one in wanted.commands if not shutil.which(one.program, path=one.path)]
    if not missing:
        programs = dict.fromkeys(one.program for one in wanted.commands)
        return Finding("commands", "ok", f"{', '.join(programs)} can be executed")
    seen = [f"[model {one.model}] {one.program} is not there or not executable" for one in missing]
    mend = "Install it, or correct `command`, or PATH in the model's `env`."
    return Finding("commands", "warn", "; ".join(seen), mend)
