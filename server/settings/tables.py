"""The one table of settings: (name, type, default, help) of every key.

These dataclasses type the program, parse and check the file, and the documentation is
generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.engines.tgi import TGI
from server.settings.access import AccessSettings
from server.settings.attachments import AttachmentSettings
from server.settings.conversations import ConversationSettings
from server.settings.models import ModelSettings
from server.settings.upstreams import DiscoverySettings, UpstreamSettings
from server.settings.values import Size, option

DEFAULT_LENGTH: Final = 8_192
"""Long enough for a model that thinks before it answers; an answer that never ends stops there."""


@dataclass(frozen=True)
class ServerSettings:
    """The service itself."""

    host: str = option(
        "127.0.0.1",
        "Address to listen on. Only this machine reaches 127.0.0.1; `0.0.0.0` is all of IPv4, `::` "
        "all of IPv4 and IPv6.",
        pattern=r"\S+",
    )
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
    log_format: str = option(
        "auto",
        "How it is logged: `text`, or `json` with an object a line. `auto` writes text on a "
        "terminal and JSON elsewhere.",
        choices=("auto", "text", "json"),
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Host names, beside loopback names and `host`, under which a browser may reach the page. "
        "Guards against web pages that point a name of theirs at this machine.",
    )
    heartbeat: float = option(
        20.0, "Seconds between WebSocket pings; a peer that does not answer is dropped.", low=1
    )
    reader_timeout: float = option(
        60.0,
        "Seconds that a client may take no data before its socket is closed; its session waits.",
        low=1,
    )
    max_sockets: int = option(5_000, "WebSockets open at once; each costs some 25 KB.", low=1)
    command_rate: float = option(
        50.0,
        "Commands a second that a client may send on average; twice that at once. Far above what "
        "people and tools need, far below what keeps the server busy.",
        low=1,
    )
    keep_alive: float = option(
        15.0,
        "Seconds without a token after which a stream over HTTP gets a comment, so that no proxy "
        "gives it up; TGI's own. What fails later than the first comment cannot be told by an HTTP "
        "status any more.",
        low=0.01,
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
    max_live_per_owner: int = option(
        1_024, "Answers that all sessions of one owner may have under way at once.", low=1
    )
    max_kept_generations: int = option(
        64,
        "Ended answers that a session keeps for sockets that come back: eight prompts to eight "
        "models.",
        low=1,
    )
    max_kept_chars: int = option(
        2_000_000,
        "Characters of ended answers that a session keeps: more than 64 long answers have.",
        low=0,
    )


@dataclass(frozen=True)
class AnswerSettings:
    """How answers wait for their turn, and which are kept to be given again."""

    max_queue: int = option(
        256, "Answers that one model server may have waiting and under way.", low=1
    )
    queue_timeout: float = option(
        600.0,
        "Seconds an answer waits for its turn, or for a model server that says it is overloaded.",
        low=0,
    )
    generation_timeout: float = option(
        1_800.0,
        "Seconds that writing one answer may take in all: 8,192 tokens at five a second fit. An "
        "answer that goes on for ever holds a model server's slot.",
        low=1,
    )
    default_length: int = option(
        DEFAULT_LENGTH,
        "Tokens of an answer at most where neither the request nor the model's `parameters` say "
        "`max_new_tokens`; fewer where the model's context leaves fewer.",
        low=1,
    )
    max_prompt_chars: int = option(
        1_000_000,
        "Characters of a prompt or a conversation; a quarter of a million tokens. Model servers "
        "refuse what is longer than their context, after they have cut it into tokens.",
        low=1,
    )
    cache_size: Size = option(
        Size(0),
        "Memory for answers that are given again to the same question where no chance is in them "
        "(no sampling, or a seed); 0 keeps none.",
    )
    cache_max_age: float = option(3600.0, "Seconds an answer is given again.", low=0)


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
        "TGI sends a keep-alive comment every 15 s; of other servers it is asked whether they are "
        "well.",
        low=1,
    )
    first_token_timeout: float = option(
        600.0,
        "Seconds without a byte after which an answer is given up although its model server is "
        "well: reading a long prompt or loading a big model takes minutes.",
        low=1,
    )


@dataclass(frozen=True)
class DockerSettings:
    """Models that run in containers (`runner = docker`)."""

    host: str = option(
        "",
        "Docker engine: `unix:///PATH`, `tcp://HOST:PORT` or `ssh://[USER@]HOST`. Empty takes "
        "`DOCKER_HOST`, else this machine's engine. For TLS see `DOCKER_TLS_VERIFY` and "
        "`DOCKER_CERT_PATH`.",
        pattern=r"((unix|tcp|https?|ssh)://\S+)?",
    )
    image: str = option(
        TGI.image,
        "Image of TGI's models that name none; other engines have their own.",
    )
    allowed_images: tuple[str, ...] = option(
        (),
        "The only images that are run, as patterns with `*`, separated by commas. Empty allows "
        "each engine's own, in all versions.",
    )
    hf_cache: Path = option(
        Path("~/.cache/huggingface"),
        "Hugging Face cache on the engine's machine. Its `hub` folder is shared with all model "
        "containers; tokens kept beside it are not.",
    )
    hf_token: str = option(
        "",
        "Token for gated models. Empty takes `HF_TOKEN` from the environment.",
        secret=True,
    )
    ollama_models: Path = option(
        Path("~/.ollama/models"),
        "Ollama's models on the engine's machine, shared with all of its containers.",
    )
    download_timeout: float = option(
        7200.0,
        "Seconds that fetching the image, and then the weights, may each take.",
        low=1,
    )
    start_timeout: float | None = option(
        None,
        "Seconds that starting, loading and warming up may each take. Empty takes the engine's "
        "own: 1800 for vLLM and SGLang, which compile, 900 for others.",
        low=1,
    )
    stop_grace: float | None = option(
        None,
        "Seconds a container gets to end by itself before it is killed. Empty takes the engine's "
        "own: 100 for TGI, which lets answers end for up to 90 s, 10 for others.",
        low=0,
    )
    log_max_size: Size = option(
        Size(10 << 20), "Size at which the engine begins a new log file; it keeps two.", low=4096
    )


@dataclass(frozen=True)
class Settings:
    """Everything the program can be told."""

    server: ServerSettings = field(default_factory=ServerSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    conversations: ConversationSettings = field(default_factory=ConversationSettings)
    attachments: AttachmentSettings = field(default_factory=AttachmentSettings)
    engines: EngineSettings = field(default_factory=EngineSettings)
    docker: DockerSettings = field(default_factory=DockerSettings)
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    upstreams: Mapping[str, UpstreamSettings] = field(default_factory=dict)


SECTIONS: Mapping[str, type] = {
    "server": ServerSettings,
    "access": AccessSettings,
    "sessions": SessionSettings,
    "answers": AnswerSettings,
    "conversations": ConversationSettings,
    "attachments": AttachmentSettings,
    "engines": EngineSettings,
    "docker": DockerSettings,
    "discovery": DiscoverySettings,
}
NAMED_SECTIONS: Mapping[str, type[ModelSettings] | type[UpstreamSettings]] = {
    "model": ModelSettings,
    "upstream": UpstreamSettings,
}
"""The sections of which there may be many, each with a name behind this word."""
