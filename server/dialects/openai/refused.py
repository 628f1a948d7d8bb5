"""Which parameters a server refuses, read from its error message."""

import re
from typing import Final

_NAME: Final = r"[`'\"]?([A-Za-z_][A-Za-z0-9_]*)"
# Each with the servers that say so; the first that fits is taken.
_SENTENCES: Final = tuple(
    re.compile(sentence)
    for sentence in (
        r"\(parameter=([A-Za-z_][A-Za-z0-9_]*)",  # vLLM
        rf"Field {_NAME}['`\"]?:",  # llama.cpp
        r"Go struct field \w+\.([A-Za-z_][A-Za-z0-9_]*)",  # Ollama
        rf"(?i:unknown (?:field|name|parameter)|unsupported (?:parameter|value)):? {_NAME}",
        rf"(?i:property) {_NAME}['`\"]? is unsupported",  # Groq
        rf"(?i:option) {_NAME}['`\"]? must be of type",  # Ollama
        rf"{_NAME}[`'\"]? is not supported (?:with|by|for)",
        r"`([a-z_][a-z0-9_]*)` must be",  # TGI
        r"^([a-z]+_[a-z_]+) must be",  # Ollama, vLLM
    )
)
# Those that name several at once.
_LISTS: Final = tuple(
    re.compile(sentence)
    for sentence in (
        r"Unrecognized request arguments? supplied: ([\w, ]+)",  # OpenAI
        r"Unexpected fields in the request: \{([^}]*)\}",  # transformers
        r"does not support parameters: [\[{]([^\]}]*)[\]}]",  # LiteLLM
    )
)
_INSTEAD: Final = re.compile(r"(?i:use) [`'\"]([A-Za-z_][A-Za-z0-9_]*)[`'\"] instead")
# Parts of every request: an answer cannot be asked for without them.
_NEEDED: Final = frozenset({"model", "messages", "prompt", "stream", "input", "request_body"})


def refused_names(words: str, places: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the parameters that are refused, as the server calls them."""
    return tuple(name for name in places or _named(words) if name not in _NEEDED)


def named_instead(words: str) -> str:
    """Return the parameter that the server wants in place of the refused one, or nothing."""
    found = _INSTEAD.search(words)
    return found[1] if found is not None else ""


def _named(words: str) -> tuple[str, ...]:
    for sentence in _LISTS:
        if (found := sentence.search(words)) is not None:
            return tuple(sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", found[1]))))
    for sentence in _SENTENCES:
        if (found := sentence.search(words)) is not None:
            return (found[1],)
    return ()
