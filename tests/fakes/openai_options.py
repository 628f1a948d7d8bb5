"""What a fake server of OpenAI's form can be told to be, or to do wrong.

One table: each field of `FakeOptions` is a keyword in Python and, if it has a help text, a flag on
the command line (`cut_after=3` is `--cut-after 3`). `like("vllm", cut_after=3)` begins with the
habits of a kind of server. Where a field says "after N", N counts the events with words of the
answer that were sent whole before it happens; 0 is after the head, -1 before it.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

TEXT = 'The lamp — “naïve”, 東京 🙂 — burns.\n\n1. It {"is": data:}\u2028 lit\\n again!'
ERROR_FORMS = (
    "vllm", "llama.cpp", "litellm", "ollama", "string", "detail", "details", "flat", "text",
    "html", "empty", "not-json",
)  # fmt: skip
MODELS_FORMS = ("list", "empty", "null", "bare", "no-list", "not-json", "html", "404")


@dataclass(frozen=True)
class Canned:
    """An answer of any route, in place of the fake's own."""

    body: Any = ""
    """Bytes and text go out as they are, everything else as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def _option(default: Any, help_text: str, **argparse_words: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **argparse_words})


def _count(help_text: str) -> Any:
    return _option(None, help_text, type=int, metavar="N")


def _words(default: tuple[str, ...], help_text: str) -> Any:
    return _option(default, help_text, nargs="*")


@dataclass(frozen=True)
class FakeOptions:
    """Say what the fake is and how it misbehaves; the defaults make a quick, healthy server."""

    # What it is
    flavour: str = _option("", "show the signs of this kind of server", type=str)
    prefix: str = _option("/v1", "where the API is", type=str)
    api_key: str | None = _option(None, "ask for this key", type=str)
    models: tuple[str, ...] = _words(("fake-model",), "the names in the list of models")
    model_count: int | None = _count("list N models in place of those named")
    models_form: str = _option("list", "what stands for the list", choices=MODELS_FORMS)
    owned_by: str | None = _option(None, "in the list, in place of the flavour's own", type=str)
    model_fields: Mapping[str, Any] = field(default_factory=dict)
    """More fields of each entry in the list."""
    context: int = _option(2048, "tokens of the context, where the flavour tells them", type=int)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every answer, beside those of the flavour."""
    routes: Mapping[str, Canned] = field(default_factory=dict)
    """Answers by route, such as `GET /version`, in place of the flavour's or of none."""
    strict_model: bool = _option(False, "answer 404 to a model that is not listed")

    # What it answers
    text: str = _option(TEXT, "the answer", type=str)
    per_event: int = _option(1, "tokens in one event", type=int)
    reasoning: str = _option("", "what it thinks before the answer", type=str)
    reasoning_field: str = _option("reasoning_content", "what holds that", type=str)
    loading: tuple[str, ...] = _words((), "told as thinking, in chunks without id and model")
    prompt_tokens: int | None = _count("say that the prompt has N tokens")
    answered_by: str | None = _option(None, "the model that chunks name", type=str)
    takes: tuple[str, ...] | None = None
    """Refuse with 422 what is not among these, as strict servers do; None takes everything."""
    refuses: tuple[str, ...] = _words((), "refuse these parameters with 400, naming them")
    is_blind: bool = _option(False, "refuse pictures, in llama.cpp's words")
    max_prompt_tokens: int | None = _count("refuse a longer prompt")

    # In which form
    role: str = _option("own", "where the role comes", choices=("own", "first", "none"))
    finish_reason: str = _option("stop", "why an answer ends that was not cut short", type=str)
    no_reason: str = _option(
        "null", "how chunks say 'no reason yet'", choices=("null", "absent", "empty")
    )
    finish_place: str = _option(
        "own", "which chunk says the reason", choices=("own", "last", "never")
    )
    usage: str = _option(
        "asked",
        "where the costs stand: in an event of their own (if asked, or always), with the reason, "
        "in every event, as zeros until the last, beside a choice, nowhere",
        choices=("asked", "own", "finish", "every", "zeros", "choice", "never"),
    )
    no_done: bool = _option(False, "end without [DONE]")
    logprobs: str = _option("", "their form if asked for", choices=("", "chat", "legacy"))
    no_space: bool = _option(False, "write 'data:{'")
    crlf: bool = _option(False, "end lines by CR LF")
    odd_events: tuple[str, ...] = _words((), "lines sent as events before the first words")
    two_bytes: bool = _option(False, "write two bytes at a time")
    in_one_write: bool = _option(False, "write all that is ready at once")
    delay_ms: float = _option(0.0, "wait before each event", type=float)
    keep_alive_seconds: float = _option(0.0, "comment after that much silence", type=float)

    # How it fails before it answers
    health_status: int = _option(200, "what the flavour's route for health answers", type=int)
    redirect: str = _option("", "redirect every request there", type=str)
    error_status: int | None = _count("answer generations with this status")
    models_status: int | None = _count("answer the list of models with this status")
    error_form: str = _option("", "the form of errors (the flavour's)", choices=("", *ERROR_FORMS))
    error_text: str = _option("it went wrong", "the words of errors", type=str)
    limited: int = _option(0, "answer the first N generations with 429 (-1: all)", type=int)
    bad_gateway: int = _option(0, "answer the first N generations with a bare 502", type=int)
    retry_after: str = _option("", "the header Retry-After beside 429 and 503", type=str)
    unavailable: int = _option(0, "answer the first N requests with 503 (-1: all)", type=int)
    overloaded: bool = _option(False, "have no place for a generation")

    drop_reused: bool = _option(False, "drop a kept connection when another request comes")

    # How it fails while it answers
    hold_after: int | None = _count("pause after N events until POST /_fake/release")
    silent_after: int | None = _count("after N events send nothing any more")
    cut_after: int | None = _count("drop the connection after N events")
    end_early_after: int | None = _count("end the body properly after N events, without an end")
    error_after: int | None = _count("send an error after N events")
    error_in: str = _option(
        "event", "how that stands in the stream", choices=("event", "bare", "html", "named")
    )
    done_after_error: bool = _option(False, "send [DONE] behind an error")
    malformed_after: int | None = _count("send half an event's JSON after N events, then go on")

    # Whatever was recorded
    replay: Mapping[str, Sequence[bytes | float | str]] = field(default_factory=dict)
    """Raw answers by route, head and all: bytes go out as they are, a number is a pause in seconds,
    "hold" waits for the release, "cut" drops the connection; at the end it is closed."""


