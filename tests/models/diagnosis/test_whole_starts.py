"""Whole logs of real servers' starts, on machines that have them: the true cause is found."""

from pathlib import Path

import pytest

from tests.support.starts import CAUSES, check, explained
from tests.system import SHARED

LOGS = {
    f"{engine}/{path.stem}": path
    for engine in ("tgi", "vllm")
    for path in sorted((SHARED / engine / "logs").glob("*.txt"))
}
__test__ = bool(LOGS)

# Which recording has the same cause.
LIKE = {
    "tgi/arch": "tgi-arch",
    "tgi/badarg": "tgi-badarg",
    "tgi/download": "tgi-text-mode",
    "tgi/dtype": "tgi-text-mode",
    "tgi/limits": "tgi-limits",
    "tgi/missing": "tgi-missing",
    "tgi/nonetwork": "tgi-nonetwork",
    "tgi/porttaken": "tgi-porttaken",
    "tgi/sigkill-to-the-shard-while-a-stream-runs": "tgi-shard-killed",
    "tgi/sigterm-to-the-launcher-while-a-stream-runs": "tgi-text-mode",
    "tgi/text-mode": "tgi-text-mode",
    "vllm/badarg": "vllm-badarg",
    "vllm/hub-missing": "vllm-hub-missing",
    "vllm/missing": "vllm-missing",
    "vllm/porttaken": "vllm-porttaken",
    "vllm/sigterm-while-starting": "vllm-sigterm-while-starting",
    "vllm/start-eager": "tgi-text-mode",
    "vllm/tensor-parallel": "vllm-tensor-parallel",
}


@pytest.mark.parametrize(("name", "path"), LOGS.items(), ids=LOGS)
def test_a_whole_log_has_the_cause_that_its_recording_has(name: str, path: Path) -> None:
    if name in LIKE:
        check(path, CAUSES[LIKE[name]], "")
    else:
        # Nobody has said yet what it is to be read as: not, in any case, as its warnings.
        assert "GPU that it can use" not in explained(path).message
