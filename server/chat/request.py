"""What one model is asked, with everything said about it combined."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from server.core.errors import InvalidCommand, InvalidParameters
from server.core.parameters import checked, is_off, is_sampled, merge, normalise
from server.core.protocol import Message
from server.dialects.base import Ask, EngineInfo, Prompt
from server.models.catalog import ModelSpec

# Below it JavaScript writes whole numbers as they are.
MAX_SEED: Final = 2**53
# What is seen to before a model server is asked, whatever it takes itself.
_OURS: Final = frozenset({"details", "return_full_text", "best_of", "do_sample", "max_new_tokens"})


@dataclass(frozen=True)
class Request:
    """A conversation, or a prompt as it is, and the parameters by the protocol's names.

    For a model of TGI's dialect they are as TGI takes them. `chosen` names those that the settings
    or a person set.
    """

    model: ModelSpec
    content: Sequence[Message] | str
    parameters: Mapping[str, Any]
    has_chosen_length: bool
    chosen: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)
    is_lenient: bool = False
    """Whether it is answered without what its server refuses."""
    is_fresh: bool = False
    """Whether it is answered anew although the answer may have been kept."""

    def with_seed(self) -> "Request":
        """Return the request with a seed where chance is drawn and nobody gave one.

        It can be asked again with the same outcome then. A seed goes with one answer only.
        """
        is_drawn = is_sampled(self.parameters, unset_is_greedy=self.model.dialect == "tgi")
        if not is_drawn or "seed" in self.parameters or self.parameters.get("best_of", 1) > 1:
            return self
        seed = random.randrange(MAX_SEED)
        return replace(self, parameters={**self.parameters, "seed": seed})

    def check_taken(self, info: EngineInfo) -> None:
        """Raise `InvalidParameters` for what the model's server is known not to take."""
        if info.takes is None or self.is_lenient:
            return
        for name in sorted(self.chosen - info.takes - _OURS):
            if name in self.parameters and not is_off(name, self.parameters[name]):
                raise InvalidParameters(
                    f"`{name}` is not taken by {info.engine}, which serves {self.model.name}",
                    hint='leave it out, or ask with `"lenient": true`',
                    details={
                        "parameter": name,
                        "server": info.engine,
                        "model": self.model.id,
                    },
                )

    def ask(self, info: EngineInfo, prompt: Prompt, *, wants_tokens: bool) -> Ask:
        """Return what the model's server is asked.

        A length nobody asked for is shortened to what the context has left. At least one token
        stays, so that a prompt that is too long is refused as that.
        """
        parameters = dict(self.parameters)
        total = info.max_total_tokens
        length = parameters.get("max_new_tokens")
        is_ours = length is not None and not self.has_chosen_length
        if is_ours and total is not None and prompt.tokens is not None:
            prompt_tokens = min(prompt.tokens, parameters.get("truncate", prompt.tokens))
            room = max(total - prompt_tokens, 1)
            parameters["max_new_tokens"] = min(length, room)
        return Ask(
            prompt,
            parameters,
            self.model.served_as,
            self.chosen,
            self.extra,
            wants_tokens=wants_tokens,
            is_lenient=self.is_lenient,
        )


def build_request(
    spec: ModelSpec,
    content: Sequence[Message] | str,
    *,
    parameters: Sequence[dict[str, Any]],
    system: str | None,
    extra: Mapping[str, Any],
    is_lenient: bool = False,
) -> Request:
    """Combine what the model's settings, the command and the target say, the later winning.

    Raises `InvalidParameters`, or `InvalidCommand` when there is nothing to answer.
    """
    if not content:
        raise InvalidCommand("there is nothing to answer: the prompt is empty")
    # Not the layers merged before: null in one of them takes a key of the settings away.
    merged = merge(spec.parameters, *parameters)
    chosen = normalise(merged) if spec.dialect == "tgi" else checked(merged)
    for name in extra:
        if name not in spec.extra_allowed:
            raise InvalidParameters(
                f"{name[:80]!r} may not be passed on to {spec.name}",
                hint="`extra_allowed` in the model's section lists what may",
                details={"parameter": name[:80], "model": spec.id},
            )
    if not isinstance(content, str):
        content = _with_system(content, spec.system if system is None else system)
    asked = merge(*parameters)
    return Request(
        spec,
        content,
        chosen,
        has_chosen_length="max_new_tokens" in asked,
        chosen=spec.chosen.union(asked),
        extra=extra,
        is_lenient=is_lenient,
    )


def _with_system(messages: Sequence[Message], system: str) -> Sequence[Message]:
    """Put the system prompt first, unless the conversation brings its own."""
    if not system or messages[0].role == "system":
        return messages
    return [Message("system", system), *messages]
