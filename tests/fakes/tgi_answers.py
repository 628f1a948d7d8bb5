"""What the fake TGI says: tokens that follow from the request alone, and TGI's refusals.

A test that knows the options, the prompt and the parameters can work out the whole answer with
`answer()`; nothing here is random. The invented words contain what breaks careless readers:
letters of two, three and four bytes, quotes, line ends, U+2028 and U+0085 (which `str.splitlines`
takes for line ends), and a token with no text.

The checks are written from TGI's own, apart from `server.core.parameters`, so that they also
catch what that one would let through.
"""

import functools
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.tgi_options import FakeOptions

EOS_TEXT, EOS_ID = "</s>", 2
BOS_TEXT, BOS_ID = "<s>", 1
_SPECIAL = {EOS_TEXT: EOS_ID, BOS_TEXT: BOS_ID}
WORDS = (
    " the", " river", " ran", " \"quietly\"", ",", " over", " naïve", " stones", ".\n", " Über",
    " 東京", "", " and", " 🙂", " back", "\u2028", " again", "\u0085", " {json}", " data:", "\t",
    " \\n", " ready", "!",
)  # fmt: skip


class Refusal(Exception):
    """Carry an error as TGI words it: in-stream event or HTTP status, same two fields."""

    def __init__(self, message: str, error_type: str, status: int) -> None:
        super().__init__(message)
        self.body = {"error": message, "error_type": error_type}
        self.status = status


@dataclass(frozen=True)
class FakeToken:
    """One token as TGI sends it."""

    id: int
    text: str
    logprob: float | None
    special: bool = False

    def to_wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "text": self.text,
            "logprob": self.logprob,
            "special": self.special,
        }


@dataclass(frozen=True)
class Answer:
    """A whole answer, known before its first token is sent."""

    tokens: tuple[FakeToken, ...]
    generated_text: str
    finish_reason: str
    input_length: int
    seed: int | None

    @property
    def details(self) -> dict[str, Any]:
        """Return what the last event carries when `details` was asked for."""
        return {
            "finish_reason": self.finish_reason,
            "generated_tokens": len(self.tokens),
            "seed": self.seed,
            "input_length": self.input_length,
        }


def answer(options: FakeOptions, inputs: str, parameters: dict[str, Any] | None = None) -> Answer:
    """Return the answer to a valid request, the same for the same arguments."""
    parameters = parameters or {}
    if options.replay is not None:
        return _recorded(options.replay, inputs)
    input_length = len(tokenize(options, inputs))
    limit = parameters.get("max_new_tokens") or options.max_total_tokens - input_length
    stops = parameters.get("stop") or []
    tokens: list[FakeToken] = []
    text, finish_reason = "", "length"
    for token in _tokens(options, inputs, limit):
        tokens.append(token)
        if token.special:
            finish_reason = "eos_token" if len(tokens) < limit else "length"
            break
        text += token.text
        if any(text.endswith(stop) for stop in stops):
            finish_reason = "stop_sequence"
            break
    prefix = inputs if parameters.get("return_full_text") else ""
    return Answer(
        tokens=tuple(tokens),
        generated_text=prefix + text,
        finish_reason=finish_reason,
        input_length=input_length,
        seed=parameters.get("seed"),
    )


def split(text: str) -> list[str]:
    """Cut text into tokens: a word with the space before it, or a mark; nothing is lost."""
    return re.findall(r"<s>|</s>|\s?\w+|\s|[^\w\s]", text)


def tokenize(options: FakeOptions, text: str) -> list[dict[str, Any]]:
    """Return TGI's `/tokenize` list; `--bos` puts the tokenizer's own BOS in front."""
    found = []
    if options.bos:
        found.append({"id": BOS_ID, "text": BOS_TEXT, "start": 0, "stop": 0})
    start = 0
    for piece in split(text):
        stop = start + len(piece.encode())
        found.append({"id": _token(piece).id, "text": piece, "start": start, "stop": stop})
        start = stop
    return found


def chat_prompt(options: FakeOptions, messages: list[dict[str, Any]]) -> str:
    """Render messages as the model's chat template would."""
    if options.no_template:
        raise Refusal("Template error: template not found", "template_error", 422)
    if options.broken_template:
        raise Refusal("Template error: unknown method (in <string>:1)", "template_error", 422)
    if options.strict_template:
        _check_roles([turn["role"] for turn in messages])
    turns = "".join(f"<|{turn['role']}|>\n{turn['content']}{EOS_TEXT}\n" for turn in messages)
    return (BOS_TEXT if options.bos else "") + turns + "<|assistant|>\n"


