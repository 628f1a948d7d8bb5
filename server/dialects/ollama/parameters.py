"""The body of a request as Ollama takes it, and what had to be left out of it.

Rules:

1. What has a counterpart goes into `options` under Ollama's name, "off" values included, because
   Ollama's own defaults are not off. What nobody set is not sent.
2. What Ollama does not know it ignores without a word. So it is refused here by name, or left out
   with a notice where that is allowed.
3. Nothing that a request says makes Ollama load the model anew: options of loading, `num_ctx`
   first among them, come from the settings or not at all.
4. Ollama takes another list of stop texts in place of the model's own, so those are sent along.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from server.core.errors import InvalidParameters
from server.core.grammar_rules import schema_of
from server.core.parameters import is_off
from server.core.protocol import Notice
from server.dialects.base import Ask
from server.dialects.messages import in_ollamas_form

_OPTIONS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "max_new_tokens": "num_predict",
    "stop": "stop",
}
TAKES: Final = frozenset(_OPTIONS) | {
    *("do_sample", "grammar", "reasoning", "tool_choice", "tools", "top_n_tokens"),
}
# What the gateway itself sees to.
_OURS: Final = frozenset({"details", "return_full_text"})
# Ollama reads them when it loads a model: another value unloads it, even while it is in use.
_LOADING_OPTIONS: Final = frozenset(
    {
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "use_mmap",
        "num_thread",
        "draft_num_predict",
    }
)
_SAMPLING: Final = ("temperature", "top_k", "top_p", "typical_p", "min_p")
_PENALTIES: Final = {"repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}
# Penalties shall see the whole text, as everywhere else; Ollama's default are the last 64 tokens.
# Its engine sets aside four bytes for each and takes no sign for "all".
_WHOLE_TEXT_TOKENS: Final = 128 * 1024
# llama.cpp's seeds have 32 bits, the last of them meaning "any"; Ollama cuts longer ones off.
_SEEDS: Final = 2**32 - 1


def loading_body(model: str, num_ctx: int | None) -> dict[str, Any]:
    """Return what names a model, and how it is loaded: the same in every request.

    `shift` is part of it. Where it changed from one request to the next, Ollama would load the
    model anew.
    """
    body: dict[str, Any] = {"model": model, "shift": False}
    return body if num_ctx is None else {**body, "options": {"num_ctx": num_ctx}}


def request_body(
    ask: Ask, model: str, num_ctx: int | None, *, lacks: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[Notice]]:
    """Return the body of a request, and what there is to say about it.

    `lacks` are parameters that the model does not take: Ollama says so itself, by their names.
    Raises `InvalidParameters` for what Ollama does not take, unless the question is lenient.
    """
    notices: list[Notice] = []
    ask = _without(ask, lacks, notices)
    extra = dict(ask.extra)
    body: dict[str, Any] = {**loading_body(model, num_ctx), "stream": True, "truncate": False}
    if isinstance(ask.prompt.content, str):
        body |= {"prompt": ask.prompt.content, "raw": True}
        # What a model thinks would be taken out of a text that is to go on as it is.
        extra.setdefault("think", False)
    else:
        # Pictures are put in when the body is sent.
        body["messages"] = in_ollamas_form(ask.prompt.content)
        body |= {**_think(ask), **_tools(ask, notices)}
    options = {**body.pop("options", {}), **_options(ask)}
    for name, value in ask.parameters.items():
        if name not in TAKES | _OURS and not is_off(name, value):
            _leave_out(ask, name, "Ollama does not take it", notices)
    body |= _format(ask, notices)
    alternatives = ask.parameters.get("top_n_tokens") or 0
    if ask.wants_tokens or alternatives:
        body["logprobs"] = True
        if alternatives:
            body["top_logprobs"] = alternatives
    if "repeat_penalty" in options and "repetition_penalty" in ask.chosen:
        notices.append(
            Notice(
                "parameter_renamed",
                "`repetition_penalty` is `repeat_penalty` for Ollama",
                {"parameter": "repetition_penalty", "name": "repeat_penalty"},
            )
        )
    extra_options = _take_options(ask, extra, set(options), notices)
    written = sorted(body.keys() & extra.keys())
    notices += [_left_out(name, "it is part of every request") for name in written]
    return {**extra, **body, "options": {**extra_options, **options}}, notices


def _without(ask: Ask, lacks: frozenset[str], notices: list[Notice]) -> Ask:
    """Leave out what a question may go without and its model does not take.

    Not to think, it takes.
    """
    found = {
        name
        for name in lacks & ask.parameters.keys()
        if (ask.is_lenient or name in ask.optional) and ask.parameters[name] != "off"
    }
    told = sorted(found - ask.optional)
    notices += [_left_out(name, "the model does not take it") for name in told]
    kept = {name: value for name, value in ask.parameters.items() if name not in found}
    return replace(ask, parameters=kept)


def with_own_stop(body: dict[str, Any], own_stop: Sequence[str]) -> dict[str, Any]:
    """Return a body whose stop texts have those of the model among them."""
    asked: list[Any] = body["options"]["stop"]
    stop = [*asked, *(text for text in own_stop if text not in asked)]
    return {**body, "options": {**body["options"], "stop": stop}}


def asks_to_stop(body: Mapping[str, Any]) -> bool:
    """Tell whether a body has stop texts, which take the place of the model's own."""
    return isinstance(body["options"].get("stop"), list)


