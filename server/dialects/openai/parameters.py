"""Turn a request in the protocol's words into a body in a server's own: pure functions.

Rules:

1. Absent means the server's default: nothing is sent that nobody named. "Off" is a value like any
   other and is sent, because these servers have defaults of their own. A provider gets only what
   somebody chose.
2. A parameter that the server does not take is refused, unless it says "off", which changes
   nothing there. A lenient question is asked without it, with a notice; what nobody chose is left
   out without one.
3. What goes through from outside (`extra`) never replaces a name that is written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from server.core.content import text_of
from server.core.errors import InvalidParameters
from server.core.extra import why_reserved
from server.core.parameters import is_off
from server.core.protocol import Notice
from server.dialects.base import Ask
from server.dialects.messages import in_openais_form
from server.dialects.openai.flavour import Flavour, Form, Reasoning, fill
from server.dialects.openai.grammars import grammar_form
from server.dialects.openai.greedy import completed

# Read elsewhere, or seen to above the dialect.
_NOT_SENT: Final = frozenset({"details", "do_sample", "return_full_text", "top_n_tokens"})
_EVERYWHERE: Final = frozenset({"max_new_tokens"}) | _NOT_SENT - {"top_n_tokens"}


@dataclass
class Question:
    """A request's body, and what its names stand for in the protocol: empty for our own.

    `unasked` are parameters that nobody chose: they are ours, and may go without a word. `cut` are
    the texts at which we end the answer ourselves. `beginning` is what the answer goes on with, and
    may repeat.
    """

    body: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    unasked: set[str] = field(default_factory=set)
    cut: tuple[str, ...] = ()
    beginning: str = ""
    notices: list[Notice] = field(default_factory=list)


def problems(
    flavour: Flavour, parameters: Mapping[str, Any], *, is_chat: bool = True
) -> dict[str, str]:
    """Return the parameters that a server is known not to take, each with the reason in words."""
    found = {}
    for name, value in parameters.items():
        if name in _EVERYWHERE or is_off(name, value):
            continue
        problem = _problem(flavour, name, value, is_chat=is_chat)
        if problem:
            found[name] = problem
    return found


def taken(flavour: Flavour) -> frozenset[str] | None:
    """Return the protocol's names that a server is known to take, None where it is not known."""
    if not flavour.is_certain:
        return None
    optional = {
        "grammar": bool(flavour.grammars),
        "truncate": flavour.takes_token_ids,
        "reasoning": flavour.reasoning != Reasoning(),
        "top_n_tokens": flavour.logprobs.chat is not None or flavour.logprobs.text is not None,
    }
    return _EVERYWHERE | flavour.takes.keys() | {name for name, is_on in optional.items() if is_on}


def compose(flavour: Flavour, ask: Ask, model: str) -> Question:
    """Write the body that asks a server for a streamed answer.

    Raises `InvalidParameters` for what the server does not take.
    """
    content = ask.prompt.content
    is_chat = not isinstance(content, str)
    parameters = _of_interest(flavour, ask, is_chat=is_chat)
    question = Question({"model": model} if model else {})
    question.unasked = parameters.keys() - (_chosen(ask) - ask.optional)
    for name, words in problems(flavour, parameters, is_chat=is_chat).items():
        if name not in question.unasked:
            if not ask.is_lenient:
                raise InvalidParameters(words)
            question.notices.append(left_out(name, words))
        del parameters[name]
    if isinstance(content, str):
        question.body["prompt"] = content
    else:
        question.body["messages"] = in_openais_form(content)
        if content[-1].role == "assistant" and not content[-1].tool_calls:
            question.body |= fill(flavour.to_continue, None)
            question.beginning = text_of(content[-1].content) if flavour.may_repeat else ""
    question.body["stream"] = True
    if flavour.stream_options:
        question.body["stream_options"] = fill(flavour.stream_options, None)
    question.body |= fill(flavour.always, None)
    if flavour.unset_is_greedy:
        question.body |= fill(flavour.samplers, None)
        parameters = completed(flavour, parameters)
        question.unasked |= parameters.keys() - ask.parameters.keys()
    # A grammar has the last word about thinking.
    for name in sorted(parameters, key="reasoning".__ne__):
        _write(question, flavour, name, parameters[name], is_chat=is_chat)
    _ask_for_probabilities(question, flavour, ask, parameters, is_chat=is_chat)
    _write_stop(question, flavour, (*parameters.get("stop", ()), *ask.prompt.stop))
    _add_extra(question, ask.extra)
    return question


def left_out(name: str, words: str) -> Notice:
    """Return the notice that a parameter was not sent."""
    return Notice("parameter_left_out", f"{words}; it was left out", {"parameter": name})


def _of_interest(flavour: Flavour, ask: Ask, *, is_chat: bool) -> dict[str, Any]:
    parameters = dict(ask.parameters)
    if flavour.is_provider:
        # Many servers end an answer to a text after 16 tokens where no length is given.
        chosen = ask.chosen if is_chat else ask.chosen | {"max_new_tokens"}
        parameters = {name: value for name, value in parameters.items() if name in chosen}
    if parameters.get("do_sample") is False:
        parameters["temperature"] = 0
    return parameters


