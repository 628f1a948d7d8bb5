r"""Regular expressions as grammars, as far as they are regular.

Rules:

1. The whole answer matches, as in TGI: `^` and `$` mean nothing more where they may stand.
2. `\d`, `\w` and `\s` are ASCII, and `.` is anything but a line feed, as in TGI.
3. What looks around, back or at words' edges is refused: no grammar can say that. So is every
   escape that is not known, lest it be taken for a letter.
"""

import re
from typing import Final

from server.dialects.gbnf.classes import CLASSES, CODES, CONTROLS, NAMED_CLASS, POSIX
from server.dialects.gbnf.nodes import (
    EMPTY,
    LAST,
    Alt,
    Chars,
    GrammarRefused,
    Node,
    Ref,
    Repeat,
    Seq,
    alt,
    both,
    chars,
    others,
    seq,
)

_START: Final = Ref("^")
_END: Final = Ref("$")
_ANY: Final = chars((0, LAST))
_COUNT: Final = re.compile(r"\{(\d{1,9})?(,)?(\d{1,9})?\}")
_GROUP: Final = re.compile(r"\?(?:P?<([A-Za-z_]\w*)>|([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)]))")
_MAX_DEPTH: Final = 50
_MAX_CHARACTERS: Final = 10_000
# Larger ranges are not looked through for the other case of each letter.
_MAX_LETTERS: Final = 1024


def parse(pattern: str) -> Node:
    """Return what a text has to be so that all of it matches; raises `GrammarRefused`."""
    return _without_anchors(_Parser(pattern).parse(), at_start=True, at_end=True)


def parse_search(pattern: str) -> Node:
    """Return what a text has to be so that a part of it matches, as JSON schemas mean patterns.

    Raises `GrammarRefused`.
    """
    tree = _Parser(pattern).parse()
    branches = tree.items if isinstance(tree, Alt) else (tree,)
    anything = Repeat(_ANY, 0, None)
    found = []
    for branch in branches:
        items = branch.items if isinstance(branch, Seq) else (branch,)
        before = () if items and items[0] == _START else (anything,)
        after = () if items and items[-1] == _END else (anything,)
        inner = seq(*(item for item in items if item not in (_START, _END)))
        inner = _without_anchors(inner, at_start=False, at_end=False)
        found.append(seq(*before, inner, *after))
    return alt(found)