def _options(ask: Ask) -> dict[str, Any]:
    parameters = ask.parameters
    options = {
        name: parameters[ours]
        for ours, name in _OPTIONS.items()
        if ours != "stop" and parameters.get(ours) is not None
    }
    if "seed" in options:
        options["seed"] %= _SEEDS
    if parameters.get("do_sample") is False and not any(
        parameters.get(name) is not None for name in _SAMPLING
    ):
        options["temperature"] = 0
    if any(parameters.get(name, off) != off for name, off in _PENALTIES.items()):
        options["repeat_last_n"] = _WHOLE_TEXT_TOKENS
    texts = list(dict.fromkeys([*parameters.get("stop", ()), *ask.prompt.stop]))
    if "" in texts:
        raise InvalidParameters("`stop` has an empty text, at which Ollama would end every answer")
    return {**options, "stop": texts} if texts else options


def _think(ask: Ask) -> dict[str, Any]:
    """Return how much the model is to think; a model that knows no efforts takes each for yes.

    Ollama has no budgets: the gateway counts them itself.
    """
    effort = ask.parameters.get("reasoning")
    if effort is None:
        return {}
    return {"think": False if effort == "off" else True if isinstance(effort, int) else effort}


def _tools(ask: Ask, notices: list[Notice]) -> dict[str, Any]:
    """Return the tools, among which only the model chooses."""
    choice = ask.parameters.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        _leave_out(ask, "tool_choice", "with Ollama only the model chooses", notices)
    tools = ask.parameters.get("tools")
    return {"tools": tools} if tools and choice != "none" else {}


def _format(ask: Ask, notices: list[Notice]) -> dict[str, Any]:
    """Return `format` for a grammar: a JSON schema, or any JSON."""
    grammar = ask.parameters.get("grammar")
    if grammar is None:
        return {}
    if grammar["type"] == "regex":
        _leave_out(ask, "grammar", "Ollama takes JSON schemas, no regular expressions", notices)
        return {}
    return {"format": schema_of(grammar["value"]) or "json"}


def _take_options(
    ask: Ask, extra: dict[str, Any], written: set[str], notices: list[Notice]
) -> dict[str, Any]:
    """Remove `options` from `extra`, and return those that may be sent."""
    options = extra.pop("options", {})
    if not isinstance(options, Mapping):
        raise InvalidParameters("`options` must be an object, as Ollama takes it")
    kept = {}
    for name, value in options.items():
        if name in _LOADING_OPTIONS:
            _leave_out(ask, name, "Ollama would load the model anew for it", notices)
        elif name in written:
            notices.append(_left_out(f"options.{name}", "it is set as a parameter"))
        else:
            kept[name] = value
    return kept


def _leave_out(ask: Ask, name: str, why: str, notices: list[Notice]) -> None:
    if not ask.is_lenient:
        raise InvalidParameters(f"`{name}` cannot be sent: {why}", details={"parameter": name})
    notices.append(_left_out(name, why))


def _left_out(name: str, why: str) -> Notice:
    return Notice("parameter_left_out", f"`{name}` is left out: {why}", {"parameter": name})
