"""Ollama, as of summer 2026."""

from typing import Final

from server.engines.cause import Cause
from server.engines.engine import CONTAINER_PORT, Cache, Engine

_MODELS: Final = "/models"
_CAUSES: Final = (
    Cause(
        "memory_refused",
        "the machine does not give the model server the memory that it asks for",
        "free memory, raise `memory` in the model's section, or take a smaller model",
        r"model requires more system memory",
    ),
    Cause(
        "model_not_found",
        "Ollama's registry has no such model",
        "correct `model_id`: a name and a tag that `ollama pull` takes",
        r"pull model manifest: file does not exist",
    ),
    Cause(
        "no_network",
        "Ollama's registry cannot be reached",
        "check the network and the proxy; a model that is in `ollama_models` needs neither",
        r"\bdial tcp\b|no such host|tls: (failed|handshake)|net/http: TLS handshake timeout",
    ),
    Cause(
        "unsupported_model",
        "this version of the model server does not know this kind of model",
        "take another model, or a newer version of the model server",
        r"requires a newer version of Ollama",
    ),
)

OLLAMA: Final = Engine(
    name="ollama",
    title="Ollama",
    image="ollama/ollama:latest",
    images=("ollama/ollama:*", "ollama/ollama@*"),
    dialect="ollama",
    programs=(("ollama", "serve"),),
    # Its image brings the program's name.
    lead=("serve",),
    variables={"max_total_tokens": "OLLAMA_CONTEXT_LENGTH", "slots": "OLLAMA_NUM_PARALLEL"},
    takes=frozenset({"gpu_memory", "model_id"}),
    model_id=r"[A-Za-z0-9][A-Za-z0-9._/-]*(:\d+/[A-Za-z0-9._/-]+)?(:[A-Za-z0-9._-]+)?",
    model_form="the model as Ollama names it, such as llama3.2:1b or hf.co/OWNER/REPO:QUANTISATION",
    environment={
        "OLLAMA_HOST": f"0.0.0.0:{CONTAINER_PORT}",
        "OLLAMA_MODELS": _MODELS,
        # One container is one model, which is unloaded by stopping it.
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_NO_CLOUD": "1",
    },
    # It knows no hub but its own registry, and no token.
    hub_key="",
    refused_variables=r"OLLAMA_(HOST|MODELS|ORIGINS|KEEP_ALIVE|NO_CLOUD|CONTEXT_LENGTH|NUM_PARALLEL)",
    cache=Cache("ollama_models", "", _MODELS),
    weights=(),
    serves_by_name=True,
    fetches_when_told=True,
    causes=_CAUSES,
)
