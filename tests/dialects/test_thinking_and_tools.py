"""How much to think, which tools there are, and what was called: in each server's own words."""

from dataclasses import replace
from typing import Any

import pytest

from server.core.errors import InvalidCommand, InvalidParameters
from server.core.protocol import Message, PastCall
from server.dialects.base import Ask, Prompt
from server.dialects.messages import as_text, in_ollamas_form, in_openais_form, with_objects
from server.dialects.ollama.parameters import request_body
from server.dialects.openai.flavour import Reasoning
from server.dialects.openai.flavours import FLAVOURS, PLAIN
from server.dialects.openai.info import at_its_place, engine_info, of_model
from server.dialects.openai.parameters import compose, problems, taken
from server.dialects.tgi.transcripts import transcript

CHAT = (Message("user", "Hi"),)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALLED = (
    Message("user", "What is up there?"),
    Message("assistant", "", [PastCall("1", "look", '{"at": "sky"}')]),
    Message("tool", "a kite", tool_call_id="1"),
)


def ask(content: Any = CHAT, *, lenient: bool = False, **parameters: Any) -> Ask:
    return Ask(Prompt(content), parameters, chosen=frozenset(parameters), is_lenient=lenient)


def sent(flavour: str, **parameters: Any) -> dict[str, Any]:
    """Return what a question has in its body beyond the same one without parameters."""
    plain = compose(FLAVOURS[flavour], ask(), "m").body
    body = compose(FLAVOURS[flavour], ask(**parameters), "m").body
    return {name: value for name, value in body.items() if plain.get(name) != value}


def switch(is_on: bool, **more: Any) -> dict[str, Any]:
    return {"chat_template_kwargs": {"enable_thinking": is_on, "thinking": is_on, **more}}


ON, OFF = switch(True), switch(False)


@pytest.mark.parametrize(
    ("flavour", "value", "form"),
    [
        ("openai", "high", {"reasoning_effort": "high"}),
        ("openai", "off", {"reasoning_effort": "none"}),
        ("vllm", "off", OFF),
        ("vllm", "low", {"reasoning_effort": "low", **ON}),
        ("vllm", 500, ON),
        ("sglang", "off", OFF),
        ("sglang", 500, ON),
        ("lmdeploy", "medium", {"reasoning_effort": "medium", **ON}),
        ("llama.cpp", "off", {"reasoning_budget_tokens": 0, **OFF}),
        (
            "llama.cpp",
            "low",
            {"reasoning_effort": "low", **switch(True, reasoning_effort="low")},
        ),
        ("llama.cpp", 500, {"reasoning_budget_tokens": 500, **ON}),
        ("llama-swap", 500, {"reasoning_budget_tokens": 500, **ON}),
        ("openrouter", "off", {"reasoning": {"enabled": False}}),
        ("openrouter", "low", {"reasoning": {"effort": "low"}}),
        ("openrouter", 500, {"reasoning": {"max_tokens": 500}}),
        ("litellm", "low", {"reasoning_effort": "low"}),
        ("litellm", 500, {"thinking": {"type": "enabled", "budget_tokens": 500}}),
        ("lmstudio", 500, {}),
        ("plain", "off", {"reasoning_effort": "none", **OFF}),
        ("plain", 500, ON),
    ],
)
def test_how_much_to_think_in_a_servers_words(
    flavour: str, value: Any, form: dict[str, Any]
) -> None:
    assert sent(flavour, reasoning=value) == form


@pytest.mark.parametrize(
    ("flavour", "value", "words"),
    [
        ("tgi-openai", "low", "`reasoning` is not taken by TGI"),
        ("tgi-openai", "off", "`reasoning` is not taken by TGI"),
        ("transformers", 500, "`reasoning` is not taken by transformers serve"),
        ("openai", 500, "`reasoning` is not taken as a number of tokens by OpenAI"),
    ],
)
def test_inexpressible_parameters_are_refused(flavour: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        compose(FLAVOURS[flavour], ask(reasoning=value), "m")
    assert refusal.value.message == words
    question = compose(FLAVOURS[flavour], ask(reasoning=value, lenient=True), "m")
    assert [(n.code, n.details) for n in question.notices] == [
        ("parameter_left_out", {"parameter": "reasoning"})
    ]
    assert question.body == compose(FLAVOURS[flavour], ask(), "m").body


def test_optional_parameters_are_left_out_without_a_notice_where_they_are_not_taken() -> None:
    asked = replace(ask(reasoning="low", seed=1), optional=frozenset({"reasoning"}))
    for name, is_taken in (("openai", True), ("tgi-openai", False), ("transformers", False)):
        question = compose(FLAVOURS[name], asked, "m")
        assert (question.body.get("reasoning_effort") == "low") is is_taken
        assert (question.body["seed"], question.notices) == (1, [])
    lacks = frozenset({"reasoning"})
    body, notices = request_body(asked, "m", None, lacks=lacks)
    assert ("think" in body, notices) == (False, [])
    body, notices = request_body(asked, "m", None)
    assert (body["think"], notices) == ("low", [])


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=lambda flavour: flavour.name)
def test_every_flavour_either_takes_efforts_or_says_so(flavour: Any) -> None:
    is_taken = flavour.reasoning != Reasoning()
    assert bool(problems(flavour, {"reasoning": "low"})) != is_taken
    known = taken(flavour)
    assert known is None or ("reasoning" in known) == is_taken
    info = engine_info(flavour, "m", {}, {}, frozenset())
    assert info.ends_thinking == (flavour.reasoning.budget is not None)


