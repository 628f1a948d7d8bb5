"""What a model thinks before it answers, as part of its text.

Some servers take a model's thinking out of the text and send it beside it. Put back between the
marks that most models write themselves, it reads the same whichever server answers.
"""

from typing import Final

OPENING: Final = "<think>\n"
CLOSING: Final = "\n</think>\n\n"


def mark_before(*, is_thinking: bool, was_thinking: bool) -> str:
    """Return what stands between two pieces of an answer: a mark where thinking begins or ends.

    An answer that ends while the model thinks is followed by no thinking.
    """
    if is_thinking == was_thinking:
        return ""
    return OPENING if is_thinking else CLOSING
