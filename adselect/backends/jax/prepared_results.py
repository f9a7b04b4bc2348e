"""What a compiled operator gives back: NumPy results, in the structure they have eagerly."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from ...structure.flattening import Skeleton
from ...values.kinds import isa
from .face import JaxArray, to_numpy

NOT_FINITE = object()

# What is finite where all entries are (or overflows), and at small cost.
_SIZES = {
    "array*": "vdot({0}, {0}).real",
    "large*": "vdot({0}, {0}).real",
    "numpy*": "vdot({0}, {0}).real",
    "vector*": "{0}.dot({0}).real",
}

# From a native array to what the eager call gives at the same place. NumPy shows a jax array as one that cannot be
# written; what a user gets can: small ones are copies, large ones take over memory that nobody else refers to.
_CONVERSIONS = {
    "array": "asarray({0}).copy()",
    "vector": "asarray({0}).copy()",
    "large": "asarray(TakenOver(asarray({0})))",
    "scalar": "asarray({0})[()]",
    "number": "{0}.item()",
    "fraction": "Fraction({0}.item())",
    "native": "{0}",
    "numpy": "to_numpy({0})",
}


_WORTH_TAKING = 8192  # entries from which taking over takes less than copying


class _TakenOver:
    """An output of a compiled program as an array that can be written.

    XLA puts every output into memory of its own, also one that equals an argument, a constant or another output, and
    the jax array is dropped as soon as it is here.
    """

    __slots__ = ("__array_interface__", "array")

    def __init__(self, array: np.ndarray):
        interface = array.__array_interface__
        interface["data"] = (interface["data"][0], False)  # not read-only
        self.array, self.__array_interface__ = array, interface


def kind_of(reference: Any, leaf: Any, value: Any, keeps_native: bool) -> str:
    """What a result is to become: a key of the table above, with a star where it can be anything but finite."""
    if isinstance(reference, jax.Array) or (reference is None and keeps_native and not isinstance(leaf, JaxArray)):
        return "native"
    star = "*" if value.dtype.kind in "fc" else ""
    if isa(reference, np.ndarray):
        return ("large" if value.size >= _WORTH_TAKING else "vector" if value.ndim == 1 else "array") + star
    if isa(reference, np.generic):
        return "scalar" + star
    if isa(reference, Fraction):
        return "fraction"
    return ("number" if isa(reference, (float, complex, int)) else "numpy") + star


def finisher(skeleton: Skeleton, constants: list, kinds: list, checked: bool) -> Callable[[list], Any]:
    """A function from a program's native results to the operator's result, written out as straight-line Python.

    It looks whether numbers are finite at half the price of np.isfinite: the sum of squares of finite numbers is
    finite, and when that overflows, each number is looked at. Then it gives _NOT_FINITE.
    """
    names: dict[str, Any] = {
        "asarray": np.asarray,
        "vdot": np.vdot,
        "TakenOver": _TakenOver,
        "isfinite": math.isfinite,
        "infinite": lambda value: not np.isfinite(value).all(),
        "Fraction": Fraction,
        "to_numpy": to_numpy,
        "skeleton": skeleton,
        "NOT_FINITE": NOT_FINITE,
    }
    lines, places = [], [i for i, kind in enumerate(kinds) if kind]
    if places:
        lines.append(f"{', '.join(f'n{i}' for i in places)}, = natives")
    for i, kind in enumerate(kinds):
        if not kind:
            names[f"c{i}"] = constants[i]
            lines.append(f"r{i} = c{i}.copy()" if isa(constants[i], np.ndarray) else f"r{i} = c{i}")
            continue
        lines.append(f"r{i} = {_CONVERSIONS[kind.rstrip('*')].format(f'n{i}')}")
        if checked and kind.endswith("*"):
            size = _SIZES.get(kind, "abs({0})").format(f"r{i}")
            lines.append(f"if not isfinite({size}) and infinite(r{i}): return NOT_FINITE")
    lines.append(f"return {_expression(skeleton.nodes[0] if skeleton.nodes else None, len(kinds), names)}")
    source = "def finish(natives):\n    " + "\n    ".join(lines)
    exec(compile(source, "<result of a prepared operator>", "exec"), names)
    return names["finish"]


def _expression(node: Any, count: int, names: dict) -> str:
    """The result's structure as an expression over its leaves; through the skeleton where it is not plain tuples."""
    if node is None:
        return "r0"  # a single leaf
    written = _tuples(node, names)
    return written or f"skeleton.rebuild([{', '.join(f'r{i}' for i in range(count))}])[0]"


def _tuples(node: Any, names: dict) -> str | None:
    if hasattr(node, "index"):
        return f"r{node.index}"
    value = getattr(node, "value", NOT_FINITE)
    if not node.numeric:
        return "None" if value is None else None
    if not isinstance(value, tuple):
        return None
    parts = [_tuples(child, names) for child in node.children]
    if None in parts:
        return None
    if type(value) is tuple:
        return f"({''.join(f'{p}, ' for p in parts)})"
    kind = f"T{len(names)}"
    names[kind] = type(value)
    return f"{kind}({', '.join(parts)})" if hasattr(type(value), "_fields") else None  # type: ignore[arg-type]