def _without_anchors(node: Node, *, at_start: bool, at_end: bool) -> Node:
    if isinstance(node, Ref):
        if at_start if node == _START else at_end:
            return EMPTY
        raise GrammarRefused(f"has a regular expression with `{node.name}` inside the text")
    if isinstance(node, Alt):
        return alt(_without_anchors(i, at_start=at_start, at_end=at_end) for i in node.items)
    if isinstance(node, Repeat):
        return Repeat(
            _without_anchors(node.item, at_start=False, at_end=False), node.least, node.most
        )
    if not isinstance(node, Seq):
        return node
    first = next((n for n, i in enumerate(node.items) if i != _START), len(node.items))
    last = next((n for n in range(len(node.items), 0, -1) if node.items[n - 1] != _END), 0)
    return seq(
        *(
            _without_anchors(
                item, at_start=at_start and place <= first, at_end=at_end and place >= last - 1
            )
            for place, item in enumerate(node.items)
        )
    )


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self._folds = False
        self._dot_is_all = False

    def parse(self) -> Node:
        if len(self._pattern) > _MAX_CHARACTERS:
            raise GrammarRefused("has a regular expression that is too long")
        tree = self._alternatives()
        if self._at < len(self._pattern):
            raise self._refused("has a `)` too many")
        return tree

    def _alternatives(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return alt(branches)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            item = self._atom()
            if item is not None:
                items.append(self._repeated(item))
        return seq(*items)

    def _repeated(self, item: Node) -> Node:
        times = self._times()
        if times is None:
            return item
        if item in (_START, _END):
            raise self._refused("repeats a place of the text")
        self._take("?")  # It matches the same, only in another order.
        if self._take("+"):
            raise self._refused("has a possessive repeat, which no grammar can say")
        if self._times() is not None:
            raise self._refused("repeats a repeat")
        return Repeat(item, *times)

    def _times(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        char = self._pattern[self._at : self._at + 1]
        if char in simple:
            self._at += 1
            return simple[char]
        found = _COUNT.match(self._pattern, self._at)
        if found is None or not (found[1] or found[3]):
            return None
        self._at = found.end()
        least = int(found[1] or 0)
        most = least if not found[2] else (int(found[3]) if found[3] else None)
        if most is not None and most < least:
            raise self._refused(f"repeats at least {least} and at most {most} times")
        return least, most

    def _atom(self) -> Node | None:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        if char == ".":
            return _ANY if self._dot_is_all else others(chars((10, 10)))
        if char == "^":
            return _START
        if char == "$":
            return _END
        if char in "*+?":
            raise self._refused(f"repeats nothing with `{char}`")
        if char != "\\":
            return self._char(ord(char))
        char = self._peek()
        if char in "AZz" and char:
            self._at += 1
            return _START if char == "A" else _END
        return self._escape(in_set=False)

    def _group(self) -> Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._refused("is nested too deeply")
        before = self._folds, self._dot_is_all
        if self._peek() == "?":
            found = _GROUP.match(self._pattern, self._at)
            if found is None:
                what = self._pattern[self._at : self._at + 3]
                if what.startswith(("?=", "?!", "?<")):
                    raise self._refused(f"looks around with `({what}`, which no grammar can say")
                raise self._refused(f"has `({what}`, which no grammar can say")
            self._at = found.end()
            self._set_flags(found[2] or "", is_on=True)
            self._set_flags(found[3] or "", is_on=False)
            if found[4] == ")":
                self._depth -= 1
                return None
        tree = self._alternatives()
        if not self._take(")"):
            raise self._refused("has a `(` without its `)`")
        self._folds, self._dot_is_all = before
        self._depth -= 1
        return tree

    def _set_flags(self, flags: str, *, is_on: bool) -> None:
        for flag in flags:
            if flag == "i":
                self._folds = is_on
            elif flag == "s":
                self._dot_is_all = is_on
            elif flag not in "ua":
                raise self._refused(f"has the flag `{flag}`, which is not known here")

    def _set(self) -> Chars:
        is_negated = self._take("^")
        found: list[tuple[int, int]] = []
        is_first = True
        while (char := self._next("has a `[` without its `]`")) != "]" or is_first:
            is_first = False
            self._at -= 1
            low = self._member()
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._member()
                if not (_is_one(low) and _is_one(high)) or low.ranges > high.ranges:
                    raise self._refused(f"has a range that is none, at `{char}`")
                low = chars((low.ranges[0][0], high.ranges[0][0]))
            found += low.ranges
        members = self._fold(chars(*found))
        return others(members) if is_negated else members

    def _member(self) -> Chars:
        named = NAMED_CLASS.match(self._pattern, self._at)
        if named is not None:
            if named[2] not in POSIX:
                raise self._refused(f"has the class `{named[2]}`, which is not known here")
            self._at = named.end()
            return others(POSIX[named[2]]) if named[1] else POSIX[named[2]]
        if self._pattern.startswith(("&&", "~~"), self._at):
            raise self._refused("joins sets, which is not known here")
        char = self._next()
        return self._escape(in_set=True) if char == "\\" else Chars(((ord(char), ord(char)),))

    def _escape(self, *, in_set: bool) -> Chars:
        code = CODES.match(self._pattern, self._at)
        if code is not None:
            self._at = code.end()
            value = int(next(filter(None, code.groups())), 16)
            if not 0 < value <= LAST:
                raise self._refused(f"has `\\{code[0]}`, which is no character")
            return self._char(value)
        char = self._next("ends with a `\\`")
        if char in CLASSES:
            return CLASSES[char]
        if char in CONTROLS:
            return Chars(((CONTROLS[char],) * 2,))
        if char == "b" and in_set:
            return Chars(((8, 8),))
        if char in "bB":
            raise self._refused(f"looks for the edge of a word with `\\{char}`")
        if char.isdigit() or char in "kg":
            raise self._refused(f"looks back with `\\{char}`, which no grammar can say")
        if char.isalnum():
            raise self._refused(f"has `\\{char}`, which is not known here")
        return self._char(ord(char))

    def _char(self, code: int) -> Chars:
        return self._fold(Chars(((code, code),)))

    def _fold(self, members: Chars) -> Chars:
        """Add the other case of each letter, where case does not count."""
        if not self._folds:
            return members
        ascii_ones = both(members, POSIX["alpha"])
        small = [range_ for range_ in members.ranges if range_[1] - range_[0] < _MAX_LETTERS]
        more = [
            (ord(other), ord(other))
            for low, high in (*small, *ascii_ones.ranges)
            for code in range(low, high + 1)
            for other in (chr(code).lower(), chr(code).upper())
            if len(other) == 1
        ]
        return chars(*members.ranges, *more)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self, missing: str = "ends too early") -> str:
        char = self._peek()
        if not char:
            raise self._refused(missing)
        self._at += 1
        return char

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True

    def _refused(self, problem: str) -> GrammarRefused:
        return GrammarRefused(f"has a regular expression that {problem} (character {self._at})")


def _is_one(members: Chars) -> bool:
    return len(members.ranges) == 1 and members.ranges[0][0] == members.ranges[0][1]