def test_a_provider_that_is_not_known_gets_openais_words_alone() -> None:
    far = at_its_place(PLAIN, "https://api.example.com")
    body = compose(far, ask(reasoning="low"), "m").body
    assert body["reasoning_effort"] == "low"
    assert "chat_template_kwargs" not in body


def test_a_model_behind_openrouter_takes_what_its_entry_says() -> None:
    flavour = FLAVOURS["openrouter"]
    thinks = of_model(flavour, {"supported_parameters": ["reasoning", "tools", "tool_choice"]}, {})
    assert {"reasoning", "tools", "tool_choice"} <= (taken(thinks) or set())
    does_not = of_model(flavour, {"supported_parameters": ["seed"]}, {})
    assert not {"reasoning", "tools", "tool_choice"} & (taken(does_not) or set())


def test_words_for_a_template_are_joined_and_never_replaced() -> None:
    grammar = {"type": "regex", "value": "a"}
    body = compose(FLAVOURS["llama.cpp"], ask(grammar=grammar, reasoning="high"), "m").body
    # A grammar binds the model from its first token on.
    told = body["chat_template_kwargs"]
    assert (told["enable_thinking"], told["reasoning_effort"]) == (False, "high")
    extra = {"chat_template_kwargs": {"date": "today"}}
    question = replace(ask(reasoning="off"), extra=extra)
    body = compose(FLAVOURS["vllm"], question, "m").body
    assert body["chat_template_kwargs"] == {**OFF["chat_template_kwargs"], "date": "today"}
    question = replace(question, extra={"chat_template_kwargs": {"thinking": True}})
    with pytest.raises(InvalidParameters, match="written already"):
        compose(FLAVOURS["vllm"], question, "m")


# --- tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_tools_go_along_as_they_are(flavour: str) -> None:
    choice = {"type": "function", "function": {"name": "look"}}
    assert sent(flavour, tools=[TOOL], tool_choice=choice) == {
        "tools": [TOOL],
        "tool_choice": choice,
    }


def test_calls_and_answers_in_openais_form() -> None:
    assert compose(FLAVOURS["vllm"], ask(CALLED), "m").body["messages"] == [
        {"role": "user", "content": "What is up there?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at": "sky"}'},
                }
            ],
        },
        {"role": "tool", "content": "a kite", "tool_call_id": "1"},
    ]


def test_a_call_that_comes_last_is_not_gone_on_with() -> None:
    body = compose(FLAVOURS["vllm"], ask(CALLED[:2]), "m").body
    assert "continue_final_message" not in body


def test_calls_and_answers_in_ollamas_form() -> None:
    assert in_ollamas_form(CALLED) == [
        {"role": "user", "content": "What is up there?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "function": {"name": "look", "arguments": {"at": "sky"}}}],
        },
        {"role": "tool", "content": "a kite", "tool_name": "look", "tool_call_id": "1"},
    ]
    broken = Message("assistant", "", [PastCall("1", "look", "[1")])
    with pytest.raises(InvalidCommand, match=r"`messages\[1\]\.tool_calls\[0\]\.arguments`"):
        in_ollamas_form([CHAT[0], broken])


def test_calls_for_templates_and_transcripts() -> None:
    _, call, answer = with_objects(CALLED)
    assert call["content"] == ""
    assert call["tool_calls"][0]["function"]["arguments"] == {"at": "sky"}
    assert answer == in_openais_form(CALLED)[2]
    block = '<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>'
    assert as_text(CALLED[1]) == block
    assert transcript(CALLED) == (
        f"User: What is up there?\n\nAssistant: {block}\n\na kite\n\nAssistant:"
    )


# --- Ollama ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "think"), [("off", False), ("low", "low"), ("high", "high"), (500, True)]
)
def test_how_much_to_think_in_ollamas_words(value: Any, think: Any) -> None:
    body, notices = request_body(ask(reasoning=value), "m", None)
    assert (body["think"], notices) == (think, [])
    assert "think" not in request_body(ask(), "m", None)[0]


def test_ollama_takes_tools_and_chooses_itself() -> None:
    assert request_body(ask(tools=[TOOL], tool_choice="auto"), "m", None)[0]["tools"] == [TOOL]
    assert "tools" not in request_body(ask(tools=[TOOL], tool_choice="none"), "m", None)[0]
    with pytest.raises(InvalidParameters, match="only the model chooses"):
        request_body(ask(tools=[TOOL], tool_choice="required"), "m", None)
    _, notices = request_body(ask(tools=[TOOL], tool_choice="required", lenient=True), "m", None)
    assert [notice.details for notice in notices] == [{"parameter": "tool_choice"}]


def test_a_lenient_request_leaves_out_what_an_ollama_model_cannot_do() -> None:
    lacks = frozenset({"reasoning", "tools", "tool_choice"})
    asked: dict[str, Any] = {"reasoning": "low", "tools": [TOOL], "tool_choice": "auto"}
    body, notices = request_body(ask(lenient=True, **asked), "m", None, lacks=lacks)
    assert not body.keys() & {"think", "tools"}
    told = {(notice.details or {})["parameter"] for notice in notices}
    assert told == lacks
    # Ollama refuses it by the model's name.
    body, notices = request_body(ask(**asked), "m", None, lacks=lacks)
    assert (body["think"], body["tools"], notices) == ("low", [TOOL], [])
    body, notices = request_body(ask(lenient=True, reasoning="off"), "m", None, lacks=lacks)
    assert (body["think"], notices) == (False, [])
