"""Which answers are cached, and what has to be the same for one to be given again."""

from dataclasses import replace
from typing import Any

import pytest

from server.chat.answer_cache import AnswerCache, CachedAnswer
from server.core.protocol import Cost, Message, Notice, PastCall, TokenInfo
from server.dialects.base import Ask, EngineInfo, Finish, Prompt

CHAT = (Message("user", "Hi"),)
GREEDY = {"temperature": 0}
# A server whose own defaults draw at random, and one that is greedy unless told otherwise.
OTHER = EngineInfo(model_id="m", version="1", dialect="openai")
TGI = EngineInfo(
    model_id="m", version="1", dialect="tgi", unset_is_greedy=True, always_tells_tokens=True
)
ANSWER = CachedAnswer([TokenInfo(-1, "Hello", None, False)], Finish("stop", 3, 1))


def cache() -> AnswerCache:
    return AnswerCache(max_bytes=1_000_000, max_age_seconds=60, clock=lambda: 0.0)


def key(info: EngineInfo, parameters: dict[str, Any] | None = None, **more: Any) -> bytes | None:
    content = more.pop("content", CHAT)
    server = more.pop("server", "a")
    return cache().key(server, info, Ask(Prompt(content), parameters or {}, **more))


@pytest.mark.parametrize(
    ("parameters", "of_other", "of_tgi"),
    [
        # Unset is the server's own default: at random everywhere but at TGI.
        ({}, False, True),
        ({"max_new_tokens": 9, "stop": ["x"]}, False, True),
        ({"temperature": 0}, True, True),
        ({"temperature": 0, "top_p": 0.9}, True, True),
        ({"do_sample": False}, True, True),
        ({"top_k": 1}, False, False),
        ({"temperature": 0.7}, False, False),
        # A seed holds within one batch on one machine, or not at all, but at TGI.
        ({"seed": 5}, False, True),
        ({"temperature": 0.7, "seed": 5}, False, True),
        ({"do_sample": True, "seed": 5}, False, True),
    ],
    ids=str,
)
def test_only_an_answer_without_chance_is_cached(
    parameters: dict[str, Any], of_other: bool, of_tgi: bool
) -> None:
    assert (key(OTHER, parameters) is not None) == of_other
    assert (key(TGI, parameters) is not None) == of_tgi


def test_nothing_is_cached_where_there_is_no_room() -> None:
    none = AnswerCache(max_bytes=0, max_age_seconds=60)
    assert none.key("a", TGI, Ask(Prompt(CHAT), GREEDY)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"server": "b"},
        {"content": "Hi"},
        {"content": (Message("system", "Hi"),)},
        {"content": (Message("assistant", "", [PastCall("1", "look", "{}")]),)},
        {"content": (Message("tool", "Hi", tool_call_id="1"),)},
        {"parameters": {**GREEDY, "reasoning": "off"}},
        {"parameters": {**GREEDY, "tools": [{"function": {"name": "look"}}]}},
        {"parameters": {**GREEDY, "tool_choice": "required"}},
        {"parameters": {**GREEDY, "grammar": {"type": "json", "value": {}}}},
        {"model": "other"},
        {"extra": {"mirostat": 2}},
        {"wants_tokens": True},
        {"is_lenient": True},
    ],
    ids=str,
)
def test_all_that_determines_an_answer_is_part_of_its_key(other: dict[str, Any]) -> None:
    assert key(OTHER, GREEDY) == key(OTHER, dict(GREEDY))
    assert key(OTHER, GREEDY) != key(OTHER, other.pop("parameters", GREEDY), **other)


def test_another_model_or_version_behind_the_same_address_has_other_answers() -> None:
    assert key(OTHER, GREEDY) != key(replace(OTHER, version="2"), GREEDY)
    assert key(OTHER, GREEDY) != key(replace(OTHER, model_id="n"), GREEDY)
    assert key(OTHER, GREEDY) != key(OTHER, {**GREEDY, "top_k": 3})


def test_details_make_no_difference_where_they_come_anyway() -> None:
    assert key(TGI, GREEDY) == key(TGI, GREEDY, wants_tokens=True)


@pytest.mark.parametrize(("parameter", "is_cached"), [("temperature", False), ("min_p", True)])
def test_an_answer_without_its_temperature_is_not_cached(parameter: str, is_cached: bool) -> None:
    """A server that would not take temperature 0 has drawn at random, whatever was asked."""
    notice = Notice("parameter_left_out", "it was left out", {"parameter": parameter})
    answers = cache()
    answers.put(b"key", replace(ANSWER, finish=replace(ANSWER.finish, notices=(notice,))))
    assert (answers.get(b"key") is not None) == is_cached


def test_an_answer_that_is_given_again_costs_nothing() -> None:
    finish = Finish("stop", 3, 1, cost=Cost(0.5)).as_cached()
    assert (finish.is_cached, finish.cost, finish.completion_tokens) == (True, None, 1)
