"""Servers that run one model, each as its own project has it."""

from typing import Final

from server.dialects.openai.flavour import (
    GBNF,
    JSON_SCHEMA,
    MODEL,
    NO_LOGPROBS,
    VALUE,
    At,
    Count,
    Flavour,
    Logprobs,
    Sign,
)
from server.dialects.openai.flavours.names import (
    BY_LLAMA_CPP,
    BY_TEMPLATE,
    COMMON,
    NO_THINKING,
    TOOLS,
    names,
)
from server.dialects.openai.reading import Reading

LLAMA_CPP: Final = Flavour(
    name="llama.cpp",
    title="llama.cpp",
    recognised_by=(
        (Sign(at="data.0.owned_by", like=r"^llamacpp$"),),
        (Sign(header="server", like=r"^llama\.cpp"),),
        (Sign("/props", at="default_generation_settings"), Sign("/props", at="total_slots")),
    ),
    takes=names(
        *COMMON, "top_k", "typical_p", "min_p", "logit_bias", repetition_penalty="repeat_penalty"
    ),
    # The penalty is over all that was written, not over the last 64 tokens; -1, which once meant
    # all, is refused by newer versions, and memory is taken for as many.
    with_parameter={"repetition_penalty": {"repeat_last_n": 131_072}},
    # With a text, `response_format` does nothing, and `json_schema` differs between builds. With a
    # chat, the server fits the schema into what the model's template has around an answer.
    # A grammar of ours binds the model from its first token on, so that it cannot think before; the
    # end of a budget, which no grammar foresees, would break the answer off.
    grammars={
        "json": JSON_SCHEMA,
        "regex": {"grammar": GBNF, **NO_THINKING, "reasoning_budget_tokens": -1},
    },
    text_grammars={"json": {"grammar": GBNF}, "regex": {"grammar": GBNF}},
    has_gbnf=True,
    samplers={
        "samplers": ("penalties", "temperature", "top_k", "top_p", "typ_p", "min_p"),
    },
    # The last number of 32 bits asks for a random seed.
    seeds=2**32 - 1,
    # The head comes at once, and not with the first token.
    always={"return_progress": True},
    # Before b11549; what it repeats comes as one piece, maybe with the first token behind it.
    may_repeat=True,
    logprobs=Logprobs(least=1, ids={"timings_per_token": True}),
    reasoning=BY_LLAMA_CPP,
    merges_at_stop=True,
    takes_token_ids=True,
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
        "tools": (At("chat_template_caps.supports_tools", "/props"),),
    },
    defaults=(At("default_generation_settings.params", "/props"),),
    ignores_name=True,
)

VLLM: Final = Flavour(
    name="vllm",
    title="vLLM",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^vllm$"),),),
    takes=names(
        *COMMON,
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
    # Without these it begins an answer of its own.
    to_continue={"continue_final_message": True, "add_generation_prompt": False},
    ranges={"temperature": (0, 2)},
    grammars={"json": JSON_SCHEMA, "regex": {"structured_outputs": {"regex": VALUE}}},
    logprobs=Logprobs(ids={"return_token_ids": True}),
    reasoning=BY_TEMPLATE,
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
    takes=names(*COMMON, "top_k", "min_p", "logit_bias", "repetition_penalty"),
    off={"top_k": -1},
    grammars={"json": JSON_SCHEMA, "regex": {"regex": VALUE}},
    logprobs=Logprobs(ids={"return_token_ids": True}),
    reasoning=BY_TEMPLATE,
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

LMDEPLOY: Final = Flavour(
    name="lmdeploy",
    title="LMDeploy",
    recognised_by=((Sign(at="data.0.owned_by", like=r"^lmdeploy$"),),),
    # It knows the two other penalties, and does nothing about them.
    takes=names(
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "logit_bias",
        "repetition_penalty",
        *TOOLS,
    ),
    ranges={"temperature": (0, 2)},
    reasoning=BY_TEMPLATE,
    grammars={
        "json": JSON_SCHEMA,
        "regex": {"response_format": {"type": "regex_schema", "regex_schema": VALUE}},
    },
    # Refused unless it was started for them, and then not spelt as the text is.
    logprobs=NO_LOGPROBS,
    health="/health",
    metrics="/metrics",
    refuses_unlisted=True,
)

TGI_OPENAI: Final = Flavour(
    name="tgi-openai",
    title="TGI",
    recognised_by=(
        (Sign("/info", at="router", like=r"^text-generation-router"),),
        (Sign("/info", at="max_total_tokens"), Sign("/info", at="model_id")),
    ),
    takes=names("temperature", "top_p", "frequency_penalty", "seed", "stop", *TOOLS),
    seeds=2**64,
    max_stop=4,
    keeps_stop=True,
    grammars={
        "json": {"response_format": {"type": "json_object", "value": VALUE}},
        "regex": {"response_format": {"type": "regex", "value": VALUE}},
    },
    logprobs=Logprobs(text=None, least=1, most=5),
    reading=Reading(done_alone_is_end=True),
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
    takes=names("temperature", "top_p", "frequency_penalty", "seed", "stop", *TOOLS),
    keeps_stop=True,
    grammars={},
    logprobs=NO_LOGPROBS,
    can_cancel=False,
    health="/health",
    facts={"is_loaded": (At("status.value"),)},
    loaded=r"^loaded$",
)
