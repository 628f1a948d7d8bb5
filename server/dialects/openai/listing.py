"""What a server's list says of its models: pure functions over JSON.

Rules:

1. A list is `{"data": [...]}` or the array alone; entries without an `id` are left out.
2. A model's purpose is taken from its entry, or else from well-known names. A model of unknown
   purpose is taken to write text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from server.core.errors import EngineError, EngineOverloaded
from server.dialects.base import ServedModel
from server.dialects.http.client import Reply
from server.dialects.openai.errors import failure
from server.dialects.openai.flavour import At, Flavour, find
from server.dialects.openai.tolerant_json import decode_or_none
from server.dialects.words import text_or_empty

Entry = Mapping[str, Any]

GATEWAY: Final = "sidestream"
"""Who owns models in the list of a gateway like this one."""
RELAYED: Final = "sidestream-relayed"
"""Who owns those in it that come from another such gateway."""

_KINDS_TOLD: Final = (
    ("embedding", re.compile(r"embed|feature.extraction")),
    ("rerank", re.compile(r"re.?rank|cross.encoder|^score$")),
    ("speech", re.compile(r"speech|audio|transcri|^tts$|^stt$|^asr$")),
    ("image", re.compile(r"image|diffusion|text.to.video")),
)
_KINDS_NAMED: Final = (
    ("rerank", re.compile(r"re-?rank")),
    (
        "embedding",
        re.compile(
            r"embed|(^|[/_-])(bge|e5|gte)-|minilm|(^|/)paraphrase-|sentence-t5|instructor-(x|l)"
        ),
    ),
    (
        "speech",
        re.compile(r"whisper|(^|[-_/.])(tts|stt|asr)($|[-_/.:0-9])|kokoro|parakeet|speecht5"),
    ),
    (
        "image",
        re.compile(r"stable-?diffusion|(^|[-_/.])(sdxl|sd3|sd-turbo|dall-e|gpt-image|imagen)"),
    ),
)
_TEXT_TOLD: Final = re.compile(r"llm|vlm|chat|completion|text.generation|generate")
# Abilities that mean eyes, in lists of such.
_SEES: Final = frozenset({"vision", "image", "multimodal"})
# Fields in which some server or other says what a model is for.
_FIELDS_OF_KIND: Final = ("kind", "type", "task", "model_type", "mode")


def read_list(reply: Reply, *, engine: str, address: str) -> list[Entry]:
    """Return the entries of a list of models.

    Raises `EngineOverloaded` where the server is not ready, and `EngineError` in words for every
    answer that is no list.
    """
    if reply.status >= 400:
        error = failure(reply, engine=f"{engine} at {address}")
        if reply.status != 503 or isinstance(error, EngineOverloaded):
            raise error
        raise EngineOverloaded(f"{error.message}: it is asked again until it is ready")
    found = entries(reply.body)
    if found is None:
        kind = reply.headers.get("content-type", "")
        is_page = "html" in kind or reply.body.lstrip()[:1] == b"<"
        what = "with a web page" if is_page else "with something else"
        raise EngineError(
            f"{address} answers {what}, not with a list of models: no model server is there",
            hint="check `url`: most servers have the list at /v1/models",
        )
    return found


def entries(body: bytes) -> list[Entry] | None:
    """Return a list's entries, None if it is none."""
    value = decode_or_none(body)
    if isinstance(value, dict):
        is_empty = value.get("object") == "list" and value.get("data", 0) is None
        value = [] if is_empty else value.get("data")
    if not isinstance(value, list):
        return None
    return [entry for entry in value if isinstance(entry, dict) and _name(entry)]


