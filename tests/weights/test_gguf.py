"""What a GGUF file says of itself, whole, cut at every byte, and garbled."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.weights.errors import NotGGUF
from server.weights.gguf import read_model_file
from tests.weights.tiny import gguf_bytes

WHOLE = gguf_bytes(tensor_bytes=4)


def test_a_whole_file_tells_what_the_engine_needs(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes())
    model = read_model_file(path)
    assert model.trained_context_tokens == 128


def test_a_file_cut_anywhere_before_its_last_tensor_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    for length in range(len(WHOLE) - 3):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(NotGGUF):
            read_model_file(path)


@pytest.mark.parametrize("alignment", [0, "wide"])
def test_an_alignment_that_is_none_is_refused(tmp_path: Path, alignment: object) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes({"general.alignment": alignment}))
    with pytest.raises(NotGGUF):
        read_model_file(path)


@pytest.mark.parametrize("version", [0, 1, 4, 2**31])
def test_another_version_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", version) + WHOLE[8:])
    with pytest.raises(NotGGUF, match=f"GGUF version {version} is not supported"):
        read_model_file(path)


@pytest.mark.parametrize("length", [2**40, 2**63 - 8, 2**64 - 1])
def test_a_text_longer_than_the_file_is_found_out(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.gguf"
    # Of a vocabulary, behind which the next length would be read.
    text = struct.pack("<Q", 5) + b"<end>"
    assert WHOLE.count(text) == 1
    path.write_bytes(WHOLE.replace(text, struct.pack("<Q", length) + b"<end>"))
    with pytest.raises(NotGGUF):
        read_model_file(path)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(4, len(WHOLE) - 9), garbage=st.binary(min_size=1, max_size=9))
def test_garbage_is_refused_or_read_but_never_hangs(
    tmp_path_factory: pytest.TempPathFactory, at: int, garbage: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbled.gguf"
    path.write_bytes(WHOLE[:at] + garbage + WHOLE[at + len(garbage) :])
    try:
        model = read_model_file(path)
    except NotGGUF:
        return
    assert model.path == path
