"""What the replay needs to know of NumPy's functions, each function in one row.

The words of a row:

* ``quiet``: it does not warn at any ordinary value;
* ``exact``: it moves or selects numbers, or changes their signs, and so rounds nothing;
* ``view``: its result may share the memory of its first argument;
* ``linear``: a factor of an operand is one of the result;
* ``settled``: shape and dtype of the result follow from those of the arguments, whatever these hold;
* ``whole``: a composite of the rules that stays one call, since one call of NumPy is fast and its parts need not be
  visible (the derivative has been taken already when a program is written);
* ``static``: it is answered from shape and dtype alone, which preparation fixes: a constant of the program.

And how it is written, other than as a call of itself:

* ``infix``: between two numbers;
* ``math``: the function of ``math`` that means the same for floats; where it raises, a call is not replayed;
* ``loop``: as an expression of floats in a compiled loop, where masks are 1.0 and 0.0;
* ``reduces``: the ufunc that it reduces with.

``jumps`` names the operands at which the result jumps: another last digit there is another result. Functions whose
results are masks or integers jump at every operand, which their dtype says.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from ..rules.elementwise import select
from ..rules.indexing import rolled, scatter_parts, set_item
from ..rules.linalg import contract
from ..rules.reductions import spread
from ..rules.shaping import join, pile
from .instructions import CONSTANT

__all__ = [
    "EXACT",
    "FACTS",
    "INFIX",
    "JUMPS",
    "LINEAR",
    "LOOP",
    "MATH",
    "QUIET",
    "REDUCTIONS",
    "SETTLED",
    "STATIC",
    "VIEWS",
    "WHOLE",
    "Facts",
]


class Facts(NamedTuple):
    """One row."""

    words: frozenset[str]
    infix: str | None = None
    math: str | None = None
    loop: str | None = None
    reduces: np.ufunc | None = None
    jumps: tuple[int, ...] | None = None


FACTS: dict[Any, Facts] = {}


def _row(words: str, *functions: Any, **ways: Any) -> None:
    for function in functions:
        assert function not in FACTS, function
        FACTS[function] = Facts(frozenset(words.split()), **ways)


# -- arithmetic ------------------------------------------------------------------------------------------------------
_row("quiet", np.add, infix="+", loop="{0} + {1}")
_row("quiet", np.subtract, infix="-", loop="{0} - {1}")
_row("quiet linear", np.multiply, infix="*", loop="{0} * {1}")
_row("", np.divide, infix="/", loop="{0} / {1}")
_row("quiet exact linear", np.negative, loop="-{0}")
_row("quiet exact", np.positive, loop="{0}")
_row("quiet linear", np.square, loop="{0} * {0}")
_row("", np.reciprocal, loop="1.0 / {0}")
_row("", np.power, loop="({0}) ** ({1})")
_row("settled", operator.pow, loop="({0}) ** ({1})")  # of numbers, whose last digit is another than np.power's
_row("quiet exact", np.absolute, math="fabs", loop="abs({0})")
_row("", np.fabs, math="fabs", loop="abs({0})")
_row("quiet exact", np.sign, jumps=(0,), loop="(1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else 0.0 * {0})")
_row("quiet exact", np.maximum, loop="({0} if {0} >= {1} or {0} != {0} else {1})")
_row("quiet exact", np.minimum, loop="({0} if {0} <= {1} or {0} != {0} else {1})")
_row("exact", np.fmax, np.fmin, np.conjugate, np.copy)
_row("exact", np.floor, np.ceil, np.trunc, np.rint, jumps=(0,))
_row("", np.round, np.around, np.fix, np.modf, np.frexp, np.heaviside, np.unique, jumps=(0,))
_row("", np.floor_divide, np.remainder, np.fmod, np.divmod, jumps=(0, 1))
_row("", np.copysign, jumps=(1,))
# -- comparisons and masks -------------------------------------------------------------------------------------------
_row("quiet", np.less, infix="<", loop="(1.0 if {0} < {1} else 0.0)")
_row("quiet", np.less_equal, infix="<=", loop="(1.0 if {0} <= {1} else 0.0)")
_row("quiet", np.greater, infix=">", loop="(1.0 if {0} > {1} else 0.0)")
_row("quiet", np.greater_equal, infix=">=", loop="(1.0 if {0} >= {1} else 0.0)")
_row("quiet", np.equal, infix="==", loop="(1.0 if {0} == {1} else 0.0)")
_row("quiet", np.not_equal, infix="!=", loop="(1.0 if {0} != {1} else 0.0)")
_row("quiet", np.logical_not, loop="(1.0 if {0} == 0.0 else 0.0)")
_row("quiet", np.logical_and, loop="(1.0 if {0} != 0.0 and {1} != 0.0 else 0.0)")
_row("", np.logical_or, loop="(1.0 if {0} != 0.0 or {1} != 0.0 else 0.0)")
# Of masks: other integers are not compiled.
_row("", np.bitwise_and, loop="(1.0 if {0} != 0.0 and {1} != 0.0 else 0.0)")
_row("", np.bitwise_or, loop="(1.0 if {0} != 0.0 or {1} != 0.0 else 0.0)")
_row("", np.bitwise_xor, loop="(1.0 if ({0} != 0.0) != ({1} != 0.0) else 0.0)")
_row("", np.invert, loop="(1.0 if {0} == 0.0 else 0.0)")
_row("", np.isfinite, loop="(1.0 if {0} - {0} == 0.0 else 0.0)")
_row("", np.isnan, loop="(1.0 if {0} != {0} else 0.0)")
_row("quiet exact", select, jumps=(0,), loop="({1} if {0} != 0.0 else {2})")
_row("quiet exact whole", np.where, jumps=(0,), loop="({1} if {0} != 0.0 else {2})")
# -- functions of the calculus ---------------------------------------------------------------------------------------
for _function, _name in [
    *((getattr(np, name), name) for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "tan")),
    *((np.sinh, "sinh"), (np.cosh, "cosh"), (np.arcsin, "asin"), (np.arccos, "acos")),
    *((np.arcsinh, "asinh"), (np.arccosh, "acosh"), (np.arctanh, "atanh")),
]:
    _row("", _function, math=_name, loop=f"math.{_name}({{0}})")
for _function, _name in ((np.sin, "sin"), (np.cos, "cos"), (np.tanh, "tanh"), (np.arctan, "atan")):
    _row("quiet", _function, math=_name, loop=f"math.{_name}({{0}})")
_row("", np.arctan2, jumps=(0, 1), math="atan2", loop="math.atan2({0}, {1})")
_row("", np.hypot, math="hypot", loop="math.hypot({0}, {1})")
# -- sums and products of arrays -------------------------------------------------------------------------------------
_row("quiet linear", np.sum, reduces=np.add)
_row("quiet exact", np.max, reduces=np.maximum)
_row("quiet exact", np.min, reduces=np.minimum)
_row("exact", np.amax, reduces=np.maximum)
_row("exact", np.amin, reduces=np.minimum)
_row("", np.prod, reduces=np.multiply)
_row("quiet linear", np.matmul, contract)
_row("quiet exact settled whole", spread, jumps=(1, 2))
_row("settled whole", np.outer)
_row("whole", np.trace)
# -- shapes ----------------------------------------------------------------------------------------------------------
_row("quiet exact view linear", np.reshape, np.transpose, np.broadcast_to, np.expand_dims, np.squeeze)
_row("quiet exact view linear whole", np.ravel, np.swapaxes, np.moveaxis)
_row("quiet exact view", np.real, np.imag)
_row("quiet exact view whole", np.diagonal)
# -- entries that are taken, put and moved ---------------------------------------------------------------------------
_row("quiet", None)
_row("quiet exact", CONSTANT, operator.getitem, join, pile)
_row("quiet exact settled", set_item)
_row("quiet settled", scatter_parts)
_row("exact", rolled)
_row("exact settled whole", np.clip, np.concatenate, np.stack, np.take, np.take_along_axis, np.sort)
_row("exact whole", np.tile, np.repeat, np.flip, np.diag, np.tril, np.triu)
_row("whole", np.roll)
# -- questions to an array -------------------------------------------------------------------------------------------
_row("settled", np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition, np.lexsort)
_row("settled", np.searchsorted, np.digitize, np.any, np.all, np.count_nonzero, np.isin)
_row("settled", np.isclose, np.allclose, np.array_equal, np.array_equiv)
_row("static", np.shape, np.ndim, np.size, np.result_type, np.isdtype, np.can_cast, np.common_type)
_row("static", np.iscomplexobj, np.isrealobj, np.broadcast_shapes, np.zeros_like, np.ones_like, np.empty_like)


def _those(word: str) -> frozenset:
    return frozenset([function for function, facts in FACTS.items() if word in facts.words])


def _written(way: str) -> dict[Any, Any]:
    return {function: getattr(facts, way) for function, facts in FACTS.items() if getattr(facts, way) is not None}


QUIET = _those("quiet")
EXACT = _those("exact")
VIEWS = _those("view")
LINEAR = _those("linear")
SETTLED = _those("settled")
WHOLE = _those("whole")
STATIC = _those("static")
INFIX = _written("infix")
MATH = _written("math")
LOOP = _written("loop")
REDUCTIONS = _written("reduces")
JUMPS = _written("jumps")