def facts_of(
    flavour: Flavour, entry: Entry, answers: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Return what is told of a model, by the names of `Flavour.facts`; `answers` by route."""
    found = {}
    for name, places in flavour.facts.items():
        for place in places:
            value = read(place, entry, answers or {})
            if value is not None:
                found[name] = value
                break
    return found


def read(place: At, entry: Entry, answers: Mapping[str, object]) -> object | None:
    """Return what stands at a place, None where there is nothing."""
    return find(answers.get(place.route) if place.route else entry, place.place)


def served(flavour: Flavour, entry: Entry) -> ServedModel:
    """Return what an entry says of its model."""
    facts = facts_of(flavour, entry)
    name = _name(entry)
    aliases = facts.get("aliases")
    return ServedModel(
        name=name,
        aliases=tuple(alias for alias in _texts(aliases) if alias != name),
        title=text_or_empty(facts.get("title")),
        kind=_kind(name, entry, facts),
        context_tokens=number(facts.get("max_total_tokens")),
        model_context_tokens=number(facts.get("model_context_tokens")),
        is_loaded=is_loaded(flavour, facts),
        is_relayed=entry.get("owned_by") == GATEWAY,
        capabilities=_capabilities(entry, facts),
        details=details(facts),
    )


def details(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what people tell models apart by, as far as it is told."""
    found = {
        "quantization": text_or_empty(facts.get("quantization")),
        "parameters": _size(facts.get("parameters")),
        "architecture": text_or_empty(facts.get("architecture")),
    }
    return {name: text for name, text in found.items() if text}


def is_loaded(flavour: Flavour, facts: Mapping[str, Any]) -> bool | None:
    """Tell whether a model is in memory, None where that is not told."""
    state = facts.get("is_loaded")
    return None if state is None else re.search(flavour.loaded, str(state)) is not None


def can_see(entry: Entry, facts: Mapping[str, Any]) -> bool | None:
    """Tell whether a model takes pictures, None where that is not told."""
    told = entry.get("capabilities")
    words = told.get("vision") if isinstance(told, dict) else None
    for value in (facts.get("vision"), words, find(entry, "model_info.supports_vision")):
        if isinstance(value, bool):
            return value
    inputs = _texts(facts.get("input") or find(entry, "architecture.input_modalities"))
    if inputs:
        return "image" in inputs
    if _SEES & set(_texts(told)) or entry.get("type") == "vlm":
        return True
    # LM Studio tells each of its models apart like this.
    return False if facts.get("kind") == "llm" else None


def number(value: object) -> int | None:
    """Return a count above zero, None for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return int(value) if 1 <= value < 2**53 else None


def _name(entry: Entry) -> str:
    return text_or_empty(entry.get("id"))


def _kind(name: str, entry: Entry, facts: Mapping[str, Any]) -> str:
    if entry.get("owned_by") == RELAYED:
        return "relayed"
    outputs = _texts(facts.get("output") or find(entry, "architecture.output_modalities"))
    if outputs and "text" not in outputs:
        return _first_kind(_KINDS_TOLD, outputs) or "text"
    abilities = _texts(entry.get("capabilities"))
    told = [text_or_empty(entry.get(field)) for field in _FIELDS_OF_KIND] + abilities
    told = [word.lower() for word in told if word]
    if any(_TEXT_TOLD.search(word) for word in told):
        return "text"
    return _first_kind(_KINDS_TOLD, told) or _first_kind(_KINDS_NAMED, [name.lower()]) or "text"


def _first_kind(kinds: tuple[tuple[str, re.Pattern[str]], ...], words: list[str]) -> str:
    return next(
        (kind for kind, pattern in kinds if any(pattern.search(word) for word in words)), ""
    )


def _capabilities(entry: Entry, facts: Mapping[str, Any]) -> dict[str, bool]:
    told = entry.get("capabilities")
    found = (
        {name: value for name, value in told.items() if isinstance(value, bool)}
        if isinstance(told, dict)
        else dict.fromkeys(_texts(told), True)
    )
    sees = can_see(entry, facts)
    if sees is not None:
        found["vision"] = sees
    if takes := _texts(facts.get("takes")):
        found |= {"tools": "tools" in takes, "thinking": "reasoning" in takes}
    return found


def _size(value: object) -> str:
    """Write a number of parameters as people do: `135M`, `8.03B`."""
    count = number(value)
    if count is None:
        return text_or_empty(value)
    for unit, letter in ((10**9, "B"), (10**6, "M")):
        if count >= unit:
            return f"{count / unit:.3g}{letter}"
    return str(count)


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
