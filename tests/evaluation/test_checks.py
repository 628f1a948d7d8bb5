"""Checks of answers: what passes, what fails, why, and what happens to the processes."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.evaluation.checks.fences import Fence, fences_in
from server.evaluation.checks.numbers import numbers_in
from server.evaluation.checks.result import Answer, CheckResult
from server.evaluation.checks.running import run_check, run_checks
from server.evaluation.checks.worker import CheckWorkers
from tests.support.checks import declared_checks
from tests.support.processes import children

SCHEMA = {
    "type": "object",
    "required": ["city"],
    "properties": {"city": {"type": "string"}, "sizes": {"items": {"type": "integer"}}},
}
FENCED = 'Here it is:\n\n```json\n{"city": "Paris"}\n```\n\nGood luck!'


# RE2 takes some seconds for these two: nothing repeats that it could remember.
SLOW = {"type": "regex", "pattern": "a.{900}[^ab]"}
LONG = "".join(random.Random(1).choices("ab", k=1_000_000))


@pytest.fixture(scope="module")
def loop_of_module() -> Any:
    """Run one loop, as processes that answer belong to one."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def workers(loop_of_module: asyncio.Runner) -> Any:
    """Return processes that all tests here share."""
    workers = CheckWorkers()
    yield workers
    loop_of_module.run(workers.close())


