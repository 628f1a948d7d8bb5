"""By what kinds of servers of OpenAI's form are told apart: headers, lists, routes of their own.

Everything here was seen at the real ones, shortened to what a client could look at.
"""

from collections.abc import Mapping
from typing import Any

from tests.fakes.openai_answers import CREATED
from tests.fakes.openai_options import Canned, FakeOptions

OWNERS: Mapping[str, str] = {
    "llama.cpp": "llamacpp",
    "vllm": "vllm",
    "sglang": "sglang",
    "lmdeploy": "lmdeploy",
    "transformers": "huggingface",
    "litellm": "openai",
    "ollama": "library",
    "llama-swap": "llama-swap",
    "tgi": "tgi",
}
HEADERS: Mapping[str, Mapping[str, str]] = {
    "llama.cpp": {"Server": "llama.cpp"},
    "vllm": {"Server": "uvicorn"},
    "sglang": {"Server": "uvicorn"},
    "lmdeploy": {"Server": "uvicorn"},
    "transformers": {"Server": "uvicorn", "X-Request-Id": "fake-request"},
    "litellm": {"X-LiteLLM-Version": "1.106.12", "X-LiteLLM-Call-Id": "fake-call"},
}
OPEN_ROUTES = frozenset({"/", "/health", "/health/liveliness", "/ready", "/version"})
"""What wants no key, wherever there is one."""


def headers_of(options: FakeOptions) -> dict[str, str]:
    """Return the headers of every answer."""
    return {**HEADERS.get(options.flavour, {}), **options.headers}


def models_of(options: FakeOptions) -> dict[str, Any]:
    """Return the list of models."""
    names = options.models
    if options.model_count is not None:
        names = tuple(f"vendor-{i % 50}/model-{i:04d}" for i in range(options.model_count))
    return {"object": "list", "data": [_model(options, name) for name in names]}


def _model(options: FakeOptions, name: str) -> dict[str, Any]:
    owner = options.owned_by or OWNERS.get(options.flavour, "somebody")
    entry: dict[str, Any] = {"id": name, "object": "model", "created": CREATED, "owned_by": owner}
    if options.flavour == "llama.cpp":
        entry["meta"] = {"n_ctx": options.context, "n_ctx_train": 8192, "n_params": 134515008}
    elif options.flavour in ("vllm", "sglang"):
        entry |= {"root": f"/models/{name}", "max_model_len": options.context}
    elif options.flavour == "llama-swap":
        entry |= {"meta": {"llamaswap": {"type": "model"}}, "status": {"value": "unloaded"}}
    return {**entry, **options.model_fields}


def routes_of(options: FakeOptions) -> dict[str, Canned]:
    """Return what the flavour answers beside the API in OpenAI's form."""
    health = options.health_status
    first = options.models[0] if options.models else ""
    kinds: dict[str, dict[str, Canned]] = {
        "": {"GET /health": Canned("", health)},
        "llama.cpp": {
            "GET /health": Canned({"status": "ok"}, health),
            "GET /props": Canned(
                {
                    "default_generation_settings": {
                        "n_ctx": options.context,
                        "params": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
                    },
                    "total_slots": 2,
                    "model_alias": first,
                    "chat_template": "{{ messages }}",
                    "build_info": "b11434-fake",
                }
            ),
            "GET /metrics": Canned(
                "llamacpp:requests_processing 0\nllamacpp:requests_deferred 0\n"
            ),
        },
        "vllm": {
            "GET /health": Canned("", health),
            "GET /version": Canned({"version": "0.32.0"}),
            "GET /metrics": Canned("vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"),
        },
        "sglang": {
            "GET /health": Canned("", health),
            "GET /ready": Canned("", health),
            "GET /server_info": Canned({"version": "0.5.23", "max_running_requests": 8}),
        },
        "lmdeploy": {"GET /health": Canned("", health)},
        "transformers": {"GET /health": Canned({"status": "ok"}, health)},
        "litellm": {
            "GET /health/liveliness": Canned('"I\'m alive!"', health),
            # Asks every server behind it, which may bill for that.
            "GET /health": Canned({"healthy_endpoints": [], "unhealthy_endpoints": []}, health),
        },
        "ollama": {
            "GET /": Canned("Ollama is running", health),
            "GET /api/version": Canned({"version": "0.0.0"}, health),
            "GET /api/tags": Canned({"models": [{"name": n, "model": n} for n in options.models]}),
            "GET /api/ps": Canned({"models": []}),
        },
        "llama-swap": {
            "GET /health": Canned("OK", health),
            "GET /running": Canned({"running": []}),
            "GET /api/version": Canned({"version": "0", "commit": "abcd1234"}),
            "GET /unload": Canned("OK"),
        },
        "tgi": {
            "GET /health": Canned("", health),
            "GET /info": Canned({"model_id": first, "version": "3.3.6-dev0"}),
        },
    }
    return {**kinds[options.flavour], **options.routes}
