"""What a server says of itself and of one model, as the seam has it: pure functions over JSON."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from server.dialects.base import EngineInfo
from server.dialects.openai.flavour import NO_LOGPROBS, Flavour, Reasoning, find
from server.dialects.openai.flavours import PLAIN
from server.dialects.openai.flavours.names import BY_EFFORT, TOOLS
from server.dialects.openai.listing import (
    Entry,
    can_see,
    details,
    facts_of,
    is_loaded,
    number,
    read,
)
from server.dialects.openai.parameters import taken

# Their defaults say nothing: a random seed, no text to end at, no end.
_NO_DEFAULT: Final = frozenset({"seed", "stop", "max_new_tokens"})
# Networks that are one's own, by the names that people give to machines there.
_OWN_NAMES: Final = (".local", ".internal", ".lan", ".home", ".home.arpa", ".localhost")


def at_its_place(flavour: Flavour, url: str, flags: frozenset[str] = frozenset()) -> Flavour:
    """Return a flavour as it is used at an address: an unknown server far away is a provider.

    `flags` are the endpoint's; `unset_is_greedy` among them has parameters that nobody sets have no
    effect, and the most likely token is taken where nothing asks for sampling; `shows_stop` has the
    text at which an answer ends be its last part.
    """
    if "shows_stop" in flags:
        flavour = replace(flavour, shows_stop=True)
    if "unset_is_greedy" in flags:
        flavour = replace(flavour, unset_is_greedy=True, defaults=())
    parts = urlsplit(url)
    is_far = parts.scheme == "https" and not _is_own(parts.hostname or "")
    if is_far and flavour is PLAIN:
        # Providers refuse what they do not know, and few of them take words for a model's template.
        return replace(flavour, is_provider=True, reasoning=BY_EFFORT)
    return flavour


def _is_own(host: str) -> bool:
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return "." not in host or host.lower().endswith(_OWN_NAMES)


def of_model(flavour: Flavour, entry: Entry, answers: Mapping[str, object]) -> Flavour:
    """Return a flavour that takes no more than the model, where that is told."""
    facts = facts_of(flavour, entry, answers)
    if facts.get("tools") is False:
        # llama.cpp passes over tools where the model's template has no use for them.
        takes = {name: theirs for name, theirs in flavour.takes.items() if name not in TOOLS}
        flavour = replace(flavour, takes=takes)
    told = facts.get("takes")
    if not isinstance(told, list):
        return flavour
    takes = {
        name: theirs for name, theirs in flavour.takes.items() if any(t in told for t in theirs)
    }
    grammars = {kind: form for kind, form in flavour.grammars.items() if form.keys() <= {*told}}
    has_logprobs = "logprobs" in told and "top_logprobs" in told
    return replace(
        flavour,
        takes=takes,
        is_certain=True,
        grammars=grammars,
        reasoning=flavour.reasoning if "reasoning" in told else Reasoning(),
        logprobs=flavour.logprobs if has_logprobs else NO_LOGPROBS,
    )


def routes(flavour: Flavour) -> list[str]:
    """Return the routes besides the list at which a server tells of itself, once each."""
    places = [place for several in flavour.facts.values() for place in several]
    return list(dict.fromkeys(at.route for at in (*places, *flavour.defaults) if at.route))


def engine_info(
    flavour: Flavour,
    model: str,
    entry: Entry,
    answers: Mapping[str, object],
    flags: frozenset[str],
) -> EngineInfo:
    """Return what is told of a server and a model; `answers` are decoded, by route."""
    facts = facts_of(flavour, entry, answers)
    template = facts.get("has_chat_template", True)
    version, revision = facts.get("version"), facts.get("revision")
    return EngineInfo(
        model_id=model,
        version=str(version) if version is not None else "",
        max_input_tokens=number(facts.get("max_input_tokens")),
        max_total_tokens=number(facts.get("max_total_tokens")),
        max_concurrent_requests=number(facts.get("max_concurrent_requests")),
        has_chat_template=bool(template),
        revision=str(revision) if revision is not None else "",
        engine=flavour.title,
        dialect="openai",
        flavour=flavour.name,
        model_context_tokens=number(facts.get("model_context_tokens")),
        takes=taken(flavour),
        defaults=_defaults(flavour, entry, answers),
        unset_is_greedy=flavour.unset_is_greedy,
        has_logprobs=flavour.logprobs.chat is not None or flavour.logprobs.text is not None,
        cuts_for_length=flavour.cuts_for_length,
        can_cancel=flavour.can_cancel,
        ends_thinking=flavour.reasoning.budget is not None,
        is_billed=flavour.is_provider,
        can_load=flavour.load is not None,
        holds_one_model=flavour.holds_one_model or "holds_one_model" in flags,
        is_loaded=is_loaded(flavour, facts),
        can_see=can_see(entry, facts),
        details=details(facts),
    )


def _defaults(flavour: Flavour, entry: Entry, answers: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in flavour.defaults:
        told = read(place, entry, answers)
        for name, theirs in flavour.takes.items():
            value = find(told, theirs[0])
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_number and name not in _NO_DEFAULT:
                # Numbers of 32 bits, written with 64: 0.800000011920929.
                found.setdefault(name, round(value, 6) if isinstance(value, float) else value)
    return found
