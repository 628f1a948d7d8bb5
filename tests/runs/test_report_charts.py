"""The charts of a report: what stands in them, and where."""

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest

from server.runs.report_charts import signed, strength_chart
from server.runs.results import Rank

SVG = "{http://www.w3.org/2000/svg}"


def rank(target: int, strength: float, interval: list[float] | None) -> Rank:
    """Return a target of the one group."""
    return Rank(target, strength, interval, 1, 1, 0, 0, False)


def test_a_chart_is_well_formed_and_says_what_it_shows() -> None:
    names = ["<b>&amp;</b>", "a name that is far too long to stand above a bar"]
    ranking = [rank(0, 0.5, [0.25, 1.0]), rank(1, -0.5, [-1.0, -0.25])]
    apart = msgspec.structs.replace(ranking[1], group=1)
    assert strength_chart(names, [ranking[0], apart]) is None
    chart = strength_chart(names, ranking)
    assert chart is not None
    # What a page's own parser does not ask for.
    drawn = ET.fromstring(chart.svg.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))
    assert drawn.findtext(f"{SVG}title") == "Strength"
    assert drawn.findtext(f"{SVG}desc") == f"{names[0]}: +0.50; {names[1]}: -0.50"
    texts = ["".join(text.itertext()) for text in drawn.iter(f"{SVG}text")]
    assert names[0] in texts
    assert f"{names[1][:29]}…" in texts
    assert texts[:3] == ["-1.00", "+0.00", "+1.00"]
    places = [float(point.attrib["cx"]) for point in drawn.iter(f"{SVG}circle")]
    assert places == [267.0, 93.0]  # symmetric about the middle of 360
    for number in re.findall(
        r"[\d.]+", " ".join(one.attrib["d"] for one in drawn.iter(f"{SVG}path"))
    ):
        assert 0 <= float(number) <= 360


def test_strengths_of_no_reach_are_drawn_in_the_middle() -> None:
    chart = strength_chart(["a", "b"], [rank(0, 0.0, None), rank(1, 0.0, None)])
    assert chart is not None
    assert chart.svg.count('cx="180.0"') == 2
    assert strength_chart(["a"], []) is None


@pytest.mark.parametrize(("value", "words"), [(-0.001, "+0.00"), (0.0, "+0.00"), (-1.5, "-1.50")])
def test_zero_has_one_sign(value: float, words: str) -> None:
    assert signed(value) == words
