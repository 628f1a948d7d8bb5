"""What is sent to each kind of server: parameters by its own names, and what it does not take."""

from dataclasses import fields, replace
from typing import Any

import pytest

from server.core.errors import InvalidParameters
from server.core.extra import RESERVED
from server.core.protocol import Message
from server.dialects.base import Ask, EngineInfo, Prompt
from server.dialects.openai.flavour import Flavour
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.info import at_its_place
from server.dialects.openai.parameters import compose, problems, taken

CHAT = (Message("system", "Be brief."), Message("user", "Hi"))
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
PROVIDERS = ["litellm", "openrouter", "openai"]
OWN = [name for name in FLAVOURS if name not in PROVIDERS]
PARAMETERS = {
    "temperature",
    "top_p",
    "top_k",
    "typical_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "tools",
    "tool_choice",
    "seed",
    "stop",
    "truncate",
    "logit_bias",
}
OFF = {
    "temperature": 0,
    "top_p": 1,
    "top_k": 0,
    "typical_p": 1,
    "min_p": 0,
    "repetition_penalty": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
}


def ask(content: Any = CHAT, *, chosen: set[str] | None = None, **parameters: Any) -> Ask:
    names = parameters.keys() if chosen is None else chosen
    return Ask(Prompt(content), parameters, chosen=frozenset(names))


def body(flavour: str, question: Ask) -> dict[str, Any]:
    return compose(FLAVOURS[flavour], question, "m").body


