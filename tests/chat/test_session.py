"""A session: what is asked is answered, once, for whoever is attached, and bounded."""

import asyncio

import pytest

from server.core.errors import (
    InvalidCommand,
    InvalidParameters,
    QueueFull,
    SessionLimit,
    UnknownModel,
)
from server.core.protocol import Delta, Generate, Message, Target
from tests.chat.conftest import OpenBackend, ask
from tests.fakes.tgi_answers import answer
from tests.support.fake_fleet import FakeRunner

TWO = {"a": {"weights": "x"}, "b": {"weights": "x"}}


async def test_each_target_is_answered_in_a_generation_of_its_own(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(models=TWO)
    session, reader = o.session()
    ids = session.generate(ask("b", "a", "b"))
    assert ids == ["g1", "g2", "g3"]
    for generation_id, model in zip(ids, ("b", "a", "b"), strict=True):
        end = await reader.end(generation_id)
        whole = answer(o.stage.runner.server(model).options, "Tell me.", {"max_new_tokens": 8})
        assert reader.text(generation_id) == whole.generated_text
        assert (end.finish_reason, end.usage.completion_tokens) == ("length", 8)
        assert end.usage.prompt_tokens == whole.input_length
    assert [(info.id, info.model, info.state) for info in session.infos()] == [
        ("g1", "b", "ended"),
        ("g2", "a", "ended"),
        ("g3", "b", "ended"),
    ]


async def test_a_target_that_waits_does_not_hold_up_its_sibling(chat_backend: OpenBackend) -> None:
    o = await chat_backend(models=TWO)
    session, reader = o.session()
    await o.stage.use("b")
    o.stage.runner.loading.close()
    session.generate(ask("a", "b"))
    await reader.end("g2")
    assert reader.states("g1") == ["starting"]
    assert reader.text("g1") == ""
    o.stage.runner.loading.open()
    assert (await reader.end("g1")).finish_reason == "length"
    assert reader.states("g1") == ["starting", "running"]


async def test_a_targets_parameters_win_over_the_commands_and_the_models(
    chat_backend: OpenBackend,
) -> None:
    models = {"a": {"weights": "x", "parameters": {"seed": 1, "top_k": 1, "truncate": 1}}}
    o = await chat_backend(models=models)
    session, reader = o.session()
    session.generate(
        Generate(
            1,
            [Target("a", {"seed": 3, "truncate": None})],
            prompt="Hi",
            parameters={"seed": 2, "top_k": 2, "max_new_tokens": 3},
        )
    )
    await reader.end("g1")
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    assert fake.state.requests[0]["parameters"] == {
        "seed": 3,
        "top_k": 2,
        "max_new_tokens": 3,
        "details": True,
    }


@pytest.mark.parametrize(
    ("system", "messages", "expected"),
    [
        (None, [Message("user", "Hi")], ["Be good.", "Hi"]),
        ("Be bad.", [Message("user", "Hi")], ["Be bad.", "Hi"]),
        ("", [Message("user", "Hi")], ["Hi"]),
        (None, [Message("system", "Mine"), Message("user", "Hi")], ["Mine", "Hi"]),
    ],
)
async def test_the_system_prompt_is_the_models_unless_somebody_says_otherwise(
    chat_backend: OpenBackend, system: str | None, messages: list[Message], expected: list[str]
) -> None:
    o = await chat_backend(models={"a": {"weights": "x", "system": "Be good."}})
    session, reader = o.session()
    session.generate(Generate(1, [Target("a", {"max_new_tokens": 1}, system)], messages=messages))
    await reader.end("g1")
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    roles = ["user"] if expected == ["Hi"] else ["system", "user"]
    turns = "".join(f"<|{role}|>\n{text}</s>\n" for role, text in zip(roles, expected, strict=True))
    assert fake.state.requests[0]["inputs"] == f"{turns}<|assistant|>\n"


async def test_a_prompt_goes_as_it_is_without_any_system_prompt(chat_backend: OpenBackend) -> None:
    o = await chat_backend(models={"a": {"weights": "x", "system": "Be good."}})
    session, reader = o.session()
    session.generate(ask("a", prompt="Once upon"))
    await reader.end("g1")
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    assert fake.state.requests[0]["inputs"] == "Once upon"


@pytest.mark.parametrize("no_template", [False, True])
async def test_a_length_nobody_asked_for_is_fitted_to_the_context(
    chat_backend: OpenBackend, no_template: bool
) -> None:
    """Regression: a base model with a context of 1024 refused every prompt at our own default."""
    o = await chat_backend(FakeRunner(max_total_tokens=40, no_template=no_template))
    session, reader = o.session()
    session.generate(Generate(1, [Target("a")], messages=[Message("user", "Hi")]))
    end = await reader.end("g1")
    assert end.finish_reason == "length"
    assert end.usage.prompt_tokens is not None
    assert end.usage.prompt_tokens + end.usage.completion_tokens == 40


async def test_a_length_somebody_asked_for_is_refused_if_it_does_not_fit(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(max_total_tokens=40))
    session, reader = o.session()
    session.generate(ask("a", parameters={"max_new_tokens": 100}))
    end = await reader.end("g1")
    assert end.finish_reason == "failed"
    assert end.error is not None
    assert end.error.code == "prompt_too_long"


async def test_details_bring_the_tokens_special_ones_without_text(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(text="All done"))
    session, reader = o.session()
    session.generate(ask("a", details=True))
    await reader.end("g1")
    tokens = [token for delta in reader.of(Delta, "g1") for token in delta.tokens or []]
    assert [(token.text, token.special) for token in tokens] == [
        ("All", False),
        (" done", False),
        ("</s>", True),
    ]
    assert reader.text("g1") == "All done"
    assert reader.seq("g1") == 3


async def test_without_details_special_tokens_leave_no_trace(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(text="All done"))
    session, reader = o.session()
    session.generate(ask("a"))
    end = await reader.end("g1")
    assert (reader.text("g1"), end.seq, end.usage.completion_tokens) == ("All done", 2, 3)
    assert all(delta.tokens is None for delta in reader.of(Delta, "g1"))


# --- refused before anything starts -------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (ask("a", "nobody"), UnknownModel),
        (ask("a", prompt=""), InvalidCommand),
        (Generate(1, [Target("a")], messages=[]), InvalidCommand),
        (ask("a", parameters={"top_p": 7}), InvalidParameters),
        (ask(targets=[Target("a"), Target("a", {"heat": 1})]), InvalidParameters),
        (ask(*["a"] * 5), SessionLimit),
    ],
)
async def test_one_bad_target_fails_the_whole_command_before_anything_starts(
    chat_backend: OpenBackend, command: Generate, kind: type[Exception]
) -> None:
    o = await chat_backend(live=4)
    session, _ = o.session()
    with pytest.raises(kind):
        session.generate(command)
    assert session.infos() == []
    await asyncio.sleep(0)
    assert o.stage.runner.starts == 0
    assert o.stage.fleet.snapshot("a").waiting == 0


