"""Make, list and remove keys: `python3 run.py key add|list|remove`.

A new key goes to standard output and messages to standard error, so that
`KEY=$(python3 run.py key add NAME)` contains the key alone.
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

from server.access.exposure import is_exposed, is_open_without_keys, key_file_of
from server.access.key import Key, digest_of, make_secret, parse_expiry
from server.access.key_file import KeyFile, Keys, KeysUnusable
from server.settings.files import DEFAULT_SETTINGS
from server.settings.loading import load
from server.settings.tables import Settings
from server.settings.values import SettingsError


class Refused(Exception):
    """The command cannot be carried out; the message says why."""


def main(words: list[str]) -> int:
    """Carry out the command line; return the exit code."""
    options = _parser().parse_args(words)
    try:
        # A path given to run.py is relative to where that was called.
        settings = load(
            Path(os.environ.get("CALLED_FROM", ""), options.settings), os.environ, looks_up=False
        )
        options.do(options, key_file_of(settings), settings)
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
    """Raise `Refused` for names that match no model and no upstream of the settings.

    Which models an upstream has is not known here.
    """
    unknown = [name for name in models if not _may_exist(name, settings)]
    if unknown or not models:
        servers = [f"{name}/*" for name in settings.upstreams]
        raise Refused(
            f"--models: {', '.join(unknown) or 'nothing'} is not in the settings, which have "
            f"{', '.join((*settings.models, *servers)) or 'no model'}"
        )


def _may_exist(name: str, settings: Settings) -> bool:
    server, slash, model = name.partition("/")
    if slash and model and any(fnmatchcase(known, server) for known in settings.upstreams):
        return True
    if "*" not in name:
        return name in settings.models
    known = [*settings.models, *(f"{server}/" for server in settings.upstreams)]
    return any(fnmatchcase(model_id, name) for model_id in known)


def show(options: argparse.Namespace, file: KeyFile, settings: Settings) -> None:
    """List the keys; the secrets themselves are not stored."""
    keys, now = file.read(), time.time()
    for key in keys:
        print(_describe(key) + ("" if key.is_valid(now) else " (expired)"))
    if not keys:
        print(f"There are no keys for the instance {settings.server.instance!r}.", file=sys.stderr)


def remove(options: argparse.Namespace, file: KeyFile, settings: Settings) -> None:
    """Revoke a key; a running server ends its requests and sockets within a second."""
    left: Keys = ()

    def without(keys: Keys) -> Keys:
        nonlocal left
        left = tuple(key for key in keys if key.name != options.name)
        if len(left) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise Refused(f"there is no key {options.name!r}; there are: {names}")
        return left

    file.change(without)
    print(f"The key {options.name!r} is revoked.", file=sys.stderr)
    if not left:
        print(f"It was the last one. {_without_keys(settings)}", file=sys.stderr)


def _without_keys(settings: Settings) -> str:
    """Describe who gets in without keys."""
    if not is_open_without_keys(settings):
        return "From now on nobody gets in, and the server does not start without a key."
    whom = "who reaches the server" if is_exposed(settings) else "on this machine"
    return f"From now on everybody {whom} gets in without a key, as an operator."


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
        "stops models, adds and removes them, and reads logs and metrics",
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
