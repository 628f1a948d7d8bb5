"""What is sent of a question, and how long its answer may be: by the context that there is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.fitting import HANDFUL, MAX_REFUSALS, Fitting
from server.chat.request import build_request
from server.core.content import text_of
from server.core.errors import PromptTooLong
from server.core.generation import Generation
from server.core.protocol import Message
from server.core.trimming import MAX_MEASUREMENTS, Turns
from server.dialects.base import Ask, EngineInfo, Finish, Prompt, Upstream
from tests.support.specs import catalog

SYSTEM = Message("system", "Be brief, and kind.")
FACTS = EngineInfo(engine="Plain", max_total_tokens=1000)


class Words:
    """A server whose tokens are words, each message being five more; `counts` what it counted."""

    def __init__(self, *, has_tokenizer: bool = True, context: int = 1000) -> None:
        self.has_tokenizer = has_tokenizer
        self.context = context
        self.counted = 0

    def tokens(self, content: Sequence[Message] | str) -> int:
        if isinstance(content, str):
            return len(content.split())
        return sum(5 + len(text_of(message.content).split()) for message in content)

    async def prompt(
        self, content: Sequence[Message] | str, *, model: str, needs_count: bool
    ) -> Prompt:
        self.counted += needs_count
        has_count = needs_count and self.has_tokenizer
        return Prompt(content, self.tokens(content) if has_count else None)

    def refusal(self, ask: Ask, **told: Any) -> PromptTooLong | None:
        """Return what it says to a question, as servers do that count the length, too."""
        tokens = self.tokens(ask.prompt.content)
        if tokens + ask.parameters.get("max_new_tokens", 1) <= self.context:
            return None
        return PromptTooLong("too long", details=told and {"n_prompt_tokens": tokens, **told})


def fitting(
    content: Sequence[Message] | str,
    info: EngineInfo = FACTS,
    *,
    trims: bool = False,
    settings: dict[str, Any] | None = None,
    **parameters: Any,
) -> Fitting:
    """Return how a question is fitted."""
    model = {"runner": "remote", "url": "http://x", **(settings or {})}
    spec = catalog(a=model).get("a")
    request = build_request(
        spec, content, parameters=[parameters], system=None, extra={}, trims=trims
    )
    return Fitting(request, info)


async def asked(one: Fitting, server: Words) -> Ask:
    """Return what is sent at first."""
    prompt = await one.prompt(cast(Upstream, server))
    return one.ask(prompt, wants_tokens=False)


async def refused(one: Fitting, server: Words) -> PromptTooLong:
    """Return the error with which nothing is sent."""
    with pytest.raises(PromptTooLong) as caught:
        await one.prompt(cast(Upstream, server))
    return caught.value


def chat(turns: int, words: int = 40, *, question: str = "And now?") -> list[Message]:
    """Return a conversation of so many turns of 2 * (5 + words) tokens each, and a question."""
    older = [Message(role, "word " * words) for _ in range(turns) for role in ("user", "assistant")]
    return [SYSTEM, *older, Message("user", question)]


# --- lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "settings", "parameters", "length"),
    [
        (100, {}, {}, 900),
        (984, {}, {}, HANDFUL),
        # A length of the settings is a default, too; one that was chosen is not ours to change.
        (100, {"parameters": {"max_new_tokens": 950}}, {}, 900),
        (100, {"parameters": {"max_new_tokens": 50}}, {}, 50),
        (100, {}, {"max_new_tokens": 950}, 950),
        (995, {}, {"max_new_tokens": 5}, 5),
        # Who cuts a prompt reads less of it.
        (2000, {}, {"truncate": 100}, 900),
    ],
)
async def test_a_length_that_nobody_chose_is_what_the_context_leaves(
    words: int, settings: dict[str, Any], parameters: dict[str, Any], length: int
) -> None:
    ask = await asked(fitting("word " * words, settings=settings, **parameters), Words())
    assert ask.parameters["max_new_tokens"] == length


async def test_where_the_context_is_unknown_it_is_the_default_one_and_nothing_is_measured() -> None:
    server = Words()
    one = fitting("word " * 5000, EngineInfo())
    assert (await asked(one, server)).parameters["max_new_tokens"] == 8192
    assert (server.counted, one.was_measured) == (0, False)


@pytest.mark.parametrize(
    ("context", "parameters", "is_measured"),
    [
        # Is there room for 400 bytes, what a template may add, and the whole length?
        (20_000, {}, False),
        (9_000, {}, True),
        (3_000, {"max_new_tokens": 50}, False),
        # A chosen length is the server's to take, but for a handful.
        (3_000, {"max_new_tokens": 2_900}, False),
        (1_000, {"max_new_tokens": 50}, True),
    ],
)
async def test_a_prompt_is_measured_only_where_its_bytes_leave_doubt(
    context: int, parameters: dict[str, Any], is_measured: bool
) -> None:
    server = Words()
    info = EngineInfo(max_total_tokens=context)
    one = fitting([Message("user", "word " * 80)], info, **parameters)
    ask = await asked(one, server)
    assert (server.counted > 0, one.was_measured) == (is_measured, is_measured)
    assert ask.parameters["max_new_tokens"] == parameters.get(
        "max_new_tokens", min(8192, context - 85)
    )


# --- too long -----------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"max_new_tokens": 400}])
async def test_with_less_than_a_handful_left_nothing_is_asked(parameters: dict[str, Any]) -> None:
    one = fitting("word " * 985, **parameters)
    error = await refused(one, Words())
    assert error.message == (
        "the prompt has 985 tokens, 1 too many: with an answer it has to fit into a context of "
        "1,000"
    )
    assert error.details == {"prompt_tokens": 985, "max_total_tokens": 1000, "over_by": 1}
    assert error.hint == "shorten it, or have its server give the model a longer context"
    assert one.prompt_tokens == 985


async def test_a_prompt_has_a_limit_of_its_own_at_some_servers() -> None:
    info = replace(FACTS, max_input_tokens=500)
    error = await refused(fitting("word " * 501, info), Words())
    assert error.message == "the prompt has 501 tokens, 1 too many: the server takes 500"
    assert error.details is not None
    assert (error.details["max_input_tokens"], error.details["over_by"]) == (500, 1)
    await asked(fitting("word " * 500, info), Words())


@pytest.mark.parametrize(
    ("settings", "info", "hint"),
    [
        ({"runner": "process", "weights": "x", "url": ""}, {}, "raise `context_tokens` in"),
        ({"runner": "docker", "model_id": "x/y", "url": ""}, {}, "raise `max_total_tokens` in"),
        ({}, {"dialect": "ollama"}, "raise `num_ctx` in"),
        ({}, {"model_context_tokens": 1000}, "take a model with a longer context"),
        ({}, {"model_context_tokens": 4000}, "have its server give the model a longer context"),
    ],
)
async def test_the_hint_depends_on_runner_and_context(
    settings: dict[str, Any], info: dict[str, Any], hint: str
) -> None:
    error = await refused(fitting(chat(30), replace(FACTS, **info), settings=settings), Words())
    assert error.hint is not None
    assert error.hint.startswith(f"have the oldest turns left out with `trim`, or {hint}")


# --- turns that are left out --------------------------------------------------------------------


async def test_the_fewest_turns_are_left_out_that_leave_a_quarter_of_the_context() -> None:
    server = Words()
    one = fitting(chat(20), trims=True)
    ask = await asked(one, server)
    # 16 tokens for the ends, 90 for each turn: eight of them fit into three quarters.
    assert one.turns_left_out == 12
    assert ask.prompt.content == chat(8)
    assert ask.parameters["max_new_tokens"] == 1000 - 16 - 8 * 90
    assert one.notices()[0].details == {"turns": 12}
    assert one.notices()[0].message.startswith("the 12 oldest turns were left out")
    assert server.counted <= 4


@pytest.mark.parametrize(
    ("length", "kept", "sent"),
    [
        # Room for the length that was chosen, at most for half of the context.
        (100, 9, 100),
        (440, 6, 440),
        (900, 5, 1000 - 16 - 5 * 90),
    ],
)
async def test_turns_give_way_for_the_length_that_was_chosen(
    length: int, kept: int, sent: int
) -> None:
    ask = await asked(fitting(chat(20), trims=True, max_new_tokens=length), Words())
    assert ask.prompt.content == chat(kept)
    assert ask.parameters["max_new_tokens"] == sent


async def test_a_conversation_that_fits_stays_whole() -> None:
    one = fitting(chat(8), trims=True)
    assert (await asked(one, Words())).prompt.content == chat(8)
    assert (one.turns_left_out, one.notices()) == (0, [])


@pytest.mark.parametrize(
    "conversation",
    [
        chat(0, question="word " * 990),
        chat(3, question="word " * 990),
        [Message("system", "word " * 990), *chat(3)[1:]],
    ],
    ids=["a single question", "the last question", "the system prompt"],
)
async def test_system_prompt_and_last_turn_may_be_too_long_by_themselves(
    conversation: list[Message],
) -> None:
    error = await refused(fitting(conversation, trims=True), Words())
    assert error.details is not None
    turns = Turns.of(conversation)
    assert error.details["over_by"] == Words().tokens(turns.without(turns.most)) - 984
    assert error.message.startswith("even without its oldest turns ") == (len(conversation) > 2)
    assert error.hint == "shorten it, or have its server give the model a longer context"


async def test_a_question_that_leaves_little_is_asked_without_any_other_turn() -> None:
    one = fitting(chat(3, question="word " * 900), trims=True)
    ask = await asked(one, Words())
    assert one.turns_left_out == 3
    assert ask.parameters["max_new_tokens"] == 1000 - Words().tokens(ask.prompt.content)


@given(
    st.lists(st.integers(0, 300), max_size=40),
    st.integers(0, 1200),
    st.one_of(st.none(), st.integers(1, 2000)),
)
async def test_a_prompt_that_is_sent_fits(turns: list[int], last: int, length: int | None) -> None:
    words = ["word " * count for count in (*turns, last)]
    conversation = [SYSTEM, *(Message("user", text) for text in words)]
    chosen: dict[str, Any] = {} if length is None else {"max_new_tokens": length}
    server, one = Words(), fitting(conversation, trims=True, **chosen)
    shortest = server.tokens([SYSTEM, conversation[-1]])
    try:
        ask = await asked(one, server)
    except PromptTooLong:
        assert shortest > 1000 - min(HANDFUL, length or HANDFUL)
        return
    assert server.tokens(ask.prompt.content) + ask.parameters["max_new_tokens"] <= 1000
    assert ask.prompt.content == Turns.of(conversation).without(one.turns_left_out)
    assert server.counted <= MAX_MEASUREMENTS + 2


# --- servers without a tokenizer ----------------------------------------------------------------


async def test_without_a_tokenizer_bytes_tell_how_many_turns_are_too_many() -> None:
    server = Words(has_tokenizer=False)
    one = fitting(chat(20), trims=True)
    ask = await asked(one, server)
    assert 12 < one.turns_left_out < 20
    assert one.notices()[0].details == {"turns": one.turns_left_out, "estimated": True}
    assert one.prompt_tokens is None
    assert server.refusal(ask) is not None
    # The prompt fits, the length that nobody chose does not.
    refusal = server.refusal(ask, n_ctx=1000)
    assert refusal is not None
    left_out = one.turns_left_out
    assert one.take_refusal(refusal)
    ask = await asked(one, server)
    assert (server.refusal(ask), one.turns_left_out) == (None, left_out)


async def test_a_prompt_that_would_be_cut_for_the_length_is_left_room_by_estimate() -> None:
    info = replace(FACTS, cuts_for_length=True)
    for words, length in ((100, 1000 - 16 - 500 // 3), (900, HANDFUL)):
        ask = await asked(fitting("word " * words, info), Words(has_tokenizer=False))
        assert ask.parameters["max_new_tokens"] == length
    ask = await asked(fitting("Hi", info, max_new_tokens=5000), Words(has_tokenizer=False))
    assert ask.parameters["max_new_tokens"] == 5000


async def answered(one: Fitting, server: Words, **told: Any) -> Ask | PromptTooLong:
    """Return the question that a server takes, or its refusal at the end."""
    for _ in range(MAX_REFUSALS + 1):
        ask = await asked(one, server)
        refusal = server.refusal(ask, **told)
        if refusal is None:
            return ask
        if not one.take_refusal(refusal):
            return one.explained(refusal)
    raise AssertionError("asked once more than it may")


@pytest.mark.parametrize("has_tokenizer", [True, False])
async def test_a_refusal_tells_of_a_context_that_nobody_knew(has_tokenizer: bool) -> None:
    server = Words(has_tokenizer=has_tokenizer)
    one = fitting(chat(20), EngineInfo(), trims=True)
    ask = await answered(one, server, n_ctx=1000)
    assert isinstance(ask, Ask)
    assert ask.prompt.content == chat(8)
    assert one.limits.context_tokens == 1000
    assert one.notices()[0].details == {"turns": 12} | (
        {} if has_tokenizer else {"estimated": True}
    )


async def test_where_a_refusal_tells_no_numbers_half_is_left_out_each_time() -> None:
    server = Words(has_tokenizer=False)
    one = fitting(chat(40), EngineInfo(), trims=True, max_new_tokens=100)
    ask = await answered(one, server)
    assert isinstance(ask, Ask)
    assert (one.turns_left_out, ask.parameters["max_new_tokens"]) == (35, 100)
    # In the end all are, and then it is told as it is.
    one = fitting(chat(40, question="word " * 2000), EngineInfo(), trims=True)
    assert isinstance(await answered(one, server), PromptTooLong)
    assert one.turns_left_out == 40


@pytest.mark.parametrize(
    ("content", "told", "length"),
    [
        (chat(2), {"n_ctx": 1000}, 1000 - 196),
        ("word " * 100, {"n_ctx": 1000}, 900),
        # Without numbers a chat needs no length, and a text a shorter one.
        (chat(2), {}, None),
        ("word " * 100, {}, 512),
    ],
)
async def test_a_default_length_that_is_refused_is_asked_for_no_more(
    content: list[Message] | str, told: dict[str, int], length: int | None
) -> None:
    one = fitting(content, EngineInfo())
    ask = await answered(one, Words(has_tokenizer=False), **told)
    assert isinstance(ask, Ask)
    assert ask.parameters.get("max_new_tokens") == length
    assert ask.prompt.content == content


@pytest.mark.parametrize(
    ("turns", "length", "over_by", "is_shorter_better"),
    [(2, 900, 96, True), (20, 900, 832, False)],
)
async def test_a_chosen_length_that_is_refused_is_told_with_what_helps(
    turns: int, length: int, over_by: int, is_shorter_better: bool
) -> None:
    server = Words(has_tokenizer=False)
    one = fitting(chat(turns), EngineInfo(), max_new_tokens=length)
    error = await answered(one, server, n_ctx=1000)
    assert isinstance(error, PromptTooLong)
    assert error.details == {
        "n_prompt_tokens": server.tokens(chat(turns)),
        "n_ctx": 1000,
        "prompt_tokens": server.tokens(chat(turns)),
        "max_total_tokens": 1000,
        "over_by": over_by,
    }
    assert error.hint is not None
    assert ("ask for a shorter answer" in error.hint) == is_shorter_better


# --- how it ended -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "parameters", "info", "is_full"),
    [
        (Finish("length", 100, 900), {}, {}, True),
        (Finish("length", None, 900), {}, {}, True),
        (Finish("stop", 100, 900), {}, {}, False),
        # The server ends earlier for reasons of its own.
        (Finish("length", 100, 256), {}, {}, False),
        # A length that was chosen is no less an end when it is reached.
        (Finish("length", 100, 50), {"max_new_tokens": 50}, {}, False),
        (Finish("length", 100, 890), {"max_new_tokens": 890}, {}, False),
        (Finish("length", 100, 899), {"max_new_tokens": 5000}, {}, True),
        (Finish("length", 100, 900), {"max_new_tokens": 900}, {}, True),
        # TGI reads what came before as the prompt of what follows.
        (Finish("length", 100, 700), {"max_new_tokens": 5000}, {"max_input_tokens": 600}, True),
        (Finish("length", 100, 8192), {}, {"max_total_tokens": 20_000}, False),
        (Finish("length", 100, 900), {}, {"max_total_tokens": None}, False),
        # Who bills answers is sent no length.
        (Finish("length", 100, 899), {}, {"is_billed": True}, True),
        (Finish("length", 100, 500), {}, {"is_billed": True}, False),
    ],
)
def test_an_answer_that_ends_because_the_context_is_full_says_so(
    finish: Finish, parameters: dict[str, Any], info: dict[str, Any], is_full: bool
) -> None:
    generation = Generation("g1", "a", now_ms=0)
    generation.prompt_tokens = 100
    one = fitting([Message("user", "Hi")], replace(FACTS, **info), **parameters)
    notices = one.ending(finish, generation).notices
    assert [(notice.code, notice.details) for notice in notices] == (
        [("context_full", {"context_tokens": 1000})] if is_full else []
    )


def test_where_tokens_are_not_counted_deltas_are() -> None:
    generation = Generation("g1", "a", now_ms=0)
    generation.prompt_tokens, generation.seq = 100, 900
    assert fitting("Hi").ending(Finish("length", None, None), generation).notices
    generation.prompt_tokens = None
    assert not fitting("Hi").ending(Finish("length", None, None), generation).notices


def test_a_context_that_is_known_late_is_known_all_the_same() -> None:
    one = fitting("Hi", EngineInfo())
    one.take_context(1000)
    assert one.limits.context_tokens == 1000
    one.take_context(2000)
    assert one.limits.context_tokens == 1000


async def test_tokens_of_tools_learnt_from_a_refusal_are_remembered() -> None:
    """The server counts the tools, which its tokenizer was not asked about."""
    one = fitting("word " * 100)
    server = Words()
    ask = await asked(one, server)
    assert ask.parameters["max_new_tokens"] == 900
    assert one.take_refusal(PromptTooLong("too long", details={"n_prompt_tokens": 400}))
    ask = await asked(one, server)
    assert ask.parameters["max_new_tokens"] == 600
    assert one.prompt_tokens == 400
