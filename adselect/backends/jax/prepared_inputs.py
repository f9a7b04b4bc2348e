"""What a compiled operator is given: leaves converted, the fixed parts of arguments as a key."""

from __future__ import annotations

import types
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from ...calls.fixed import UnknownError, class_settings, frozen, picture
from ...structure.flattening import Skeleton
from ...values.kinds import isa
from .face import JaxArray

# -- leaves in ---------------------------------------------------------------------------------------------------------


def needs_conversion(leaf: Any) -> bool:
    if isa(leaf, (np.ndarray, np.generic)):
        return leaf.dtype.kind in "iub" or not leaf.dtype.isnative
    return not isa(leaf, (float, complex, jax.Array)) or type(leaf) not in (float, complex)


def is_integer(leaf: Any) -> bool:
    return isa(leaf, (int, np.integer)) or (isa(leaf, np.ndarray) and leaf.dtype.kind in "iu")


def contents_of(leaf: Any) -> Any:
    """An integer argument as a key."""
    return leaf.tobytes() if isa(leaf, np.ndarray) else leaf


def number(leaf: Any) -> Any:
    """A leaf that JAX does not take as it is, as the floating-point value that it counts as."""
    if isa(leaf, (np.ndarray, np.generic)):
        return np.asarray(leaf, dtype=float if leaf.dtype.kind in "iub" else leaf.dtype.newbyteorder("="))
    if isa(leaf, complex):
        return complex(leaf)
    return leaf if isinstance(leaf, jax.Array) else float(leaf)


def floating(leaf: Any) -> Any:
    return leaf.astype(float) if not isinstance(leaf, JaxArray) and leaf.dtype.kind in "iub" else leaf


# -- the fixed parts of arguments --------------------------------------------------------------------------------------


class UnknownFixedError(Exception):
    """A fixed value that can neither be an argument of the program nor be compared: its type's name."""


def _fixed_nodes(skeleton: Skeleton) -> Any:
    """The places of a skeleton without leaves, in order: constants, masks, names, functions."""
    pending, seen = list(reversed(skeleton.nodes)), set()
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if not node.numeric:
            yield node
        else:
            pending.extend(reversed(getattr(node, "children", ())))


def key_of(skeleton: Skeleton) -> tuple[tuple, list]:
    """What the fixed parts of arguments are, and the arrays among them that a program can take as arguments.

    Those of whole arguments; an array deep inside of one counts with its contents.
    """
    arrays: list = []
    whole = {id(node) for node in skeleton.nodes}
    fixed = [_split(n.value, arrays if id(n) in whole else None) for n in _fixed_nodes(skeleton)]
    return (*fixed, *_functions(skeleton)), arrays


def _functions(skeleton: Skeleton) -> list:
    """What tells functions and methods apart that hold leaves: their leaves are arguments, their code is not."""
    pending, seen, found = list(skeleton.nodes), set(), []
    while pending:
        node = pending.pop()
        if node is None or not node.numeric or id(node) in seen:
            continue
        seen.add(id(node))
        pending.extend(getattr(node, "children", ()))
        value = getattr(node, "value", None)
        if isinstance(value, types.FunctionType):
            found.append(picture(value, captured=False))
        elif isinstance(value, types.MethodType):
            found.append(picture(value.__func__))
        elif getattr(node, "keys", None) and not isinstance(value, dict):
            found.extend(class_settings(type(value)))
    return found


def _split(value: Any, arrays: list | None) -> Any:
    """A key that is equal where a compiled program can be used again; arrays and floats are set apart as arguments."""
    if isa(value, (np.ndarray, jax.Array, float, complex, np.inexact)):
        if isa(value, np.ndarray) and value.dtype.kind not in "fciub":
            raise UnknownFixedError(f"NumPy array of dtype {value.dtype}")
        if arrays is None:
            contents = np.asarray(value)
            return type(value), contents.dtype, contents.shape, contents.tobytes()
        arrays.append(value)
        return "array"
    if isa(value, Fraction) or value is None or isa(value, (str, bytes, int, np.generic)):
        return type(value), value
    if type(value) in (tuple, list):
        return type(value), tuple([_split(v, arrays) for v in value])
    if type(value) is dict:
        return dict, tuple([(k, _split(v, arrays)) for k, v in value.items()])
    try:
        return frozen(value)
    except UnknownError as error:
        raise UnknownFixedError(str(error)) from None


def joined(value: Any, arrays: Any) -> Any:
    """The value again, around the next of the arrays."""
    if isinstance(value, jax.Array):
        return next(arrays)
    if isa(value, (np.ndarray, float, complex, np.inexact)):
        return JaxArray(next(arrays), 0)
    if type(value) in (tuple, list):
        return type(value)([joined(v, arrays) for v in value])
    if type(value) is dict:
        return {k: joined(v, arrays) for k, v in value.items()}
    return value
