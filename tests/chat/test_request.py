"""What one model is asked: settings, command and target combined, and what its server takes."""

from dataclasses import replace
from typing import Any

import pytest

from server.chat.request import GenerationRequest, build_request
from server.core.errors import InvalidCommand, InvalidParameters
from server.core.protocol import Message, PastCall
from server.dialects.base import EngineInfo, Prompt
from tests.support.specs import catalog

TAKES = frozenset({"temperature", "top_p", "max_new_tokens", "seed"})
PLAIN = EngineInfo(engine="Plain", takes=TAKES)


def request(*, is_lenient: bool = False, extra: Any = None, **parameters: Any) -> GenerationRequest:
    """Return what a model on somebody else's server is asked."""
    settings = {"runner": "remote", "url": "http://x", "extra_allowed": ("think",)}
    spec = catalog(a={**settings, "parameters": {"temperature": 0.5}}).get("a")
    return build_request(
        spec,
        "Hi",
        parameters=[parameters],
        system=None,
        extra=extra or {},
        is_lenient=is_lenient,
    )


def test_parameters_that_the_server_does_not_take_are_refused_by_name() -> None:
    with pytest.raises(InvalidParameters) as caught:
        request(min_p=0.1).check_taken(PLAIN)
    assert caught.value.message == "`min_p` is not taken by Plain, which serves a"
    assert caught.value.details == {"parameter": "min_p", "server": "Plain", "model": "a"}


@pytest.mark.parametrize(
    "asked",
    [
        request(min_p=0),
        request(min_p=0.1, is_lenient=True),
        request(top_p=0.5, max_new_tokens=5, seed=1),
        request(do_sample=True),
    ],
    ids=["off", "lenient", "taken", "ours"],
)
def test_harmless_parameters_are_not_refused(asked: GenerationRequest) -> None:
    asked.check_taken(PLAIN)


def test_nothing_is_refused_of_a_server_that_is_not_known() -> None:
    request(min_p=0.1).check_taken(EngineInfo())


def test_off_is_kept_for_a_server_whose_defaults_are_its_own() -> None:
    asked = request(temperature=0, top_p=1, top_k=0)
    assert dict(asked.parameters) == {
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "max_new_tokens": 8192,
    }


def test_chosen_parameters_are_those_of_the_request() -> None:
    assert request(top_p=0.5).chosen == {"temperature", "top_p"}


def test_only_what_the_settings_allow_is_passed_on() -> None:
    assert dict(request(extra={"think": True}).extra) == {"think": True}
    with pytest.raises(InvalidParameters, match="'keep_alive' may not be passed on to a"):
        request(extra={"keep_alive": 5})


def test_a_length_that_is_taken_away_leaves_the_default_one() -> None:
    asked = request(max_new_tokens=None)
    assert (asked.length(PLAIN), asked.has_chosen_length) == (8192, False)


def test_billed_servers_get_a_chats_length_only_where_it_was_chosen() -> None:
    billed = EngineInfo(is_billed=True)
    chat = replace(request(), content=[Message("user", "Hi")])
    assert chat.length(billed) is None
    assert "max_new_tokens" not in chat.ask(Prompt(""), length=None, wants_tokens=False).parameters
    assert request().length(billed) == 8192
    assert replace(chat, chosen=frozenset({"max_new_tokens"})).length(billed) == 8192


def test_chance_gets_a_seed_so_that_it_can_be_asked_again() -> None:
    assert "seed" in request().with_seed().parameters
    assert "seed" not in request(temperature=0).with_seed().parameters
    assert request(seed=7).with_seed().parameters["seed"] == 7


