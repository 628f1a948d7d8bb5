"""The servers that are known, each one value; see `flavour` for what the fields mean.

The order is that in which they are looked for: who imitates others comes before them. What is
said here was seen on running servers, or stands in their own documentation.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from server.dialects.openai.flavour import (
    JSON_SCHEMA,
    MODEL,
    MODELS,
    NO_LOGPROBS,
    VALUE,
    At,
    Call,
    Count,
    Flavour,
    Logprobs,
    Sign,
)
from server.dialects.openai.reading import Reading

_INT64: Final = 2**63
_COMMON: Final = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "stop")


def _names(*same: str, **other: str | tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return the server's names: `same` are the protocol's own."""
    renamed = {name: (to,) if isinstance(to, str) else to for name, to in other.items()}
    return {name: (name,) for name in same} | renamed


LLAMA_CPP: Final = Flavour(
    name="llama.cpp",
    title="llama.cpp",
    recognised_by=(
        (Sign(at="data.0.owned_by", like=r"^llamacpp$"),),
        (Sign(header="server", like=r"^llama\.cpp"),),
        (Sign("/props", at="default_generation_settings"), Sign("/props", at="total_slots")),
    ),
    takes=_names(
        *_COMMON, "top_k", "typical_p", "min_p", "logit_bias", repetition_penalty="repeat_penalty"
    ),
    # The protocol's penalty is over all that was written, this server's over the last 64 tokens.
    with_parameter={"repetition_penalty": {"repeat_last_n": -1}},
    # The last number of 32 bits asks for a random seed.
    seeds=2**32 - 1,
    # The head comes at once, and not with the first token.
    always={"return_progress": True},
    logprobs=Logprobs(least=1, has_ids=True),
    counts_chat=(
        Count("/v1/chat/completions/input_tokens", {"messages": VALUE}, "input_tokens"),
        Count(
            "/tokenize",
            {"content": VALUE, "add_special": True, "parse_special": True},
            "tokens",
            render=Count("/apply-template", {"messages": VALUE}, "prompt"),
        ),
    ),
    counts_text=(
        Count(
            "/tokenize", {"content": VALUE, "add_special": True, "parse_special": True}, "tokens"
        ),
    ),
    health="/health",
    metrics="/metrics",
    facts={
        "max_total_tokens": (At("meta.n_ctx"), At("default_generation_settings.n_ctx", "/props")),
        "model_context_tokens": (At("meta.n_ctx_train"),),
        "max_concurrent_requests": (At("total_slots", "/props"),),
        "version": (At("build_info", "/props"),),
        "has_chat_template": (At("chat_template", "/props"),),
        "aliases": (At("aliases"),),
        "quantization": (At("meta.ftype"),),
        "parameters": (At("meta.n_params"),),
        "vision": (At("modalities.vision", "/props"),),
    },
    defaults=(At("default_generation_settings.params", "/props"),),
)

VLLM: Final = Flavour(
    name="vllm",
    title="vLLM",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^vllm$"),),),
    takes=_names(
        *_COMMON,
        "top_k",
        "min_p",
        "logit_bias",
        "repetition_penalty",
        truncate="truncate_prompt_tokens",
    ),
    # With a stop text the server holds back as many letters, and text no longer fits its tokens.
    with_parameter={"stop": {"include_stop_str_in_output": True}},
    keeps_stop=True,
    max_stop=4,
    ranges={"temperature": (0, 2)},
    grammars={"json": JSON_SCHEMA, "regex": {"structured_outputs": {"regex": VALUE}}},
    logprobs=Logprobs(ids={"return_token_ids": True}, has_ids=True),
    counts_chat=(Count("/tokenize", {"model": MODEL, "messages": VALUE}, "count"),),
    counts_text=(Count("/tokenize", {"model": MODEL, "prompt": VALUE}, "count"),),
    health="/health",
    metrics="/metrics",
    facts={
        "max_total_tokens": (At("max_model_len"),),
        "version": (At("version", "/version"),),
    },
    refuses_unlisted=True,
)

SGLANG: Final = Flavour(
    name="sglang",
    title="SGLang",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^sglang$"),),),
    takes=_names(*_COMMON, "top_k", "min_p", "logit_bias", "repetition_penalty"),
    off={"top_k": -1},
    grammars={"json": JSON_SCHEMA, "regex": {"regex": VALUE}},
    logprobs=Logprobs(ids={"return_token_ids": True}, has_ids=True),
    counts_chat=(Count("/tokenize", {"model": MODEL, "messages": VALUE}, "count"),),
    counts_text=(Count("/tokenize", {"model": MODEL, "prompt": VALUE}, "count"),),
    # `/health` has the model write a token.
    health="/ready",
    metrics="/metrics",
    facts={
        "max_total_tokens": (At("max_model_len"),),
        "version": (At("version", "/server_info"), At("version", "/get_server_info")),
        "max_concurrent_requests": (At("max_running_requests", "/server_info"),),
    },
)

