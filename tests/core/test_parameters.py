"""Generation parameters: what is "off", what is refused and in which words, what wins."""

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import InvalidParameters
from server.core.parameter_rules import GenerationParameters, convert, samples
from server.core.parameters import FIELDS, is_off, merge
from server.dialects.tgi.parameters import normalise
from tests.fakes.tgi_answers import Refusal
from tests.fakes.tgi_answers import check as check_as_tgi
from tests.fakes.tgi_options import FakeOptions


def sent(**parameters: Any) -> dict[str, Any]:
    """Return what goes to the model server."""
    return normalise(parameters)


# --- "off" --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("top_p", 1),
        ("top_p", 1.0),
        ("top_k", 0),
        ("typical_p", 1.0),
        ("repetition_penalty", 1),
        ("frequency_penalty", 0),
        ("top_n_tokens", 0),
        ("temperature", 0),
        ("temperature", 0.0),
        ("temperature", -0.0),
        ("seed", None),
        ("stop", None),
    ],
)
def test_a_value_that_means_off_is_left_out(name: str, off: object) -> None:
    assert sent(**{name: off}) == {}


def test_temperature_0_switches_all_sampling_off() -> None:
    """TGI samples if only one of them is there, whatever `do_sample` says."""
    assert sent(temperature=0, top_p=0.9, top_k=40, typical_p=0.5, do_sample=True, seed=7) == {
        "seed": 7
    }


@pytest.mark.parametrize("temperature", [0.2, 1, 1.0, 2])
def test_a_temperature_asks_for_sampling(temperature: float) -> None:
    """At exactly 1 TGI would pick the likeliest token unless told to sample."""
    assert sent(temperature=temperature) == {"temperature": temperature, "do_sample": True}


def test_do_sample_false_is_kept_beside_a_temperature() -> None:
    assert sent(temperature=0.5, do_sample=False) == {"temperature": 0.5, "do_sample": False}


def test_everything_else_goes_through_as_it_is() -> None:
    parameters = {
        "max_new_tokens": 9,
        "repetition_penalty": 1.2,
        "frequency_penalty": -2,
        "stop": ["a", "b"],
        "truncate": 100,
        "seed": 2**64 - 1,
        "top_n_tokens": 5,
        "watermark": True,
        "grammar": {"type": "regex", "value": "a+"},
        "adapter_id": "x",
        "return_full_text": True,
        "details": False,
    }
    assert normalise(parameters) == parameters


def test_default_values_sent_explicitly_change_nothing() -> None:
    """As TGI's own client does, which leaves nothing out."""
    sent = {
        "adapter_id": "",
        "best_of": 1,
        "decoder_input_details": False,
        "logit_bias": {},
        "stop": [],
        "top_k": None,
        "watermark": False,
    }
    assert normalise({"max_new_tokens": 9, **sent}) == {"max_new_tokens": 9}
    assert all(is_off(name, value) for name, value in sent.items() if value is not None)
    assert not is_off("watermark", 0)
    assert not is_off("best_of", True)


# --- refused, in TGI's words --------------------------------------------------------------------