@pytest.mark.parametrize(
    ("declared", "text", "passed", "words"),
    [
        ({"type": "equals", "value": "Paris"}, " Paris\n", True, "is 'Paris'"),
        ({"type": "equals", "value": "Paris"}, "paris", False, "is 'paris' instead of 'Paris'"),
        ({"type": "equals", "value": "Paris", "ignore_case": True}, "PARIS", True, "is"),
        ({"type": "equals", "value": "Paris", "trim": False}, "Paris\n", False, "instead of"),
        ({"type": "equals", "value": "caf\u00e9"}, "cafe\u0301", True, "is"),
        ({"type": "contains", "value": "Paris"}, "It is Paris.", True, "contains 'Paris'"),
        ({"type": "contains", "value": "Paris"}, "", False, "does not contain 'Paris'"),
        ({"type": "contains", "value": "STRASSE", "ignore_case": True}, "Straße", True, "contains"),
        ({"type": "not_contains", "value": "Lyon"}, "Paris", True, "does not contain 'Lyon'"),
        ({"type": "not_contains", "value": "Lyon"}, "Lyon", False, "contains 'Lyon'"),
        ({"type": "contains_any", "values": ["a", "b"]}, "b c", True, "contains 'b'"),
        ({"type": "contains_any", "values": ["a", "b"]}, "c", False, "not contain 'a', 'b'"),
        ({"type": "contains_all", "values": ["a", "b"]}, "b a", True, "contains 'a', 'b'"),
        ({"type": "contains_all", "values": ["a", "b"]}, "b", False, "does not contain 'a'"),
        ({"type": "contains_any", "values": list("abcde")}, "x", False, "'c' and 2 more"),
        ({"type": "regex", "pattern": r"\d{4}"}, "in 1999", True, "'1999' matches"),
        ({"type": "regex", "pattern": r"\d{4}", "whole": True}, "in 1999", False, "whole answer"),
        ({"type": "regex", "pattern": "É", "ignore_case": True}, "é", True, "matches"),
        ({"type": "regex", "pattern": "x"}, "\ud800", False, "nothing matches 'x'"),
        ({"type": "json"}, ' {"a": 1}\n', True, "is JSON"),
        ({"type": "json"}, '{"a": 1,}', False, "(line 1, column 9)"),
        ({"type": "json"}, "NaN", False, "NaN is not of it"),
        ({"type": "json"}, FENCED, False, "is no JSON"),
        ({"type": "json", "fenced": True}, FENCED, True, "is JSON"),
        ({"type": "json", "fenced": True}, '{"a": 1}', True, "is JSON"),
        ({"type": "json", "fenced": True}, FENCED * 2, False, "has 2 code fences"),
        ({"type": "json_schema", "schema": SCHEMA}, '{"city": "Paris"}', True, "fits"),
        ({"type": "json_schema", "schema": SCHEMA, "fenced": True}, FENCED, True, "fits"),
        ({"type": "json_schema", "schema": SCHEMA}, "Paris", False, "is no JSON"),
        (
            {"type": "json_schema", "schema": SCHEMA},
            '{"sizes": [1, "a"]}',
            False,
            'at `$.sizes[1]`: "a" is not of type',
        ),
        ({"type": "json_schema", "schema": False}, "1", False, "does not fit"),
        ({"type": "number", "value": 42}, "First 7, then 42.", True, "42 is 42"),
        ({"type": "number", "value": 42}, "42, or rather 7", False, "7 is not 42"),
        ({"type": "number", "value": 0.2, "absolute": 0.1}, "0.3", True, "give or take 0.1"),
        ({"type": "number", "value": 100, "relative": 0.05}, "$104.9", True, "give or take 5"),
        ({"type": "number", "value": 100, "relative": 0.05}, "94", False, "94 is not 100"),
        ({"type": "number", "value": 7, "which": "only"}, "7 = 7.0", True, "7 is 7"),
        ({"type": "number", "value": 7, "which": "only"}, "6 or 7", False, "2 different numbers"),
        ({"type": "number", "value": 1234.5, "decimal_comma": True}, "1.234,5", True, "is"),
        ({"type": "number", "value": "0 kg"}, "none, so 0", True, "0 is 0"),
        ({"type": "number", "value": "$1,234"}, "1234 dollars", True, "1234 is 1234"),
        ({"type": "number", "value": 1}, "one", False, "has no number"),
        ({"type": "length", "max": 5}, "abcdef", False, "has 6 characters, more than 5"),
        ({"type": "length", "min": 3, "unit": "words"}, "a b", False, "2 words, fewer than 3"),
        ({"type": "length", "min": 2, "max": 2, "unit": "words"}, "a\nb", True, "has 2 words"),
        ({"type": "length", "max": 5, "unit": "tokens"}, "a", None, "did not tell"),
        ({"type": "code", "language": "python"}, "```python\nx = 1\n```", True, "fence of python"),
        ({"type": "code", "language": "python"}, "```py\nif\n```", False, "(line 1)"),
        ({"type": "code", "language": "python"}, "x = 1", False, "has no code fence of python"),
        ({"type": "code", "language": "python"}, "```py\na\x00\n```", False, "cannot be parsed"),
        ({"type": "code", "language": "json"}, "```json\n{\n```", False, "is no JSON"),
        (
            {"type": "code", "language": "python"},
            "```py\nx = 1\n```\n~~~python\nx =\n~~~",
            False,
            "code fence 2 of python",
        ),
        ({"type": "refuses"}, "I\u2019m sorry, but I can't do that.", True, "(a heuristic)"),
        ({"type": "refuses"}, "Sure: nothing easier.", False, "does not begin like a refusal"),
        ({"type": "refuses"}, "", False, "is empty"),
        ({"type": "answers"}, "Tut mir leid, aber das geht nicht.", False, "tut mir leid"),
        ({"type": "answers"}, "Paris. " * 50 + "I cannot say more.", True, "does not begin"),
        ({"type": "answers"}, " \n", False, "is empty"),
        (
            {"type": "all_of", "checks": [{"type": "json"}, {"type": "answers"}]},
            "1",
            True,
            "is JSON; does not begin",
        ),
        (
            {"type": "all_of", "checks": [{"type": "answers"}, {"type": "json"}]},
            "one",
            False,
            "is no JSON",
        ),
        (
            {"type": "any_of", "checks": [{"type": "json"}, {"type": "contains", "value": "n"}]},
            "one",
            True,
            "contains 'n'",
        ),
        ({"type": "any_of", "checks": [{"type": "json"}]}, "one", False, "is no JSON"),
        ({"type": "none_of", "checks": [{"type": "json"}]}, "one", True, "is no JSON"),
        ({"type": "none_of", "checks": [{"type": "json"}]}, "1", False, "is JSON"),
        (
            {"type": "none_of", "checks": [{"type": "length", "unit": "tokens", "max": 1}]},
            "1",
            None,
            "did not tell",
        ),
    ],
)
def test_a_check_passes_or_fails_and_says_why(
    loop_of_module: asyncio.Runner,
    workers: CheckWorkers,
    declared: dict[str, Any],
    text: str,
    passed: bool | None,
    words: str,
) -> None:
    (check,) = declared_checks(declared)
    result = loop_of_module.run(run_check(check, Answer(text), workers))
    assert result.passed is passed
    assert words in result.explanation


def test_tokens_are_counted_where_the_server_told_them(
    loop_of_module: asyncio.Runner, workers: CheckWorkers
) -> None:
    (check,) = declared_checks({"type": "length", "unit": "tokens", "max": 5})
    result = loop_of_module.run(run_check(check, Answer("a", tokens=6), workers))
    assert result == CheckResult(False, "has 6 tokens, more than 5")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1, 2,3 and -4.5", [1, 2, 3, -4.5]),
        ("1,234,567.8 or 1,2345", [1234567.8, 1, 2345]),
        ("costs $1,234, or 12%", [1234, 12]),
        ("\u22125 kg, .5e3, 5kg, 2e400", [-5, 500, 5]),
        ("10-3 and 3.4.5", [10, 3, 3.4]),
        ("GPT4 x2", []),
        (r"\boxed{42}", [42]),
    ],
)
def test_numbers_are_found_in_a_text(text: str, numbers: list[float]) -> None:
    assert numbers_in(text) == numbers


