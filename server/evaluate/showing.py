"""An evaluation on a terminal: a progress bar, and the table at the end."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

_BAR: Final = 30
_HEADS: Final = (
    *("target", "passed", "95 % interval", "first token", "tokens/s", "tokens"),
    *("cut", "failed", "cost", "time"),
)


class Bar:
    """A line that shows how far a run or a judge is, rewritten on a terminal, else one a tenth."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = -1

    def show(self, run: Mapping[str, Any]) -> None:
        """Show how far a run is."""
        failed = sum(target["failed"] for target in run["targets"])
        words = f"{run['answered']}/{run['total']} answers"
        if failed:
            words += f", {failed} failed"
        self._show(run["answered"], run["total"], words)

    def show_judge(self, judge: Mapping[str, Any]) -> None:
        """Show how far a judge is."""
        judged, total = judge["judged"], judge["total"]
        self._show(judged, total, f"{judged}/{total} judgements")

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            print(file=sys.stderr)

    def _show(self, done: int, total: int, words: str) -> None:
        total = max(total, 1)
        if self._is_terminal:
            filled = _BAR * done // total
            bar = "#" * filled + "." * (_BAR - filled)
            print(f"\r[{bar}] {words}\x1b[K", end="", file=sys.stderr, flush=True)
        elif (tenth := 10 * done // total) != self._shown:
            self._shown = tenth
            print(words, file=sys.stderr, flush=True)


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a table for a terminal, and what comparisons say."""
    rows = [_HEADS, *(_row(target) for target in results["targets"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    words = [f"- {one['words']}" for one in results["comparisons"]]
    return "\n".join([*lines, *([""] if words else []), *words])


def _row(target: Mapping[str, Any]) -> tuple[str, ...]:
    figures = target["figures"]
    passed = figures["answers"]
    interval = passed["interval"] if passed else None
    speed = figures["tokens_per_second"]
    failures = ", ".join(f"{count} {cause}" for cause, count in figures["failures"].items())
    seconds = target["seconds"]
    tokens, cost = figures["completion_tokens"], figures["cost"]
    return (
        target["name"],
        f"{passed['passed']}/{passed['total']}" if passed else "-",
        f"{interval['low'] * 100:.0f} to {interval['high'] * 100:.0f} %" if interval else "-",
        _first_token(figures),
        "-" if speed is None else f"{speed:.1f}",
        "-" if tokens is None else str(tokens),
        str(figures["cut"]),
        failures or "0",
        "-" if cost is None else f"{'at least ' * figures['cost_is_partial']}${cost:.4g}",
        "-" if seconds is None else f"{seconds:.1f} s",
    )


def _first_token(figures: Mapping[str, Any]) -> str:
    """Return the median, of cold answers where there are no others."""
    for kind, mark in (("first_token_warm", ""), ("first_token_cold", " cold")):
        if (median := figures[kind]["median"]) is not None:
            return f"{median:.0f} ms{mark}"
    return "-"


def judge_lines(found: Mapping[str, Any], targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a judge's judgements come to, a line for each target."""
    judge, names = found["judge"], [target["name"] for target in targets]
    lines = ["", f"judge {judge['model']}: {judge['judged']} judgements"]
    if judge["unreadable"]:
        lines[-1] += f", {judge['unreadable']} unreadable"
    if found["inconsistent"]:
        lines[-1] += f", {found['inconsistent']} pairs contradict themselves and are ties"
    for one in found["grades"]:
        grades = one["grades"]
        if grades["mean"] is not None:
            words = f"{grades['mean']:.2f} of {judge['grades']}"
            if interval := grades["interval"]:
                words += f" ({interval['low']:.2f} to {interval['high']:.2f})"
            lines.append(f"- {names[one['target']]}: {words}")
    for one in found["ranking"]:
        words = f"{one['wins']} won, {one['losses']} lost, {one['ties']} ties"
        lines.append(f"- {names[one['target']]}: {one['strength']:+.2f}, {words}")
    if judge["error"]:
        lines.append(f"- {judge['error']['message']}")
    return lines


def failed_targets(run: Mapping[str, Any]) -> Sequence[str]:
    """Return a sentence for each target that could not be asked."""
    return [
        f"{target['name'] or target['model']}: {target['error']['message']}"
        for target in run["targets"]
        if target["error"]
    ]


def failed_judges(found: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return a sentence for each judge that did not judge all, or that nobody knows any more."""
    judges = [one["judge"] for one in found]
    return [
        f"the judge is {judge['state']}:"
        f" {judge['error']['message'] if judge['error'] else 'not all was judged'}"
        for judge in judges
        if judge["state"] != "done"
    ] or ([] if judges else ["the judge was deleted"])
