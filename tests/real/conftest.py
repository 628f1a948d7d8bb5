"""Servers that run for the whole session, one of each kind and worker."""

from tests.chat.conftest import chat_backend
from tests.support.real_fixtures import (
    any_process,
    llama_process,
    llama_swap_process,
    ollama_process,
    real_llama,
    real_llama_swap,
    real_ollama,
    real_server,
    real_tgi,
    tgi_process,
)

__all__ = [
    "any_process",
    "chat_backend",
    "llama_process",
    "llama_swap_process",
    "ollama_process",
    "real_llama",
    "real_llama_swap",
    "real_ollama",
    "real_server",
    "real_tgi",
    "tgi_process",
]