LM_STUDIO: Final = Flavour(
    name="lmstudio",
    title="LM Studio",
    recognised_by=(
        (Sign(at="data.0.owned_by", like=r"^organization_owner$"),),
        (Sign("/lmstudio-greeting", at="lmstudio"),),
    ),
    takes=_names(*_COMMON, "top_k", "logit_bias", repetition_penalty="repeat_penalty"),
    models="/api/v0/models",
    facts={
        "kind": (At("type"),),
        "max_total_tokens": (At("loaded_context_length"),),
        "model_context_tokens": (At("max_context_length"),),
        "is_loaded": (At("state"),),
        "quantization": (At("quantization"),),
        "architecture": (At("arch"),),
    },
    loaded=r"^loaded$",
    load=Call("/api/v1/models/load", body={"model": MODEL}),
    unload=Call("/api/v1/models/unload", body={"instance_id": MODEL}),
)

LLAMA_SWAP: Final = Flavour(
    name="llama-swap",
    title="llama-swap",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^llama-swap$"),),),
    # Who answers behind it is not told; names that a server does not know are ignored there.
    takes=_names(
        *_COMMON,
        "top_k",
        "typical_p",
        "min_p",
        "logit_bias",
        repetition_penalty=("repeat_penalty", "repetition_penalty"),
    ),
    is_certain=False,
    with_parameter=LLAMA_CPP.with_parameter,
    seeds=LLAMA_CPP.seeds,
    logprobs=Logprobs(least=1, has_ids=True),
    reading=Reading(),
    health="/health",
    facts={
        "is_loaded": (At("status.value"),),
        "aliases": (At("meta.llamaswap.aliases"),),
        "title": (At("name"),),
        "version": (At("version", "/api/version"),),
    },
    loaded=r"^loaded$",
    # Looking at a model's own routes has it loaded.
    load=Call(f"/upstream/{MODEL}/health", "GET"),
    unload=Call(f"/api/models/unload/{MODEL}"),
    holds_one_model=True,
    refuses_unlisted=True,
)

TGI_OPENAI: Final = Flavour(
    name="tgi-openai",
    title="TGI",
    recognised_by=(
        (Sign("/info", at="router", like=r"^text-generation-router"),),
        (Sign("/info", at="max_total_tokens"), Sign("/info", at="model_id")),
    ),
    takes=_names("temperature", "top_p", "frequency_penalty", "seed", "stop"),
    seeds=2**64,
    max_stop=4,
    keeps_stop=True,
    grammars={
        "json": {"response_format": {"type": "json_object", "value": VALUE}},
        "regex": {"response_format": {"type": "regex", "value": VALUE}},
    },
    logprobs=Logprobs(text=None, least=1, most=5),
    reading=Reading(),
    health="/health",
    metrics="/metrics",
    facts={
        "max_total_tokens": (At("max_total_tokens", "/info"),),
        "max_input_tokens": (At("max_input_tokens", "/info"),),
        "max_concurrent_requests": (At("max_concurrent_requests", "/info"),),
        "version": (At("version", "/info"),),
        "revision": (At("model_sha", "/info"),),
    },
)

TRANSFORMERS: Final = Flavour(
    name="transformers",
    title="transformers serve",
    recognised_by=(
        # No look at `/health` here: with servers that are not known yet it may cost an answer.
        (
            Sign(header="server", like=r"^uvicorn"),
            Sign(header="x-request-id", like=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
            Sign(at="data", like=r"^\[\]$"),
        ),
        (Sign(at="data.0.owned_by", like=r"^local$"), Sign(at="data.0.status.value")),
    ),
    takes=_names("temperature", "top_p", "frequency_penalty", "seed", "stop"),
    keeps_stop=True,
    grammars={},
    logprobs=NO_LOGPROBS,
    can_cancel=False,
    health="/health",
    facts={"is_loaded": (At("status.value"),)},
    loaded=r"^loaded$",
)

LITELLM: Final = Flavour(
    name="litellm",
    title="LiteLLM",
    recognised_by=(
        (Sign(header="x-litellm-version"),),
        (Sign("/health/liveliness", like=r"^\"?I'm alive!"),),
    ),
    takes=_names(*_COMMON, "top_k", "min_p", "repetition_penalty", "logit_bias"),
    is_certain=False,
    logprobs=Logprobs(text=None),
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
    takes=_names(*_COMMON, "top_k", "min_p", "repetition_penalty", "logit_bias"),
    max_stop=4,
    ranges={"temperature": (0, 2)},
    logprobs=Logprobs(),
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
    takes=_names(*_COMMON, "logit_bias"),
    length="max_completion_tokens",
    max_stop=4,
    ranges={"temperature": (0, 2)},
    logprobs=Logprobs(),
    is_provider=True,
)

DOCKER: Final = Flavour(
    name="docker-model-runner",
    title="Docker Model Runner",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^docker$"),),),
    takes=LLAMA_SWAP.takes,
    is_certain=False,
    seeds=LLAMA_CPP.seeds,
    logprobs=Logprobs(least=1, has_ids=True),
)

PLAIN: Final = Flavour(
    name="plain",
    title="the model server",
    takes=_names(
        *_COMMON, "top_k", "typical_p", "min_p", "repetition_penalty", "logit_bias"
    ),
    is_certain=False,
    logprobs=Logprobs(),
)

FLAVOURS: Final[Mapping[str, Flavour]] = {
    flavour.name: flavour
    for flavour in (
        OPENROUTER,
        OPENAI,
        LITELLM,
        LLAMA_SWAP,
        DOCKER,
        LM_STUDIO,
        VLLM,
        SGLANG,
        LLAMA_CPP,
        TGI_OPENAI,
        TRANSFORMERS,
        PLAIN,
    )
}
