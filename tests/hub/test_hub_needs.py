"""How much memory a model takes, by the head of its file."""

from pathlib import Path
from typing import Any

import pytest

from server.hub import machine as machine_of
from server.hub.machine import Machine
from server.hub.needs import kv_bytes_per_token, memory_bytes
from server.weights.errors import NotGGUF
from server.weights.gguf import read_beginning, trained_context
from tests.fakes.hub import BYTES_PER_TOKEN, METADATA
from tests.weights.tiny import gguf_bytes

GB = 1_000_000_000


def test_keys_and_values_are_counted_by_layers_and_heads() -> None:
    assert kv_bytes_per_token(METADATA) == BYTES_PER_TOKEN
    per_layer = {**METADATA, "llama.attention.head_count_kv": [0, 3] * 15}
    assert kv_bytes_per_token(per_layer) == BYTES_PER_TOKEN // 2
    wide = {**METADATA, "llama.attention.key_length": 128, "llama.attention.value_length": 128}
    assert kv_bytes_per_token(wide) == 2 * BYTES_PER_TOKEN


@pytest.mark.parametrize(
    "changes",
    [
        {"general.architecture": "other"},
        {"llama.block_count": 0},
        {"llama.block_count": 1 << 40},
        {"llama.block_count": "30"},
        {"llama.embedding_length": None},
        {"llama.attention.head_count": []},
        {"llama.attention.head_count": ["a"] * 30},
        {"llama.attention.head_count": -1},
    ],
)
def test_wrong_values_of_a_file_are_not_counted(changes: dict[str, Any]) -> None:
    assert kv_bytes_per_token({**METADATA, **changes}) is None
    needed, is_known = memory_bytes(GB, {**METADATA, **changes}, tokens=4096)
    assert not is_known
    assert 1.2 * GB < needed < 1.6 * GB


def test_a_larger_context_takes_more() -> None:
    small, is_known = memory_bytes(GB, METADATA, tokens=4096)
    large, _ = memory_bytes(GB, METADATA, tokens=8192)
    assert is_known
    assert large - small == 4096 * BYTES_PER_TOKEN
    assert trained_context(METADATA) == 8192
    assert trained_context(None) is None


def test_the_beginning_of_a_file_says_what_stands_in_it_whole() -> None:
    whole = gguf_bytes({**METADATA, "llama.attention.head_count_kv": [1, 2, 3], "z": "end"})
    assert read_beginning(whole)["llama.attention.head_count_kv"] == (1, 2, 3)
    for size in range(4, len(whole)):
        known = read_beginning(whole[:size])
        assert known.items() <= read_beginning(whole).items()
    for other in (b"", b"GGU", b"<html>", b"PK\3\4"):
        with pytest.raises(NotGGUF):
            read_beginning(other)


def test_the_limit_of_a_group_that_we_are_in_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = machine_of.total_memory()
    assert total
    own = tmp_path / "own"
    own.write_text("1:name=x:/other\n0::/system.slice/sidestream.service\n")
    slice_ = tmp_path / "groups/system.slice"
    (slice_ / "sidestream.service").mkdir(parents=True)
    (slice_ / "sidestream.service/memory.max").write_text("max\n")
    monkeypatch.setattr(machine_of, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine_of, "_OWN_CGROUP", own)
    assert machine_of.total_memory() == total
    (slice_ / "memory.max").write_text("1000\n")
    assert machine_of.total_memory() == 1000


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine(16 * GB, None, 100 * GB, "/cache"), ""),
        (Machine(None, None, None, "/cache"), ""),
        (Machine(8 * GB, None, 100 * GB, "/cache"), "needs 8.0 GB of memory, and this machine has"),
        (Machine(16 * GB, 7 * GB, 100 * GB, "/cache"), "`memory_budget` in [engines] is 7.0 GB"),
        (Machine(16 * GB, None, 5 * GB, "/cache"), "takes 5.0 GB on the disk, and /cache has 5.0"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(machine: Machine, said: str) -> None:
    problem = machine.problem(8 * GB, 5 * GB)
    assert said in problem
    assert bool(said) == bool(problem)
    # What is there already takes no room.
    assert "disk" not in machine.problem(8 * GB, 0)
