"""The keys of a server with many models, and of finding servers on this machine."""

from dataclasses import dataclass
from typing import Final

from server.settings.remote import RemoteSettings
from server.settings.values import Numbers, option

# Where servers listen unless told otherwise; 8080 and 8000 are those of several.
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
    """A server that is already there, each of whose models becomes one of the catalogue."""

    models: tuple[str, ...] = option(
        (),
        "Which of the server's models to take: names or patterns with `*`, separated by commas. "
        "Empty takes all where the server is on this machine; elsewhere it has to be said.",
    )


@dataclass(frozen=True)
class DiscoverySettings:
    """Looking for model servers on this machine; what is found is shown, and used when told to."""

    enabled: bool = option(True, "Whether well-known ports of this machine are asked.")
    ports: Numbers = option(
        WELL_KNOWN_PORTS,
        "Ports to ask: Ollama's, LM Studio's, that of llama.cpp's server and LocalAI, vLLM's, "
        "SGLang's, Jan's, Docker Model Runner's, llama-swap's, LiteLLM's, "
        "text-generation-webui's and KoboldCpp's. Our own servers are left out.",
        low=1,
        high=65535,
    )
    interval: float = option(30.0, "Seconds from one look to the next.", low=5)
