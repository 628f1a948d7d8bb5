"""The charts of a report, as SVG in the page: a row for each target, of one question each.

They show what the tables beside them have, in the page's own colours (`templates/run.css`), light
and dark. Each has a title and a description for who does not see it. A row has its name above its
bar, so that a chart is read on a phone.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from server.runs.judge_shapes import JudgeResults
from server.runs.report_words import percent
from server.runs.results import Rank, Results, TargetResult

_WIDTH: Final = 360
_ROW: Final = 34
_MARGIN: Final = 6
_AXIS: Final = 20
# Of 12 px, in whatever font a reader has: sooner too wide than one text over another.
_WIDE, _CAPITAL, _SMALL = 12.0, 9.5, 7.0


class Chart(NamedTuple):
    """A chart: what it is of, and its SVG."""

    title: str
    svg: str


class Bar(NamedTuple):
    """A row of a chart: a value, and how far its interval or its 95th percentile goes.

    `words` is what is read of it.
    """

    name: str
    value: float
    low: float
    high: float
    words: str


class Axis(NamedTuple):
    """From where to where a chart goes, and how its numbers are written."""

    low: float
    high: float
    write: Callable[[float], str]


def result_charts(results: Results, milliseconds: Callable[[float | None], str]) -> list[Chart]:
    """Return the charts of answers, each if it has two rows: passed, first token, speed."""
    targets = results.targets
    bars = {
        "Passed": [bar for one in targets if (bar := _passed(one))],
        "First token": [bar for one in targets if (bar := _first_token(one, milliseconds))],
        "Tokens per second": [bar for one in targets if (bar := _speed(one))],
    }
    axes = {
        "Passed": Axis(0, 1, percent),
        "First token": Axis(0, _top(bars["First token"]), milliseconds),
        "Tokens per second": Axis(0, _top(bars["Tokens per second"]), lambda rate: f"{rate:.4g}"),
    }
    return [_chart(title, own, axes[title]) for title, own in bars.items() if len(own) > 1]


def expected_wins_chart(names: Sequence[str], ranking: Sequence[Rank]) -> Chart | None:
    """Return the chart of expected wins with their intervals.

    None where nobody was compared, or not all with each other: one axis would compare them. Whose
    prompts are too few for an interval has no row.
    """
    if len({one.group for one in ranking}) > 1:
        return None
    bars = []
    for one in ranking:
        share, interval = one.expected_wins, one.expected_wins_interval
        if interval is None:
            continue
        low, high = interval
        words = percent(share)
        if low < high:
            words += f" ({low * 100:.0f} to {percent(high)})"
        bars.append(Bar(names[one.target], share, low, high, words))
    return _chart("Expected wins", bars, Axis(0, 1, percent)) if bars else None


def judge_chart(names: Sequence[str], judge: JudgeResults) -> Chart | None:
    """Return the chart of a judge's grades or ranking, None where there are none."""
    if judge.judge.mode == "pairs":
        return expected_wins_chart(names, judge.ranking)
    bars = []
    for one in judge.grades:
        mean, interval = one.grades.mean, one.grades.interval
        if mean is not None:
            low, high = (interval.low, interval.high) if interval else (mean, mean)
            bars.append(Bar(names[one.target], mean, low, high, f"{mean:.2f}"))
    axis = Axis(1, judge.judge.grades, lambda grade: f"{grade:.3g}")
    return _chart("Mean grade", bars, axis) if bars else None


def _passed(target: TargetResult) -> Bar | None:
    passed = target.figures.answers
    if passed is None:
        return None
    low, high = passed.interval.low, passed.interval.high
    words = f"{percent(passed.share)} ({low * 100:.0f} to {percent(high)})"
    return Bar(target.name, passed.share, low, high, words)


def _first_token(target: TargetResult, milliseconds: Callable[[float | None], str]) -> Bar | None:
    first = target.figures.first_token
    if first.median is None:
        return None
    high = first.median if first.p95 is None else first.p95
    cold = " (cold)" if target.figures.is_first_token_cold else ""
    words = f"{milliseconds(first.median)}, 95 % within {milliseconds(high)}{cold}"
    return Bar(target.name, first.median, first.median, high, words)


def _speed(target: TargetResult) -> Bar | None:
    speed = target.figures.tokens_per_second
    return None if speed is None else Bar(target.name, speed, speed, speed, f"{speed:.1f}")


def _top(bars: Sequence[Bar]) -> float:
    """Return the end of an axis: a round number that no row goes beyond."""
    highest = max((bar.high for bar in bars), default=0.0)
    if highest <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(highest))
    return next(unit * step for step in (1, 2, 2.5, 5, 10) if unit * step >= highest)


def _chart(title: str, bars: Sequence[Bar], axis: Axis) -> Chart:
    height = len(bars) * _ROW + _AXIS
    description = "; ".join(f"{bar.name}: {bar.words}" for bar in bars)
    rows = "".join(_row(bar, axis, place * _ROW) for place, bar in enumerate(bars))
    return Chart(
        title,
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"{_axis(axis, len(bars) * _ROW)}{rows}</svg>",
    )


def _row(bar: Bar, axis: Axis, top: float) -> str:
    start = _x(axis, max(axis.low, min(0.0, axis.high)))
    value, low, high = (_x(axis, number) for number in (bar.value, bar.low, bar.high))
    left, right = min(start, value), max(start, value)
    middle, right_end = top + 23, _WIDTH - _MARGIN - 3
    name = _cut(bar.name, right_end - _MARGIN - 2 * _SMALL - _width(bar.words))
    whole = "" if name == bar.name else f"<title>{escape(bar.name)}</title>"
    return (
        f'<text x="{_MARGIN + 3}" y="{top + 13}">{escape(name)}{whole}</text>'
        f'<text x="{right_end}" y="{top + 13}" text-anchor="end">{escape(bar.words)}</text>'
        f'<rect class="bar" x="{left:.1f}" y="{middle - 4}" width="{right - left:.1f}" height="8"/>'
        f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8'
        f'M{high:.1f} {middle - 4}v8"/>'
        f'<circle class="point" cx="{value:.1f}" cy="{middle}" r="3.5"/>'
    )


def _cut(name: str, room: float) -> str:
    """Return a name, or how it begins where it is wider than `room`."""
    if _width(name) <= room:
        return name
    ends = (end for end in range(len(name), 0, -1) if _width(name[:end]) <= room - _WIDE)
    end = next(ends, 0)
    return f"{name[:end].rstrip()}…"


def _width(text: str) -> float:
    return sum(map(_width_of, text))


def _width_of(letter: str) -> float:
    if letter in "MWmw@%" or unicodedata.east_asian_width(letter) in "WF":
        return _WIDE
    return _CAPITAL if letter.isupper() else _SMALL


def _axis(axis: Axis, bottom: float) -> str:
    middle = (axis.low + axis.high) / 2
    places = ((axis.low, "start"), (middle, "middle"), (axis.high, "end"))
    return "".join(
        f'<path class="line" d="M{_x(axis, at):.1f} 16V{bottom}"/>'
        f'<text class="number" x="{_x(axis, at):.1f}" y="{bottom + 14}" text-anchor="{anchor}">'
        f"{escape(axis.write(at))}</text>"
        for at, anchor in places
    )


def _x(axis: Axis, value: float) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return _MARGIN + min(max(share, 0.0), 1.0) * (_WIDTH - 2 * _MARGIN)
