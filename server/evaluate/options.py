"""The words of `run.py evaluate`: what they mean, and which go with which."""

import argparse
import difflib
import json
import os
from pathlib import Path
from typing import Any, Final

from server.evaluate.thresholds import METRICS, Threshold, read_threshold
from server.settings.files import DEFAULT_SETTINGS

FORMS: Final = {".csv": "csv", ".html": "html", ".jsonl": "jsonl"}
"""What can be written, by how the file's name ends."""
_CRITERIA: Final = "Is the answer correct, complete and to the point?"
_MAX_CRITERIA: Final = 20_000
_TARGET_FIELDS: Final = ("model", "name", "parameters", "system")


def read_options(words: list[str]) -> argparse.Namespace:
    """Return the options; exits with 2 for words that cannot be used."""
    parser = _parser()
    options = parser.parse_args(words)
    options.models = [*(options.models or []), *options.target]
    if options.run:
        given = {
            "SET": options.set,
            "--models or --target": options.models,
            "--repeats": options.repeats,
            "--name": options.name,
        }
        if unused := [name for name, value in given.items() if value]:
            parser.error(f"--run goes on with a run as it was begun; leave out {', '.join(unused)}")
    elif not (options.set and options.models):
        parser.error("name a set, and models with --models or --target; or a run with --run")
    options.repeats, options.name = options.repeats or 1, options.name or ""
    return options


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
    for name in target:
        if name not in _TARGET_FIELDS:
            near = difflib.get_close_matches(name, _TARGET_FIELDS, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(_TARGET_FIELDS)
            raise argparse.ArgumentTypeError(f"a target has {known}, and no {name!r}{guess}")
    return target


def _file(text: str) -> Path:
    path = Path(os.environ.get("CALLED_FROM", ""), text)
    if path.suffix.lower() not in FORMS:
        raise argparse.ArgumentTypeError(f"its name has to end in {', '.join(FORMS)}")
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


def _criteria(text: str) -> str:
    if not 1 <= len(text) <= _MAX_CRITERIA:
        raise argparse.ArgumentTypeError(f"write 1 to {_MAX_CRITERIA} characters")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py evaluate",
        description="Ask a prompt set of several models, and compare the answers. It is asked by"
        " the gateway of the settings, if that runs, else by one that is started for it.",
        epilog=f"Thresholds are [TARGET:]METRIC>=NUMBER (or <=, ==, <, >) of {', '.join(METRICS)};"
        " pass and pass_low are shares from 0 to 1. Exit codes: 0 done; 1 a threshold is missed,"
        " not all could be asked or judged, or no reply of the judge can be read; 2 it could not be"
        " begun; 130 interrupted: the run, or its judge, is paused. A second Ctrl-C does not wait"
        " for the answers that are being written.",
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
    add("--repeats", type=_repeats, metavar="N", help="how often each prompt is asked (1)")
    add("--judge", metavar="MODEL", help="a model that judges the answers")
    add(
        "--criteria",
        type=_criteria,
        default=_CRITERIA,
        metavar="TEXT",
        help=f"what it judges by ({_CRITERIA})",
    )
    add("--judge-by", choices=("grades", "pairs"), default="grades", help="how it judges (grades)")
    add("--name", help="what the run is called")
    add(
        "--run",
        metavar="ID",
        help="go on with this run instead of beginning one; with --judge, also with a judge of that"
        " model and those criteria that has not judged all",
    )
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
