"""The words of `run.py evaluate`: what cannot be used is refused, and nothing is ignored."""

import pytest

from server.evaluate.options import read_options


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["x.csv", "--target", '{"model": "m", "bogus": 1}'], "no 'bogus'"),
        (["x.csv", "--target", '{"model": "m", "paramters": {}}'], "did you mean 'parameters'"),
        (["x.csv", "--models", "m", "--fail-under", "pass>=2"], "share from 0 to 1"),
        (["x.csv", "--models", "m", "--criteria", ""], "1 to 20000 characters"),
        (["x.csv", "--run", "r_1"], "leave out SET"),
        (["--run", "r_1", "--models", "m"], "leave out --models or --target"),
        (["--run", "r_1", "--target", '{"model": "m"}'], "leave out --models or --target"),
        (["--run", "r_1", "--repeats", "1"], "leave out --repeats"),
        (["--run", "r_1", "--name", "x", "x.csv"], "leave out SET, --name"),
    ],
)
def test_words_that_cannot_be_used_exit_with_2_and_say_why(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(words)
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


def test_what_is_left_out_has_its_usual_value() -> None:
    options = read_options(["x.csv", "--models", "a, b", "--target", '{"model": "c"}'])
    assert options.models == [{"model": "a"}, {"model": "b"}, {"model": "c"}]
    assert (options.repeats, options.name, options.judge_by) == (1, "", "grades")
    again = read_options(["--run", "r_1", "--judge", "m", "--fail-under", "pass>=0.5"])
    assert (again.run, again.models, again.judge) == ("r_1", [], "m")
