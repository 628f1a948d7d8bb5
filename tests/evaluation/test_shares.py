"""Shares added up part by part are those of all at once."""

from hypothesis import given
from hypothesis import strategies as st

from server.evaluation.files.reading import read_prompts
from server.evaluation.files.tags import tagged_prompts
from server.evaluation.files.writing import write_json_lines
from server.evaluation.statistics.intervals import share_by_prompt
from server.evaluation.statistics.shares import PassCounts

COUNT = st.integers(0, 5).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(st.lists(COUNT, max_size=30), st.integers(0, 30))
def test_sums_say_what_the_prompts_say(counts: list[tuple[int, int]], cut: int) -> None:
    sums = PassCounts()
    sums.add(counts[:cut])
    sums.add(counts[cut:])
    told = [count for count in counts if count[1]]
    share, interval = share_by_prompt(told)
    found, other = sums.share()
    assert found == share
    assert abs(other.low - interval.low) < 1e-9
    assert abs(other.high - interval.high) < 1e-9
    assert (sums.prompts, sums.total) == (len(told), sum(total for _, total in told))


def test_prompts_with_a_tag_are_found_in_what_was_written() -> None:
    rows = (
        '{"prompt": "a", "tags": ["code", "hard"]}\n{"prompt": "\\"tags\\":[\\"code\\"]"}\n'
        '{"prompt": "c", "tags": ["hard"], "checks": [{"type": "json"}]}\n'
        '{"messages": [{"role": "user", "content": "d"}], "tags": ["code"]}\n'
    )
    prompt_set = read_prompts(rows.encode()).prompt_set
    body = write_json_lines(prompt_set).decode()
    assert tagged_prompts(body, "code") == {0, 3}
    assert tagged_prompts(body, "hard") == {0, 2}
    assert tagged_prompts(body, "har") == set()
    assert tagged_prompts("", "code") == set()
