"""From measurements to figures: medians over the rounds, ratios, the table, what is missed."""

from collections.abc import Iterable
from statistics import median
from typing import Any, Final

Row = dict[str, Any]
OPENAI: Final = "gateway-openai"
_FIRST: Final = "added_first_token_ms"
# What is asked of the gateway; CPU is in units of what another relay takes in the same run.
GOALS: Final = (
    ("CPU per token at 1,000 streams, nginx = 1", 1000, "gateway", "cpu_ratio", 1.0),
    ("CPU per token at 1,000 streams, OpenAI's form, TGI = 1", 1000, OPENAI, "form_ratio", 1.15),
    ("CPU per token at 100 streams, OpenAI's form, TGI = 1", 100, OPENAI, "form_ratio", 1.15),
    ("p99 of added latency at 1,000 streams, ms", 1000, "gateway", "added_p99_ms", 25.0),
    ("p50 of added latency at 100 streams, ms", 100, "gateway", "added_p50_ms", 2.0),
    ("p99 of added latency at 100 streams, ms", 100, "gateway", "added_p99_ms", 10.0),
    ("added time to the first token at 100 streams, ms", 100, "gateway", _FIRST, 2.0),
    ("memory of an idle socket, KB", "idle", "gateway", "idle_kb", 25.0),
)
SATURATION: Final = "saturation"
IDLE: Final = "idle"


def summarise(measurements: list[Row]) -> list[Row]:
    """Return a row per load and relay, each figure the median of its rounds."""
    keys = list(dict.fromkeys((m["load"], m["relay"]) for m in measurements))
    rows = [
        _row(load, relay, [m for m in measurements if (m["load"], m["relay"]) == (load, relay)])
        for load, relay in keys
    ]
    for row in rows:
        beside = {other["relay"]: other for other in rows if other["load"] == row["load"]}
        _compare(row, beside)
    return rows


def _row(load: object, relay: str, rounds: list[Row]) -> Row:
    row: Row = {"load": load, "relay": relay}
    failures = [m["failed"] for m in rounds if "failed" in m]
    if failures:
        return {**row, "failed": failures[0]}
    if load == IDLE:
        row["idle_kb"] = _median(m["memory_bytes_per_idle_socket"] / 1000 for m in rounds)
        row["idle_cpu_us"] = _median(m["cpu_us_per_idle_socket_second"] for m in rounds)
        return row
    if relay != "direct":
        row["cpu_us"] = _median(m["cpu_us_per_token"] for m in rounds)
        row["cpu_share"] = _median(m["cpu_share"] for m in rounds)
        row["stream_kb"] = _median(m["memory_bytes_per_stream"] / 1000 for m in rounds)
        row["tokens_per_cpu_second"] = 1e6 / row["cpu_us"]
    row["wanted"] = rounds[0]["wanted_tokens_per_second"]
    row["tokens_per_second"] = _median(m["tokens_per_second"] for m in rounds)
    for name in ("p50", "p99"):
        row[f"{name}_ms"] = _median(m["latency_ms"][name] for m in rounds)
        if rounds[0]["first_token_ms"]:
            row[f"first_{name}_ms"] = _median(m["first_token_ms"][name] for m in rounds)
    row["incomplete"] = sum(m["incomplete"] for m in rounds)
    return row


def _compare(row: Row, beside: dict[str, Row]) -> None:
    direct = beside.get("direct")
    if row["relay"] == "direct":
        return
    for key, added in (
        ("p50_ms", "added_p50_ms"),
        ("p99_ms", "added_p99_ms"),
        ("first_p50_ms", _FIRST),
    ):
        if direct and key in row and key in direct:
            row[added] = row[key] - direct[key]
    for other, key in (("nginx", "cpu_ratio"), ("gateway", "form_ratio")):
        if "cpu_us" in row and "cpu_us" in beside.get(other, {}):
            row[key] = row["cpu_us"] / beside[other]["cpu_us"]


def _median(values: Iterable[float]) -> float:
    return median(values)


def table(rows: list[Row]) -> str:
    """Write the figures as a Markdown table."""
    columns = (
        ("load", lambda row: _load(row["load"])),
        ("relay", lambda row: row["relay"]),
        ("tokens/s", lambda row: _figure(row, "tokens_per_second", 0)),
        ("CPU µs/token", lambda row: _figure(row, "cpu_us", 1)),
        ("of nginx", lambda row: _figure(row, "cpu_ratio", 2)),
        ("of TGI's form", lambda row: _figure(row, "form_ratio", 2)),
        ("core", lambda row: _figure(row, "cpu_share", 2)),
        ("p50 ms", lambda row: _figure(row, "p50_ms", 2)),
        ("p99 ms", lambda row: _figure(row, "p99_ms", 2)),
        ("added p50", lambda row: _figure(row, "added_p50_ms", 2)),
        ("added p99", lambda row: _figure(row, "added_p99_ms", 2)),
        ("first token ms", lambda row: _figure(row, "first_p50_ms", 2)),
        ("added", lambda row: _figure(row, "added_first_token_ms", 2)),
        ("KB/stream", lambda row: _figure(row, "stream_kb", 1)),
    )
    cells = [[name for name, _ in columns], ["---"] + ["---:"] * (len(columns) - 1)]
    cells[1][1] = "---"
    cells += [[show(row) for _, show in columns] for row in rows if row["load"] != IDLE]
    idle = [
        f"An idle socket of {row['relay']}: {row['idle_kb']:.1f} KB, "
        f"{row['idle_cpu_us']:.1f} µs of CPU a second."
        for row in rows
        if "idle_kb" in row
    ]
    failed = [
        f"{_load(row['load'])} through {row['relay']} failed: {row['failed']}."
        for row in rows
        if "failed" in row
    ]
    return "\n\n".join([_lines(cells), *idle, *failed])


def _lines(cells: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    )


def _load(load: object) -> str:
    return f"{load:,} streams" if isinstance(load, int) else str(load)


def _figure(row: Row, key: str, digits: int) -> str:
    return f"{row[key]:,.{digits}f}" if key in row else ""


def verdicts(rows: list[Row]) -> list[str]:
    """Say of each goal whether the gateway meets it, where it was measured."""
    lines = []
    for name, load, relay, key, most in GOALS:
        for row in rows:
            if (row["load"], row["relay"]) == (load, relay) and key in row:
                word = "met" if row[key] <= most else "MISSED"
                lines.append(f"{word}: {name}: {row[key]:.2f} (at most {most:g})")
    incomplete = sum(row.get("incomplete", 0) for row in rows)
    lines.append(
        "met: every text arrived complete and in order"
        if not incomplete
        else f"MISSED: {incomplete} texts did not arrive complete"
    )
    return lines
