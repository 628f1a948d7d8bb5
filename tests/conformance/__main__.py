"""Try every rule on a server and print its verdicts; ends with 1 if one is broken."""

import argparse
import asyncio
import sys

from tests.conformance import answers, commands, kinds, resume, socket
from tests.conformance.kit import RULES, Subject, judge

AREAS = {
    module.__name__.rpartition(".")[2]: module
    for module in (socket, commands, answers, kinds, resume)
}


async def run(subject: Subject) -> int:
    """Print the verdicts as they come; return the exit code."""
    held = 0
    area = ""
    for judged in sorted(RULES, key=lambda rule: list(AREAS).index(rule.area)):
        verdict = await judge(subject, judged)
        held += verdict.holds
        if verdict.rule.area != area:
            area = verdict.rule.area
            print((AREAS[area].__doc__ or "").strip())
        reason = f"\n       {verdict.reason}" if verdict.reason else ""
        sign = "ok  " if verdict.holds else "FAIL"
        print(f"  {sign} {verdict.rule.text}{reason}", flush=True)
    print(f"{held} of {len(RULES)} rules hold.")
    return 0 if held == len(RULES) else 1


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("url", help="address of the WebSocket, ws://HOST:PORT/ws")
    parser.add_argument(
        "-m", "--model", action="append", required=True, help="a model to ask; may be repeated"
    )
    arguments = parser.parse_args()
    return asyncio.run(run(Subject(arguments.url, arguments.model)))


if __name__ == "__main__":
    sys.exit(main())
