"""Add a model by name, list and remove what was added: `python3 run.py model add|list|remove`.

What is added is shown first: what it takes, and whether it fits this machine. It is written to the
file that the page writes too, and a running gateway reads its settings again; where it cannot,
the entry is taken back. Answers go to standard output, the rest to standard error.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from server.adding.deciding import Decision, NotWanted
from server.adding.files import add_file, is_file
from server.adding.place import Place, open_place
from server.adding.showing import show_hub, show_server
from server.core.errors import InvalidCommand, SidestreamError, UnknownModel
from server.hub.asking import hub_place
from server.hub.naming import FilePath, HubModel, read_name
from server.models.catalogue.added_models import AddRequest, LookRequest
from server.settings.added import added_entries
from server.settings.files import DEFAULT_SETTINGS
from server.settings.models import ModelSettings
from server.settings.values import SettingsError


def main(words: list[str]) -> int:
    """Do what the words say; returns 1 if it cannot be done, 2 if the settings cannot be used."""
    options = _parser().parse_args(words)
    # A path given to run.py is relative to where that was called.
    options.settings = Path(os.environ.get("CALLED_FROM", ""), options.settings)
    try:
        asyncio.run(options.do(options, open_place(options.settings)))
    except KeyboardInterrupt:
        return 130
    except SettingsError as error:
        print("The settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    except NotWanted as error:
        print(error, file=sys.stderr)
        return 1
    except SidestreamError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 1
    return 0


async def add(options: argparse.Namespace, place: Place) -> None:
    """Show what is named, ask whether it is to be added, and add it."""
    decision = Decision(is_yes=options.yes, is_forced=options.force)
    wanted = AddRequest(
        options.spec,
        file=options.file or "",
        id=options.id or "",
        title=options.name or "",
        slots=options.slots,
        context_tokens=options.context_tokens,
        force=options.force,
    )
    if is_file(options.spec):
        await add_file(Path(options.spec), wanted, decision, place)
        return
    named = read_name(options.spec, endpoint=(await hub_place()).endpoint)
    if isinstance(named, FilePath):
        await add_file(Path(named.path), wanted, decision, place)
    elif isinstance(named, HubModel):
        await _add_of_hub(wanted, decision, place)
    else:
        show_server(await place.servers.look(named.url))
        decision.ask("Use this server?")
        print(f"added the server {await place.servers.add(named.url)}")


async def _add_of_hub(wanted: AddRequest, decision: Decision, place: Place) -> None:
    look = await place.models.look(LookRequest(wanted.name, wanted.slots, wanted.context_tokens))
    if look.hub is None:
        raise InvalidCommand(f"{wanted.name[:80]!r} names no model of the hub")
    # Told before anything is asked.
    look.hub.candidate(wanted.file)
    show_hub(look.hub, wanted.file)
    file = decision.choose(look.hub, wanted.file)
    model_id, _ = await place.models.add(replace(wanted, file=file))
    print(f"added {model_id}: its weights are fetched when it is first started")


async def show(options: argparse.Namespace, place: Place) -> None:
    """List what was added, in the page too."""
    models = added_entries(options.settings, "model")
    servers = added_entries(options.settings, "upstream")
    for model_id, keys in models.items():
        print(f"{model_id}: {keys.get('weights', '')}")
    for name, keys in servers.items():
        print(f"{name}: the server at {keys.get('url', '')}")
    if not models and not servers:
        print("Nothing was added.", file=sys.stderr)


async def remove(options: argparse.Namespace, place: Place) -> None:
    """Remove a model or server that was added; weights stay where they are."""
    try:
        await place.models.remove(options.id)
    except UnknownModel:
        if options.id not in added_entries(options.settings, "upstream"):
            raise
        await place.servers.remove(options.id)
        print(f"removed the server {options.id}")
        return
    print(f"removed {options.id}; its weights stay where they are")


def _parser() -> argparse.ArgumentParser:
    plain = ModelSettings()
    parser = argparse.ArgumentParser(
        prog="run.py model", description="Add a model by name, list and remove what was added."
    )
    parser.add_argument("--settings", type=Path, default=DEFAULT_SETTINGS, help="settings file")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    adding = verbs.add_parser("add", help="add a model", description=add.__doc__)
    adding.add_argument(
        "spec",
        metavar="SPEC",
        help="hf:OWNER/REPO[/FILE.gguf][@REVISION], a hub's address, the address of a model "
        "server, or the path of a GGUF file",
    )
    adding.add_argument("--file", metavar="F", help="which GGUF file of the repository")
    adding.add_argument("--yes", action="store_true", help="do not ask")
    adding.add_argument("--force", action="store_true", help="also what does not fit this machine")
    adding.add_argument("--id", help="what the model is asked by (after the repository)")
    adding.add_argument("--name", help="what people see")
    adding.add_argument(
        "--slots", type=_number(1, 64), default=plain.slots, metavar="N", help="answers at once"
    )
    adding.add_argument(
        "--context-tokens",
        type=_number(64, 100_000_000),
        default=plain.context_tokens,
        metavar="N",
        help="tokens of prompt and answer together",
    )
    adding.set_defaults(do=add)
    listing = verbs.add_parser("list", help="list what was added", description=show.__doc__)
    listing.set_defaults(do=show)
    removing = verbs.add_parser("remove", help="remove it", description=remove.__doc__)
    removing.add_argument("id", metavar="ID")
    removing.set_defaults(do=remove)
    return parser


def _number(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
