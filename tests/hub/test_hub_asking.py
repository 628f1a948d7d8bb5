"""The hub is asked, and whatever it answers is told in words, in time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.hub import asking
from server.hub.asking import HubPlace
from server.hub.errors import (
    GatedRepository,
    HubError,
    HubUnreachable,
    NoGGUF,
    UnknownRepository,
)
from server.hub.looking import HubLook, free_id, look_at_hub
from server.hub.naming import HubModel
from tests.fakes.hub import COMMIT, FakeHub, FakeRepo, serve

FORTY = {f"m-Q4_K_M-{at:02}.gguf": 1000 + at for at in range(39)} | {"m-Q8_0.gguf": 5000}


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    """Serve a hub that has one repository of every kind."""
    repos = {
        "org/m": FakeRepo({"m-Q4_K_M.gguf": 1000, "m-Q8_0.gguf": 2000, "mmproj-F16.gguf": 10}),
        "org/forty": FakeRepo(FORTY),
        "org/gated": FakeRepo({"m.gguf": 10}, gate="GatedRepo"),
        "org/private": FakeRepo({"m.gguf": 10}, token="hf_right"),
        "org/safe": FakeRepo({"model.safetensors": 10}),
        "org/empty": FakeRepo(),
        "org/garbled": FakeRepo({"m.gguf": 1000}, content=b"<html>no model</html>"),
    }
    async with serve(FakeHub(repos)) as hub:
        yield hub


def place_of(
    hub: FakeHub, tmp_path: Path, token: str = "", *, is_offline: bool = False
) -> HubPlace:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return HubPlace(hub.url, str(tmp_path / "hub"), is_offline, headers)


async def look(place: HubPlace, model: HubModel, budget_bytes: int = 0) -> HubLook:
    return await look_at_hub(
        model, slots=4, context_tokens=4096, budget_bytes=budget_bytes, taken_ids=(), place=place
    )


async def test_variants_are_listed_with_their_needs(hub: FakeHub, tmp_path: Path) -> None:
    found = await look(place_of(hub, tmp_path), HubModel("org/m"))
    assert [(one.file, one.size_bytes) for one in found.candidates] == [
        ("m-Q4_K_M.gguf", 1000),
        ("m-Q8_0.gguf", 2000),
    ]
    assert (found.chosen, found.id, found.is_estimate_rough) == ("m-Q4_K_M.gguf", "m", False)
    assert all(one.fits and one.download_bytes == one.size_bytes for one in found.candidates)
    # Nothing is fetched but the head of one file.
    assert hub.ranges == ["bytes=0-262143"]
    assert not (tmp_path / "hub").exists()


async def test_cached_files_are_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    blobs = tmp_path / "hub/models--org--m/blobs"
    blobs.mkdir(parents=True)
    (blobs / hub.repos["org/m"].sha256("m-Q8_0.gguf")).touch()
    found = await look(place_of(hub, tmp_path), HubModel("org/m"))
    assert [one.download_bytes for one in found.candidates] == [1000, 0]


async def test_one_of_many_variants_is_preselected_and_all_can_be_chosen(
    hub: FakeHub, tmp_path: Path
) -> None:
    found = await look(place_of(hub, tmp_path), HubModel("org/forty"))
    assert len(found.candidates) == 40
    assert found.candidate().file == found.chosen
    assert found.candidate("m-Q8_0.gguf").size_bytes == 5000
    with pytest.raises(UnknownRepository, match=r"no file 'x\.gguf'"):
        found.candidate("x.gguf")


async def test_a_file_a_quantization_or_a_revision_can_be_named(
    hub: FakeHub, tmp_path: Path
) -> None:
    place = place_of(hub, tmp_path)
    found = await look(place, HubModel("org/m", "m-Q8_0.gguf", COMMIT))
    assert [one.file for one in found.candidates] == ["m-Q8_0.gguf"]
    found = await look(place, HubModel("org/m", quantization="q8_0"))
    assert [one.file for one in found.candidates] == ["m-Q8_0.gguf"]
    with pytest.raises(NoGGUF) as caught:
        await look(place, HubModel("org/m", quantization="Q5_0"))
    assert caught.value.hint == "there are Q4_K_M, Q8_0"


async def test_the_budget_of_the_settings_counts(hub: FakeHub, tmp_path: Path) -> None:
    found = await look(place_of(hub, tmp_path), HubModel("org/m"), budget_bytes=1_000_000)
    assert not any(one.fits for one in found.candidates)
    assert "`memory_budget` in [engines]" in str(found.candidate().problem)


async def test_a_head_that_is_no_gguf_leaves_a_rough_estimate(hub: FakeHub, tmp_path: Path) -> None:
    found = await look(place_of(hub, tmp_path), HubModel("org/garbled"))
    assert found.is_estimate_rough


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (HubModel("org/gone"), UnknownRepository, "does not exist on the hub, or is private"),
        (HubModel("org/private"), UnknownRepository, "does not exist on the hub, or is private"),
        (HubModel("org/m", revision="v9"), UnknownRepository, "has no revision 'v9'"),
        (HubModel("org/m", "x.gguf"), UnknownRepository, "has no file 'x.gguf'"),
        (HubModel("org/gated"), GatedRepository, "is gated"),
        (HubModel("org/safe"), NoGGUF, "has no GGUF file: its weights are in another form"),
        (HubModel("org/empty"), NoGGUF, "has no GGUF file that can be run"),
    ],
)
async def test_repositories_that_cannot_be_used_are_errors(
    hub: FakeHub, tmp_path: Path, model: HubModel, error: type[HubError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        await look(place_of(hub, tmp_path), model)
    if error is NoGGUF and model.repo == "org/safe":
        assert "runner = docker" in str(caught.value.hint)


async def test_a_private_one_is_there_for_its_token(hub: FakeHub, tmp_path: Path) -> None:
    model = HubModel("org/private")
    assert (await look(place_of(hub, tmp_path, "hf_right"), model)).candidates
    with pytest.raises(UnknownRepository, match="HF_TOKEN does not open it"):
        await look(place_of(hub, tmp_path, "hf_wrong"), model)


@pytest.mark.parametrize(
    ("says", "status", "error"),
    [
        (b"<html>It works!</html>", 200, HubError),
        (b"", 200, HubError),
        (b"[]", 200, HubError),
        (b'{"siblings": [{"rfilename": 1}]}', 200, HubError),
        (b'{"siblings": [{"rfilename": "a.gguf", "size": "x"}]}', 200, HubError),
        (b"\xff\xfe", 200, HubError),
        (b"[" * 100_000, 200, HubError),
        (b'{"siblings": []}' + b" " * (33 << 20), 200, HubError),
        (b'{"siblings": [{"rfilename": "../../x.gguf", "size": 1}]}', 200, NoGGUF),
        (b"", 401, UnknownRepository),
        (b"", 418, HubError),
        (b"", 429, HubUnreachable),
        (b"", 502, HubUnreachable),
    ],
)
async def test_a_hub_that_answers_garbage_is_told(
    hub: FakeHub, tmp_path: Path, says: bytes, status: int, error: type[HubError]
) -> None:
    hub.says, hub.status = says, status
    with pytest.raises(error) as caught:
        await look(place_of(hub, tmp_path), HubModel("org/other"))
    assert type(caught.value) is error


async def test_a_hub_that_never_answers_is_given_up(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.is_silent = True
    monkeypatch.setattr(asking, "ASK_SECONDS", 0.2)
    with pytest.raises(HubUnreachable, match="does not answer in time"):
        await look(place_of(hub, tmp_path), HubModel("org/m"))


async def test_cancelling_ends_the_request(hub: FakeHub, tmp_path: Path) -> None:
    hub.is_silent = True
    task = asyncio.create_task(look(place_of(hub, tmp_path), HubModel("org/m")))
    await hub.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_unreachable_hub_and_offline_mode_are_told(hub: FakeHub, tmp_path: Path) -> None:
    nobody = HubPlace("http://127.0.0.1:9", str(tmp_path), False, {})
    with pytest.raises(HubUnreachable, match="cannot be reached: Connection refused"):
        await look(nobody, HubModel("org/m"))
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE"):
        await look(place_of(hub, tmp_path, is_offline=True), HubModel("org/m"))
    assert hub.asked == []


@pytest.mark.parametrize(
    ("repo", "taken", "made"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct-GGUF", (), "qwen2.5-0.5b-instruct"),
        ("org/m", ("M",), "m-q8_0"),
        ("org/m", ("m", "m-q8_0", "m-q8_0-2"), "m-q8_0-3"),
        ("org/-GGUF", (), "model"),
        ("org/" + "x" * 96, (), "x" * 80),
    ],
)
def test_an_id_is_made_of_the_repositorys_name(
    repo: str, taken: tuple[str, ...], made: str
) -> None:
    assert free_id(repo, "Q8_0", taken) == made