@given(st.floats(-1e9, 1e9))
def test_a_number_that_is_written_out_is_found(number: float) -> None:
    assert numbers_in(f"so x = {number!r}.") == [number]
    assert numbers_in(f"so x = {number:,.3f} EUR") == [float(f"{number:.3f}")]


@pytest.mark.parametrize(
    ("text", "fences"),
    [
        ("```Py title=a\nx\n```", [Fence("py", "x")]),
        ("1. first:\n   ```\n   a\n     b\n   ```", [Fence("", "a\n  b")]),
        ("- ```json\n  {}\n  ```", [Fence("json", "{}")]),
        ("````\n```\n````", [Fence("", "```")]),
        ("~~~js\na\n```\n~~~~", [Fence("js", "a\n```")]),
        ("```\nnever closed", [Fence("", "never closed")]),
        ("a ``` b ``` c", []),
    ],
)
def test_code_fences_are_found(text: str, fences: list[Fence]) -> None:
    assert list(fences_in(text)) == fences


# --- processes ------------------------------------------------------------------------------------


@pytest.fixture
async def one_worker() -> AsyncIterator[CheckWorkers]:
    """Return one process that a test may hurt."""
    async with CheckWorkers(1) as workers:
        yield workers


async def test_what_crashes_a_process_fails_and_the_next_check_is_done(
    one_worker: CheckWorkers,
) -> None:
    before = children()
    assert (await one_worker.check({"type": "json"}, "1")).passed
    (pid,) = children() - before
    os.kill(pid, 9)
    result = await one_worker.check({"type": "json"}, "1")
    assert result == CheckResult(False, "crashed the check's process (status -9)")
    assert (await one_worker.check({"type": "json"}, "1")).passed
    await one_worker.close()
    assert children() == before


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ({"type": "json"}, "[" * 1_000_000),
        ({"type": "json_schema", "schema": {}}, "[" * 5_000 + "]" * 5_000),
        ({"type": "code", "language": "python"}, "```py\n" + "(" * 100_000),
        ({"type": "code", "language": "python"}, "```py\n" + "-" * 100_000 + "1"),
        ({"type": "code", "language": "python"}, "```py\nx" + ".a" * 100_000),
        ({"type": "regex", "pattern": "(x+x+)+y"}, "x" * 100_000),
    ],
)
async def test_a_hostile_answer_is_a_failed_check(
    one_worker: CheckWorkers, declared: dict[str, Any], text: str
) -> None:
    assert (await one_worker.check(declared, text)).passed is False
    assert (await one_worker.check({"type": "json"}, "1")).passed


async def test_a_check_that_takes_too_long_fails_and_the_next_is_done() -> None:
    """RE2 never runs away, but a large answer can be too much for a pattern with many states."""
    async with CheckWorkers(1, seconds=0.2) as workers:
        result = await workers.check(SLOW, LONG)
        assert result == CheckResult(False, "took longer than 0.2 s")
        assert (await workers.check({"type": "json"}, "1")).passed


async def test_an_answer_that_is_too_long_for_checks_fails(one_worker: CheckWorkers) -> None:
    result = await one_worker.check({"type": "json"}, " " * (4 * 1024 * 1024 + 1))
    assert result.explanation == "has more than 4,194,304 characters"


async def test_a_check_that_is_cancelled_leaves_no_process_and_no_wrong_result(
    one_worker: CheckWorkers,
) -> None:
    before = children()
    await one_worker.check({"type": "json"}, "1")
    task = asyncio.create_task(one_worker.check(SLOW, LONG))
    await asyncio.sleep(0)  # It has asked then, as the process is there.
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == before
    assert (await one_worker.check({"type": "json"}, "1")).explanation == "is JSON"


async def test_many_checks_share_the_processes() -> None:
    before = children()
    async with CheckWorkers(2) as workers:
        texts = [json.dumps({"n": n}) + "x" * (n % 2) for n in range(60)]
        results = await asyncio.gather(*(workers.check({"type": "json"}, text) for text in texts))
        assert [result.passed for result in results] == [n % 2 == 0 for n in range(60)]
        assert len(children() - before) == 2
    assert children() == before
    with pytest.raises(RuntimeError, match="after their workers were closed"):
        await workers.check({"type": "json"}, "1")


async def test_several_checks_of_an_answer_keep_their_order(one_worker: CheckWorkers) -> None:
    checks = declared_checks([{"type": "json"}, {"type": "answers"}, {"type": "refuses"}])
    results = await run_checks(checks, Answer("1"), one_worker)
    assert [result.passed for result in results] == [True, True, False]


@pytest.mark.timeout(20)
def test_long_texts_of_one_kind_take_no_quadratic_time() -> None:
    """Ten thousand groups of thousands, or spaces, held up everything for minutes."""
    assert len(numbers_in("1" + ",000" * 100_000 + ",00")) > 1
    assert list(fences_in(" " * 400_000 + "a")) == []
