"""Names that fields of `extra` cannot have: what the gateway sets itself, and what is dangerous.

Fields of `extra` go to the model server unchecked. One of these would override a checked field, or
send the request, with the server's key, to another server.
"""

import re
from typing import Final

from server.core.parameters import FIELDS

_ITS_OWN: Final = "the gateway writes it itself"
_PARAMETER: Final = "it is a parameter and belongs into `parameters`"
_LENGTH: Final = "the length of an answer is `max_new_tokens` in `parameters`"
_MANY: Final = "an answer has one text"
_ELSEWHERE: Final = "it could send the request, and the key with it, to another server"
_MEMORY: Final = "it decides what the server keeps in memory"

# Settings may have listed these before they were parameters.
_LATE: Final = frozenset({"reasoning", "tools", "tool_choice"})

RESERVED: Final[dict[str, str]] = {
    **dict.fromkeys((name for name in FIELDS if name not in _LATE), _PARAMETER),
    **dict.fromkeys(
        ("min_p", "presence_penalty", "logit_bias", "repeat_penalty", "stop_sequences"), _PARAMETER
    ),
    **dict.fromkeys(
        ("model", "messages", "prompt", "inputs", "parameters", "input", "system", "suffix"),
        _ITS_OWN,
    ),
    **dict.fromkeys(
        (
            "stream",
            "stream_options",
            "timeout",
            "logprobs",
            "top_logprobs",
            "n_probs",
            "response_format",
        ),
        _ITS_OWN,
    ),
    **dict.fromkeys(("raw", "template", "options", "shift", "format", "echo"), _ITS_OWN),
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_length", "num_predict", "n_predict"), _LENGTH
    ),
    **dict.fromkeys(("n", "num_return_sequences"), _MANY),
    **dict.fromkeys(("keep_alive", "num_ctx", "ttl"), _MEMORY),
    **dict.fromkeys(
        (
            *("api_base", "base_url", "api_key", "api_version", "api_type", "organization"),
            *("custom_llm_provider", "deployment_id", "headers", "extra_headers", "extra_body"),
            *("extra_query", "fallbacks", "model_list", "models", "ssl_verify", "proxy"),
        ),
        _ELSEWHERE,
    ),
}
# Where LiteLLM takes a provider's address and keys from.
_RESERVED_BEGINNINGS: Final = ("aws_", "azure_", "vertex_", "litellm_", "watsonx_")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def why_reserved(name: str) -> str:
    """Return why `extra` cannot have this name; empty if it can."""
    known = name.lower()
    if known.startswith(_RESERVED_BEGINNINGS):
        return _ELSEWHERE
    return RESERVED.get(known, "")


def why_not_allowed(name: str) -> str:
    """Return why `extra_allowed` cannot list this name; empty if it can."""
    if not _NAME.fullmatch(name):
        return f"expected names of fields, found {name!r}"
    reason = why_reserved(name)
    return f"{name!r} cannot be allowed: {reason}" if reason else ""
