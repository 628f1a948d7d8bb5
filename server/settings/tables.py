"""The one table of settings: (name, type, default, help) of every key.

The file is parsed and checked by these dataclasses, and its documentation is generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.engines.tgi import TGI
from server.settings.access import AccessSettings
from server.settings.attachments import AttachmentSettings
from server.settings.command_checks import CommandCheckSettings
from server.settings.conversations import ConversationSettings
from server.settings.models import ModelSettings
from server.settings.runs import RunSettings
from server.settings.upstreams import DiscoverySettings, UpstreamSettings
from server.settings.values import Size, option

DEFAULT_LENGTH: Final = 8_192
"""Enough for a model that thinks before it answers; an endless answer stops here."""


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
        "Name of this gateway. Two gateways on one machine or one swarm need two names.",
        pattern=r"[a-z0-9][a-z0-9-]{0,31}",
    )
    state_dir: Path = option(
        Path("~/.local/state/sidestream"),
        "Where the gateway keeps what it must remember, such as which instance runs.",
    )
    log_level: str = option(
        "info", "Lowest level that is logged.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = option(
        "auto",
        "Format of the log: `text`, or `json` with one object a line. `auto` writes text on a "
        "terminal and JSON elsewhere.",
        choices=("auto", "text", "json"),
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Host names under which a browser may reach the page, in addition to loopback names and "
        "`host`. Guards against web pages that make a name of their own point to this machine.",
    )
    heartbeat: float = option(
        20.0, "Seconds between WebSocket pings; a peer that does not answer is dropped.", low=1
    )
    reader_timeout: float = option(
        60.0,
        "Seconds that a client may read nothing before its socket is closed; its session is kept.",
        low=1,
    )
    max_sockets: int = option(5_000, "WebSockets open at once; each costs some 25 KB.", low=1)
    command_rate: float = option(
        50.0,
        "Commands a second that a client may send on average, with bursts of twice as many. Far "
        "above what people and tools need, far below what keeps the server busy.",
        low=1,
    )
    keep_alive: float = option(
        15.0,
        "Seconds without a token after which a stream over HTTP gets a comment, so that no proxy "
        "closes it; TGI has the same. After the first comment an HTTP status can no longer tell "
        "an error.",
        low=0.01,
    )
    max_frame_bytes: int = option(
        4_194_304,
        "Largest command that a client may send, in bytes; each prompt comes with its whole "
        "conversation.",
        low=1024,
    )
    shutdown_grace: float = option(
        5.0, "Seconds that live answers get to end when the server stops.", low=0
    )


@dataclass(frozen=True)
class SessionSettings:
    """The sessions of clients: the answers that each retains, and for how long."""

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
        "Ended answers that a session retains for sockets that reconnect: eight prompts to eight "
        "models.",
        low=1,
    )
    max_kept_chars: int = option(
        2_000_000,
        "Characters of ended answers that a session retains: more than 64 long answers have.",
        low=0,
    )


@dataclass(frozen=True)
class AnswerSettings:
    """The queue of answers, their limits, and the answer cache."""

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
        "Seconds that writing one answer may take in all, enough for 8,192 tokens at five a "
        "second. An endless answer would occupy a slot of the model server for ever.",
        low=1,
    )
    default_length: int = option(
        DEFAULT_LENGTH,
        "Maximum tokens of an answer if neither the request nor the model's `parameters` set "
        "`max_new_tokens`; fewer if the model's context has no room for as many.",
        low=1,
    )
    max_prompt_chars: int = option(
        1_000_000,
        "Characters of a prompt or a conversation, with its calls and tools; the default is about "
        "a quarter of a million tokens. Model servers refuse a prompt that exceeds their context "
        "only after they have tokenised it.",
        low=1,
    )
    cache_size: Size = option(
        Size(0),
        "Memory for the answer cache. A repeated request gets the cached answer if it is "
        "deterministic (no sampling, or a seed); 0 caches none.",
    )
    cache_max_age: float = option(3600.0, "Seconds that an answer is cached.", low=0)


@dataclass(frozen=True)
class EngineSettings:
    """Settings of all model servers."""

    ports: tuple[int, int] = option(
        (8080, 8089),
        "Ports for the model servers we start, on loopback; a port that is taken is skipped.",
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
        "Model servers of ours that may run at once; 0 sets no limit. When it is reached, a start "
        "stops the server that is idle for longest; while all are busy, it waits.",
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
        "How often a model server that crashed is started again automatically before it is given "
        "up: at once, then after 10 s, 20 s, and so on up to 300 s.",
        low=0,
    )
    grow_after: float = option(
        5.0,
        "Seconds that a queue stands before a model with a range of `replicas` gets more of them.",
        low=0,
    )
    shrink_after: float = option(
        120.0, "Seconds that such a model could do with one replica less before one stops.", low=1
    )
    on_exit: str = option(
        "keep",
        "What happens to model containers when the gateway stops: `keep` them for its next start, "
        "or `stop` them. Child processes always stop.",
        choices=("keep", "stop"),
    )
    stop_grace: float = option(
        10.0, "Seconds a model server gets to end by itself before it is killed.", low=0
    )
    health_interval: float = option(
        15.0, "Seconds between two health checks of a running model server.", low=0.1
    )
    connect_timeout: float = option(
        5.0, "Seconds to connect to a running model server before it counts as gone.", low=0.1
    )
    read_timeout: float = option(
        45.0,
        "Seconds without a byte from a model server before an answer is given up. TGI sends a "
        "keep-alive comment every 15 s; with other servers a health check decides.",
        low=1,
    )
    first_token_timeout: float = option(
        600.0,
        "Seconds without a byte after which an answer is given up although its model server is "
        "healthy: reading a long prompt or loading a big model takes minutes.",
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
        "Image of TGI's models that set none; other engines have their own.",
    )
    allowed_images: tuple[str, ...] = option(
        (),
        "The only images that are run, as patterns with `*`, separated by commas. Empty allows "
        "all versions of each engine's own.",
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
class DockerEngineSettings:
    """One of several Docker engines, for models that name it in `engine_host`.

    Images, timeouts and logs are those of `[docker]`.
    """

    host: str = option(
        "",
        "Where the engine is: `unix:///PATH`, `tcp://HOST:PORT` or `ssh://[USER@]HOST`. Has to be "
        "set.",
        pattern=r"((unix|tcp|https?|ssh)://\S+)?",
    )
    memory_budget: Size = option(
        Size(0),
        "Memory that our model servers may take there together, by each model's `memory`; 0 sets "
        "no limit.",
    )
    gpus: str = option(
        "",
        "GPUs that models may get there: `none`, a number (the first ones), or `device=0,1` "
        "(numbers or ids). Empty does not limit them.",
        pattern=r"(none|[1-9][0-9]?|device=[A-Za-z0-9._:/-]+(,[A-Za-z0-9._:/-]+)*)?",
    )
    ports: tuple[int, int] = option(
        (0, 0),
        "Ports for its model servers, on loopback there; `0-0` takes `ports` of [engines]. Engines "
        "at `tcp://` need ports of their own each.",
        low=0,
        high=65535,
    )
    hf_cache: str = option(
        "", "Hugging Face cache on the engine's machine; empty takes that of [docker]."
    )
    hf_token: str = option("", "Token for gated models; empty takes that of [docker].", secret=True)
    ollama_models: str = option(
        "", "Ollama's models on the engine's machine; empty takes those of [docker]."
    )


@dataclass(frozen=True)
class SwarmSettings:
    """Models that run as services of a Docker Swarm (`runner = swarm`)."""

    host: tuple[str, ...] = option(
        (),
        "Managers of the swarm, as `host` in [docker], separated by commas; if one does not "
        "answer, the next is asked. Empty takes `DOCKER_HOST`, else this machine's engine.",
    )
    image: str = option(
        TGI.image,
        "Image of TGI's models that set none; other engines have their own.",
    )
    allowed_images: tuple[str, ...] = option(
        (),
        "The only images that are run, as patterns with `*`, separated by commas. Empty allows "
        "all versions of each engine's own.",
    )
    hf_cache: Path = option(
        Path("/var/lib/sidestream/huggingface"),
        "Hugging Face cache on every node that models may run on. Its `hub` folder, which has to "
        "be there, is shared with all model containers of the node.",
    )
    hf_volume: str = option(
        "",
        "Named volume to take instead of `hf_cache`; each node makes its own.",
        pattern=r"([A-Za-z0-9][A-Za-z0-9_.-]*)?",
    )
    hf_token: str = option(
        "",
        "Token for gated models. Empty takes `HF_TOKEN` from the environment. It becomes a secret "
        "of the swarm.",
        secret=True,
    )
    ollama_models: Path = option(
        Path("/var/lib/sidestream/ollama"),
        "Ollama's models on every node that they may run on; has to be there.",
    )
    ollama_volume: str = option(
        "",
        "Named volume to take instead of `ollama_models`; each node makes its own.",
        pattern=r"([A-Za-z0-9][A-Za-z0-9_.-]*)?",
    )
    network: str = option(
        "host-port",
        "How the gateway reaches a model: at a port of its node (`host-port`), or in an overlay "
        "network of this name, which the gateway itself is in.",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    )
    constraints: tuple[str, ...] = option(
        (),
        "Nodes that models may run on, as in `docker service create --constraint`, such as "
        "`node.role == worker`.",
    )
    download_timeout: float = option(
        7200.0,
        "Seconds that fetching the image, and then the weights, may each take.",
        low=1,
    )
    start_timeout: float | None = option(
        None,
        "Seconds that waiting for a node, starting, loading and warming up may each take. Empty "
        "takes the engine's own: 1800 for vLLM and SGLang, which compile, 900 for others.",
        low=1,
    )
    stop_grace: float | None = option(
        None,
        "Seconds a container gets to end by itself before it is killed, fixed when it is started. "
        "Empty takes the engine's own: 100 for TGI, which lets answers end for up to 90 s, 10 for "
        "others.",
        low=0,
    )
    log_max_size: Size = option(
        Size(10 << 20), "Size at which a node begins a new log file; it keeps two.", low=4096
    )


ContainerSettings = DockerSettings | SwarmSettings
"""The settings of a runner of containers."""


@dataclass(frozen=True)
class ContainerSections:
    """The sections of all runners of containers."""

    docker: DockerSettings = field(default_factory=DockerSettings)
    swarm: SwarmSettings = field(default_factory=SwarmSettings)
    docker_engines: Mapping[str, DockerEngineSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """All settings, by section."""

    server: ServerSettings = field(default_factory=ServerSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    conversations: ConversationSettings = field(default_factory=ConversationSettings)
    attachments: AttachmentSettings = field(default_factory=AttachmentSettings)
    runs: RunSettings = field(default_factory=RunSettings)
    engines: EngineSettings = field(default_factory=EngineSettings)
    docker: DockerSettings = field(default_factory=DockerSettings)
    swarm: SwarmSettings = field(default_factory=SwarmSettings)
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    upstreams: Mapping[str, UpstreamSettings] = field(default_factory=dict)
    docker_engines: Mapping[str, DockerEngineSettings] = field(default_factory=dict)
    command_checks: Mapping[str, CommandCheckSettings] = field(default_factory=dict)


SECTIONS: Mapping[str, type] = {
    "server": ServerSettings,
    "access": AccessSettings,
    "sessions": SessionSettings,
    "answers": AnswerSettings,
    "conversations": ConversationSettings,
    "attachments": AttachmentSettings,
    "runs": RunSettings,
    "engines": EngineSettings,
    "docker": DockerSettings,
    "swarm": SwarmSettings,
    "discovery": DiscoverySettings,
}
NAMED_SECTIONS: Mapping[
    str,
    type[ModelSettings]
    | type[UpstreamSettings]
    | type[DockerEngineSettings]
    | type[CommandCheckSettings],
] = {
    "check": CommandCheckSettings,
    "docker": DockerEngineSettings,
    "model": ModelSettings,
    "upstream": UpstreamSettings,
}
"""The kinds of sections that may occur several times, as `[KIND NAME]`."""
