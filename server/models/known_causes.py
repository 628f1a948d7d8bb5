"""The causes that are recognised: what the last lines say, and what it means.

The texts are those of TGI 3.3, huggingface_hub, PyTorch and NCCL. The first that fits
counts: the more telling ones stand further up, since an error drags others behind it.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Cause:
    """One cause; `pattern` is searched in the last lines, with its case ignored."""

    code: str
    message: str
    hint: str
    pattern: str = ""


OUT_OF_MEMORY = Cause(
    "out_of_memory",
    "the model server took more memory than it may have and was killed",
    "raise `memory` in the model's section, free memory on the machine, or take a smaller model",
)

BAD_ARGUMENT = Cause(
    "bad_argument",
    "the model server refuses its arguments",
    "correct the limits and `arguments` in the model's section",
    r"ArgumentValidation\(|^error: (unexpected argument|invalid value|the argument|a value)"
    r"|unrecognized arguments|the following required arguments",
)
KILLED = Cause(
    "killed",
    "the model server was killed by somebody else",
    "start it again; `dmesg` tells if the machine itself ran out of memory",
    # Of a shard: the signal does not tell whose it was.
    r"was signaled to shutdown with signal 9\b",
)
STOPPED = Cause(
    "stopped_by_somebody", "the model server was stopped by somebody else", "start it again"
)
# TGI ends so when it is asked to; so does a program that is no server at all.
ENDED = Cause(
    "stopped_by_somebody",
    "the model server ended without an error, as when somebody else stops it",
    "start it again; if it ends by itself, see its log and whether it is a model server",
)
WENT_AWAY: Final = Cause(
    "went_into_the_background",
    "the command ended while something that it had started went on; that was killed",
    "have the server stay in the foreground: without `&`, nohup or an option that makes it a "
    "daemon, and in a script with `exec` before its command",
)

CAUSES: Final = (
    Cause(
        "missing_shm",
        "the model server ran out of shared memory",
        "raise `shm_size` in the model's section",
        r"signaled to shutdown with signal 7\b|bus error|/dev/shm"
        r"|unable to (open|write to|allocate) shared memory",
    ),
    Cause(
        "gated_model",
        "the model is gated: its owner asks for consent",
        "accept its conditions on the model's page on the hub, and set HF_TOKEN to a token of "
        "the account that did",
        # The hub's client mentions gated repositories whenever there is none.
        r"cannot access gated repo|GatedRepoError|awaiting a review from the repo authors",
    ),
    Cause(
        "bad_token",
        "the hub refuses the token",
        "set HF_TOKEN, or `hf_token` in [docker], to a token that is valid",
        r"invalid user token|invalid credentials|invalid username or password"
        r"|token .{0,40}(is expired|has expired|is not valid)",
    ),
    Cause(
        "revision_not_found",
        "the hub has no such revision of the model",
        "correct `revision` in the model's section",
        r"RevisionNotFoundError|revision not found|invalid rev id",
    ),
    Cause(
        "model_not_found",
        "the hub has no such model, or it is private",
        "correct `model_id`; for a private model set HF_TOKEN",
        r"RepositoryNotFoundError|repository not found|401 client error|404 client error",
    ),
    Cause(
        "weights_not_found",
        "the model has no weights in a form that TGI reads",
        "take another revision, or another model: TGI wants *.safetensors",
        r"no \.?(safetensors|bin|pt) weights found|EntryNotFoundError.*weights"
        r"|no local weights found",
    ),
    Cause(
        "disk_full",
        "the disk is full",
        "make room where weights and images are kept: `weights_dir` in [engines], `hf_cache` in "
        "[docker]",
        r"no space left on device|disk quota exceeded",
    ),
    Cause(
        "cache_not_writable",
        "the model server may not write to the Hugging Face cache",
        "see to the owner and the rights of `hf_cache`",
        r"permission denied: '/data|read-only file system: '/data|PermissionError at /data",
    ),
    Cause(
        "no_package_index",
        "the package index that has the weights cannot be reached",
        "check the network and the proxy; weights that were fetched once need neither",
        r"the package index cannot be reached",
    ),
    Cause(
        "no_network",
        "the hub cannot be reached",
        "check the network, the proxy and HF_ENDPOINT; weights that are in the cache need none",
        r"name or service not known|temporary failure in name resolution|NameResolutionError"
        r"|failed to resolve|max retries exceeded|network is unreachable|no route to host"
        r"|ConnectTimeout|ReadTimeoutError|we couldn't connect to|LocalEntryNotFoundError"
        r"|OfflineModeIsEnabled|error sending request for url",
    ),
    Cause(
        "nccl",
        "the GPUs cannot talk to each other (NCCL)",
        "raise `shm_size`, check the GPUs with nvidia-smi, or set `num_shard = 1`",
        r"\bNCCL\b.{0,60}(error|fail)|ncclUnhandled|ncclSystemError|ncclInternalError"
        r"|ncclInvalidUsage|DistBackendError",
    ),
    Cause(
        "gpu_out_of_memory_at_warm_up",
        "the GPU's memory does not hold the model and what it is to keep in it",
        "lower `max_batch_prefill_tokens` or `max_total_tokens`, set `quantize`, or split the "
        "model with `num_shard`",
        r"not enough memory to handle",
    ),
    Cause(
        "gpu_out_of_memory",
        "the GPU is out of memory",
        "lower `max_total_tokens`, set `quantize`, add `--cuda-memory-fraction`, or stop what "
        "else uses the GPU",
        r"(cuda|hip|xpu) out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"
        r"|cuda error: out of memory",
    ),
    KILLED,
    Cause(
        "no_gpu",
        "the model server sees no GPU that it can use",
        "check the driver with nvidia-smi, or set `gpus = none` for the CPU",
        r"no cuda gpus are available|found no nvidia driver|cuda driver version is insufficient"
        r"|cuda is not available|no hip gpus are available",
    ),
    Cause(
        "unsupported_model",
        "this version of the model server does not know this kind of model",
        "take another model, or a newer image",
        r"unsupported model type|is not supported (yet|by)|does not recognize this architecture"
        r"|trust_remote_code=True|unknown model architecture",
    ),
    Cause(
        "port_taken",
        "the port the model server was to listen on is taken",
        "start the model again; widen `ports` in [engines] if that does not help",
        r"failed to bind to|address already in use|failed to build prometheus recorder",
    ),
    BAD_ARGUMENT,
    Cause(
        "crashed_while_serving",
        "the model server crashed while it wrote an answer",
        "the last lines say why; TGI ends after any error in its model code",
        r"method (decode|prefill) encountered an error",
    ),
)
