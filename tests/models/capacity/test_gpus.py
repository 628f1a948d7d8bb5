"""GPU memory: the shares that model servers take, and which servers may run at the same time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.placement import Capacity, Occupant, can_ever_fit, full_gpus, whom_to_evict
from server.core.protocol import Progress
from server.models.capacity.gpus import gpu_takes
from server.models.capacity.room import Room
from server.models.catalogue.catalog import ModelSpec
from server.settings.tables import DockerSettings
from tests.support.specs import catalog

VLLM = {"runner": "docker", "engine": "vllm", "model_id": "o/n"}


def takes(*, has_gpus: bool = True, **settings: Any) -> Mapping[str, float]:
    spec = catalog(a={"model_id": "o/n", **settings}).get("a")
    return gpu_takes(spec, DockerSettings(), has_gpus=has_gpus)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"engine": "vllm"}, {"0": 0.9}),
        ({"engine": "tgi"}, {"0": 1.0}),
        ({"engine": "tgi", "arguments": "--cuda-memory-fraction 0.4"}, {"0": 0.4}),
        ({"engine": "vllm", "gpu_memory": 0.45}, {"0": 0.45}),
        ({"engine": "vllm", "arguments": "--gpu-memory-utilization=0.3"}, {"0": 0.3}),
        ({"engine": "vllm", "num_shard": 2}, {"0": 0.9, "1": 0.9}),
        ({"engine": "sglang", "gpus": "device=1,GPU-x"}, {"1": 0.9, "GPU-x": 0.9}),
        ({"engine": "vllm", "gpus": "3"}, {"0": 0.9, "1": 0.9, "2": 0.9}),
        ({"engine": "vllm", "gpus": "all"}, {"*": 0.9}),
        ({"engine": "vllm", "gpus": "none"}, {}),
        ({"image": "ghcr.io/huggingface/text-generation-inference:3-rocm"}, {"*": 1.0}),
        # What llama.cpp takes depends on the model.
        ({"engine": "llama.cpp"}, {"0": 0.0}),
        ({"engine": "llama.cpp", "gpu_memory": 0.5}, {"0": 0.5}),
    ],
)
def test_a_container_takes_its_share_of_what_it_gets(
    settings: dict[str, Any], expected: dict[str, float]
) -> None:
    assert takes(runner="docker", **settings) == expected


def test_where_there_is_no_gpu_nothing_is_taken() -> None:
    assert takes(runner="docker", engine="vllm", has_gpus=False) == {}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"command": "vllm serve m --port {port}", "env": {"CUDA_VISIBLE_DEVICES": "1"}},
            {"1": 0.9},
        ),
        (
            {
                "command": "vllm serve m --port {port} --gpu-memory-utilization 0.3",
                "env": {"CUDA_VISIBLE_DEVICES": "0,1"},
            },
            {"0": 0.3, "1": 0.3},
        ),
        # Which it sees is not known: a machine without a GPU runs vLLM, too.
        ({"command": "vllm serve m --port {port}"}, {}),
        ({"command": "vllm serve m --port {port}", "env": {"CUDA_VISIBLE_DEVICES": ""}}, {}),
        ({"command": "mine --port {port}", "gpu_memory": 0.5}, {"*": 0.5}),
        ({"command": "mine --port {port}", "env": {"CUDA_VISIBLE_DEVICES": "0"}}, {}),
    ],
)
def test_a_command_takes_its_share_of_what_it_is_shown(
    settings: dict[str, Any], expected: dict[str, float]
) -> None:
    assert takes(runner="command", **settings) == expected


def on(name: str, idle_since: float | None = 1.0, **gpus: float) -> Occupant:
    numbered = {key.removeprefix("gpu").replace("all", "*"): share for key, share in gpus.items()}
    return Occupant(name, 0, idle_since, False, numbered)


def test_two_that_take_nine_tenths_do_not_fit_on_one_gpu() -> None:
    assert full_gpus([on("a", gpu0=0.9)], {"0": 0.9}) == ["0"]
    assert full_gpus([on("a", gpu0=0.9)], {"1": 0.9}) == []
    assert full_gpus([on("a", gpu0=0.45)], {"0": 0.45}) == []


def test_shares_that_make_one_fit() -> None:
    assert full_gpus([on("a", gpu0=0.1), on("b", gpu0=0.2)], {"0": 0.7}) == []


def test_all_gpus_are_each_of_them() -> None:
    assert full_gpus([on("a", gpuall=0.9)], {"3": 0.5}) == ["3"]
    assert full_gpus([on("a", gpu3=0.5)], {"*": 0.9}) == ["3"]
    assert full_gpus([on("a", gpuall=0.9)], {"*": 0.9}) == ["*"]
    assert full_gpus([on("a", gpuall=0.5), on("b", gpu1=0.4)], {"0": 0.5}) == []


def test_only_those_go_that_are_in_the_way() -> None:
    inside = [on("elsewhere", 1.0, gpu1=0.9), on("in-the-way", 5.0, gpu0=0.9), on("cpu", 0.5)]
    assert whom_to_evict(inside, 0, Capacity(), {"0": 0.9}) == ["in-the-way"]
    assert whom_to_evict([on("busy", None, gpu0=0.9)], 0, Capacity(), {"0": 0.9}) is None
    assert whom_to_evict(inside, 0, Capacity(), {}) == []


def test_a_share_beyond_what_pinned_models_leave_never_fits() -> None:
    pinned = [on("a", gpu0=0.9)]
    assert not can_ever_fit(pinned, 0, Capacity(), {"0": 0.2})
    assert can_ever_fit(pinned, 0, Capacity(), {"1": 1.0})


class Machine:
    """Two vLLM on one GPU."""

    def __init__(self, *, is_pinned: bool = False) -> None:
        self.specs = catalog(a=VLLM, b=VLLM)
        self.idle_since: float | None = 1.0
        self.asked: list[str] = []
        self.told: list[Progress] = []
        self.has_asked, self.has_told = asyncio.Event(), asyncio.Event()
        self.is_pinned = is_pinned
        self.room = Room(Capacity(), self._describe, self._ask, self._takes)

    def _describe(self, model_id: str) -> Occupant:
        return Occupant(model_id, 0, self.idle_since, self.is_pinned)

    def _ask(self, model_id: str) -> None:
        self.asked.append(model_id)
        self.has_asked.set()

    def _tell(self, progress: Progress) -> None:
        self.told.append(progress)
        self.has_told.set()

    async def _takes(self, spec: ModelSpec) -> Mapping[str, float]:
        await asyncio.sleep(0)
        return gpu_takes(spec, DockerSettings(), has_gpus=True)

    async def enter(self, model_id: str) -> None:
        await self.room.enter(self.specs.get(model_id), self._tell)


async def test_the_second_waits_until_the_first_is_idle_and_takes_its_place() -> None:
    machine = Machine()
    await machine.enter("a")
    machine.idle_since = None
    waiting = asyncio.create_task(machine.enter("b"))
    async with asyncio.timeout(5):
        await machine.has_told.wait()
    assert machine.told[-1].text == "waiting for room on GPU 0: a in use"
    assert not machine.asked
    machine.idle_since = 2.0
    machine.room.use_changed()
    async with asyncio.timeout(5):
        await machine.has_asked.wait()
    assert machine.told[-1].text == "making room: stopping a"
    machine.room.leave("a")
    await waiting


async def test_an_adopted_server_counts_too() -> None:
    machine = Machine(is_pinned=True)
    machine.room.admit(machine.specs.get("a"))
    with pytest.raises(ModelFailed, match="there can be no room for b on GPU 0") as caught:
        await machine.enter("b")
    assert "`gpu_memory`" in str(caught.value.hint)
    machine.room.leave("a")
    await machine.enter("b")
