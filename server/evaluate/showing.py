"""An evaluation on a terminal: a progress bar, and the table at the end."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

_BAR: Final = 30
_Targets = Sequence[Mapping[str, Any]]
_PASSED: Final = ("target", "passed", "95 % interval")
_SPEED: Final = ("first token", "tokens/s", "tokens", "cut", "failed", "cost", "time")


class Bar:
    """A line that shows how far a run or a judge is, rewritten on a terminal, else one a tenth."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._is_open = False
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
        self._show(judged, total, f"judge {judge['model']}: {judged} of {total}")

    def say(self, words: str) -> None:
        """Say something in a line of its own."""
        self.end()
        print(words, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line, if there is one."""
        if self._is_open:
            print(file=sys.stderr)
        self._is_open, self._shown = False, -1

    def _show(self, done: int, total: int, words: str) -> None:
        total = max(total, 1)
        if self._is_terminal:
            filled = _BAR * done // total
            bar = "#" * filled + "." * (_BAR - filled)
            print(f"\r[{bar}] {words}\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_open = True
        elif (tenth := 10 * done // total) != self._shown:
            self._shown = tenth
            print(words, file=sys.stderr, flush=True)


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a table for a terminal, and what comparisons say."""
    targets = results["targets"]
    rows = [_heads(targets), *(_row(target, targets) for target in targets)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    words = [f"- {one['words']}" for one in results["comparisons"]]
    return "\n".join([*lines, *([""] if words else []), *words])


def untold_lines(results: Mapping[str, Any]) -> list[str]:
    """Return how many checks could not be told, with a reason; nothing where all could."""
    # A gateway of an earlier version does not say it.
    counts = [(one.get("untold_checks", 0), one.get("untold_reason")) for one in results["targets"]]
    if not (total := sum(count for count, _ in counts)):
        return []
    reason = next(reason for count, reason in counts if count)
    what = "check" if total == 1 else "checks"
    return ["", f"{total} {what} could not be told; the first: {reason}"]


def _heads(targets: _Targets) -> tuple[str, ...]:
    """Return the columns; what nobody voted on or judged has none for that."""
    votes = ("votes won",) if _has_votes(targets) else ()
    judges = (f"judge {rate['name']}" for rate in targets[0].get("judges", ()))
    return (*_PASSED, *votes, *judges, *_SPEED)


def _has_votes(targets: _Targets) -> bool:
    return any(target.get("votes") for target in targets)


def _row(target: Mapping[str, Any], targets: _Targets) -> tuple[str, ...]:
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
        *((won_words(target["votes"]),) if _has_votes(targets) else ()),
        *(_rate(rate) for rate in target.get("judges", ())),
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


def won_words(pairs: Mapping[str, Any] | None) -> str:
    """Return which share of its pairs a target won: `62 % (48 to 74 %)`.

    Where too few prompts have a winner, how many of them: `2.5 of 4 pairs, too few winners`.
    """
    total = pairs["wins"] + pairs["losses"] + pairs["ties"] if pairs else 0
    if pairs is None or not total:
        return "-"
    if (interval := pairs["interval"]) is None:
        won = pairs["wins"] + pairs["ties"] / 2
        words = f"{won:g} of {total} {'pair' if total == 1 else 'pairs'}, too few winners"
    else:
        low, high = interval["low"] * 100, interval["high"] * 100
        words = f"{pairs['share'] * 100:.0f} % ({low:.0f} to {high:.0f} %)"
    if pairs["inconsistent"]:
        words += f"; contradicted itself in {pairs['inconsistent']}"
    return words


def _rate(rate: Mapping[str, Any]) -> str:
    """Return what a judge says of a target."""
    if rate["grades"] is None:
        return won_words(rate["pairs"])
    return _grade(rate["grades"], rate["highest_grade"]) or "-"


def _grade(grades: Mapping[str, Any], highest: int) -> str:
    """Return a mean grade with its interval, empty where there is none."""
    if grades["mean"] is None:
        return ""
    words = f"{grades['mean']:.2f} of {highest}"
    if interval := grades["interval"]:
        words += f" ({interval['low']:.2f} to {interval['high']:.2f})"
    return words


def judge_lines(found: Mapping[str, Any], targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a judge's judgements come to, a line for each target."""
    judge, names = found["judge"], [target["name"] for target in targets]
    lines = ["", f"judge {judge['model']}: {judge['judged']} judgements"]
    if judge["unreadable"]:
        lines[-1] += f", {judge['unreadable']} unreadable"
    if pairs := found["inconsistent"]:
        lines[-1] += f", {pairs} {'pair' if pairs == 1 else 'pairs'} contradicted, as ties"
    lines += [
        f"- {names[one['target']]}: {words}"
        for one in found["grades"]
        if (words := _grade(one["grades"], judge["grades"]))
    ]
    for one in found["ranking"]:
        words = f"{one['wins']} won, {one['losses']} lost, {one['ties']} tied"
        lines.append(f"- {names[one['target']]}: {_expected_wins(one)}{words}")
    if judge["error"]:
        lines.append(f"- {judge['error']['message']}")
    return lines


def _expected_wins(rank: Mapping[str, Any]) -> str:
    """Return what comes before the counts: nothing of too few prompts."""
    if not (interval := rank.get("expected_wins_interval")):
        return ""
    low, high = (bound * 100 for bound in interval)
    return f"expected wins {rank['expected_wins'] * 100:.0f} % ({low:.0f} to {high:.0f} %), "


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
