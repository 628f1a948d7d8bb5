"""What a GGUF file says of itself, whole, cut at every byte, and garbled."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.gguf import ModelFile, NotGGUF, read_model_file
from tests.engine.tiny import TINY_METADATA, gguf_bytes

WHOLE = gguf_bytes(tensor_bytes=4)


def test_a_whole_file_tells_what_the_engine_needs(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes({**TINY_METADATA, "tokenizer.chat_template": "{{ x }}"}))
    model = read_model_file(path)
    assert model.chat_template == "{{ x }}"
    assert model.trained_context_tokens == 128
    assert model.special_ids == {0}
    assert model.eos_id == 0
    assert model.ids_by_bytes == {b"a": 1, b" b": 2}


def test_a_file_without_template_has_none(tmp_path: Path) -> None:
    for template in ({}, {"tokenizer.chat_template": " "}):
        path = tmp_path / "m.gguf"
        path.write_bytes(gguf_bytes({**TINY_METADATA, **template}))
        assert read_model_file(path).chat_template is None


def test_pieces_with_a_visible_blank_and_byte_tokens_are_read() -> None:
    tokens = [b"<unk>", "▁hello".encode(), b"<0xE3>", b"<0xzz>"]
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": (3, 1, 6, 1),
    }
    model = ModelFile(Path("m.gguf"), metadata)
    assert model.bytes_by_id == {1: b" hello", 2: b"\xe3", 3: b"<0xzz>"}


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
