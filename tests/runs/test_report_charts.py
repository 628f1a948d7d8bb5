"""The charts of a report: what stands in them, and where."""

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest

from server.evaluation.statistics.strengths import win_probability
from server.runs.report_charts import expected_wins_chart
from server.runs.results import Rank

SVG = "{http://www.w3.org/2000/svg}"


def rank(target: int, strength: float, interval: list[float] | None) -> Rank:
    """Return a target of the one group."""
    shares = interval and [win_probability(bound, 0.0) for bound in interval]
    return Rank(
        *(target, strength, interval, 1, 1, 0, 0, False),
        expected_wins=win_probability(strength, 0.0),
        expected_wins_interval=shares,
    )


def test_a_chart_is_well_formed_and_says_what_it_shows() -> None:
    names = ["<b>&amp;</b>", "a name that is far too long to stand above a bar"]
    ranking = [rank(0, 0.5, [0.25, 1.0]), rank(1, -0.5, [-1.0, -0.25])]
    apart = msgspec.structs.replace(ranking[1], group=1)
    assert expected_wins_chart(names, [ranking[0], apart]) is None
    chart = expected_wins_chart(names, ranking)
    assert chart is not None
    # What a page's own parser does not ask for.
    drawn = ET.fromstring(chart.svg.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))
    assert drawn.findtext(f"{SVG}title") == "Expected wins"
    words = f"{names[0]}: 62 % (56 to 73 %); {names[1]}: 38 % (27 to 44 %)"
    assert drawn.findtext(f"{SVG}desc") == words
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert names[0] in texts
    (cut,) = [text for text in texts if text and text.endswith("…")]
    assert names[1].startswith(cut[:-1])
    assert len(cut) > 20
    # The whole name is told where it is pointed at.
    assert [one.text for one in drawn.iter(f"{SVG}title")] == ["Expected wins", names[1]]
    assert texts[:3] == ["0 %", "50 %", "100 %"]
    places = [float(point.attrib["cx"]) for point in drawn.iter(f"{SVG}circle")]
    assert places == [222.6, 137.4]  # symmetric about the middle of 360
    for number in re.findall(
        r"[\d.]+", " ".join(one.attrib["d"] for one in drawn.iter(f"{SVG}path"))
    ):
        assert 0 <= float(number) <= 360


def test_who_is_of_average_strength_is_drawn_in_the_middle() -> None:
    average = [rank(0, 0.0, [-1.0, 1.0]), rank(1, 0.0, [-1.0, 1.0])]
    chart = expected_wins_chart(["a", "b"], average)
    assert chart is not None
    assert chart.svg.count('cx="180.0"') == 2
    alike = expected_wins_chart(["a", "b"], [rank(0, 1.0, [1.0, 1.0]), rank(1, -1.0, [-1.0, -1.0])])
    assert alike is not None
    assert "<desc>a: 73 %; b: 27 %</desc>" in alike.svg
    assert expected_wins_chart(["a"], []) is None


def test_of_too_few_prompts_no_share_is_drawn() -> None:
    names = ["a", "b", "c"]
    told, untold = rank(0, 1.0, [0.5, 1.5]), [rank(1, -0.5, None), rank(2, -0.5, None)]
    assert expected_wins_chart(names, untold) is None
    chart = expected_wins_chart(names, [told, *untold])
    assert chart is not None
    assert "<desc>a: 73 % (62 to 82 %)</desc>" in chart.svg


@pytest.mark.parametrize("letter", ["W", "i", "漢"])
def test_a_name_of_any_letters_is_cut_before_what_is_read_of_its_row(letter: str) -> None:
    chart = expected_wins_chart([letter * 200], [rank(0, 0.5, [0.25, 1.0])])
    assert chart is not None
    (cut,) = re.findall(rf">({letter}+)…<title>", chart.svg)
    assert 8 < len(cut) < 40
