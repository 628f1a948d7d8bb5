"""A program that owns model servers, for tests that kill it.

`python -m tests.support.owner FIRST LAST WHAT...` starts a replica for each of WHAT, prints the
process ids of all of them on one line, and waits.
"""

import asyncio
import sys

from server.models.runners.base import Replica
from server.models.runners.process import ProcessRunner
from tests.models.test_runner_contract import command_for
from tests.support.processes import children
from tests.support.specs import spec


async def main() -> None:
    first, last, *whats = sys.argv[1:]
    runner = ProcessRunner(command_for, ports=(int(first), int(last)))
    for number, what in enumerate(whats):
        await runner.start(Replica("owner", str(number)), spec(what), lambda _: None)
    print(*children(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
