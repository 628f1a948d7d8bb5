"""What a list of models says of each, however much or little that is."""

import json
from typing import Any

import pytest

from server.dialects.base import ServedModel
from server.dialects.only_model import listed
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.listing import entries, served
from tests.dialects.test_detection import RECORDED


def model(flavour: str = "plain", **entry: Any) -> ServedModel:
    return served(FLAVOURS[flavour], {"id": "m", **entry})


def models_recorded(server: str, flavour: str) -> list[ServedModel]:
    found = entries(RECORDED[server]["/models"].body)
    assert found is not None
    return [served(FLAVOURS[flavour], entry) for entry in found]


def test_recorded_lists() -> None:
    (small,) = models_recorded("llama.cpp", "llama.cpp")
    assert (small.name, small.context_tokens, small.model_context_tokens) == ("smollm2", 2048, 8192)
    assert small.details == {"quantization": "Q4_1", "parameters": "135M"}
    (small,) = models_recorded("vllm", "vllm")
    assert small.context_tokens == 2048
    first, *others = models_recorded("llama-swap", "llama-swap")
    assert (first.name, first.aliases, first.is_loaded) == ("a", ("gpt-4o-mini",), False)
    assert [other.name for other in others] == ["b", "broken", "nocmd"]
    (small,) = models_recorded("transformers with a model", "transformers")
    assert small.is_loaded is True
    assert [model.name for model in models_recorded("litellm", "litellm")] == [
        "smollm2",
        "smollm2-hosted",
        "dead",
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("text-embedding-3-small", "embedding"),
        ("text-embedding-nomic-embed-text-v1.5", "embedding"),
        ("BAAI/bge-m3", "embedding"),
        ("intfloat/e5-large", "embedding"),
        ("all-MiniLM-L6-v2", "embedding"),
        ("google/embeddinggemma-300m", "embedding"),
        ("BAAI/bge-reranker-v2-m3", "rerank"),
        ("Qwen/Qwen3-Reranker-8B", "rerank"),
        ("whisper-1", "speech"),
        ("tts-1-hd", "speech"),
        ("gpt-4o-mini-tts", "speech"),
        ("hexgrad/Kokoro-82M", "speech"),
        ("dall-e-3", "image"),
        ("stabilityai/stable-diffusion-3.5", "image"),
        ("gpt-image-1", "image"),
        ("gpt-4o-mini", "text"),
        ("Qwen/Qwen3-8B", "text"),
        ("google/gemma-3-27b-it", "text"),
        ("deepseek-r1", "text"),
        ("mistral-large", "text"),
        ("imagine-story-7b", "text"),
        ("stable-lm-2", "text"),
        ("modèle à moi: 東京", "text"),
        ("attsell/llama", "text"),
    ],
)
def test_kind_by_name(name: str, kind: str) -> None:
    assert served(FLAVOURS["plain"], {"id": name}).kind == kind


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"type": "embeddings"}, "embedding"),
        ({"type": "llm", "id": "my-embedding-writer"}, "text"),
        ({"type": "vlm"}, "text"),
        ({"type": "model"}, "text"),
        ({"task": "text-generation"}, "text"),
        ({"task": "automatic-speech-recognition"}, "speech"),
        ({"task": "score"}, "rerank"),
        ({"capabilities": ["embedding"]}, "embedding"),
        ({"capabilities": ["completion", "vision"]}, "text"),
        ({"architecture": {"output_modalities": ["image"]}}, "image"),
        ({"architecture": {"output_modalities": ["image", "text"]}}, "text"),
        ({"architecture": {"output_modalities": ["embeddings"]}}, "embedding"),
    ],
    ids=str,
)
def test_kind_by_what_is_told(entry: dict[str, Any], kind: str) -> None:
    assert model(**entry).kind == kind


def test_abilities() -> None:
    assert model(capabilities=["completion", "tools"]).capabilities["tools"]
    assert model(capabilities={"vision": True, "x": 1}).capabilities == {"vision": True}
    assert model("lmstudio", type="vlm").capabilities["vision"]
    assert model().capabilities == {}


@pytest.mark.parametrize(
    ("count", "text"),
    [(134515008, "135M"), (8030261248, "8.03B"), (70_000_000_000, "70B"), (999, "999")],
)
def test_sizes(count: int, text: str) -> None:
    assert model("llama.cpp", meta={"n_params": count}).details["parameters"] == text


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"data": [{"id": "a"}, {"id": ""}, {"id": 5}, "x", None, {"name": "y"}]}, ["a"]),
        ([{"id": "a"}], ["a"]),
        ({"object": "list", "data": None}, []),
        ({"object": "list", "data": []}, []),
        ({"object": "list"}, None),
        ({"data": {"a": 1}}, None),
        ({"error": "no"}, None),
        ("hello", None),
    ],
    ids=str,
)
def test_lists_of_any_shape(body: Any, names: list[str] | None) -> None:
    found = entries(json.dumps(body).encode())
    assert (None if found is None else [entry["id"] for entry in found]) == names


@pytest.mark.parametrize("value", [None, -1, 0, True, "2048", 1e300, float("nan"), [5], {"a": 1}])
def test_limits_that_are_none(value: Any) -> None:
    assert served(FLAVOURS["vllm"], {"id": "m", "max_model_len": value}).context_tokens is None


def test_many_names() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(f"m{i}" for i in range(20)).endswith("m11 and 8 more")
