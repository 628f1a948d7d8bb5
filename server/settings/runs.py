"""The keys of [runs]; part of the one table of settings."""

from dataclasses import dataclass

from server.settings.values import Size, option


@dataclass(frozen=True)
class RunSettings:
    """Prompt sets, and runs that ask all of their prompts of several models."""

    enabled: bool = option(True, "Whether there are prompt sets and runs.")
    file: str = option(
        "",
        "The database file; empty takes `INSTANCE.runs` in `state_dir`. Two gateways cannot share "
        "one.",
    )
    max_sets: int = option(1_000, "Prompt sets that one owner may have.", low=1)
    max_set_size: Size = option(
        Size(16 << 20), "Bytes of a file with prompts, and of the prompts of one set.", low=1024
    )
    max_prompts: int = option(20_000, "Prompts of one set.", low=1)
    max_runs: int = option(1_000, "Runs that one owner may have.", low=1)
    max_answers: int = option(
        200_000, "Answers of one run: prompts times targets times repeats.", low=1
    )
    max_size: Size = option(
        Size(8 << 30),
        "Size of the whole database. Once it is reached, runs stop asking until there is room.",
        low=1 << 20,
    )
    max_concurrent: int = option(
        8,
        "Answers of one model server that runs have under way at once, where it is not known how "
        "many the server writes at once.",
        low=1,
    )
