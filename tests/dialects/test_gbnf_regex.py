"""Regular expressions as llama.cpp's grammars: they take what Python's own take, or are refused."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import InvalidParameters
from server.dialects.gbnf.regex import parse, parse_search
from server.dialects.gbnf.writing import write
from tests.dialects.grammars import takes
from tests.support import properties  # noqa: F401

TEXTS = ("", "a", "b", "ab", "ba", "aab", "abab", "aXb", "A", "é", "É", "\n", "a\nb", "]", "a-b")


@pytest.mark.parametrize(
    "pattern",
    [
        *("a", "ab", "a|b", "(a|b)+", "(ab)*", "a?b", "a{2}b", "a{1,2}b?", "(a*)*", "(a?b?)+"),
        *("^a$", "^(a|b)$", "^a$|^b$", "(^a|b$)", "", "(?:a|)b", "(?P<n>a)b", "(?<n>a)b", "a+?b"),
        *(".", ".b", "[ab]+", "[^a]", "[]a-]+", "[a-c]*", "[^]]", r"[\]a]", r"[\w-]+", "a{,2}b"),
        *(r"\w+", r"\W", r"\s", r"\S+", r"\x61", r"\u00e9", "é", r"a\nb", r"\Aa\Z", "a{", "a{x}"),
        *("(?i)a", "(?i:a)b", "(?i)é", "(?i)[a]b", "(?s)a.b", "(?s:.)", "(?i)A(?-i:b)", "[(]|a"),
    ],
)
@pytest.mark.parametrize("text", TEXTS)
def test_takes_what_python_takes(pattern: str, text: str) -> None:
    theirs = pattern.replace("(?<n>", "(?P<n>").replace("a{,2}", "a{0,2}")
    flags = re.NOFLAG if "é" in pattern else re.ASCII
    assert takes(parse(pattern), text) == bool(re.fullmatch(theirs, text, flags))


@pytest.mark.parametrize("pattern", ["a", "^a", "b$", "^a|b$", "^(a|b)$", "a.b", ""])
@pytest.mark.parametrize("text", TEXTS)
def test_part_of_a_text_matches(pattern: str, text: str) -> None:
    found = re.search(pattern.replace("$", r"\Z"), text)
    assert takes(parse_search(pattern), text) == bool(found)


_ATOMS = st.sampled_from(["a", "b", "[ab]", "[^a]", "(a|b)", "((ab)?)", "(a*b)", "(?:)", "(a|)"])
_PARTS = st.tuples(_ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,2}", "{1,}"]))


@given(
    st.lists(st.lists(_PARTS, max_size=4), min_size=1, max_size=3),
    st.text("abc", max_size=6),
    st.sampled_from(["", "*", "{2}"]),
)
def test_any_of_them_takes_what_python_takes(
    branches: list[list[tuple[str, str]]], text: str, times: str
) -> None:
    inner = "|".join("".join(atom + repeat for atom, repeat in parts) for parts in branches)
    pattern = f"(?:{inner}){times}"
    tree = parse(pattern)
    assert takes(tree, text) == bool(re.fullmatch(pattern, text))
    assert write(tree).startswith("root ::= ")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)b", "looks around"),
        ("(?<!a)b", "looks around"),
        (r"(a)\1", r"looks back with `\\1`"),
        ("(?P<x>a)(?P=x)", "no grammar can say"),
        (r"\bword", "edge of a word"),
        ("a$b", "inside the text"),
        ("(a^)b", "inside the text"),
        ("a**", "repeats a repeat"),
        ("a++", "possessive"),
        ("(?>a)", "no grammar can say"),
        ("*a", "repeats nothing"),
        ("^*a", "repeats a place"),
        ("(", "without its `\\)`"),
        ("a)", "a `\\)` too many"),
        ("[a", "without its `\\]`"),
        ("[z-a]", "a range that is none"),
        (r"[\d-z]", "a range that is none"),
        (r"\p{L}", "not known here"),
        (r"[[:nothing:]]", "not known here"),
        ("[a&&b]", "joins sets"),
        ("(?x)a", "flag `x`"),
        ("a\\", "ends with"),
        ("a{3,2}", "at least 3 and at most 2"),
        ("a{200000}", "more than 100000"),
        (r"\x{110000}", "no character"),
        ("[^\x01-\U0010ffff]", "no characters"),
        ("(" * 100, "nested too deeply"),
        ("a" * 10_001, "too long"),
    ],
)
def test_refused_with_the_reason(pattern: str, words: str) -> None:
    with pytest.raises(InvalidParameters, match="`grammar`.*" + words):
        write(parse(pattern))


@given(st.text())
def test_anything_is_taken_or_refused(pattern: str) -> None:
    with suppress(InvalidParameters):
        assert write(parse(pattern))


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"\d{4}-\d\d", 'root ::= [0-9]{4} "-" [0-9] [0-9]'),
        ('"\\\\\n', 'root ::= "\\"\\\\\\n"'),
        ("日|[ぁ-ん]+", "root ::= ([\\u65E5] | [\\u3041-\\u3093]+)"),
        ("🙂", "root ::= [\\U0001F642]"),
        # Some versions take no more than 2,000 repeats, and write each of them out.
        ("a{0,5000}", "root ::= ([a]{500}){0,9} [a]{0,500}"),
        ("a{3000,}", "root ::= ([a]{500}){6} [a]*"),
        ("(a*)*", "root ::= [a]*"),
        ("[]^-]", "root ::= [\\x2D\\x5D-\\x5E]"),
        ("", 'root ::= ""'),
    ],
)
def test_how_it_is_written(pattern: str, written: str) -> None:
    assert write(parse(pattern)) == written


def test_long_and_nested_ones_take_no_long_time() -> None:
    nested = "a"
    for _ in range(22):
        nested = f"(x?({nested})*)*"
    assert len(write(parse(nested))) < 2000
    assert len(write(parse(f"({'a?' * 4000})*"))) < 100_000