@pytest.mark.parametrize(
    ("flavour", "parameters", "sent"),
    [
        ("llama.cpp", {"repetition_penalty": 1.1}, {"repeat_penalty": 1.1}),
        ("llama.cpp", {"repetition_penalty": 1.1}, {"repeat_last_n": 131_072}),
        ("llama.cpp", {"typical_p": 0.9, "min_p": 0.1}, {"typical_p": 0.9, "min_p": 0.1}),
        ("llama.cpp", {}, {"return_progress": True}),
        ("llama.cpp", {"seed": 2**32 - 2}, {"seed": 2**32 - 2}),
        # The last one would mean a random seed.
        ("llama.cpp", {"seed": 2**32 - 1}, {"seed": 0}),
        ("llama.cpp", {"seed": 2**64 - 1}, {"seed": 2**64 % (2**32 - 1) - 1}),
        ("vllm", {"seed": 2**63 + 5}, {"seed": 5}),
        ("vllm", {"repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        ("vllm", {"truncate": 100}, {"truncate_prompt_tokens": 100}),
        ("vllm", {"stop": ["x"]}, {"stop": ["x"], "include_stop_str_in_output": True}),
        (
            "vllm",
            {"grammar": {"type": "regex", "value": "a+"}},
            {"structured_outputs": {"regex": "a+"}},
        ),
        ("sglang", {"grammar": {"type": "regex", "value": "a+"}}, {"regex": "a+"}),
        ("sglang", {"top_k": 0}, {"top_k": -1}),
        ("lmdeploy", {"repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        (
            "lmdeploy",
            {"grammar": {"type": "regex", "value": "a+"}},
            {"response_format": {"type": "regex_schema", "regex_schema": "a+"}},
        ),
        ("lmstudio", {"repetition_penalty": 1.1}, {"repeat_penalty": 1.1}),
        (
            "llama-swap",
            {"repetition_penalty": 1.1},
            {"repeat_penalty": 1.1, "repetition_penalty": 1.1},
        ),
        (
            "tgi-openai",
            {"grammar": {"type": "json", "value": SCHEMA}},
            {"response_format": {"type": "json_object", "value": SCHEMA}},
        ),
        ("tgi-openai", {"seed": 2**64 - 1}, {"seed": 2**64 - 1}),
        ("transformers", {"frequency_penalty": 0.5}, {"frequency_penalty": 0.5}),
        ("openrouter", {"top_k": 20, "min_p": 0.1}, {"top_k": 20, "min_p": 0.1}),
        ("openai", {"max_new_tokens": 7}, {"max_completion_tokens": 7}),
        ("plain", {"max_new_tokens": 7, "top_k": 3}, {"max_tokens": 7, "top_k": 3}),
        ("plain", {"logit_bias": {"5": -100}}, {"logit_bias": {"5": -100}}),
    ],
)
def test_names_and_values(flavour: str, parameters: dict[str, Any], sent: dict[str, Any]) -> None:
    got = body(flavour, ask(**parameters))
    assert {name: got.get(name) for name in sent} == sent


@pytest.mark.parametrize("flavour", [name for name in FLAVOURS if FLAVOURS[name].grammars])
@pytest.mark.parametrize(
    "grammar",
    [
        {"type": "json", "value": SCHEMA},
        {"type": "json", "value": '{"type":"object","properties":{"name":{"type":"string"}}}'},
        {"type": "json_schema", "value": {"name": "x", "schema": SCHEMA}},
    ],
)
def test_grammar_of_json(flavour: str, grammar: dict[str, Any]) -> None:
    form = body(flavour, ask(grammar=grammar))["response_format"]
    assert SCHEMA in (form.get("value"), form.get("json_schema", {}).get("schema"))


def test_grammar_that_is_no_schema() -> None:
    with pytest.raises(InvalidParameters, match="no JSON schema"):
        body("vllm", ask(grammar={"type": "json", "value": "{"}))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_frame_of_a_question(flavour: str) -> None:
    chat = body(flavour, ask())
    assert chat["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (chat["model"], chat["stream"]) == ("m", True)
    assert chat["stream_options"] == {"include_usage": True}
    assert "n" not in chat
    assert "prompt" not in chat
    text = body(flavour, ask("Once"))
    assert text["prompt"] == "Once"
    assert "messages" not in text


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_request_without_parameters_sends_none(flavour: str) -> None:
    sent = body(flavour, ask()).keys() - {"model", "messages", "stream", "stream_options"}
    assert sent <= {"return_progress"}


@pytest.mark.parametrize("flavour", OWN)
def test_off_is_sent_where_the_server_has_defaults_of_its_own(flavour: str) -> None:
    known = FLAVOURS[flavour].takes
    for name, value in OFF.items():
        sent = body(flavour, ask(chosen=set(), **{name: value}))
        names = known.get(name, ())
        expected = FLAVOURS[flavour].off.get(name, value)
        assert {n: sent.get(n) for n in names} == dict.fromkeys(names, expected)
        # Not a refusal either, where it is not taken: it changes nothing.
        assert names or name not in sent


@pytest.mark.parametrize("flavour", PROVIDERS)
def test_provider_gets_only_what_somebody_chose(flavour: str) -> None:
    sent = body(flavour, ask(chosen={"top_p"}, max_new_tokens=1024, temperature=0, top_p=0.5))
    assert sent.keys() - {"model", "messages", "stream", "stream_options"} == {"top_p"}
    # Without a length an answer to a text has 16 tokens.
    assert body(flavour, ask("Once", chosen=set(), max_new_tokens=1024))["max_tokens"] == 1024


@pytest.mark.parametrize("flavour", PROVIDERS)
def test_provider_is_asked_for_probabilities_only_if_somebody_chose(flavour: str) -> None:
    wanted = Ask(Prompt(CHAT), {"top_n_tokens": 2}, wants_tokens=True)
    assert "logprobs" not in compose(FLAVOURS[flavour], wanted, "m").body
    chosen = Ask(Prompt(CHAT), {"top_n_tokens": 2}, chosen=frozenset({"top_n_tokens"}))
    assert compose(FLAVOURS[flavour], chosen, "m").body["top_logprobs"] == 2


@pytest.mark.parametrize(
    ("url", "is_provider"),
    [
        ("https://api.example.com", True),
        ("http://api.example.com", False),
        ("https://127.0.0.1:8443", False),
        ("https://192.168.1.5", False),
        ("https://gpu-box:8000", False),
        ("https://llm.lan", False),
        ("http://localhost:8080", False),
        ("https://[::1]:8000", False),
        ("https://172.15.0.1", True),
        ("https://172.16.0.1", False),
        ("https://100.1.2.3", True),
    ],
)
def test_unknown_server_far_away_is_a_provider(url: str, is_provider: bool) -> None:
    assert at_its_place(FLAVOURS["plain"], url).is_provider is is_provider
    assert at_its_place(FLAVOURS["vllm"], url).is_provider is False


@pytest.mark.parametrize(
    ("flavour", "parameters", "words"),
    [
        ("vllm", {"typical_p": 0.9}, "`typical_p` is not taken by vLLM"),
        ("vllm", {"temperature": 2.5}, "`temperature` is from 0 to 2 with vLLM, not 2.5"),
        ("vllm", {"top_n_tokens": 21}, "`top_n_tokens` is at most 20 with vLLM, not 21"),
        ("transformers", {"top_k": 5}, "`top_k` is not taken by transformers serve"),
        ("transformers", {"top_n_tokens": 2}, "`top_n_tokens` is not taken by transformers serve"),
        (
            "transformers",
            {"grammar": {"type": "json", "value": SCHEMA}},
            "`grammar` of type json is not taken by transformers serve",
        ),
        (
            "llama.cpp",
            {"grammar": {"type": "regex", "value": "a**"}},
            "`grammar` has a regular expression that repeats a repeat (character 3)",
        ),
        ("sglang", {"truncate": 5}, "`truncate` is not taken by SGLang"),
        ("lmdeploy", {"presence_penalty": 0.5}, "`presence_penalty` is not taken by LMDeploy"),
        ("lmdeploy", {"top_n_tokens": 2}, "`top_n_tokens` is not taken by LMDeploy"),
        ("lmstudio", {"min_p": 0.1}, "`min_p` is not taken by LM Studio"),
        ("openai", {"top_k": 5}, "`top_k` is not taken by OpenAI"),
        ("plain", {"watermark": True}, "`watermark` is not taken by the model server"),
        ("plain", {"adapter_id": "a"}, "`adapter_id` is not taken by the model server"),
        ("plain", {"best_of": 2}, "`best_of` is not taken by the model server"),
    ],
)
def test_parameters_that_a_server_does_not_take_are_refused_or_left_out(
    flavour: str, parameters: dict[str, Any], words: str
) -> None:
    (name,) = parameters
    assert problems(FLAVOURS[flavour], parameters) == {name: words}
    with pytest.raises(InvalidParameters) as refusal:
        compose(FLAVOURS[flavour], ask(**parameters), "m")
    assert refusal.value.message == words
    lenient = Ask(Prompt(CHAT), parameters, chosen=frozenset(parameters), is_lenient=True)
    question = compose(FLAVOURS[flavour], lenient, "m")
    assert [(notice.code, notice.details) for notice in question.notices] == [
        ("parameter_left_out", {"parameter": name})
    ]
    assert words in question.notices[0].message
    plain = compose(FLAVOURS[flavour], ask(), "m").body
    assert question.body == plain


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_neutral_values_are_never_refused(flavour: str) -> None:
    off = {**OFF, "watermark": False, "best_of": 1, "stop": [], "top_n_tokens": 0}
    off |= {"decoder_input_details": False, "details": True, "return_full_text": True}
    assert problems(FLAVOURS[flavour], off) == {}


@pytest.mark.parametrize(
    ("flavour", "do_sample", "temperature", "sent"),
    [
        ("plain", False, None, 0),
        ("plain", False, 0.7, 0),
        ("plain", True, None, None),
        ("llama.cpp", False, None, 0),
        ("openai", False, None, 0),
    ],
)
def test_not_sampling_is_temperature_0(
    flavour: str, do_sample: bool, temperature: float | None, sent: float | None
) -> None:
    parameters: dict[str, Any] = {"do_sample": do_sample}
    if temperature is not None:
        parameters |= {"temperature": temperature}
    got = body(flavour, ask(**parameters))
    assert got.get("temperature") == sent
    assert "do_sample" not in got


@pytest.mark.parametrize(
    ("flavour", "content", "wanted", "sent"),
    [
        ("llama.cpp", CHAT, 0, {"logprobs": True, "top_logprobs": 1}),
        ("llama.cpp", CHAT, 3, {"logprobs": True, "top_logprobs": 3}),
        ("llama.cpp", "Once", 0, {"logprobs": 1}),
        ("vllm", CHAT, 0, {"logprobs": True, "top_logprobs": 0, "return_token_ids": True}),
        ("vllm", "Once", 0, {"logprobs": 0, "return_token_ids": True}),
        ("vllm", "Once", 5, {"logprobs": 5, "return_token_ids": True}),
        ("tgi-openai", CHAT, 2, {"logprobs": True, "top_logprobs": 2}),
        ("transformers", CHAT, 0, {}),
        ("lmstudio", CHAT, 0, {}),
    ],
)
def test_probabilities(flavour: str, content: Any, wanted: int, sent: dict[str, Any]) -> None:
    parameters = {"top_n_tokens": wanted} if wanted else {}
    question = Ask(Prompt(content), parameters, wants_tokens=not wanted)
    got = compose(FLAVOURS[flavour], question, "m").body
    names = {"logprobs", "top_logprobs", "return_token_ids"}
    assert {name: got[name] for name in names & got.keys()} == sent
    assert not names & compose(FLAVOURS[flavour], Ask(Prompt(content), {}), "m").body.keys()


def test_stop_texts_are_cut_by_flavour() -> None:
    stop = ["a", "b", "c", "d", "e"]
    question = Ask(Prompt(CHAT, stop=("e",)), {"stop": stop[:4]})
    left_out = compose(FLAVOURS["llama.cpp"], question, "m")
    assert (left_out.body["stop"], left_out.cut) == (stop, ())
    kept = compose(FLAVOURS["vllm"], question, "m")
    # It takes four, and leaves them in its answer: all are cut by us.
    assert (kept.body["stop"], kept.cut) == (stop[:4], tuple(stop))
    few = compose(
        FLAVOURS["openai"],
        Ask(question.prompt, question.parameters, chosen=frozenset({"stop"})),
        "m",
    )
    assert (few.body["stop"], few.cut) == (stop[:4], ("e",))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_empty_stop_text_is_refused(flavour: str) -> None:
    """It ends an answer before its first word at llama.cpp, and is an error of its own at vLLM."""
    with pytest.raises(InvalidParameters, match="`stop` has an empty text"):
        body(flavour, ask(stop=["x", ""]))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_answer_to_a_text_has_a_length(flavour: str) -> None:
    """Left out, it is 16 tokens at vLLM, SGLang and OpenAI."""
    assert body(flavour, ask("Once", chosen=set(), max_new_tokens=7))["max_tokens"] == 7


def test_defaults_are_left_out_where_a_server_does_not_take_them() -> None:
    question = Ask(Prompt(CHAT), {"seed": 5, "typical_p": 0.5}, chosen=frozenset({"seed"}))
    composed = compose(FLAVOURS["vllm"], question, "m")
    assert composed.body["seed"] == 5
    assert "typical_p" not in composed.body
    assert composed.notices == []


@pytest.mark.parametrize(
    ("flavour", "sent", "beginning"),
    [
        ("llama.cpp", {}, "Once"),
        ("llama-swap", {}, "Once"),
        ("litellm", {}, "Once"),
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}, ""),
        # It refuses fields that it does not know, and begins an answer of its own.
        ("transformers", {}, ""),
        ("plain", {}, ""),
    ],
)
def test_answer_goes_on_with_a_last_message_of_the_assistants(
    flavour: str, sent: dict[str, Any], beginning: str
) -> None:
    gone_on = compose(FLAVOURS[flavour], ask((*CHAT, Message("assistant", "Once"))), "m")
    plain = compose(FLAVOURS[flavour], ask(), "m")
    more = {name: gone_on.body[name] for name in gone_on.body.keys() - plain.body.keys()}
    assert (more, gone_on.beginning, plain.beginning) == (sent, beginning, "")


def test_extra_goes_along() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "mirostat": 2}
    question = compose(FLAVOURS["llama.cpp"], Ask(Prompt(CHAT), {}, extra=extra), "m")
    assert extra.items() <= question.body.items()


@pytest.mark.parametrize("name", sorted({*RESERVED} | {"temperature", "return_progress"}))
def test_extra_never_replaces_what_is_written(name: str) -> None:
    question = Ask(Prompt(CHAT), {"temperature": 0.5}, extra={name: 1})
    with pytest.raises(InvalidParameters, match=f"`{name}` cannot be set as extra"):
        compose(FLAVOURS["llama.cpp"], question, "m")


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_flavour_is_whole(flavour: Flavour) -> None:
    assert flavour.recognised_by or flavour.name == "plain"
    assert flavour.takes.keys() <= PARAMETERS
    assert flavour.with_parameter.keys() <= flavour.takes.keys()
    assert flavour.ranges.keys() <= flavour.takes.keys()
    told = {field.name for field in fields(EngineInfo)}
    of_list = {"aliases", "title", "kind", "quantization", "parameters", "architecture"}
    assert flavour.facts.keys() <= told | of_list | {"input", "output", "vision", "tools"}
    assert bool(flavour.loaded) == ("is_loaded" in flavour.facts)
    assert (flavour.load is None) == (flavour.unload is None)


def test_parameters_known_to_be_taken() -> None:
    assert taken(FLAVOURS["plain"]) is None
    vllm = taken(FLAVOURS["vllm"])
    assert vllm is not None
    assert {"max_new_tokens", "grammar", "top_n_tokens", "min_p"} <= vllm
    assert "typical_p" not in vllm
    transformers = taken(FLAVOURS["transformers"])
    assert transformers is not None
    assert not {"grammar", "top_n_tokens"} & transformers


def test_llama_cpp_takes_its_own_grammars_with_a_text() -> None:
    schema = body("llama.cpp", ask("Once", grammar={"type": "json", "value": SCHEMA}))
    assert "response_format" not in schema
    assert schema["grammar"].startswith("root ::= ")
    for content in ("Once", CHAT):
        regex = body("llama.cpp", ask(content, grammar={"type": "regex", "value": "a|b"}))
        assert regex["grammar"] == "root ::= ([a] | [b])"


@pytest.mark.parametrize("content", ["Once", CHAT])
def test_schema_keywords_that_llama_cpp_would_ignore_are_refused(content: Any) -> None:
    grammar = {"type": "json", "value": {**SCHEMA, "not": {"type": "null"}}}
    with pytest.raises(InvalidParameters, match="`grammar` has a JSON schema that has `not`"):
        body("llama.cpp", ask(content, grammar=grammar))
    question = replace(ask(content, grammar=grammar), is_lenient=True)
    composed = compose(FLAVOURS["llama.cpp"], question, "m")
    assert [notice.code for notice in composed.notices] == ["parameter_left_out"]
    assert not composed.body.keys() & {"grammar", "response_format"}


GREEDY = at_its_place(FLAVOURS["llama.cpp"], "http://127.0.0.1:1", frozenset({"unset_is_greedy"}))
EVERY = {
    "samplers": ("penalties", "temperature", "top_k", "top_p", "typ_p", "min_p"),
    "repeat_penalty": 1.0,
    "repeat_last_n": 131_072,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "typical_p": 1.0,
    "min_p": 0.0,
}
# The likeliest token, with one candidate to choose from.
GREEDILY = {"temperature": 0, "top_k": 1}


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        ({}, GREEDILY),
        ({"temperature": 0, "top_p": 0.5}, GREEDILY),
        ({"temperature": 1}, {"temperature": 1}),
        ({"top_k": 0, "top_p": 1}, GREEDILY),
        ({"do_sample": False, "temperature": 0.7}, GREEDILY),
        ({"repetition_penalty": 1.2}, {**GREEDILY, "repeat_penalty": 1.2}),
        ({"seed": 5}, GREEDILY),
        ({"do_sample": True, "seed": 5}, {"seed": 5}),
        ({"temperature": 0.7}, {"temperature": 0.7}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_k": 3, "min_p": 0.1}, {"top_k": 3, "min_p": 0.1}),
        ({"do_sample": True, "seed": 2**32 + 5}, {"seed": 4}),
        ({"do_sample": True, "seed": 2**32 - 1}, {"seed": 0}),
    ],
)
@pytest.mark.parametrize("content", ["Once", CHAT])
def test_unset_parameters_are_neutral_where_unset_is_greedy(
    content: Any, parameters: dict[str, Any], sent: dict[str, Any]
) -> None:
    got = compose(GREEDY, ask(content, **parameters), "m").body
    assert {name: got[name] for name in EVERY} == {
        **EVERY,
        **{k: v for k, v in sent.items() if k != "seed"},
    }
    assert got.get("seed") == sent.get("seed")


