r"""Turn formulas of TeX into MathML, by math-core (`docs/decisions/010-formulas.md`).

math-core parses with recursion, and deep nesting overflows the stack, which ends the process: with
a stack of 2 MiB 2,000 braces do (seen with 0.9.0). So formulas are short, cannot define commands
that repeat them, and are parsed in a thread with a stack of its own size.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Annotated, Final

import msgspec
from math_core import LatexError, LatexToMathML

MAX_FORMULA_CHARS: Final = 4000
# Four thousand braces, all of them open, need less than 4 MiB.
_STACK_BYTES: Final = 16 * 2**20
_PARSER: Final = LatexToMathML(
    fancy_error=False,
    max_expansions=0,
    # A wide tilde that a browser draws badly is better than the source of the whole formula.
    allow_unreliable_rendering=True,
)


class Formula(msgspec.Struct, frozen=True):
    """A formula without the signs around it; `block` if it has lines of its own."""

    tex: Annotated[str, msgspec.Meta(max_length=MAX_FORMULA_CHARS)]
    block: bool = False


class TypesetFormula(msgspec.Struct, frozen=True):
    """A formula as MathML, or why it is none."""

    mathml: str | None = None
    error: str | None = None


def typeset(formulas: Iterable[Formula]) -> "Future[list[TypesetFormula]]":
    """Turn formulas into MathML, in their order, in the thread for that.

    A cancelled future that has not begun is left out; one that has begun runs to its end.
    """
    return _thread().submit(_typeset_all, list(formulas))


def _typeset_all(formulas: list[Formula]) -> list[TypesetFormula]:
    return [_typeset(formula) for formula in formulas]


def _typeset(formula: Formula) -> TypesetFormula:
    if len(formula.tex) > MAX_FORMULA_CHARS:
        return TypesetFormula(error=f"it has more than {MAX_FORMULA_CHARS:,} characters")
    try:
        mathml = _PARSER.convert_with_local_state(formula.tex, displaystyle=formula.block)
    except LatexError as error:
        # Before its words stands where in the formula it is, counted in bytes.
        return TypesetFormula(error=str(error).partition(": ")[2] or str(error))
    # HTML knows this name, XML does not.
    return TypesetFormula(mathml.replace("&ApplyFunction;", "\u2061"))


@cache
def _thread() -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(1, "formulas")
    before = threading.stack_size(_STACK_BYTES)
    try:
        pool.submit(int).result()  # so that the thread begins with this size
    finally:
        threading.stack_size(before)
    return pool
