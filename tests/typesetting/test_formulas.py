"""Formulas become MathML, or say why not; none of them ends the process."""

import re
from xml.etree import ElementTree as ET

import pytest

from server.typesetting.formulas import MAX_FORMULA_CHARS, Formula, TypesetFormula, typeset


def one(tex: str, *, block: bool = False) -> TypesetFormula:
    (found,) = typeset([Formula(tex, block)]).result(20)
    return found


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\frac{a}{b}", "ab"),
        (r"\sum_{i=1}^n x_i", "∑i=1nxi"),
        (r"\text{für } x < y", "für x<y"),
        (r"\begin{cases} 1 & x > 0 \\ 0 & y \end{cases}", "{1x>00y\u2063"),
        (r"\mathbb{R} \to \operatorname{softmax}(x)", "\u211d→softmax\u2061(x)"),
        (r"\widetilde{x}", "x~"),
        ("日本", "日本"),
    ],
)
def test_a_formula_is_well_formed_mathml(tex: str, text: str) -> None:
    for block in (False, True):
        mathml = one(tex, block=block).mathml or ""
        math = ET.fromstring(mathml)  # what we wrote
        assert (math.tag, math.get("display")) == ("math", "block" if block else None)
        assert re.sub(r"[\ufe00\s]", "", "".join(math.itertext())) == text.replace(" ", "")


@pytest.mark.parametrize(
    "tex", [r"\foo", "{", r"\frac{1}", "a & b", "x^2^3", r"\href{javascript:x}{y}", r"\input{x}"]
)
def test_a_formula_that_is_none_says_why(tex: str) -> None:
    found = one(tex)
    assert found.mathml is None
    assert found.error


@pytest.mark.parametrize(
    ("tex", "words"),
    [
        (r"\frac{1", 'Expected closing token "}", but reached end of input.'),
        (r"\nosuch{x}", r'Unknown command "\nosuch".'),
        ("x^2^3", "Duplicate subscript or superscript."),
    ],
)
def test_what_is_wrong_is_told_in_words(tex: str, words: str) -> None:
    assert one(tex).error == words


def test_text_in_a_formula_is_no_markup() -> None:
    mathml = one(r"\text{<img src=x onerror=alert(1)>} <b> \text{\&ApplyFunction;}").mathml or ""
    assert "<img" not in mathml
    assert "<b>" not in mathml
    assert "&amp;ApplyFunction;" in mathml


@pytest.mark.parametrize(
    "tex",
    [
        "{" * MAX_FORMULA_CHARS,
        "{" * 2000 + "}" * 2000,
        r"\sqrt" * 800,
        r"\sqrt{" * 571 + "}" * 571,
        "x^{" * 1000 + "}" * 1000,
        r"\left(" * 307 + r"\right)" * 307,
        r"\begin{matrix}" * 142 + r"\end{matrix}" * 142,
        r"\newcommand{\a}{" + "{" * 1900 + r"\a" + "}" * 1900 + r"}\a",
        r"\def\a{\a\a}\a",
    ],
)
def test_deep_formulas_are_typeset_or_refused(tex: str) -> None:
    found = one(tex)
    assert (found.mathml is None) != (found.error is None)
    assert one("x").mathml == "<math><mi>x</mi></math>"


def test_a_formula_that_is_too_long_is_refused() -> None:
    assert "4,000" in (one("x" * 4001).error or "")


def test_formulas_come_in_their_order() -> None:
    found = typeset([Formula("a"), Formula("{"), Formula("b")]).result(20)
    assert [one.mathml and "<mi>" in one.mathml for one in found] == [True, None, True]
