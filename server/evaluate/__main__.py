"""Ask a prompt set of several models, and compare: `python3 run.py evaluate SET --models a,b`.

SET is a file (CSV, JSON Lines, or a prompt a line), or the id or name of a set that is kept. It is
asked by the running gateway, by that of `--url`, or by one that is started for it. The table goes
to standard output, all else to standard error. Names are checked before anything is kept or asked.
Exit codes: 0 done, 1 a threshold of `--fail-under` is missed, not all could be asked or judged, or
no reply of the judge can be read, 2 it could not be begun, 130 interrupted: the run is paused, and
goes on with `--run ID`; so is its judge, which goes on with `--run ID --judge MODEL`.
"""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from server.evaluate.asking import Api
from server.evaluate.gateway import NoGateway, gateway
from server.evaluate.halting import pause, unbroken
from server.evaluate.judging import judged, why_unreadable
from server.evaluate.names import check_models, check_targets
from server.evaluate.options import FORMS, read_options
from server.evaluate.refused import Refused
from server.evaluate.set_files import is_unchecked
from server.evaluate.sets import set_of
from server.evaluate.showing import (
    Bar,
    failed_judges,
    failed_targets,
    judge_lines,
    table,
    untold_lines,
)
from server.evaluate.thresholds import missed
from server.settings.loading import load
from server.settings.values import SettingsError


def main(words: list[str]) -> int:
    """Do what the words say; returns the exit code."""
    options = read_options(words)
    try:
        return asyncio.run(_evaluate(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except SettingsError as error:
        print("The settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
    except (Refused, NoGateway, OSError) as error:
        print(error, file=sys.stderr)
    return 2


async def _evaluate(options: argparse.Namespace) -> int:
    # A second Ctrl-C is not to break off what the first one has begun: the pause.
    task = cast("asyncio.Task[object]", asyncio.current_task())
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    file = Path(os.environ.get("CALLED_FROM", ""), options.settings)
    settings = load(file, dict(os.environ), looks_up=False)
    key = options.key or os.environ.get("SIDESTREAM_KEY")
    certificate = "" if options.url else settings.access.tls_certificate
    bar = Bar()
    async with (
        gateway(options.url, file, settings) as url,
        Api(url, key, certificate, say=bar.say) as api,
    ):
        run = await _begun(options, api)
        print(f"run {run['id']} at {url}", file=sys.stderr)
        run = await _followed(api, run, bar)
        problems = await _told(options, api, run, bar)
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


async def _begun(options: argparse.Namespace, api: Api) -> Any:
    """Begin a run, or go on with an earlier one, once all that is named is there."""
    judges = [options.judge] if options.judge else []
    models = [target["model"] for target in options.models]
    if models or judges:
        known = [model["id"] for model in await api.ask("GET", "/models")]
        check_models([*models, *judges], known)
    targets = options.models
    if options.run:
        targets = (await api.ask("GET", f"/runs/{options.run}"))["targets"]
    check_targets(targets, options.fail_under, options.judge_by if judges else "")
    if options.run:
        begin = api.ask("POST", f"/runs/{options.run}/continue")
        return await _unless_interrupted(begin, api)
    found = await set_of(options.set, api)
    given = {
        "prompt_set": found.id,
        "targets": targets,
        "repeats": options.repeats,
        "name": options.name,
    }
    try:
        return await _unless_interrupted(api.ask("POST", "/runs", given), api)
    except Refused:
        if found.is_new:
            with suppress(Refused):
                await api.ask("DELETE", f"/prompt-sets/{found.id}")
        raise


async def _unless_interrupted(begin: Any, api: Api) -> Any:
    """Return the run that has begun; interrupted meanwhile, it is paused."""
    run, is_interrupted = await unbroken(begin)
    if is_interrupted:
        await pause(api, run["id"])
        raise asyncio.CancelledError
    return run


async def _followed(api: Api, run: Any, bar: Bar) -> Any:
    """Show how far a run is until it is over; interrupted, it is paused."""
    try:
        async for state in api.follow(run["id"]):
            run = state
            bar.show(run)
    except asyncio.CancelledError:
        bar.end()
        await pause(api, run["id"])
        raise
    bar.end()
    return run


async def _told(options: argparse.Namespace, api: Api, run: Any, bar: Bar) -> list[str]:
    """Have it judged, write what comes of it, and return a sentence for each problem."""
    judges, refusals = [], []
    if options.judge:
        try:
            judges = await judged(options, api, run, bar)
        except Refused as error:
            # What was answered is shown all the same.
            refusals = [f"it is not judged: {error}"]
    results = await api.ask_patiently("GET", f"/runs/{run['id']}/results")
    print("\n".join([table(results), *untold_lines(results)]))
    if is_unchecked(results["targets"]):
        print("no answer was checked: nothing passed or failed", file=sys.stderr)
    for judge in judges:
        print(*judge_lines(judge, results["targets"]), sep="\n")
    if options.out:
        await api.save(f"/runs/{run['id']}/export", options.out, form=FORMS[_ending(options.out)])
        print(f"wrote {options.out}", file=sys.stderr)
    problems = [*failed_targets(run), *missed(options.fail_under, results["targets"])]
    if run["state"] != "done" and not problems:
        why = run["error"]["message"] if run["error"] else "not all prompts were asked"
        problems = [f"the run is {run['state']}: {why}"]
    if options.judge:
        problems += refusals or failed_judges(judges)
        for judge in judges:
            problems += await why_unreadable(api, run["id"], judge)
    return problems


def _ending(path: Path) -> str:
    return path.suffix.lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
