"""Prometheus texts of several servers become one that Prometheus reads, whatever they hold."""

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from server.core.exposition import merge_expositions
from server.core.histogram import Histogram

QUEUE = "# HELP tgi_queue_size Requests.\n# TYPE tgi_queue_size gauge\ntgi_queue_size 3\n"
DURATION = """\
# TYPE tgi_request_duration histogram
tgi_request_duration_bucket{le="1"} 2
tgi_request_duration_bucket{le="+Inf"} 3
tgi_request_duration_sum 4.5
tgi_request_duration_count 3
"""


def merged(**texts: str) -> str:
    keyed: dict[tuple[str, ...], str] = {(name,): text for name, text in texts.items()}
    return merge_expositions(keyed, labels=("model",), reserved=("sidestream_",))


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what Prometheus' own parser reads: values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_server_has_its_label_and_each_family_is_declared_once() -> None:
    text = merged(a=QUEUE + DURATION, b=DURATION + QUEUE)
    assert text.count("# TYPE tgi_queue_size gauge\n") == 1
    assert text.count("# TYPE tgi_request_duration histogram\n") == 1
    found = samples(text)
    assert found["tgi_queue_size", frozenset({("model", "a")})] == 3
    assert found["tgi_queue_size", frozenset({("model", "b")})] == 3
    assert found["tgi_request_duration_bucket", frozenset({("model", "b"), ("le", "1")})] == 2
    assert len(found) == 10


def test_a_family_stands_together_however_it_is_sent() -> None:
    lines = merged(a='x{n="1"} 1\ny 1\nx{n="2"} 2\n', b="x 1\n").splitlines()
    assert [line.split("{")[0] for line in lines] == [
        *("# TYPE x untyped", "x", "x", "x", "# TYPE y untyped", "y")
    ]


def test_rubbish_costs_its_own_line() -> None:
    rubbish = [
        *("x", "x{", "x{a=b} 1", 'x{a="b" 1', "x one", "1x 1", "<html>", '{"a": 1}', "x{} 1 2 3"),
        *("x\x00 1", "é 1", '{model="b"} 1', "sidestream_sockets 5", "# TYPE x", "#", " "),
    ]
    assert merged(a="\n".join([*rubbish, QUEUE])) == merged(a=QUEUE)


def test_a_label_that_is_called_like_ours_is_kept_under_another_name() -> None:
    found = samples(merged(a='x{model="llama",other="m\\"o\\\\d"} 1'))
    expected = {("model", "a"), ("exported_model", "llama"), ("other", 'm"o\\d')}
    assert found == {("x", frozenset(expected)): 1}


def test_first_of_repeated_samples_is_kept_and_timestamps_are_dropped() -> None:
    assert merged(a="x 1 1700000000000\nx 2\n") == '# TYPE x untyped\nx{model="a"} 1\n'


def test_nothing_from_nobody_is_nothing() -> None:
    assert merged() == ""
    assert merged(a="", b="# nothing yet\n") == ""


NEARLY = st.text(alphabet='x_{}"=\\,. \n\t#1+-eInfNaTYPE', max_size=80)


@given(st.dictionaries(st.text(max_size=3), NEARLY))
@example({"\x1e": "E 1"})
@example({"m": 'E{a="\x1e\u2028"} 1'})
def test_whatever_servers_say_prometheus_can_read_it(texts: dict[str, str]) -> None:
    text = merge_expositions({(name,): one for name, one in texts.items()}, labels=("model",))
    lines = text.split("\n")[:-1]
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    # Throws for what it cannot read.
    assert len(samples(text)) == sum(not line.startswith("#") for line in lines)


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_what_is_not_above_each_bound(values: list[float]) -> None:
    bounds = (0.5, 1.0, 10.0)
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
        histogram.observe(value, times=2)
    counted = [3 * sum(value <= bound for value in values) for bound in bounds]
    assert [count for _, count in histogram.cumulative()] == [*counted, 3 * len(values)]
    assert histogram.total == 3 * len(values)
    assert abs(histogram.sum - 3 * sum(values)) <= 1e-9 * (1 + sum(values))
