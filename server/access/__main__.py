"""Make, list and remove keys: `python3 run.py key add|list|remove`.

The key itself goes to standard output and nowhere else, the rest to standard error, so that
`KEY=$(python3 run.py key add NAME)` has it.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from server.access.key import Key, digest_of, make_secret, parse_expiry
from server.access.key_file import KeyFile, Keys, KeysUnusable
from server.settings import DEFAULT_SETTINGS, Settings, SettingsError, load


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""


def main(words: list[str]) -> int:
    """Do what the words say; returns 1 if it cannot be done."""
    options = _parser().parse_args(words)
    try:
        # A path given to run.py is relative to where that was called.
        settings = load(
            Path(os.environ.get("CALLED_FROM", ""), options.settings), os.environ, looks_up=False
        )
        file = KeyFile(settings.server.state_dir.expanduser(), settings.server.instance)
        options.do(options, file, settings)
    except SettingsError as error:
        print("The settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    except (KeysUnusable, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def add(options: argparse.Namespace, file: KeyFile, settings: Settings) -> None:
    """Make a key and show it once."""
    secret, now = make_secret(), time.time()
    models = None
    if options.models is not None:
        models = tuple(name.strip() for name in options.models.split(",") if name.strip())
        _check_models(models, settings)
    try:
        expires_at = None if options.expires is None else parse_expiry(options.expires, now)
        made = {
            "name": options.name,
            "digest": digest_of(secret),
            "role": options.role,
            "models": models,
            "created_at": now,
            "expires_at": expires_at,
        }
        key = msgspec.convert(made, Key)
    except msgspec.ValidationError:
        raise Refused(
            f"{options.name!r} is no name for a key: letters, digits and `.`, `_`, `@`, `-`, "
            "at most 64, a letter or a digit first"
        ) from None
    except ValueError as error:
        raise Refused(f"--expires: {error}") from None

    def append(keys: Keys) -> Keys:
        if any(key.name == options.name for key in keys):
            raise Refused(f"there is a key {options.name!r} already; remove it, or choose a name")
        return (*keys, key)

    file.change(append)
    print(secret)
    print(f"This is the key of {_describe(key)}. It is not shown again.", file=sys.stderr)


def _check_models(models: Sequence[str], settings: Settings) -> None:
    """Raise `Refused` for what no model of the settings, and none of their servers, can be called.

    Which models a server has is not known here.
    """
    unknown = [name for name in models if not _may_be_there(name, settings)]
    if unknown or not models:
        servers = [f"{name}/*" for name in settings.upstreams]
        raise Refused(
            f"--models: {', '.join(unknown) or 'nothing'} is not in the settings, which have "
            f"{', '.join((*settings.models, *servers)) or 'no model'}"
        )


def _may_be_there(name: str, settings: Settings) -> bool:
    server, slash, model = name.partition("/")
    if slash and model and any(fnmatchcase(known, server) for known in settings.upstreams):
        return True
    if "*" not in name:
        return name in settings.models
    known = [*settings.models, *(f"{server}/" for server in settings.upstreams)]
    return any(fnmatchcase(model_id, name) for model_id in known)


def show(options: argparse.Namespace, file: KeyFile, settings: Settings) -> None:
    """List the keys, which nobody can read any more."""
    keys, now = file.read(), time.time()
    for key in keys:
        print(_describe(key) + ("" if key.is_valid(now) else " (expired)"))
    if not keys:
        print(f"There are no keys for the instance {settings.server.instance!r}.", file=sys.stderr)


def remove(options: argparse.Namespace, file: KeyFile, settings: Settings) -> None:
    """Revoke a key; a server that runs ends what goes on with it within a second."""

    def without(keys: Keys) -> Keys:
        left = tuple(key for key in keys if key.name != options.name)
        if len(left) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise Refused(f"there is no key {options.name!r}; there are: {names}")
        return left

    file.change(without)
    print(f"The key {options.name!r} is revoked.", file=sys.stderr)


def _describe(key: Key) -> str:
    models = "all models" if key.models is None else ", ".join(key.models)
    until = "" if key.expires_at is None else f", expires {_moment(key.expires_at)}"
    return f"{key.name}: {key.role}, {models}, made {_moment(key.created_at)}{until}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py key", description="Make, list and remove the keys that let people in."
    )
    parser.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, help="settings file")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    making = verbs.add_parser("add", help="make a key and show it once", description=add.__doc__)
    making.add_argument("name", metavar="NAME", help="whose it is, or what for")
    making.add_argument(
        "--role",
        choices=("user", "operator"),
        default="user",
        help="a user (as without this) lists models and generates; an operator also starts and "
        "stops models and reads logs and metrics",
    )
    making.add_argument(
        "--models",
        metavar="A,B",
        help="the only models it is for; `*` stands for any text, as in `ollama/*` (all)",
    )
    making.add_argument("--expires", metavar="WHEN", help="30d, 12h, or a date (never)")
    making.set_defaults(do=add)
    listing = verbs.add_parser("list", help="list the keys", description=show.__doc__)
    listing.set_defaults(do=show)
    removing = verbs.add_parser("remove", help="revoke a key", description=remove.__doc__)
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(do=remove)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
