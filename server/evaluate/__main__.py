"""Ask a prompt set of several models, and compare: `python3 run.py evaluate SET --models a,b`.

SET is a file (CSV, JSON Lines, or a prompt a line), or the id or name of a set that is kept. It is
asked by the running gateway, by that of `--url`, or by one that is started for it. The table goes
to standard output, all else to standard error. Exit codes: 0 done, 1 a threshold of `--fail-under`
is missed or not all could be asked or judged, 2 it could not be begun, 130 interrupted: the run is
paused, and goes on with `--run ID`; so is its judge, which the page or the API goes on with.
"""

import argparse
import asyncio
import json
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from server.evaluate.asking import Api, Refused
from server.evaluate.gateway import NoGateway, gateway
from server.evaluate.showing import Bar, failed_judges, failed_targets, judge_lines, table
from server.evaluate.thresholds import METRICS, Threshold, missed, read_threshold
from server.settings.files import DEFAULT_SETTINGS
from server.settings.loading import load
from server.settings.values import SettingsError

_CRITERIA: Final = "Is the answer correct, complete and to the point?"
_FORMS: Final = {".csv": "csv", ".html": "html", ".jsonl": "jsonl"}
# What an exported run has behind its prompts.
_OUTCOMES: Final = tuple(
    f'{{"kind":"{kind}"'.encode() for kind in ("answer", "judge", "judgement", "vote")
)
_SET_FORMS: Final = {".txt": "lines", ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl"}


def main(words: list[str]) -> int:
    """Do what the words say; returns the exit code."""
    options = _parser().parse_args(words)
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
    file = Path(os.environ.get("CALLED_FROM", ""), options.settings)
    settings = load(file, dict(os.environ), looks_up=False)
    key = options.key or os.environ.get("SIDESTREAM_KEY")
    certificate = "" if options.url else settings.access.tls_certificate
    async with gateway(options.url, file, settings) as url, Api(url, key, certificate) as api:
        run = await _begun(options, api)
        print(f"run {run['id']} at {url}", file=sys.stderr)
        run = await _followed(api, run)
        judges = await _judged(options, api, run) if options.judge else []
        results = await api.ask("GET", f"/runs/{run['id']}/results")
        if options.out:
            await _export(options.out, api, run)
    print(table(results))
    for judge in judges:
        print(*judge_lines(judge, results["targets"]), sep="\n")
    problems = [*failed_targets(run), *missed(options.fail_under, results["targets"])]
    if run["state"] != "done" and not problems:
        why = run["error"]["message"] if run["error"] else "not all prompts were asked"
        problems = [f"the run is {run['state']}: {why}"]
    if options.judge:
        problems += [*failed_judges(judges)]
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


async def _begun(options: argparse.Namespace, api: Api) -> Any:
    """Begin a run, or go on with an earlier one."""
    if options.run:
        return await api.ask("POST", f"/runs/{options.run}/continue")
    given = {
        "prompt_set": await _set_of(options, api),
        "targets": options.models,
        "repeats": options.repeats,
        "name": options.name,
    }
    return await api.ask("POST", "/runs", given)


async def _set_of(options: argparse.Namespace, api: Api) -> str:
    """Return the id of the set that is named; a file is taken in as a new set."""
    path = Path(os.environ.get("CALLED_FROM", ""), options.set)
    data = await asyncio.to_thread(lambda: path.read_bytes() if path.is_file() else None)
    if data is not None:
        form = _SET_FORMS.get(path.suffix.lower(), "auto")
        data = _without_outcomes(data)
        found = await api.ask("PUT", "/prompt-sets", data=data, form=form, name=path.stem)
        return str(found["id"])
    sets = (await api.ask("GET", "/prompt-sets"))["sets"]
    for one in sets:
        if options.set in (one["id"], one["name"]):
            return str(one["id"])
    raise Refused(f"{options.set!r} is no file, and no prompt set that is kept has that id or name")


def _without_outcomes(data: bytes) -> bytes:
    """Leave out answers and judgements of an exported run: more than a gateway may take."""
    head, _, _ = data.partition(b"\n")
    if not head.startswith(b'{"format":"sidestream-run"'):
        return data
    lines = data.split(b"\n")
    return b"\n".join(line for line in lines if not line.startswith(_OUTCOMES))


async def _followed(api: Api, run: Any) -> Any:
    """Show how far a run is until it is over; interrupted, it is paused."""
    bar = Bar()
    try:
        async for state in api.follow(run["id"]):
            run = state
            bar.show(run)
    except asyncio.CancelledError:
        bar.end()
        await api.ask("POST", f"/runs/{run['id']}/pause")
        print(f"paused; go on with --run {run['id']}", file=sys.stderr)
        raise
    bar.end()
    return run


async def _judged(options: argparse.Namespace, api: Api, run: Any) -> list[Any]:
    """Have a model judge the answers, and return what its judgements come to.

    Interrupted, it is paused.
    """
    given = {"model": options.judge, "criteria": options.criteria, "mode": options.judge_by}
    judge = await api.ask("POST", f"/runs/{run['id']}/judges", given)
    print(f"{options.judge} judges by {options.judge_by}", file=sys.stderr)
    address = f"/runs/{run['id']}/judges"
    bar = Bar()
    try:
        async with aclosing(api.follow(run["id"], with_judges=True)) as states:
            async for state in states:
                own = next((one for one in state["judges"] if one["id"] == judge["id"]), None)
                if own is not None:
                    bar.show_judge(own)
                if own is None or own["state"] != "running":
                    break
        bar.end()
        listing = await api.ask("GET", address)
    except asyncio.CancelledError:
        bar.end()
        await api.ask("POST", f"{address}/{judge['id']}/pause")
        print(f"the judge {judge['id']} is paused", file=sys.stderr)
        raise
    return [one for one in listing["judges"] if one["judge"]["id"] == judge["id"]]


async def _export(out: Path, api: Api, run: Any) -> None:
    await api.save(f"/runs/{run['id']}/export", out, form=_FORMS[out.suffix.lower()])
    print(f"wrote {out}", file=sys.stderr)


def _models(text: str) -> list[dict[str, Any]]:
    """Return the targets of a text: ids with commas between them."""
    targets = [{"model": name.strip()} for name in text.split(",") if name.strip()]
    if not targets:
        raise argparse.ArgumentTypeError("no model is named")
    return targets


def _target(text: str) -> dict[str, Any]:
    """Return the target that a JSON object is."""
    try:
        target = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it is no JSON: {error}") from None
    if not isinstance(target, dict) or not isinstance(target.get("model"), str):
        raise argparse.ArgumentTypeError('write an object such as {"model": "ID"}')
    return target


def _file(text: str) -> Path:
    path = Path(os.environ.get("CALLED_FROM", ""), text)
    if path.suffix.lower() not in _FORMS:
        raise argparse.ArgumentTypeError(f"its name has to end in {', '.join(_FORMS)}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _threshold(text: str) -> Threshold:
    try:
        return read_threshold(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _repeats(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100, found {text!r}")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """Refuses a command without targets, unless it goes on with a run."""

    def parse_args(self, *words: Any, **more: Any) -> Any:
        """Return the options; exits with 2 for words that cannot be used."""
        options = super().parse_args(*words, **more)
        options.models = [*(options.models or []), *options.target]
        if not options.run and not (options.set and options.models):
            self.error("name a set, and models with --models or --target; or a run with --run")
        return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="run.py evaluate",
        description="Ask a prompt set of several models, and compare the answers.",
        epilog=f"Thresholds are [TARGET:]METRIC>=NUMBER (or <=, ==, <, >) of {', '.join(METRICS)}.",
    )
    add = parser.add_argument
    add("set", nargs="?", metavar="SET", help="a file, or the id or name of a set that is kept")
    add("--models", type=_models, metavar="A,B", help="the models to ask")
    add(
        "--target",
        type=_target,
        action="append",
        default=[],
        metavar="JSON",
        help='a model with parameters: {"model": "a", "parameters": {…}, "name": "…"}',
    )
    add("--repeats", type=_repeats, default=1, metavar="N", help="how often each prompt is asked")
    add("--judge", metavar="MODEL", help="a model that judges the answers")
    add("--criteria", default=_CRITERIA, metavar="TEXT", help=f"what it judges by ({_CRITERIA})")
    add("--judge-by", choices=("grades", "pairs"), default="grades", help="how it judges (grades)")
    add("--name", default="", help="what the run is called")
    add("--run", metavar="ID", help="go on with this run instead of beginning one")
    add("--out", type=_file, metavar="FILE", help="write a report (.html) or the answers")
    add(
        "--fail-under",
        type=_threshold,
        action="append",
        default=[],
        metavar="THRESHOLD",
        help="exit with 1 where a target misses it, such as 'pass>=0.9'",
    )
    add("--url", help="the gateway to ask, such as http://127.0.0.1:8000")
    add("--key", help="its key; else SIDESTREAM_KEY")
    add("--settings", type=Path, default=DEFAULT_SETTINGS, help="settings file")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
