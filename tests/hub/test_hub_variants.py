"""Which of a repository's files can be run, and which of them is taken."""

import pytest

from server.hub.variants import RepoFile, Variant, choose, find_variants, quantization_of


def found(*names: str) -> list[Variant]:
    return find_variants(RepoFile(name, 100 + at) for at, name in enumerate(names))


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Model.Q8_0.gguf", "Q8_0"),
        ("Model-UD-Q4_K_XL.gguf", "Q4_K_XL"),
        ("Model-IQ4_XS.gguf", "IQ4_XS"),
        ("model-fp16.gguf", "F16"),
        ("model-bf16.gguf", "BF16"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("Q6_K/model-00001-of-00002.gguf", "Q6_K"),
        ("Q6_K/model-Q5_0.gguf", "Q5_0"),
        ("ggml-model-i2_s.gguf", ""),
        ("MQ4_K_Mix.gguf", ""),
    ],
)
def test_the_quantization_is_read_from_the_name(name: str, quantization: str) -> None:
    assert quantization_of(name) == quantization


def test_a_model_in_several_files_is_one_and_only_whole() -> None:
    variants = found(
        "Q8_0/m-00002-of-00002.gguf",
        "Q8_0/m-00001-of-00002.gguf",
        "Q4_0/m-00001-of-00003.gguf",
        "Q4_0/m-00003-of-00003.gguf",
    )
    assert [(one.file, one.size_bytes, one.quantization) for one in variants] == [
        ("Q8_0/m-00001-of-00002.gguf", 201, "Q8_0")
    ]


def test_auxiliary_files_are_no_variants() -> None:
    assert not found(
        *("mmproj-F16.gguf", "model-mmproj.gguf", "model.imatrix.gguf", "README.md"),
        *("../x.gguf", "/x.gguf", "a b.gguf", "a@b.gguf", "model.safetensors"),
    )
    assert not find_variants([RepoFile("m.gguf", 0)])


FORTY = ("IQ2_M", "Q2_K", "Q3_K_M", "IQ4_XS", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")


@pytest.mark.parametrize(
    ("fitting", "chosen"),
    [
        (FORTY, "Q4_K_M"),
        (FORTY[:6], "Q4_K_S"),
        (("Q5_K_M", "Q8_0"), "Q5_K_M"),
        (("Q2_K", "Q8_0"), "Q8_0"),
        (("Q4_K_S", "Q4_K_L"), "Q4_K_L"),
        ((), "IQ2_M"),
    ],
)
def test_the_nearest_that_fits_is_taken(fitting: tuple[str, ...], chosen: str) -> None:
    variants = found(*(f"m-{name}.gguf" for name in dict.fromkeys((*FORTY, *fitting))))
    assert choose(variants, lambda one: one.quantization in fitting).quantization == chosen


def test_without_a_name_the_largest_variant_that_fits_is_chosen() -> None:
    variants = found("small.gguf", "middle.gguf", "large.gguf")
    assert choose(variants, lambda one: one.file != "large.gguf").file == "middle.gguf"
