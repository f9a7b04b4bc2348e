"""Calls on numbers as plain Python expressions."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...rules.elementwise import select
from ..facts import INFIX, MATH
from ..instructions import Instruction, Ref
from .liveness import FLOAT
from .page import Page

__all__ = ["write_scalar"]

_EXPRESSIONS: dict[Any, str] = {
    **{function: f"{{0}} {sign} {{1}}" for function, sign in INFIX.items()},
    np.negative: "-{0}",
    np.positive: "{0}",
    np.square: "{0} * {0}",
    np.reciprocal: "1.0 / {0}",
    np.logical_not: "not {0}",
}


def write_scalar(page: Page, i: Instruction) -> bool:
    """A call on scalars as a plain expression; False when it has to stay a NumPy call."""
    if page.float32 or i.kwargs or not all(_is_plain(page, a) for a in i.args):
        return False
    args = [page.value(a) for a in i.args]
    expression = _EXPRESSIONS.get(i.function)
    if expression is not None:
        return page.line(i, expression.format(*args))
    if i.function is operator.pow:
        # Of Python's numbers an integral power is NumPy's; another one of a negative number is complex.
        integral = type(i.args[1]) in (int, float) and float(i.args[1]).is_integer()
        base = f"({args[0]})" if integral else f"{page.use('float64', np.float64)}({args[0]})"
        return page.line(i, f"{base} ** {args[1]}")
    strict = i.number in page.program.strict
    if i.function is np.power and not strict and type(i.args[1]) in (int, float) and i.args[1] in (3, 4):
        return page.line(i, " * ".join([args[0]] * int(i.args[1])))
    if i.function in (select, np.where) and len(args) == 3:
        return page.line(i, f"{args[1]} if {args[0]} else {args[2]}")
    name = MATH.get(i.function)
    if name is None or i.dtype != FLOAT:
        return False
    if strict and name not in ("sqrt", "fabs"):
        # math has another last digit than NumPy, but for what both round correctly. Python's numbers are faster.
        return page.line(i, f"float({page.function(i.function)}({', '.join(args)}))")
    return page.line(i, f"{page.use(f'math_{name}', getattr(math, name))}({', '.join(args)})")


def _is_plain(page: Page, spec: Any) -> bool:
    """Whether an operand is a Python number in the source."""
    if type(spec) is Ref:
        i = page.instructions[spec.number]
        return i.scalar and (i.dtype == FLOAT or i.dtype == np.bool_)
    return type(spec) in (float, np.float64) or type(spec) is int
