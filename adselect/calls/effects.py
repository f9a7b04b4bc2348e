"""Whether calling a function has an effect besides its result, read off its bytecode.

A function without effects may be written into a compiled program; any other one has to be called each time, and on
real numbers. The answer is on the safe side: what is not recognised has effects.
"""

from __future__ import annotations

import builtins
import dis
import functools
import operator
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..rules.registration import load_for
from ..rules.registry import COMPOSITES, NO_DERIVATIVE, RULES

__all__ = ["has_effects"]

_PLAIN_CODE = (
    *("LOAD_FAST", "LOAD_SMALL_INT", "LOAD_CONST", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_ATTR", "LOAD_METHOD"),
    *("LOAD_CLOSURE", "LOAD_COMMON_CONSTANT", "STORE_FAST", "DELETE_FAST", "PUSH_NULL", "PRECALL", "CALL", "KW_NAMES"),
    *("BINARY_", "COMPARE_OP", "IS_OP", "CONTAINS_OP", "UNARY_", "RETURN_", "RESUME", "COPY", "SWAP", "NOP", "POP_"),
    *("BUILD_TUPLE", "BUILD_LIST", "BUILD_SLICE", "JUMP_", "CACHE", "NOT_TAKEN", "TO_BOOL", "EXTENDED_ARG"),
)
_CALLED = (*map(operator.attrgetter("__name__"), (min, max, abs, sum, len, float, int, range, tuple, round, bool)),)
_ATTRIBUTES = frozenset(
    {
        *("T", "all", "any", "astype", "clip", "conj", "copy", "dot", "dtype", "imag", "max", "mean", "min", "ndim"),
        *("prod", "ravel", "real", "reshape", "shape", "size", "sqrt", "std", "sum", "transpose", "var", "linalg"),
    }
)
_SETTINGS = (bool, int, float, complex, str, tuple, type(None), np.generic)  # no arrays: they can be written to


def has_effects(function: Any, depth: int = 4) -> bool:
    """Whether a call of function may do more than return a value that its arguments and constants determine.

    >>> seen = []
    >>> has_effects(lambda g: np.clip(g, -1, 1)), has_effects(lambda g: seen.append(g))
    (False, True)
    """
    if isinstance(function, functools.partial):
        settings = (*function.args, *function.keywords.values())
        return has_effects(function.func, depth) or not all(isinstance(v, _SETTINGS) for v in settings)
    if isinstance(function, np.ufunc) or _is_known(function):
        return False
    if isinstance(function, types.BuiltinFunctionType):
        return getattr(operator, function.__name__, None) is not function or function.__name__.startswith("i")
    if not isinstance(function, types.FunctionType) or not depth:
        return True
    if any("out" in constant for constant in function.__code__.co_consts if isinstance(constant, tuple)):
        return True  # np.clip(g, -1, 1, out=…)
    return not all(_is_plain(step, function, depth) for step in dis.get_instructions(function))


def _is_known(function: Any) -> bool:
    try:
        return function in RULES or function in COMPOSITES or function in NO_DERIVATIVE or load_for(function)
    except TypeError:  # not hashable
        return False


def _is_plain(step: dis.Instruction, function: types.FunctionType, depth: int) -> bool:
    """Whether an instruction of function leaves everything else as it was."""
    if not step.opname.startswith(_PLAIN_CODE) and step.opname not in ("COPY_FREE_VARS", "END_FOR"):
        return False
    if step.opname == "BINARY_OP":
        return not step.argrepr.endswith("=") or step.argrepr in ("==", "<=", ">=", "!=")
    if step.opname.startswith("LOAD_GLOBAL"):
        name = step.argval
        if name not in function.__globals__:
            return name in _CALLED and hasattr(builtins, name)
        return _is_harmless(function.__globals__[name], depth)
    if step.opname.startswith("LOAD_DEREF"):
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        try:
            return step.argval in cells and _is_harmless(cells[step.argval].cell_contents, depth)
        except ValueError:  # not filled yet
            return False
    if step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
        return step.argval in _ATTRIBUTES or _is_known(_of_numpy(step.argval)) or _is_ufunc(step.argval)
    return True


def _of_numpy(name: str) -> Callable | None:
    return getattr(np, name, None) or getattr(np.linalg, name, None)


def _is_ufunc(name: str) -> bool:
    return isinstance(getattr(np, name, None), np.ufunc)


def _is_harmless(value: Any, depth: int) -> bool:
    """Whether what a function reads from outside may be part of a function without effects."""
    if value is np or value is np.linalg:
        return True
    return isinstance(value, _SETTINGS) if not callable(value) else not has_effects(value, depth - 1)
