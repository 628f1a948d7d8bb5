"""Draw the figures as one SVG: a panel for each question, a bar for each relay."""

from collections.abc import Callable
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.relay.report import IDLE, SATURATION

Row = dict[str, Any]
_COLOURS: Final = {
    "nginx": "#5b8c5a",
    "gateway": "#3b6ea8",
    "gateway-openai": "#c2803a",
    "gateway-ollama": "#8a5a9e",
    "direct": "#b0b0b0",
}
_PANELS: Final[tuple[tuple[str, str], ...]] = (
    ("CPU time per token, µs", "cpu_us"),
    ("Latency of a token, p50, ms", "p50_ms"),
    ("Latency of a token, p99, ms", "p99_ms"),
    ("Time to the first token, p50, ms", "first_p50_ms"),
)
_PANEL_WIDTH: Final = 460
_PANEL_HEIGHT: Final = 250
_BAR_AREA: Final = 150
_BAR_WIDTH: Final = 15


def draw(rows: list[Row], caption: str) -> str:
    """Return the SVG document."""
    loads = [
        load for load in dict.fromkeys(r["load"] for r in rows) if load not in (IDLE, SATURATION)
    ]
    panels = []
    for number, (title, key) in enumerate(_PANELS):
        x = 20 + number % 2 * _PANEL_WIDTH
        y = 60 + number // 2 * _PANEL_HEIGHT
        shown = [row for row in rows if row["load"] in loads and key in row]
        panels.append(f'<g transform="translate({x},{y})">{_panel(title, key, loads, shown)}</g>')
    width, height = 2 * _PANEL_WIDTH + 20, 2 * _PANEL_HEIGHT + 70
    legend = "".join(
        f'<rect x="{20 + at * 130}" y="34" width="12" height="12" fill="{colour}"/>'
        f'<text x="{38 + at * 130}" y="44">{name}</text>'
        for at, (name, colour) in enumerate(_COLOURS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="20" y="22" font-size="13">{escape(caption)}</text>{legend}'
        + "".join(panels)
        + "</svg>\n"
    )


def _panel(title: str, key: str, loads: list[object], rows: list[Row]) -> str:
    parts = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    if not rows:
        return parts[0]
    highest = max(row[key] for row in rows)
    height = _scale(highest)
    base = 36 + _BAR_AREA
    parts.append(f'<line x1="0" x2="{_PANEL_WIDTH - 30}" y1="{base}" y2="{base}" stroke="#888"/>')
    step = (_PANEL_WIDTH - 30) / len(loads)
    for at, load in enumerate(loads):
        group = [row for row in rows if row["load"] == load]
        left = at * step + (step - len(group) * (_BAR_WIDTH + 6)) / 2
        middle = at * step + step / 2
        parts.append(f'<text x="{middle:.0f}" y="{base + 16}" text-anchor="middle">{load}</text>')
        order = list(_COLOURS)
        for place, row in enumerate(sorted(group, key=lambda row: order.index(row["relay"]))):
            x = left + place * (_BAR_WIDTH + 6)
            tall = height(row[key])
            parts.append(
                f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{_BAR_WIDTH}" '
                f'height="{tall:.1f}" fill="{_COLOURS[row["relay"]]}"/>'
                f'<text x="{x + _BAR_WIDTH / 2:.1f}" y="{base - tall - 3:.1f}" font-size="9" '
                f'text-anchor="middle">{row[key]:.3g}</text>'
            )
    parts.append(
        f'<text x="{(_PANEL_WIDTH - 30) / 2}" y="{base + 32}" text-anchor="middle" '
        'fill="#666">streams at once</text>'
    )
    return "".join(parts)


def _scale(highest: float) -> Callable[[float], float]:
    """Map values to heights: the square root, so that small bars beside tall ones still show."""
    return lambda value: _BAR_AREA * (max(value, 0.0) / highest) ** 0.5 if highest else 0.0
