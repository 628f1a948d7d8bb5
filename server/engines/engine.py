"""What has to be known of an engine in order to start it and to follow its start.

Rules:

1. An engine is a value. Nothing here or in its module runs anything: what a container is given
   is `models/runners/containers`' business, what is read from a log that of
   `models/lifecycle/start_progress`.
2. What cannot be had by a key or by an argument on the list cannot be had: none of these names a
   host, a port, a folder, a key or a place to send data to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from server.engines.cause import Cause

CONTAINER_PORT: Final = 8080
"""Where every engine listens in its container: above 1023, so that none needs a capability."""

HUB_CACHE: Final = "/data/hub"
"""Where every engine that uses the Hugging Face cache finds it in its container."""

CALM_OPENMP: Final[Mapping[str, str]] = {"GOMP_SPINCOUNT": "1000"}
"""Has OpenMP's waiting threads spin briefly: by default they spin for 100 ms, and on a machine with
several model servers that halts the others."""

# No number that is meant is longer, and Python refuses to read those of thousands of digits.
N: Final = r"\d{1,9}"


@dataclass(frozen=True)
class Sign:
    """A log line that tells how far a start is: the phase, and what to show of it.

    `pattern` is searched in the line's message. Its groups `done` and `total` are the fraction, and
    `hours`, `minutes` and `seconds` the time that is left. `words` is what people read, with the
    groups in it; without, it is the message. A sign that `counts` is one of several, of which
    another sign without a phase tells the `total`.
    """

    pattern: str
    phase: str
    words: str = ""
    counts: bool = False


@dataclass(frozen=True)
class Cache:
    """A folder of the engine's machine that a container shares: the one of a key in [docker]."""

    setting: str = "hf_cache"
    folder: str = "hub"
    """The folder in that folder, which alone is shared; empty for all of it."""
    target: str = HUB_CACHE


@dataclass(frozen=True)
class Engine:
    """One kind of model server.

    `options` are the keys of a model that become an argument, in the order in which they are given;
    an argument without a name is the value alone. `flags` are those that are given without a value,
    and `variables` those that are told in the environment. `unless_set` has what is given where a
    key is not set, `multiplied` the keys whose number is for each one of another key's.
    """

    name: str
    """As the settings have it, in lower case."""
    title: str
    """Its name for people."""
    image: str
    images: tuple[str, ...]
    """Which images may be run where the settings do not say, as patterns with `*`."""
    dialect: str
    flavour: str = ""
    programs: tuple[tuple[str, ...], ...] = ()
    """The words by which a command is known to start it."""
    lead: tuple[str, ...] = ()
    """The words of its command before the arguments, where its image does not bring them."""
    options: tuple[tuple[str, str], ...] = ()
    always: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    unless_set: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    multiplied: Mapping[str, str] = field(default_factory=dict)
    takes: frozenset[str] = frozenset()
    """Further keys that mean something for it."""
    with_value: frozenset[str] = frozenset()
    """Arguments that a model's `arguments` may have, each with a value."""
    without_value: frozenset[str] = frozenset()
    without_gpu: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """What it is told where there is no GPU, by the end of the image's name."""
    quantizations: frozenset[str] = frozenset()
    model_id: str = r"[A-Za-z0-9][A-Za-z0-9._:/=-]*"
    """What a model's name is like."""
    model_form: str = "the model on the hub, OWNER/NAME"
    environment: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict)
    """Variables of the gateway's environment beside the proxies' that it is given, by our name."""
    hub_key: str = "HF_TOKEN"
    """The variable in which it takes the hub's token; empty where it reads none."""
    reads_token_file: bool = True
    """Whether it takes the token also from the file `token` beside the hub's cache."""
    refused_variables: str = ""
    """Variables that stand for arguments, which `env` may not have: a pattern."""
    cache: Cache = Cache()
    weights: tuple[str, ...] = (".safetensors", ".bin")
    """The files that are weights, of which the first kind that there is counts."""
    serves_by_name: bool = False
    """Whether its server may have other models, so that each is asked for by name."""
    fetches_when_told: bool = False
    """Whether it fetches its model only when its API is asked to, rather than when it starts."""
    gpu_argument: str = ""
    """The argument for the share of a GPU's memory that it takes."""
    gpu_share: float = 0.0
    """The share it takes by itself; 0 where that is as much as the model needs."""
    says_gpu_share: bool = False
    """Whether it is always told its share, since versions take different ones by themselves."""
    stop_grace_seconds: float = 10.0
    start_seconds: float = 900.0
    shm_bytes: int = 64 << 20
    signs: tuple[Sign, ...] = ()
    causes: tuple[Cause, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of a model that mean something for it, of those that not all have."""
        named = {key for key, _ in self.options} | self.takes
        return frozenset(named | self.flags.keys() | self.variables.keys())