def _check_roles(roles: list[str]) -> None:
    """Refuse what Gemma's template refuses, as TGI words what `raise_exception` says."""
    problem = ""
    if roles[0] == "system":
        problem = "System role not supported"
    elif any((role == "user") != (index % 2 == 0) for index, role in enumerate(roles)):
        problem = "Conversation roles must alternate user/assistant/user/assistant/..."
    if problem:
        message = f"Template error: syntax error: {problem} (in <string>:1)"
        raise Refusal(message, "template_error", 422)


def check(options: FakeOptions, inputs: str, parameters: dict[str, Any], *, streams: bool) -> None:
    """Raise `Refusal` for what TGI refuses, in TGI's words."""

    def refuse(message: str) -> None:
        raise Refusal(f"Input validation error: {message}", "validation", 422)

    given = {name: value for name, value in parameters.items() if value is not None}
    if not inputs:
        refuse("`inputs` cannot be empty")
    for name in ("temperature", "repetition_penalty", "top_k", "max_new_tokens"):
        if name in given and given[name] <= 0:
            refuse(f"`{name}` must be strictly positive")
    for name in ("top_p", "typical_p"):
        if name in given and not 0 < given[name] < 1:
            refuse(f"`{name}` must be > 0.0 and < 1.0")
    if abs(given.get("frequency_penalty", 0)) > 2:
        refuse("`frequency_penalty` must be >= -2.0 and <= 2.0")
    if len(given.get("stop", [])) > 4:
        refuse(f"`stop` supports up to 4 stop sequences. Given: {len(given['stop'])}")
    if given.get("top_n_tokens", 0) > 5:
        refuse(f"`top_n_tokens` must be >= 0 and <= 5. Given: {given['top_n_tokens']}")
    if streams and given.get("best_of", 1) != 1:
        refuse("`best_of` != 1 is not supported when streaming tokens")
    if streams and given.get("decoder_input_details"):
        refuse("`decoder_input_details` == true is not supported when streaming tokens")
    _check_lengths(options, inputs, given, refuse)


def _check_lengths(options: FakeOptions, inputs: str, given: dict[str, Any], refuse: Any) -> None:
    length = min(len(tokenize(options, inputs)), given.get("truncate", 1 << 30))
    if length > options.max_input_tokens:
        refuse(f"`inputs` must have less than {options.max_input_tokens} tokens. Given: {length}")
    # TGI counts at most 1024 new tokens here and continues longer answers in pieces.
    new = min(given.get("max_new_tokens", options.max_total_tokens - length), 1024)
    if length + new > options.max_total_tokens:
        refuse(
            f"`inputs` tokens + `max_new_tokens` must be <= {options.max_total_tokens}. "
            f"Given: {length} `inputs` tokens and {new} `max_new_tokens`"
        )


def _tokens(options: FakeOptions, inputs: str, limit: int) -> list[FakeToken]:
    if options.text is not None:
        pieces = split(options.text)
    else:
        # The model's name is part of it, so that answers cannot be mixed up unseen.
        start = zlib.crc32(f"{options.model_id}\n{inputs}".encode())
        length = limit if options.answer_tokens is None else options.answer_tokens
        pieces = [WORDS[(start + step * 7 + step * step) % len(WORDS)] for step in range(length)]
    return list(map(_token, [*pieces, EOS_TEXT]))[:limit]


def _token(text: str) -> FakeToken:
    if text in _SPECIAL:
        return FakeToken(_SPECIAL[text], text, -0.1, special=True)
    number = zlib.crc32(text.encode())
    return FakeToken(id=10 + number % 50_000, text=text, logprob=-(1 + number % 4000) / 1000)


@functools.cache
def _recordings(path: str) -> list[dict[str, Any]]:
    with Path(path).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _recorded(path: str, inputs: str) -> Answer:
    """Return the recording whose line number (from 0) is the last number in the prompt."""
    numbers = re.findall(r"\d+", inputs)
    recordings = _recordings(path)
    line = recordings[int(numbers[-1]) % len(recordings) if numbers else 0]
    return Answer(
        tokens=tuple(
            FakeToken(token["id"], token["text"], token["logprob"], token["special"])
            for token in line["tokens"]
        ),
        generated_text=line["generated_text"],
        finish_reason=line["finish_reason"],
        input_length=line["input_length"] or 7,
        seed=line["seed"],
    )
