"""What one model is asked, with everything said about it combined."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from server.core.errors import InvalidCommand
from server.core.parameters import convert, merge, normalise, samples
from server.core.protocol import Message
from server.dialects.base import EngineInfo, Prompt
from server.models.catalog import ModelSpec

# Below it JavaScript writes whole numbers as they are.
MAX_SEED: Final = 2**53


@dataclass(frozen=True)
class Request:
    """A conversation, or a prompt as it is, and the parameters as TGI takes them."""

    model: ModelSpec
    content: Sequence[Message] | str
    parameters: Mapping[str, Any]
    has_chosen_length: bool
    is_fresh: bool = False
    """Whether it is answered anew although the answer may have been kept."""

    def with_seed(self) -> "Request":
        """Return the request with a seed where chance is drawn and nobody gave one.

        It can be asked again with the same outcome then. A seed goes with one answer only.
        """
        typed = convert(dict(self.parameters))
        if not samples(typed) or typed.seed is not None or (typed.best_of or 1) > 1:
            return self
        seed = random.randrange(MAX_SEED)
        return replace(self, parameters={**self.parameters, "seed": seed})

    def parameters_within(self, info: EngineInfo, prompt: Prompt) -> dict[str, Any]:
        """Return the parameters, a length nobody asked for shortened to what the context has left.

        At least one token stays, so that a prompt that is too long is refused as that.
        """
        parameters = dict(self.parameters)
        total = info.max_total_tokens
        if not self.has_chosen_length and total is not None and prompt.tokens is not None:
            prompt_tokens = min(prompt.tokens, parameters.get("truncate", prompt.tokens))
            room = max(total - prompt_tokens, 1)
            parameters["max_new_tokens"] = min(parameters["max_new_tokens"], room)
        return parameters


def build_request(
    spec: ModelSpec,
    content: Sequence[Message] | str,
    *,
    parameters: Sequence[dict[str, Any]],
    system: str | None,
) -> Request:
    """Combine what the model's settings, the command and the target say, the later winning.

    Raises `InvalidParameters`, or `InvalidCommand` when there is nothing to answer.
    """
    if not content:
        raise InvalidCommand("there is nothing to answer: the prompt is empty")
    # Not the layers merged before: null in one of them takes a key of the settings away.
    chosen = normalise(merge(spec.parameters, *parameters))
    has_chosen_length = "max_new_tokens" in merge(*parameters)
    if not isinstance(content, str):
        content = _with_system(content, spec.system if system is None else system)
    return Request(spec, content, chosen, has_chosen_length)


def _with_system(messages: Sequence[Message], system: str) -> Sequence[Message]:
    """Put the system prompt first, unless the conversation brings its own."""
    if not system or messages[0].role == "system":
        return messages
    return [Message("system", system), *messages]