@pytest.mark.parametrize("content", ["Once", CHAT])
@pytest.mark.parametrize("wants_tokens", [False, True])
def test_llama_cpp_is_not_told_stop_texts_where_tokens_are(
    content: Any, wants_tokens: bool
) -> None:
    question = replace(ask(content, stop=["a", "b"]), wants_tokens=wants_tokens)
    composed = compose(FLAVOURS["llama.cpp"], question, "m")
    assert composed.cut == (("a", "b") if wants_tokens else ())
    assert composed.body.get("stop") == (None if wants_tokens else ["a", "b"])
    assert composed.body.get("timings_per_token") == (True if wants_tokens else None)


@pytest.mark.parametrize(
    ("bound", "is_ours"),
    [
        ({"type": "string"}, False),
        ({"type": "integer", "minimum": 3}, False),
        ({"type": "number", "minimum": 3}, True),
        ({"type": "string", "pattern": "^a"}, True),
        ({"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 2}]}, True),
    ],
)
def test_bounds_that_llama_cpp_ignores_in_chats_are_sent_as_our_grammar(
    bound: dict[str, Any], is_ours: bool
) -> None:
    schema = {"type": "object", "properties": {"a": bound}}
    got = body("llama.cpp", ask(grammar={"type": "json", "value": schema}))
    assert ("grammar" in got, "response_format" in got) == (is_ours, not is_ours)
    if is_ours:
        # The model is bound from its first token on.
        assert got["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
