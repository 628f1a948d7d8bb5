"""A program that owns model servers, for tests that kill it.

`python -m tests.support.owner [--commands] FIRST LAST WHAT...` starts a replica for each WHAT,
waits until all are ready, prints the ids of all their processes on one line, and goes on for ever.
With `--commands` they are started by commands.
"""

import asyncio
import os
import sys

from server.models.runners.base import Replica, Runner
from server.models.runners.programs.command import CommandLauncher
from server.models.runners.programs.runner import ProgramRunner
from tests.models.runners.test_runner_contract import lines
from tests.support.launching import program_launcher
from tests.support.specs import command_spec, spec
from tests.support.supervisor import descendants

COMMANDS = "--commands" in sys.argv


async def main() -> None:
    first, last, *whats = [word for word in sys.argv[1:] if word != "--commands"]
    ports = (int(first), int(last))
    launcher = CommandLauncher() if COMMANDS else program_launcher()
    runner: Runner = ProgramRunner(launcher, ports=ports)
    for number, what in enumerate(whats):
        replica = Replica("owner", str(number))
        await runner.start(replica, (command_spec if COMMANDS else spec)(what), lambda _: None)
        await lines(runner, replica, until="ready")
    print(*descendants(os.getpid()), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
