"""The phases of each engine's start, from recorded logs or from lines that are known."""

from pathlib import Path

import pytest

from server.core.protocol import Progress
from server.engines.known import ENGINES
from server.models.lifecycle.start_progress import PHASES, StartProgress
from server.models.logbook import LogLine

PHASE_LOGS = Path(__file__).resolve().parents[2] / "recordings" / "phases"

# Of a machine with a GPU, which is not here.
VLLM_ON_A_GPU = """\
(APIServer pid=1) INFO 11-29 14:31:03 [model.py:733] Resolved architecture: LlamaForCausalLM
model-00001-of-00002.safetensors:  45%|████▌     | 1.20G/2.50G [00:10<00:11, 118MB/s]
(EngineCore pid=9) INFO 11-29 14:31:23 [gpu_model_runner.py:68] Starting to load model o/n...
Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]
Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.17it/s]
Loading safetensors checkpoint shards: 100% Completed | 2/2 [00:02<00:00,  1.20it/s]
(EngineCore pid=9) INFO 11-29 14:31:25 [default_loader.py:501] Loading weights took 2.22 seconds
(EngineCore pid=9) INFO 11-29 14:31:40 [backends.py:278] Compiling a graph for range (1, 8192)
(EngineCore pid=9) INFO 11-29 14:31:44 [monitor.py:34] torch.compile takes 18.29 s in total
(EngineCore pid=9) INFO 11-29 14:31:45 [worker.py:287] Available KV cache memory: 5.03 GiB
(EngineCore pid=9) INFO 11-29 14:31:45 [kv_cache_utils.py:1319] GPU KV cache size: 12,624 tokens
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  50%|█████     | 2/4 [00:00<00:00]
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|██████████| 4/4 [00:00<00:00]
(EngineCore pid=9) INFO 11-29 14:31:49 [gpu_model_runner.py:64] Graph capturing finished in 4 secs
INFO:     Application startup complete.
"""
SGLANG = """\
[2026-11-29 20:35:10 TP0] Init torch distributed ends. elapsed=0.53 s, mem usage=0.09 GB
[2026-11-29 20:35:11 TP0] Load weight begin. avail mem=78.61 GB
Multi-thread loading shards:   0% Completed | 0/4 [00:00<?, ?it/s]
Multi-thread loading shards:  25% Completed | 1/4 [00:00<00:02,  1.29it/s]\r\
Multi-thread loading shards:  50% Completed | 2/4 [00:01<00:01,  1.17it/s]
[2026-11-29 20:35:19 TP0] Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16
[2026-11-29 20:35:20 TP0] KV Cache is allocated. #tokens: 444500, K size: 27.13 GB
[2026-11-29 20:35:20 TP0] Memory pool end. avail mem=8.34 GB
[2026-11-29 20:35:20 TP0] Capture cuda graph begin. This can take up to several minutes.
Capturing batches (bs=8 avail_mem=2.91 GB):  75%|███████▌  | 3/4 [00:00<00:00]
[2026-11-29 20:35:27 TP0] Capture cuda graph end. Time elapsed: 6.57 s
[2026-11-29 20:35:28] The server is fired up and ready to roll!
"""

VLLM_STEPS = [
    ("loading", None, "Starting to load model o/n..."),
    ("loading", 0.0, "0 of 2 files loaded"),
    ("loading", 0.5, "1 of 2 files loaded"),
    ("loading", 1.0, "2 of 2 files loaded"),
    ("loading", 1.0, "Loading weights took 2.22 seconds"),
    ("warming up", None, "compiling"),
    ("warming up", None, "compiling"),
    ("warming up", None, "Available KV cache memory: 5.03 GiB"),
    ("warming up", None, "GPU KV cache size: 12,624 tokens"),
    ("warming up", 0.5, "capturing CUDA graphs, 2 of 4"),
    ("warming up", 1.0, "capturing CUDA graphs, 4 of 4"),
    ("warming up", 1.0, "Graph capturing finished in 4 secs"),
]
SGLANG_STEPS = [
    ("loading", None, "Load weight begin. avail mem=78.61 GB"),
    ("loading", 0.0, "0 of 4 files loaded"),
    ("loading", 0.5, "2 of 4 files loaded"),
    ("loading", 0.5, "Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16"),
    ("warming up", None, "KV Cache is allocated. #tokens: 444500, K size: 27.13 GB"),
    ("warming up", None, "Memory pool end. avail mem=8.34 GB"),
    ("warming up", None, "Capture cuda graph begin. This can take up to several minutes."),
    ("warming up", 0.75, "capturing CUDA graphs, 3 of 4"),
    ("warming up", 0.75, "Capture cuda graph end. Time elapsed: 6.57 s"),
]


def steps(log: str, engine: str) -> list[tuple[str, float | None, str]]:
    start = StartProgress(engine)
    seen: list[Progress] = []
    for line in log.split("\n"):
        progress = start.feed(LogLine(0.0, "stdout", line))
        if progress is not None:
            seen.append(progress)
    return [(one.phase, one.fraction, one.text) for one in seen]


@pytest.mark.parametrize("engine", ["vllm", ""])
def test_vllm_on_a_gpu(engine: str) -> None:
    assert steps(VLLM_ON_A_GPU, engine) == VLLM_STEPS


@pytest.mark.parametrize("engine", ["sglang", ""])
def test_sglang(engine: str) -> None:
    assert steps(SGLANG, engine) == SGLANG_STEPS


@pytest.mark.parametrize("engine", ["vllm", ""])
def test_vllm_as_it_was_recorded(engine: str) -> None:
    seen = steps((PHASE_LOGS / "vllm.txt").read_text(), engine)
    assert seen == [
        ("loading", None, "Starting to load model /models/smollm2-135m..."),
        ("loading", 0.0, "0 of 1 files loaded"),
        ("loading", 1.0, "1 of 1 files loaded"),
        ("loading", 1.0, "1 of 1 files loaded"),
        ("loading", 1.0, "Loading weights took 0.22 seconds"),
        (
            "warming up",
            None,
            "CPU KV cache size: 23,296 tokens, Maximum concurrency for 2,048 tokens per request: "
            "11.38x",
        ),
        (
            "warming up",
            None,
            "init engine (profile, create kv cache, warmup model) took 0.45 s",
        ),
    ]


@pytest.mark.parametrize("engine", ["llama.cpp", ""])
def test_llama_cpp_as_it_was_recorded(engine: str) -> None:
    seen = steps((PHASE_LOGS / "llama.cpp.txt").read_text(), engine)
    assert seen == [
        ("loading", None, "loading the weights"),
        ("loading", None, "making room for the context"),
    ]


def test_every_sign_is_of_a_phase_that_there_is() -> None:
    for engine in ENGINES.values():
        for sign in engine.signs:
            assert sign.phase in ("", *PHASES)
