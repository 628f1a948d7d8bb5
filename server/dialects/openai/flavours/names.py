"""How a flavour says what a server takes and what it calls it, and how it is told to think.

What a model's chat template calls its switch differs from model to model: templates pass over what
they do not know.
"""

from collections.abc import Mapping
from typing import Final

from server.dialects.openai.flavour import VALUE, Reasoning

TOOLS: Final = ("tools", "tool_choice")
COMMON: Final = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    *TOOLS,
)
"""What nearly everybody takes who speaks OpenAI's form."""

_THINK: Final = {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}
NO_THINKING: Final = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
"""What has most templates end the thinking before it begins."""
_EFFORT: Final = {"reasoning_effort": VALUE}
BY_TEMPLATE: Final = Reasoning(off=NO_THINKING, effort={**_EFFORT, **_THINK}, on=_THINK)
"""A model's template has a switch, and is told the effort."""
BY_EFFORT: Final = Reasoning(off={"reasoning_effort": "none"}, effort=_EFFORT)
"""OpenAI's own way. What its models think is not shown, so that nobody else can count it."""
BY_EITHER: Final = Reasoning(
    off={"reasoning_effort": "none", **NO_THINKING}, effort={**_EFFORT, **_THINK}, on=_THINK
)
"""For a server that is not known."""
BY_LLAMA_CPP: Final = Reasoning(
    off={"reasoning_budget_tokens": 0, **NO_THINKING},
    effort={
        **_EFFORT,
        "chat_template_kwargs": {**_THINK["chat_template_kwargs"], "reasoning_effort": VALUE},
    },
    budget={"reasoning_budget_tokens": VALUE, **_THINK},
    on=_THINK,
)


def names(*same: str, **other: str | tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return a server's names for the protocol's: `same` are the protocol's own."""
    renamed = {name: (to,) if isinstance(to, str) else to for name, to in other.items()}
    return {name: (name,) for name in same} | renamed
