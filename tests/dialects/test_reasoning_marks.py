"""Thinking told from the answer by marks in the text: the pieces depend on the text alone."""

from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import TokenInfo
from server.dialects.reasoning_marks import MARKS, THINK, MarkReader, Marks, opens_for, opens_in

_WORDS = [word for marks in MARKS for word in marks]
_TEXT = st.lists(
    st.one_of(
        st.sampled_from(_WORDS),
        st.sampled_from(["<|start|>assistant", "<", "th", "\n", " "]),
        st.text("ab<>/|[] \n", max_size=4),
    ),
    max_size=8,
).map("".join)


def read(texts: list[str], opened: Marks | None = None) -> list[TokenInfo]:
    reader = MarkReader(opened)
    labelled = []
    for number, text in enumerate(texts):
        labelled += reader.feed([TokenInfo(number, text, -0.5, False)])
    return labelled + reader.finish()


def pieces(texts: list[str], opened: Marks | None = None) -> list[tuple[str, bool, str]]:
    labelled = read(texts, opened)
    return [
        (kind, is_mark, "".join(token.text for token in run))
        for (kind, is_mark), run in groupby(labelled, lambda token: (token.kind, token.mark))
    ]


@given(_TEXT, st.data(), st.sampled_from([None, *MARKS]))
def test_the_pieces_do_not_depend_on_the_cuts(
    text: str, data: st.DataObject, opened: Marks | None
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *cuts, len(text)]
    texts = [text[a:b] for a, b in pairwise(bounds) if a < b]
    whole = pieces([text] if text else [], opened)
    assert pieces(texts, opened) == whole == pieces(list(text), opened)
    assert "".join(part for _, _, part in whole) == text


@given(_TEXT)
def test_once_the_answer_has_begun_nothing_is_a_mark(text: str) -> None:
    assert pieces(["a", *text]) == [("answer", False, "a" + text)]


@pytest.mark.parametrize("marks", MARKS)
def test_the_marks_of_each_model_are_known(marks: Marks) -> None:
    text = f"{marks.opening}\nHm.{marks.closing}\n\nYes."
    assert pieces(list(text)) == [
        ("reasoning", True, f"{marks.opening}\n"),
        ("reasoning", False, "Hm."),
        ("reasoning", True, f"{marks.closing}\n\n"),
        ("answer", False, "Yes."),
    ]


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>a<think>b</think>c</think>d", "a<think>b", "c</think>d"),
        ("<think>never ends", "never ends", ""),
        ("<think>never ends</thin", "never ends</thin", ""),
        ("<think>\n\n</think>\n\nYes", "", "Yes"),
        ("<think>a</think>\n<think>b</think>\nYes", "ab", "Yes"),
        (" \n<think>a</think>Yes", "a", "Yes"),
        ("Yes: <think>a</think>", "", "Yes: <think>a</think>"),
        ("</think>Yes", "", "</think>Yes"),
        ("<thin", "", "<thin"),
        ("  ", "", "  "),
        (
            "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Yes",
            "Hm",
            "Yes",
        ),
        ("<|channel|>final<|message|>Yes", "", "Yes"),
    ],
)
def test_thinking_and_answer_are_told_apart(text: str, thought: str, answer: str) -> None:
    found = pieces(list(text))
    assert (
        "".join(part for kind, mark, part in found if kind == "reasoning" and not mark) == thought
    )
    assert "".join(part for kind, _, part in found if kind == "answer") == answer


def test_an_opening_that_stood_in_the_prompt_is_told() -> None:
    assert opens_in("<|Assistant|><think>\n") == THINK
    assert opens_in("What does <think> mean?") is None
    assert opens_for("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B") == THINK
    assert opens_for("Qwen/Qwen3-8B") is None
    assert pieces(["Hm", "</think>", "\n\nYes"], THINK) == [
        ("reasoning", False, "Hm"),
        ("reasoning", True, "</think>\n\n"),
        ("answer", False, "Yes"),
    ]


def test_a_token_that_a_mark_goes_through_keeps_its_id_once() -> None:
    first, second, third = read(["<think>Hm"]) + read(["Yes"])
    assert (first.text, first.id, first.mark) == ("<think>", 0, True)
    assert (second.text, second.id, second.logprob) == ("Hm", -1, None)
    assert (third.id, third.logprob) == (0, -0.5)


GPT_OSS = "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{GPT_OSS}Yes<|return|>", "Yes"),
        ("<|channel|>final<|message|>Yes<|return|>", "Yes"),
        (f"{GPT_OSS}<|return|>", ""),
        (f"{GPT_OSS}Yes<|ret", "Yes<|ret"),
        (f"{GPT_OSS}`<|return|>` ends it.<|return|>", "`<|return|>` ends it."),
        (f"{GPT_OSS}a<|<|return|>", "a<|"),
        (f"{GPT_OSS}<|return|><|return|>", "<|return|>"),
        ("<think>Hm</think>Yes<|return|>", "Yes<|return|>"),
        ("Yes<|return|>", "Yes<|return|>"),
    ],
)
def test_the_token_that_ends_gpt_oss_is_not_shown(text: str, shown: str) -> None:
    for texts in (
        [text],
        list(text),
        text.replace("<|", "\0<|").split("\0"),
        [text[:-4], text[-4:]],
    ):
        labelled = read([piece for piece in texts if piece])
        answer = [token for token in labelled if token.kind == "answer"]
        assert "".join(token.text for token in answer if not token.special) == shown
        assert "".join(token.text for token in labelled) == text


def test_special_tokens_may_be_marks_and_are_no_text() -> None:
    reader = MarkReader()
    tokens = [
        TokenInfo(1, "<s>", None, True),
        TokenInfo(2, "[THINK]", None, True),
        TokenInfo(3, "Hm", None, False),
        TokenInfo(4, "[/THINK]", None, True),
        TokenInfo(5, "Yes", None, False),
    ]
    labelled = [done for token in tokens for done in reader.feed([token])]
    assert [(token.id, token.kind, token.mark) for token in labelled] == [
        (1, "reasoning", True),
        (2, "reasoning", True),
        (3, "reasoning", False),
        (4, "reasoning", True),
        (5, "answer", False),
    ]


def test_a_server_that_tells_thinking_apart_is_believed() -> None:
    reader = MarkReader()
    assert reader.feed([TokenInfo(1, "<thi", None, False)]) == []
    thought = TokenInfo(2, "Hm", None, False, kind="reasoning")
    assert [token.text for token in reader.feed([thought])] == ["<thi", "Hm"]
    later = [TokenInfo(3, "<think>", None, False)]
    assert reader.feed(later) is later
