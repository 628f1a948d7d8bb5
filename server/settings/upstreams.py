"""The keys of a server with many models, and of the search for servers on this machine."""

from dataclasses import dataclass
from typing import Final

from server.settings.remote import RemoteSettings
from server.settings.values import Numbers, option

# The default ports of servers; 8080 and 8000 are those of several.
WELL_KNOWN_PORTS: Final = Numbers(
    (
        11434,  # Ollama
        1234,  # LM Studio
        8080,  # llama.cpp's server, LocalAI
        8000,  # vLLM
        30000,  # SGLang
        1337,  # Jan
        12434,  # Docker Model Runner
        9292,  # llama-swap
        4000,  # LiteLLM
        5000,  # text-generation-webui
        5001,  # KoboldCpp
    )
)


@dataclass(frozen=True)
class UpstreamSettings(RemoteSettings):
    """A running model server; all its models become models of the catalogue."""

    models: tuple[str, ...] = option(
        (),
        "Which of the server's models to take: names or patterns with `*`, separated by commas. "
        "Empty takes all of a server on this machine; for another server it has to be set.",
    )


@dataclass(frozen=True)
class DiscoverySettings:
    """The search for model servers on this machine; an operator decides which to use."""

    enabled: bool = option(True, "Whether well-known ports of this machine are asked.")
    ports: Numbers = option(
        WELL_KNOWN_PORTS,
        "Ports to ask: Ollama's, LM Studio's, that of llama.cpp's server and LocalAI, vLLM's, "
        "SGLang's, Jan's, Docker Model Runner's, llama-swap's, LiteLLM's, "
        "text-generation-webui's and KoboldCpp's. Our own servers are left out.",
        low=1,
        high=65535,
    )
    interval: float = option(30.0, "Seconds between two searches.", low=5)
