"""Programs that manage many models and run them with an engine of their choice."""

from dataclasses import replace
from typing import Final

from server.dialects.openai.flavour import (
    JSON_SCHEMA,
    MODEL,
    VALUE,
    At,
    Call,
    Flavour,
    Logprobs,
    Sign,
)
from server.dialects.openai.flavours.engines import LLAMA_CPP
from server.dialects.openai.flavours.names import (
    BY_EFFORT,
    BY_EITHER,
    BY_LLAMA_CPP,
    COMMON,
    TOOLS,
    names,
)

LM_STUDIO: Final = Flavour(
    name="lmstudio",
    title="LM Studio",
    recognised_by=(
        (Sign(at="data.0.owned_by", like=r"^organization_owner$"),),
        (Sign("/lmstudio-greeting", at="lmstudio"),),
    ),
    takes=names(*COMMON, "top_k", "logit_bias", repetition_penalty="repeat_penalty"),
    reasoning=replace(BY_EFFORT, on={}),
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
    # It does not tell which server answers behind it; servers ignore names that they do not know.
    takes=names(
        *COMMON,
        "top_k",
        "typical_p",
        "min_p",
        "logit_bias",
        repetition_penalty=("repeat_penalty", "repetition_penalty"),
    ),
    is_certain=False,
    with_parameter=LLAMA_CPP.with_parameter,
    # With a text, llama.cpp reads the second of these and vLLM the first.
    text_grammars={"json": {**JSON_SCHEMA, "json_schema": VALUE}},
    seeds=LLAMA_CPP.seeds,
    may_repeat=True,
    merges_at_stop=True,
    logprobs=Logprobs(least=1),
    reasoning=BY_LLAMA_CPP,
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

DOCKER: Final = Flavour(
    name="docker-model-runner",
    title="Docker Model Runner",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^docker$"),),),
    takes=LLAMA_SWAP.takes,
    is_certain=False,
    text_grammars=LLAMA_SWAP.text_grammars,
    seeds=LLAMA_CPP.seeds,
    may_repeat=True,
    merges_at_stop=True,
    logprobs=Logprobs(least=1),
    reasoning=BY_LLAMA_CPP,
)

KOBOLDCPP: Final = Flavour(
    name="koboldcpp",
    title="KoboldCpp",
    recognised_by=(
        (Sign(at="data.0.owned_by", like=r"^koboldcpp$"),),
        (Sign("/api/extra/version", at="result", like=r"^KoboldCpp$"),),
    ),
    takes=names(
        "temperature",
        "top_p",
        "presence_penalty",
        "seed",
        "stop",
        "top_k",
        "min_p",
        "logit_bias",
        "repetition_penalty",
        *TOOLS,
        typical_p="typical",
    ),
    is_certain=False,
    reasoning=BY_EITHER,
    cuts_for_length=True,
    facts={
        "version": (At("version", "/api/extra/version"),),
        "max_total_tokens": (At("value", "/api/extra/true_max_context_length"),),
    },
)
