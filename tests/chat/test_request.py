"""What one model is asked: settings, command and target combined, and what its server takes."""

from typing import Any

import pytest

from server.chat.request import Request, build_request
from server.core.errors import InvalidParameters
from server.dialects.base import EngineInfo, Prompt
from tests.support.specs import catalog

TAKES = frozenset({"temperature", "top_p", "max_new_tokens", "seed"})
PLAIN = EngineInfo(engine="Plain", takes=TAKES)


def request(*, is_lenient: bool = False, extra: Any = None, **parameters: Any) -> Request:
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


def test_what_the_server_is_known_not_to_take_is_refused_by_name() -> None:
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
def test_what_does_no_harm_is_not_refused(asked: Request) -> None:
    asked.check_taken(PLAIN)


def test_nothing_is_refused_of_a_server_that_is_not_known() -> None:
    request(min_p=0.1).check_taken(EngineInfo())


def test_off_is_kept_for_a_server_whose_defaults_are_its_own() -> None:
    asked = request(temperature=0, top_p=1, top_k=0)
    assert dict(asked.parameters) == {
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "max_new_tokens": 1024,
    }


def test_whose_parameter_it_is_goes_along() -> None:
    assert request(top_p=0.5).chosen == {"temperature", "top_p"}


def test_only_what_the_settings_allow_is_passed_on() -> None:
    assert dict(request(extra={"think": True}).extra) == {"think": True}
    with pytest.raises(InvalidParameters, match="'keep_alive' may not be passed on to a"):
        request(extra={"keep_alive": 5})


def test_a_length_that_nobody_chose_is_shortened_to_what_the_context_leaves() -> None:
    info = EngineInfo(takes=TAKES, max_total_tokens=100)
    ask = request().ask(info, Prompt("Hi", 90), wants_tokens=False)
    assert ask.parameters["max_new_tokens"] == 10
    ask = request(max_new_tokens=50).ask(info, Prompt("Hi", 90), wants_tokens=False)
    assert ask.parameters["max_new_tokens"] == 50


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
def test_what_is_drawn_at_random_depends_on_what_unset_means(
    dialect: str, parameters: dict[str, Any], is_seeded: bool
) -> None:
    spec = catalog(a={"runner": "remote", "url": "http://x", "dialect": dialect}).get("a")
    asked = build_request(spec, "Hi", parameters=[parameters], system=None, extra={})
    seeded = asked.with_seed()
    assert ("seed" in seeded.parameters) == is_seeded
    # Ours, so that a server which takes none is asked without it.
    assert "seed" not in seeded.chosen
