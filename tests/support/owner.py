"""A program that owns model servers, for tests that kill it.

`python -m tests.support.owner [--commands] FIRST LAST WHAT...` starts a replica for each of WHAT,
prints the process ids of all that runs then on one line, and waits. With `--commands` they are run
by commands, and are waited for until they are ready.
"""

import asyncio
import os
import sys

from server.models.runners.base import Replica, Runner
from server.models.runners.command.runner import CommandRunner
from server.models.runners.process import ProcessRunner
from tests.models.test_runner_contract import command_for, lines
from tests.support.keeper import descendants
from tests.support.processes import children
from tests.support.specs import command_spec, spec

COMMANDS = "--commands" in sys.argv


async def main() -> None:
    first, last, *whats = [word for word in sys.argv[1:] if word != "--commands"]
    ports = (int(first), int(last))
    runner: Runner = CommandRunner(ports) if COMMANDS else ProcessRunner(command_for, ports=ports)
    for number, what in enumerate(whats):
        replica = Replica("owner", str(number))
        await runner.start(replica, (command_spec if COMMANDS else spec)(what), lambda _: None)
        if COMMANDS:
            await lines(runner, replica, until="ready")
    print(*(descendants(os.getpid()) if COMMANDS else children()), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