async def test_a_full_queue_fails_the_whole_command_too(chat_backend: OpenBackend) -> None:
    o = await chat_backend(models=TWO, max_queue=2)
    session, _ = o.session()
    session.generate(ask("a", "b"))
    with pytest.raises(QueueFull):
        session.generate(ask("b", "a", "a"))
    assert len(session.infos()) == 2
    # Nothing of it was reserved, not even the slot of `b`, which there was.
    assert session.generate(ask("b", "a")) == ["g3", "g4"]


async def test_a_session_may_have_so_many_answers_under_way_and_no_more(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(hold_after=1), live=2)
    session, reader = o.session()
    session.generate(ask("a", "a"))
    with pytest.raises(SessionLimit, match="2 answers under way"):
        session.generate(ask("a"))
    session.cancel(["g1"])
    await reader.end("g1")
    assert session.generate(ask("a")) == ["g3"]


async def test_an_owners_limit_holds_over_all_sessions(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=1), owner=2)
    (one, _), (two, _), (other, _) = o.session("me"), o.session("me"), o.session("you")
    one.generate(ask("a"))
    two.generate(ask("a"))
    with pytest.raises(SessionLimit):
        two.generate(ask("a"))
    other.generate(ask("a"))


async def test_a_request_id_is_carried_out_at_most_once(chat_backend: OpenBackend) -> None:
    o = await chat_backend(models=TWO)
    session, reader = o.session()
    first = session.generate(ask("a", "b", request_id="r1"))
    assert session.generate(ask("a", "b", request_id="r1")) == first
    for generation_id in first:
        await reader.end(generation_id)
    assert session.generate(ask("a", request_id="r1")) == first
    assert session.generate(ask("a", request_id="r2")) == ["g3"]
    assert o.session()[0].generate(ask("a", request_id="r1")) == ["g1"]


async def test_a_request_id_that_was_refused_may_be_tried_again(chat_backend: OpenBackend) -> None:
    o = await chat_backend()
    session, reader = o.session()
    with pytest.raises(UnknownModel):
        session.generate(ask("nobody", request_id="r1"))
    assert session.generate(ask("a", request_id="r1")) == ["g1"]
    await reader.end("g1")