@pytest.mark.parametrize(
    ("dialect", "parameters", "is_seeded"),
    [
        # Unset is the most likely token at TGI, and the server's own default elsewhere.
        ("tgi", {}, False),
        ("tgi", {"temperature": 0.7}, True),
        ("tgi", {"top_k": 3}, True),
        ("openai", {}, True),
        ("openai", {"do_sample": False}, False),
        ("ollama", {}, True),
        ("ollama", {"temperature": 0}, False),
    ],
)
def test_only_a_sampled_answer_gets_a_seed(
    dialect: str, parameters: dict[str, Any], is_seeded: bool
) -> None:
    spec = catalog(a={"runner": "remote", "url": "http://x", "dialect": dialect}).get("a")
    asked = build_request(spec, "Hi", parameters=[parameters], system=None, extra={})
    seeded = asked.with_seed()
    assert ("seed" in seeded.parameters) == is_seeded
    # Ours, so that a server which takes none is asked without it.
    assert "seed" not in seeded.chosen


# --- thinking, tools ------------------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "look"}}
CHAT = [Message("user", "Hi")]
CALL = Message("assistant", "", [PastCall("1", "look", "{}")])


def of_tgi(content: Any = CHAT, **words: Any) -> GenerationRequest:
    """Return what a model of TGI's is asked."""
    spec = catalog(a={"runner": "docker", "weights": "acme/m"}).get("a")
    assert spec.dialect == "tgi"
    words = {"system": None, "extra": {}, "parameters": [], **words}
    return build_request(spec, content, **words)


@pytest.mark.parametrize(
    "asked", [{"tools": [TOOL]}, {"reasoning": "low"}, {"tools": [TOOL], "tool_choice": "auto"}]
)
def test_a_text_is_not_asked_with_tools_or_to_think(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameters, match="needs `messages`: a text is gone on with"):
        request(**asked)
    lenient = request(is_lenient=True, **asked)
    assert not lenient.parameters.keys() & asked.keys()
    assert {(notice.details or {})["parameter"] for notice in lenient.notices} == asked.keys()


def test_reasoning_of_the_settings_is_for_chats() -> None:
    settings = {"runner": "remote", "url": "http://x", "parameters": {"reasoning": "low"}}
    spec = catalog(a=settings).get("a")
    for content, expected in (("Hi", None), ([Message("user", "Hi")], "low")):
        asked = build_request(spec, content, parameters=[], system=None, extra={})
        assert asked.parameters.get("reasoning") == expected
        assert asked.notices == ()


def test_tgi_neither_thinks_when_told_nor_takes_tools() -> None:
    for parameters in ({"reasoning": "off"}, {"tools": [TOOL]}, {"min_p": 0.1}):
        (name,) = parameters
        with pytest.raises(InvalidParameters, match=f"`{name}` is not taken by TGI"):
            of_tgi(parameters=[parameters])
        lenient = of_tgi(parameters=[parameters], is_lenient=True)
        assert name not in lenient.parameters
        assert [notice.code for notice in lenient.notices] == ["parameter_left_out"]
    assert of_tgi(parameters=[{"tools": [], "tool_choice": "auto"}]).notices == ()


@pytest.mark.parametrize(
    "messages",
    [
        [Message("user", "Hi"), CALL, Message("tool", "5", tool_call_id="2")],
        [
            Message("user", "Hi"),
            Message("user", "Hi"),
            Message("tool", "5", tool_call_id="1"),
            CALL,
        ],
    ],
    ids=["another call", "a call that follows"],
)
def test_a_tools_message_answers_a_call_before_it(messages: list[Message]) -> None:
    with pytest.raises(InvalidCommand, match=r"`messages\[2\]` answers a call that no message"):
        of_tgi(messages)
    of_tgi([Message("user", "Hi"), CALL, Message("tool", "5", tool_call_id="1")])


def test_a_choice_among_no_tools_is_none() -> None:
    spec = catalog(a={"runner": "remote", "url": "http://x"}).get("a")

    def asked(**parameters: Any) -> dict[str, Any]:
        content = [Message("user", "Hi")]
        built = build_request(spec, content, parameters=[parameters], system=None, extra={})
        return dict(built.parameters)

    for choice in ("auto", "none"):
        assert not asked(tools=[], tool_choice=choice).keys() & {"tools", "tool_choice"}
    with pytest.raises(InvalidParameters, match='`tool_choice` "required" needs `tools`'):
        asked(tool_choice="required")
    assert asked(tools=[TOOL], tool_choice="none")["tool_choice"] == "none"
