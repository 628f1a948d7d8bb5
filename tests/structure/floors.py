"""Which part of `server/` stands on which floor, and what may be imported from where.

A part is a folder of `server/`, or a file beside them. The tests hold the imports to this, and the
table in docs/PROJECT_STRUCTURE.md is written from it.
"""

from dataclasses import dataclass

# Which parts form a floor, from the top; a part imports from its own part and from floors below.
FLOORS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("__main__", "adding"), "the programs: the gateway, and adding models on the command line"),
    (("app", "reload"), "puts everything together; reads the settings again"),
    (("logs",), "how the log is written"),
    (("web",), "HTTP, the WebSocket and the page"),
    (("runs",), "prompt sets and runs"),
    (("chat",), "sessions, queues, and the relay of answers"),
    (("access", "archive", "models"), "keys and quotas; conversations; model servers"),
    (("hub",), "what a model hub has"),
    (("settings",), "settings: read, checked, documented"),
    (
        ("dialects", "evaluation", "storage"),
        "how model servers are spoken to (DIALECTS.md); prompt sets, checks and statistics; "
        "database files",
    ),
    (
        ("core", "engines", "instance", "typesetting", "weights", "workers"),
        "data and state machines; formulas and Markdown; weights; processes that can be killed",
    ),
)
FLOOR_OF = {
    part: len(FLOORS) - 1 - depth for depth, (parts, _) in enumerate(FLOORS) for part in parts
}


@dataclass(frozen=True)
class Apart:
    """A program or library of its own, which no floor imports."""

    about: str
    # The parts that it imports besides itself.
    imports: tuple[str, ...] = ()


APART = {
    "client": Apart("the client for other programs; needs aiohttp"),
    "doctor": Apart(
        "looks at the machine; runs before anything is installed", ("core", "settings")
    ),
    "evaluate": Apart(
        "evaluations from a terminal; asks a gateway over HTTP", ("core", "instance", "settings")
    ),
    "engine": Apart("the launcher of the embedded engine", ("core", "engines", "weights")),
}