def _chosen(ask: Ask) -> frozenset[str]:
    # Not to sample is a temperature.
    return ask.chosen | {"temperature"} if "do_sample" in ask.chosen else ask.chosen


def _problem(flavour: Flavour, name: str, value: Any, *, is_chat: bool) -> str:
    if name == "grammar":
        try:
            grammar_form(flavour, value, is_chat=is_chat)
        except InvalidParameters as refusal:
            return refusal.message
        return ""
    if name == "top_n_tokens":
        form = flavour.logprobs.chat if is_chat else flavour.logprobs.text
        if form is not None and value > flavour.logprobs.most:
            return (
                f"`top_n_tokens` is at most {flavour.logprobs.most} with {flavour.title}, "
                f"not {value}"
            )
        return "" if form is not None else f"`top_n_tokens` is not taken by {flavour.title}"
    if name == "reasoning":
        return _reasoning_problem(flavour, value)
    if name == "truncate" and flavour.takes_token_ids:
        return ""
    if name not in flavour.takes:
        return f"`{name}` is not taken by {flavour.title}"
    low, high = flavour.ranges.get(name, (value, value))
    if name in flavour.ranges and not low <= value <= high:
        return f"`{name}` is from {low:g} to {high:g} with {flavour.title}, not {value}"
    return ""


def _reasoning_problem(flavour: Flavour, value: Any) -> str:
    how = flavour.reasoning
    if how.form(value) is not None:
        return ""
    if how == Reasoning():
        return f"`reasoning` is not taken by {flavour.title}"
    words = "off" if value == "off" else "a number of tokens" if isinstance(value, int) else value
    return f"`reasoning` is not taken as {words} by {flavour.title}"


def _write(question: Question, flavour: Flavour, name: str, value: Any, *, is_chat: bool) -> None:
    if name in _NOT_SENT or name == "stop":
        return
    if name == "max_new_tokens":
        _put(question, name, {flavour.length if is_chat else "max_tokens": value})
    elif name == "grammar":
        _put(question, name, grammar_form(flavour, value, is_chat=is_chat))
    elif name == "reasoning":
        _put(question, name, fill(flavour.reasoning.form(value), value))
    elif name in flavour.takes:
        if name == "seed":
            value %= flavour.seeds
        elif is_off(name, value):
            value = flavour.off.get(name, value)
        _put(question, name, dict.fromkeys(flavour.takes[name], value))
        _put(question, name, fill(flavour.with_parameter.get(name, {}), value))


def _write_stop(question: Question, flavour: Flavour, stop: Sequence[str]) -> None:
    stop = list(dict.fromkeys(stop))
    if not stop:
        return
    if "" in stop:
        raise InvalidParameters("`stop` has an empty text, at which an answer would end at once")
    sent = stop if flavour.max_stop is None else stop[: flavour.max_stop]
    are_tokens_told = "top_n_tokens" in question.names.values()
    if flavour.shows_stop:
        sent = []
        # A server that is cut off tells the number of tokens only if it was asked for it.
        question.body |= flavour.logprobs.ids
    elif "stop" in flavour.takes and not (flavour.merges_at_stop and are_tokens_told):
        _put(question, "stop", dict.fromkeys(flavour.takes["stop"], sent))
        _put(question, "stop", fill(flavour.with_parameter.get("stop", {}), sent))
    else:
        sent = []
    question.cut = tuple(stop if flavour.keeps_stop else stop[len(sent) :])


def _ask_for_probabilities(
    question: Question,
    flavour: Flavour,
    ask: Ask,
    parameters: Mapping[str, Any],
    *,
    is_chat: bool,
) -> None:
    count = parameters.get("top_n_tokens", 0)
    form = flavour.logprobs.chat if is_chat else flavour.logprobs.text
    # A provider may refuse them, or bill for them.
    wants = count > 0 or (ask.wants_tokens and not flavour.is_provider)
    if form is None or not wants:
        return
    count = min(max(count, flavour.logprobs.least), flavour.logprobs.most)
    if not parameters.get("top_n_tokens"):
        question.unasked.add("top_n_tokens")
    _put(question, "top_n_tokens", fill(form, count))
    _put(question, "", fill(flavour.logprobs.ids, count))


def _add_extra(question: Question, extra: Form) -> None:
    for name, value in extra.items():
        if why_reserved(name) or not _is_more(question.body, name, value):
            raise InvalidParameters(f"`{name}` cannot be set as extra: it is written already")
        _add(question.body, name, value)
        question.names[name] = name


def _put(question: Question, name: str, form: Form) -> None:
    for key, value in form.items():
        _add(question.body, key, value)
    question.names |= dict.fromkeys(form, name)


def _add(body: dict[str, Any], name: str, value: Any) -> None:
    """Write a value; what two say in one place, such as to a model's template, is said together."""
    written = body.get(name)
    if isinstance(written, dict) and isinstance(value, Mapping):
        value = {**written, **value}
    body[name] = value


def _is_more(body: Mapping[str, Any], name: str, value: Any) -> bool:
    """Tell whether a value takes the place of nothing that is written."""
    written = body.get(name)
    if isinstance(written, Mapping) and isinstance(value, Mapping):
        return written.keys().isdisjoint(value)
    return name not in body
