"""What a fake TGI can be told to be or to do wrong.

One table: each field of `FakeOptions` is a keyword in Python and a flag on the command line
(`cut_after=3` is `--cut-after 3`). Flags named like one of TGI's own mean what TGI means by them.
Where a flag says "after N", N counts the token events that were sent whole before it happens.
"""

import argparse
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

DEATHS = ("shard", "download", "gated", "disk", "memory", "port")


def _option(default: Any, help_text: str, **argparse_words: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **argparse_words})


def _count(help_text: str, **argparse_words: Any) -> Any:
    return _option(None, help_text, type=int, metavar="N", **argparse_words)


@dataclass(frozen=True)
class FakeOptions:
    """Say what the fake answers and how it misbehaves; the defaults make a quick, healthy TGI."""

    # As TGI's launcher
    model_id: str = _option("fake/tgi", "what /info and the answers call the model", type=str)
    pipeline_tag: str = _option("text-generation", "the hub's word for the model", type=str)
    api_key: str | None = _option(None, "ask for this bearer key", type=str)
    json_output: bool = _option(False, "log in JSON")
    max_concurrent_requests: int = _option(128, "more than that is 'overloaded'", type=int)
    max_input_tokens: int = _option(1024, "a longer prompt is refused", type=int)
    max_total_tokens: int = _option(2048, "prompt and answer together", type=int)
    graceful_termination_timeout: float = _option(90.0, "seconds to end requests in", type=float)

    # What it answers
    text: str | None = _option(None, "the answer; without it, words that follow from the prompt")
    answer_tokens: int | None = _count("end the answer (without --text) after N tokens")
    replay: str | None = _option(None, "answer from a file of recorded answers (JSON lines)")
    bos: bool = _option(False, "the template writes a BOS, and the tokenizer adds one")
    no_template: bool = _option(False, "/chat_tokenize answers 422, as a base model's does")
    strict_template: bool = _option(
        False, "the template refuses system messages and roles that do not alternate"
    )
    broken_template: bool = _option(False, "the template uses what the server does not know")
    no_space: bool = _option(False, "write 'data:{' as TGI before 2.1 did")
    download_files: int = _option(0, "log the download of that many weight files", type=int)

    # How fast
    load_seconds: float = _option(0.0, "load for that long before listening", type=float)
    delay_ms: float = _option(0.0, "wait before each token", type=float)
    keep_alive_seconds: float = _option(15.0, "comment after that much silence", type=float)
    hold_after: int | None = _count("pause after N tokens until POST /_fake/release")

    # How it fails before it is ready
    never_healthy: bool = _option(False, "load for ever, never listen")
    unhealthy: bool = _option(False, "listen, but /health answers 503")
    die_while_loading: int | None = _count(
        "exit while loading, with this code (1)", nargs="?", const=1
    )
    die_cause: str = _option("shard", "what the log says of it", choices=DEATHS)

    # What it says of itself
    metrics: str | None = _option(None, "what /metrics says, in place of the truth", type=str)
    silent_metrics: bool = _option(False, "/metrics never answers")

    # How it fails while answering
    overloaded: bool = _option(False, "every request is one too many")
    silent: bool = _option(False, "take a request and never send a byte")
    silent_after: int | None = _count("send N tokens, then nothing, not even a comment")
    cut_after: int | None = _count("drop the connection after N tokens")
    end_early_after: int | None = _count("close the body properly, but without a last event")
    error_after: int | None = _count("send an error event after N tokens")
    malformed_after: int | None = _count("send half an event's JSON after N tokens, then go on")
    two_bytes: bool = _option(False, "write two bytes at a time")
    die_after: int | None = _count("kill the process after N tokens")

    # How it fails to stop
    ignore_sigterm: bool = _option(False, "SIGTERM does nothing")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one flag for each field of `FakeOptions`."""
    for option in fields(FakeOptions):
        words: dict[str, Any] = dict(option.metadata)
        if option.default is False:
            words["action"] = "store_true"
        assert option.default is not MISSING
        flag = "--" + option.name.replace("_", "-")
        parser.add_argument(flag, default=option.default, **words)


def from_arguments(arguments: argparse.Namespace) -> FakeOptions:
    """Return the options that a parser with `add_flags` has read."""
    return FakeOptions(
        **{option.name: getattr(arguments, option.name) for option in fields(FakeOptions)}
    )
