"""Services that answer with models of others, and the flavour of servers that are not known."""

from dataclasses import replace
from typing import Final

from server.dialects.openai.flavour import (
    VALUE,
    At,
    Flavour,
    Logprobs,
    Reasoning,
    Sign,
)
from server.dialects.openai.flavours.names import BY_EFFORT, BY_EITHER, COMMON, names

LITELLM: Final = Flavour(
    name="litellm",
    title="LiteLLM",
    recognised_by=(
        (Sign(header="x-litellm-version"),),
        (Sign("/health/liveliness", like=r"^\"?I'm alive!"),),
    ),
    takes=names(*COMMON, "top_k", "min_p", "repetition_penalty", "logit_bias"),
    is_certain=False,
    # As the server behind it does.
    may_repeat=True,
    logprobs=Logprobs(text=None),
    reasoning=replace(BY_EFFORT, budget={"thinking": {"type": "enabled", "budget_tokens": VALUE}}),
    is_provider=True,
    can_cancel=False,
    # `/health` asks every server behind it for an answer.
    health="/health/liveliness",
)

OPENROUTER: Final = Flavour(
    name="openrouter",
    title="OpenRouter",
    recognised_by=(
        (Sign("", like=r"(^|\.)openrouter\.ai$"),),
        (Sign(at="data.0.pricing"), Sign(at="data.0.top_provider")),
    ),
    takes=names(*COMMON, "top_k", "min_p", "repetition_penalty", "logit_bias"),
    max_stop=4,
    ranges={"temperature": (0, 2)},
    logprobs=Logprobs(),
    reasoning=Reasoning(
        off={"reasoning": {"enabled": False}},
        effort={"reasoning": {"effort": VALUE}},
        budget={"reasoning": {"max_tokens": VALUE}},
    ),
    is_provider=True,
    # The list has a megabyte.
    health="/api/v1/key",
    facts={
        "model_context_tokens": (At("context_length"),),
        "max_total_tokens": (At("top_provider.context_length"), At("context_length")),
        "title": (At("name"),),
        "output": (At("architecture.output_modalities"),),
        "input": (At("architecture.input_modalities"),),
        "takes": (At("supported_parameters"),),
    },
)

OPENAI: Final = Flavour(
    name="openai",
    title="OpenAI",
    recognised_by=((Sign("", like=r"(^|\.)api\.openai\.com$"),),),
    takes=names(*COMMON, "logit_bias"),
    length="max_completion_tokens",
    max_stop=4,
    ranges={"temperature": (0, 2)},
    logprobs=Logprobs(),
    reasoning=BY_EFFORT,
    is_provider=True,
)

PLAIN: Final = Flavour(
    name="plain",
    title="the model server",
    takes=names(*COMMON, "top_k", "typical_p", "min_p", "repetition_penalty", "logit_bias"),
    is_certain=False,
    logprobs=Logprobs(),
    reasoning=BY_EITHER,
)
