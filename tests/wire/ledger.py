"""What one client has received of a session, held against what was written.

Every delta is checked as it comes: it goes on exactly where the last one ended, whatever socket
that came on, and its text is the text of the very deltas it stands for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.tgi_answers import answer
from tests.fakes.tgi_options import FakeOptions


def deltas_of(options: FakeOptions, prompt: str, parameters: dict[str, Any]) -> list[str]:
    """Return the deltas of a fake TGI's answer, as the protocol counts them."""
    tokens = answer(options, prompt, parameters).tokens
    return [token.text for token in tokens if token.text and not token.special]


class Ledger:
    """Follow the generations of one session over all the sockets of one client.

    `written` has the deltas of each generation, in the order of the generations' ids.
    """

    def __init__(self, written: Sequence[list[str]]) -> None:
        self._written = written
        self._deltas: dict[str, list[str]] = {}
        self.seqs: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.ended: set[str] = set()
        self._ended_here: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Tell whether every generation has been received to its end."""
        return bool(self.ended) and len(self.ended) == len(self._written)

    @property
    def has_text(self) -> bool:
        """Tell whether there is text of any generation."""
        return any(self.seqs.values())

    def learn(self, generations: Sequence[str]) -> None:
        """Take the ids, in the order of the targets; they never change."""
        deltas = dict(zip(generations, self._written, strict=True))
        assert self._deltas in ({}, deltas), "a repeated command started something new"
        self._deltas = deltas

    def next_socket(self) -> None:
        """Begin anew on another socket: what had ended is closed again, once."""
        self._ended_here = set()

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take an event of a generation and check that it is the one that had to come."""
        name = event["generation"]
        seq = self.seqs.get(name, 0)
        assert name not in self._ended_here, f"something came after its end: {event}"
        if event["type"] == "state":
            assert seq == 0, f"a state came after text: {event}"
        elif event["type"] == "delta":
            assert event["seq"] > seq, f"a delta came twice: {event}, after {seq}"
            wanted = "".join(self._deltas[name][seq : event["seq"]])
            assert event["text"] == wanted, f"{event} after {seq}, wanted {wanted!r}"
            self.seqs[name] = event["seq"]
            self.texts[name] = self.texts.get(name, "") + event["text"]
        else:
            assert event["seq"] == seq, f"text is missing: {event} after {seq}"
            assert event["finish_reason"] == "stop", event
            self.ended.add(name)
            self._ended_here.add(name)

    def check(self) -> None:
        """Make sure that every text is the same byte for byte."""
        for name, deltas in self._deltas.items():
            assert self.texts[name].encode() == "".join(deltas).encode()