HABITS: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "llama.cpp": {"role": "first", "error_form": "llama.cpp", "logprobs": "chat"},
    "vllm": {"finish_place": "last", "done_after_error": True, "logprobs": "legacy"},
    "sglang": {"error_form": "flat", "done_after_error": True, "logprobs": "legacy"},
    "lmdeploy": {"error_form": "flat"},
    "transformers": {
        "error_form": "detail",
        "no_done": True,
        "no_reason": "absent",
        "usage": "finish",
    },
    "litellm": {"error_form": "litellm", "no_reason": "absent", "usage": "choice"},
    "ollama": {"error_form": "ollama", "reasoning_field": "reasoning"},
    "llama-swap": {"error_form": "llama.cpp", "usage": "asked", "error_in": "bare"},
    "tgi": {"no_reason": "empty", "error_form": "string"},
}
"""What kinds of servers do otherwise than the defaults."""


def like(flavour: str, **options: Any) -> FakeOptions:
    """Return options with a kind of server's habits, and others in place of them."""
    return FakeOptions(**{"flavour": flavour, **HABITS[flavour], **options})


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one flag for each field of `FakeOptions` that has a help text."""
    for option in fields(FakeOptions):
        words: dict[str, Any] = dict(option.metadata)
        if not words:
            continue
        if option.default is False:
            words["action"] = "store_true"
        # What is absent stays to the flavour.
        flag = "--" + option.name.replace("_", "-")
        parser.add_argument(flag, default=argparse.SUPPRESS, **words)


def from_arguments(arguments: argparse.Namespace) -> FakeOptions:
    """Return the options that a parser with `add_flags` has read."""
    names = {option.name for option in fields(FakeOptions)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(arguments).items()
        if name in names
    }
    flavour: str = given.pop("flavour", "")
    return like(flavour, **given)
