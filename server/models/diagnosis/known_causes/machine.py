"""Causes in the machine, in messages of Python, Linux, PyTorch and NCCL."""

from typing import Final

from server.engines.cause import Cause

CAUSES: Final = (
    Cause(
        "missing_shm",
        "the model server ran out of shared memory",
        "raise `shm_size` in the model's section",
        r"\bbus error\b|/dev/shm|unable to (open|write to|allocate) shared memory",
    ),
    Cause(
        "disk_full",
        "the disk is full",
        "make room where weights and images are kept: `weights_dir` in [engines], `hf_cache` in "
        "[docker]",
        r"no space left on device|disk quota exceeded|not enough free disk space",
    ),
    Cause(
        "cache_not_writable",
        "the model server may not write to the Hugging Face cache",
        "see to the owner and the rights of `hf_cache`",
        r"permission denied: '/(data|root/\.cache)|read-only file system: '/(data|root/\.cache)"
        r"|PermissionError at /data",
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
        r"(cuda|hip|xpu) out of memory|OutOfMemoryError|cuda error: out of memory",
        phases=frozenset({"warming up"}),
    ),
    Cause(
        "gpu_out_of_memory",
        "the GPU is out of memory",
        "lower `max_total_tokens` or `gpu_memory`, set `quantize`, or stop what else uses the GPU",
        r"(cuda|hip|xpu) out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"
        r"|cuda error: out of memory|cudaMalloc failed",
    ),
    Cause(
        "memory_refused",
        "the machine does not give the model server the memory that it asks for",
        "free memory, raise `memory` in the model's section, ask for a smaller context, or take a "
        "smaller model",
        r"^MemoryError|cannot allocate memory|can't allocate memory|std::bad_alloc"
        r"|insufficient memory|failed to allocate buffer for|not enough memory: you tried",
    ),
    Cause(
        "no_gpu",
        "the model server sees no GPU that it can use",
        "check the driver with nvidia-smi, or set `gpus = none` for the CPU",
        r"no cuda gpus are available|found no nvidia driver|cuda driver version is insufficient"
        r"|cuda is not available|no hip gpus are available|not compiled with cuda enabled"
        r"|failed to infer device type|no cuda-capable device",
    ),
    Cause(
        "too_few_gpus",
        "the model is to be split over more GPUs than there are",
        "lower `num_shard`, or give the model more GPUs with `gpus`",
        r"world size .{0,40}larger than the number of available gpus|invalid device ordinal"
        r"|not enough gpus",
    ),
    Cause(
        "port_taken",
        "the port the model server was to listen on is taken",
        "start the model again; widen `ports` in [engines] if that does not help",
        r"failed to bind to|address (already|is already) in use|AddrInUse"
        r"|failed to build prometheus recorder|couldn't bind",
    ),
    Cause(
        "broken_weights",
        "the weights are damaged or cut short",
        "delete the file that the log names, and have it fetched again",
        r"SafetensorError|error while deserializing header|MetadataIncompleteBuffer"
        r"|header too (large|small)|invalid header|not within the file bounds"
        r"|is damaged or cut short|corrupted or incomplete",
    ),
    Cause(
        "unsupported_model",
        "this version of the model server does not know this kind of model",
        "take another model, or a newer version of the model server",
        r"unsupported model type|does not recognize this architecture|unknown model architecture"
        r"|model architectures .{0,200}(not supported|failed to be inspected)",
    ),
    Cause(
        "foreign_code",
        "the model needs code of its own, which the model server is not allowed to run",
        "take another model; `--trust-remote-code` has it run, if its authors are to be trusted",
        r"trust_remote_code=True|trust-remote-code",
    ),
)