IN_TGIS_WORDS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": -0.1}, "`temperature` must be strictly positive"),
    ({"repetition_penalty": 0}, "`repetition_penalty` must be strictly positive"),
    ({"repetition_penalty": -1}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 2.01}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"frequency_penalty": -2.01}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"top_p": 0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"top_p": 1.01}, "`top_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 0}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"typical_p": -1}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"top_k": -1}, "`top_k` must be strictly positive"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": list("abcde")}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"best_of": 2}, "`best_of` != 1 is not supported when streaming tokens"),
    ({"decoder_input_details": True},
     "`decoder_input_details` == true is not supported when streaming tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "said"), IN_TGIS_WORDS, ids=repr)
def test_out_of_range_is_refused_in_tgis_words(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        normalise(parameters)
    assert caught.value.message == said


@pytest.mark.parametrize(("parameters", "said"), IN_TGIS_WORDS, ids=repr)
def test_the_words_are_those_of_the_fake_which_has_them_from_tgi(
    parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal) as caught:
        check_as_tgi(FakeOptions(), "Hi", parameters, streams=True)
    assert caught.value.body["error"] == f"Input validation error: {said}"


def test_nothing_is_truncated_to_nothing() -> None:
    with pytest.raises(InvalidParameters, match="`truncate` must be strictly positive"):
        normalise({"truncate": 0})


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": "0.5"},
        {"temperature": True},
        {"temperature": [0.5]},
        {"top_k": 1.5},
        {"top_k": "40"},
        {"max_new_tokens": 1.5},
        {"max_new_tokens": -1},
        {"max_new_tokens": 2**32},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 0.5},
        {"seed": True},
        {"top_k": 2**31},
        {"top_k": 10**400},
        {"temperature": 10**400},
        {"stop": "x"},
        {"stop": [1]},
        {"watermark": 1},
        {"do_sample": "yes"},
        {"details": 1},
        {"grammar": "a+"},
        {"grammar": {"type": "xml", "value": ""}},
        {"grammar": {"type": "regex"}},
        {"adapter_id": 5},
    ],
    ids=lambda parameters: repr(parameters)[:40],
)
def test_a_wrong_type_is_refused_and_named(parameters: dict[str, Any]) -> None:
    (name,) = parameters
    with pytest.raises(InvalidParameters, match=name):
        normalise(parameters)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name", ["temperature", "repetition_penalty", "frequency_penalty", "top_p", "typical_p"]
)
def test_numbers_that_are_not_finite_are_refused(name: str, number: float) -> None:
    """Regression: every comparison with NaN is false, so no range check caught it."""
    with pytest.raises(InvalidParameters, match=name):
        normalise({name: number})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("temprature", "temperature"), ("max_tokens", "max_new_tokens"), ("topp", "top_p")],
)
def test_an_unknown_name_is_refused_with_the_one_that_may_be_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidParameters, match=f"'{name}'; did you mean '{meant}'?"):
        normalise({name: 1})


def test_a_megabyte_of_unknown_name_is_not_repeated() -> None:
    with pytest.raises(InvalidParameters) as caught:
        normalise({"x" * 1_000_000: 1})
    assert len(caught.value.message) < 200


# --- layers -------------------------------------------------------------------------------------


def test_the_later_layer_wins_key_by_key() -> None:
    assert merge({"a": 1, "b": 1}, {"b": 2, "c": 2}, {"c": 3}) == {"a": 1, "b": 2, "c": 3}


def test_null_takes_a_key_of_an_earlier_layer_away() -> None:
    assert merge({"seed": 7, "top_k": 5}, {"seed": None}) == {"top_k": 5}


def test_the_layers_themselves_are_left_alone() -> None:
    below = {"a": 1}
    merge(below, {"a": 2})
    assert below == {"a": 1}


@pytest.mark.parametrize(
    ("parameters", "draws"),
    [
        ({}, False),
        ({"seed": 1, "repetition_penalty": 1.2}, False),
        ({"temperature": 1.0}, False),
        ({"temperature": 0.9}, True),
        ({"top_k": 5}, True),
        ({"top_p": 0.5}, True),
        ({"typical_p": 0.5}, True),
        ({"do_sample": True}, True),
    ],
    ids=repr,
)
def test_samples_tells_when_tgi_draws_at_random(parameters: dict[str, Any], draws: bool) -> None:
    assert samples(convert(parameters)) is draws


# --- anything at all ----------------------------------------------------------------------------

_VALUE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([0, 1, 0.5, -1, 2**31, 2**32, 2**64])
    | st.text(max_size=3)
    | st.lists(st.text(max_size=3), max_size=5)
)


@given(st.dictionaries(st.sampled_from(FIELDS), _VALUE, max_size=6))
def test_accepted_parameters_are_accepted_by_tgi_too(parameters: dict[str, Any]) -> None:
    try:
        normalised = normalise(parameters)
    except InvalidParameters:
        return
    # It can be written as JSON, read back as the same, and holds nothing that TGI refuses.
    assert json.loads(msgspec.json.encode(normalised)) == normalised
    assert normalise(normalised) == normalised
    limits = FakeOptions(max_input_tokens=2**32, max_total_tokens=2**33)
    check_as_tgi(limits, "Hi", normalised, streams=True)


@given(st.dictionaries(st.text(max_size=12), _VALUE, max_size=3))
def test_any_names_are_accepted_or_refused(parameters: dict[str, Any]) -> None:
    with suppress(InvalidParameters):
        assert set(normalise(parameters)) <= set(FIELDS)


def test_the_fields_are_tgis() -> None:
    assert set(FIELDS) == set(GenerationParameters.__struct_fields__)
    assert convert({"unheard_of": 1}) == GenerationParameters()
