"""`/generate`, `/`, `/tokenize`, `/chat_tokenize`, `/info` and the rest."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from tests.engine.client import PROMPT, Client, text_of
from tests.engine.conftest import SMALL_CONTEXT

SAMPLED: dict[str, Any] = {"do_sample": True, "max_new_tokens": 10, "details": True}


async def test_whole_answer_equals_the_stream(engine: Client) -> None:
    answer = await engine.generate(max_new_tokens=10, details=True, top_n_tokens=2)
    events = await engine.stream(max_new_tokens=10, details=True, top_n_tokens=2)
    details = answer["details"]
    assert answer["generated_text"] == events[-1]["generated_text"]
    assert [t["id"] for t in details["tokens"]] == [e["token"]["id"] for e in events]
    assert [len(top) for top in details["top_tokens"]] == [2] * 10
    assert details["prefill"] == []
    assert details["generated_tokens"] == 10
    assert details["finish_reason"] == "length"
    assert details["seed"] is None


async def test_without_details_there_is_only_the_text(engine: Client) -> None:
    assert list(await engine.generate(max_new_tokens=2)) == ["generated_text"]


async def test_times_are_told_in_headers(engine: Client) -> None:
    body = {"inputs": "Once", "parameters": {"max_new_tokens": 3}}
    async with engine.session.post(engine.url + "/generate", json=body) as response:
        headers = response.headers
    assert headers["x-prompt-tokens"] == "1"
    assert headers["x-generated-tokens"] == "3"
    assert int(headers["x-total-time"]) >= int(headers["x-inference-time"]) >= 0


async def test_greedy_answers_are_the_same_each_time(engine: Client) -> None:
    answers = [await engine.generate(max_new_tokens=20) for _ in range(2)]
    assert answers[0] == answers[1]


async def test_greedy_answers_are_the_same_beside_others(engine: Client) -> None:
    alone = await engine.generate(max_new_tokens=20)
    both = await asyncio.gather(
        engine.generate(max_new_tokens=20), engine.generate("Once upon", max_new_tokens=20)
    )
    assert both[0] == alone


async def test_same_seed_same_answer_and_another_seed_another(engine: Client) -> None:
    one, again, other = [await engine.generate(**SAMPLED, seed=seed) for seed in (7, 7, 8)]
    assert one == again
    assert one["details"]["seed"] == 7
    assert one["generated_text"] != other["generated_text"]


async def test_large_seeds_count_to_their_last_bit(engine: Client) -> None:
    seeds = (2**64 - 1, 2**64 - 1, 2**63 - 1)
    one, again, other = [await engine.generate(**SAMPLED, seed=seed) for seed in seeds]
    assert one["details"]["seed"] == 2**64 - 1
    assert one == again != other


async def test_random_seed_is_told_and_brings_the_answer_back(engine: Client) -> None:
    one = await engine.generate(**SAMPLED, temperature=1.3)
    again = await engine.generate(**SAMPLED, temperature=1.3, seed=one["details"]["seed"])
    assert one["generated_text"] == again["generated_text"]


async def test_no_parameters_at_all_means_sampling_and_empty_ones_greedy(small: Client) -> None:
    prompt = " word" * (SMALL_CONTEXT - 25) + " Here is a list of ten random things:"
    sampled = [await small.post("/generate", {"inputs": prompt}) for _ in range(2)]
    greedy = [await small.post("/generate", {"inputs": prompt, "parameters": {}}) for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert sampled[0] != sampled[1]


@pytest.mark.parametrize(
    "warper", [{"temperature": 0.7}, {"top_k": 50}, {"top_p": 0.9}, {"typical_p": 0.9}]
)
async def test_a_warper_alone_turns_sampling_on(engine: Client, warper: dict[str, Any]) -> None:
    answer = await engine.generate(max_new_tokens=2, details=True, seed=1, **warper)
    assert answer["details"]["seed"] == 1


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 0.0001}, {"temperature": 0.001}])
async def test_narrowest_sampling_is_greedy(engine: Client, narrow: dict[str, Any]) -> None:
    greedy = await engine.generate(max_new_tokens=12)
    assert await engine.generate(max_new_tokens=12, do_sample=True, **narrow) == greedy


@pytest.mark.parametrize("penalty", [{"repetition_penalty": 5.0}, {"frequency_penalty": 2.0}])
async def test_penalties_reach_back_to_the_first_token(
    engine: Client, penalty: dict[str, Any]
) -> None:
    # The repeated word is far behind what llama.cpp would look at by itself (64 tokens).
    prompt = "apple " * 5 + "one two three four five six seven " * 10 + "I eat an"
    free = await engine.generate(prompt, max_new_tokens=1, details=True, top_n_tokens=5)
    assert free["details"]["tokens"][0]["text"] == " apple"
    held = await engine.generate(prompt, max_new_tokens=1, details=True, **penalty)
    assert held["details"]["tokens"][0]["text"] != " apple"


async def test_best_of_returns_the_likeliest(engine: Client) -> None:
    answer = await engine.generate(**SAMPLED, best_of=2, temperature=1.5)
    details = answer["details"]
    (other,) = details["best_of_sequences"]
    assert details["seed"] != other["seed"]

    def mean(tokens: list[dict[str, Any]]) -> float:
        return sum(t["logprob"] or 0.0 for t in tokens) / len(tokens)

    assert mean(details["tokens"]) >= mean(other["tokens"])


@pytest.mark.parametrize(
    "grammar",
    [
        {"type": "json", "value": {"properties": {"a": {"type": "boolean"}}, "required": ["a"]}},
        {"type": "json_object", "value": '{"properties": {"a": {"enum": [true, false]}}}'},
        {
            "type": "json_schema",
            "value": {
                "name": "x",
                "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}},
            },
        },
        {"type": "regex", "value": r"\{\"a/b\": true\}|\{\}"},
    ],
)
async def test_grammar_binds_the_answer(engine: Client, grammar: dict[str, Any]) -> None:
    answer = await engine.generate(max_new_tokens=60, details=True, grammar=grammar)
    assert answer["details"]["finish_reason"] == "eos_token"
    assert json.loads(answer["generated_text"]) in ({"a": True}, {"a": False}, {"a/b": True}, {})


async def test_root_answers_a_list_with_the_full_text(engine: Client) -> None:
    status, body = await engine.post("/", {"inputs": "Once", "parameters": {"max_new_tokens": 3}})
    assert status == 200
    assert body[0]["generated_text"].startswith("Once")


async def test_root_streams_when_asked_to(engine: Client) -> None:
    body = {"inputs": "Once", "stream": True, "parameters": {"max_new_tokens": 3}}
    async with engine.session.post(engine.url + "/", json=body) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert (await response.read()).count(b"data: ") == 3


async def test_tokens_tell_where_they_stand_in_bytes(engine: Client) -> None:
    text = "<|im_start|>Hi there, 日本 🤖"
    status, tokens = await engine.post("/tokenize", {"inputs": text})
    assert status == 200
    assert tokens[0]["text"] == "<|im_start|>"
    assert tokens[0]["start"] == 0
    for token, following in pairwise(tokens):
        assert token["stop"] == following["start"]
    assert tokens[-1]["stop"] == len(text.encode())


async def test_chat_becomes_a_prompt_by_the_models_own_template(engine: Client) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Grüße <|im_end|>"},
    ]
    status, body = await engine.post("/chat_tokenize", {"messages": messages, "model": "tgi"})
    assert status == 200
    assert body["templated_text"] == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nGrüße <|im_end|><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert (
        "".join(token["text"] for token in body["tokenize_response"][:3]) == "<|im_start|>system\n"
    )
    answer = await engine.stream(body["templated_text"], max_new_tokens=2, details=True)
    assert answer[-1]["details"]["input_length"] == len(body["tokenize_response"])


async def test_info_has_the_keys_of_tgi_and_tells_the_truth(engine: Client) -> None:
    async with engine.session.get(engine.url + "/info") as response:
        info = await response.json()
    assert info["model_id"] == "big"
    assert info["max_concurrent_requests"] == 128
    assert info["max_total_tokens"] == info["max_input_tokens"] + 1 == 4096
    assert info["router"] == "sidestream-engine"
    assert set(info) >= {"model_sha", "model_pipeline_tag", "max_best_of", "max_stop_sequences"}


@pytest.mark.parametrize("path", ["/health", "/ping", "/"])
async def test_health_is_an_empty_yes(engine: Client, path: str) -> None:
    async with engine.session.get(engine.url + path) as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_models_are_listed_as_openai_does(engine: Client) -> None:
    async with engine.session.get(engine.url + "/v1/models") as response:
        assert (await response.json())["data"][0]["id"] == "big"


async def test_metrics_count_what_happened(engine: Client) -> None:
    before = await engine.metric("tgi_request_success")
    await engine.stream(max_new_tokens=3)
    assert await engine.metric("tgi_request_success") == before + 1
    assert await engine.metric("tgi_request_count") >= before + 1
    assert await engine.metric("tgi_request_generated_tokens_count") == before + 1
    assert await engine.metric('tgi_request_duration_bucket{le="+Inf"}') == before + 1


async def test_joined_texts_are_the_answer_for_every_kind_of_text(engine: Client) -> None:
    prompts = ("日本語で", "Emoji: 🤖", "def f(x):\n", "Ω ≈ ", PROMPT)
    streams = [
        engine.stream(prompt, max_new_tokens=16, do_sample=True, temperature=1.5, seed=seed)
        for seed, prompt in enumerate(prompts)
    ]
    for events in await asyncio.gather(*streams):
        assert events[-1]["generated_text"] == text_of(events)
