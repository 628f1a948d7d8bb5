"""What Ollama says of its models, in the seam's words."""

from collections.abc import Mapping
from typing import Any, Final

from server.dialects.base import EngineInfo, ServedModel
from server.dialects.ollama.parameters import TAKES
from server.dialects.ollama.wire import Details, ListedModel, LoadedModel, Shown

_DEFAULT_TAG: Final = "latest"
# Ollama's names of what a model can do, where a kind follows from them.
_WRITES: Final = "completion"
_KINDS: Final = {"embedding": "embedding", "image": "image"}
# What Ollama puts in place of a template that a model does not have.
_NO_TEMPLATE: Final = ("", "{{ .Prompt }}")
# The options a model brings along, by our names; the others are for loading it.
_DEFAULTS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repeat_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "num_predict": "max_new_tokens",
}


def is_same_model(one: str, other: str) -> bool:
    """Tell whether two names are one model's: the tag `latest` may be left out."""
    return _full_name(one) == _full_name(other)


def names_cloud(name: str) -> bool:
    """Tell whether a name says that Ollama's cloud answers, as `glm-5:cloud` does."""
    return _full_name(name).rpartition(":")[2].rpartition("-")[2] == "cloud"


def find_loaded(loaded: list[LoadedModel], name: str) -> LoadedModel | None:
    """Return what is said of a model in memory, None if it is not there."""
    return next((model for model in loaded if is_same_model(model.name, name)), None)


def served_model(listed: ListedModel, loaded: list[LoadedModel] | None) -> ServedModel:
    """Return one entry of the list; `loaded` is None where the server does not tell."""
    there = None if loaded is None else find_loaded(loaded, listed.name)
    is_local = not listed.remote_host
    details = listed.details or Details()
    name, _, tag = listed.name.rpartition(":")
    return ServedModel(
        listed.name,
        aliases=(name,) if name and tag == _DEFAULT_TAG else (),
        kind=_kind(listed.capabilities),
        context_tokens=(there.context_length if there is not None else None) or None,
        model_context_tokens=details.context_length,
        is_loaded=None if loaded is None or not is_local else there is not None,
        capabilities=_capabilities(listed.capabilities),
        details=_details(details, listed.remote_host),
    )


def engine_info(
    name: str, version: str, shown: Shown, loaded: list[LoadedModel] | None
) -> EngineInfo:
    """Return what is known of one model; `loaded` is None where the server does not tell."""
    there = None if loaded is None else find_loaded(loaded, name)
    is_local = not shown.remote_host
    return EngineInfo(
        model_id=name,
        max_total_tokens=(there.context_length if there is not None else None) or None,
        model_context_tokens=_own_context(shown),
        has_chat_template=_has_template(shown),
        defaults=_defaults(shown.parameters or ""),
        can_load=is_local,
        is_loaded=None if loaded is None or not is_local else there is not None,
        can_see=_can_see(shown.capabilities),
        **about_server(version) | {"takes": TAKES - lacks(shown) | {"reasoning"}},
    )


def about_server(version: str) -> dict[str, Any]:
    """Return what holds for every model of the server."""
    return {
        "version": version,
        "engine": "Ollama",
        "dialect": "ollama",
        "flavour": "ollama",
        "takes": TAKES,
    }


def lacks(shown: Shown) -> frozenset[str]:
    """Return the parameters that a model does not take, as far as its abilities are told."""
    abilities = {"thinking": ("reasoning",), "tools": ("tools", "tool_choice")}
    return frozenset(
        name
        for ability, names in abilities.items()
        if shown.capabilities and ability not in shown.capabilities
        for name in names
    )


def own_stop(shown: Shown) -> tuple[str, ...]:
    """Return the texts at which the model's answers end anyway."""
    values = _options(shown.parameters or "")
    return tuple(_unquoted(value) for name, value in values if name == "stop")


def _can_see(capabilities: list[str] | None) -> bool | None:
    return "vision" in capabilities if capabilities else None


def _capabilities(told: list[str] | None) -> dict[str, bool]:
    return {"vision": False} | dict.fromkeys(told, True) if told else {}


def _full_name(name: str) -> str:
    last = name.rpartition("/")[2]
    return (name if ":" in last else f"{name}:{_DEFAULT_TAG}").lower()


def _kind(capabilities: list[str] | None) -> str:
    if not capabilities or _WRITES in capabilities:
        return "text"
    return next((kind for name, kind in _KINDS.items() if name in capabilities), "text")


def _details(details: Details, remote_host: str | None) -> dict[str, str]:
    found = {
        "quantization": details.quantization_level,
        "parameters": details.parameter_size,
        "family": details.family,
        "remote_host": remote_host,
    }
    # A model of the cloud has no file, and its list entry an empty text for what describes one.
    return {name: value for name, value in found.items() if value}


def _has_template(shown: Shown) -> bool:
    if shown.capabilities and _WRITES not in shown.capabilities:
        return False
    return (
        bool(shown.renderer or shown.remote_host)
        or (shown.template or "").strip() not in _NO_TEMPLATE
        or "tokenizer.chat_template" in (shown.model_info or {})
    )


def _own_context(shown: Shown) -> int | None:
    """Return `ARCHITECTURE.context_length`, whatever the architecture is."""
    info: Mapping[str, Any] = shown.model_info or {}
    architecture = info.get("general.architecture")
    value = info.get(f"{architecture}.context_length")
    if value is None:
        # A model with a second one, which reads pictures, may name that one first.
        found = [info[name] for name in info if name.endswith(".context_length")]
        value = found[0] if len(found) == 1 else None
    return value if isinstance(value, int) else None


def _options(parameters: str) -> list[tuple[str, str]]:
    """Return names and values out of lines such as `temperature      0.6`."""
    lines = (line.split(None, 1) for line in parameters.splitlines())
    return [(line[0], line[1].strip()) for line in lines if len(line) == 2]


def _unquoted(value: str) -> str:
    """Return what Go's quotes hold: its escapes are Python's as far as stop texts need them."""
    if len(value) < 2 or not (value[0] == value[-1] == '"'):
        return value
    return value[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")


def _defaults(parameters: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _options(parameters):
        ours = _DEFAULTS.get(name)
        if ours is not None:
            try:
                found[ours] = int(value) if value.lstrip("-").isdecimal() else float(value)
            except ValueError:
                continue
    return found
