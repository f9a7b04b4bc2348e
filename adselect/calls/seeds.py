"""Seeds: the cotangents and tangents that a derivative starts from."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError
from ..face.array import Array
from ..face.dispatch import absorb, is_traced
from ..values.kinds import isa
from ..values.natives import is_native, natives_of


def plain_number(y: Any, leaves: list) -> Any:
    """A value as a Python number where f was given nothing but Python numbers; otherwise as it is."""
    if type(y) in (np.float64, np.complex128) and all([type(leaf) in (float, int, complex) for leaf in leaves]):
        return y.item()
    return y


def seed_for(y: Any) -> Any:
    """The cotangent 1 in y's precision."""
    if type(y) is np.float64 or type(y) is float:
        return 1.0
    if isa(y, Fraction):
        return Fraction(1)
    natives = natives_of(y)
    dtype = getattr(y, "dtype", None) if natives is None else natives.dtype(y)
    if dtype in (np.float32, np.float16):
        return dtype.type(1)  # type: ignore[union-attr]
    return 1.0


def plain_seed(seed: Any, y: Any, where: str) -> Any:
    """A user's cotangent for the output y as an array of y's shape; None stands for zeros, also inside lists."""
    if seed is None:
        return None
    if type(seed) is np.ndarray and seed.dtype == object and is_traced(seed):
        seed = absorb(seed)
    if isa(seed, (list, tuple)):
        try:
            seed = absorb(_with_zeros(seed, tuple(y.shape) if hasattr(y, "shape") else ()))
            seed = np.asarray(seed) if isinstance(seed, list) else seed
        except ValueError as error:
            raise ADSelectValueError(f"the seed for {where} is no array of numbers: {error}") from None
    if not isinstance(seed, Array) and not is_native(seed):
        if not isa(seed, (int, float, complex, np.generic, np.ndarray)):
            raise ADSelectTypeError(f"the seed for {where} must be numeric or None, got {type(seed).__name__}")
        array = np.asarray(seed)
        if array.dtype.kind not in "fiucb":
            raise ADSelectTypeError(
                f"the seed for {where} must be numeric or None, got an array of dtype {array.dtype} and shape "
                f"{array.shape}; None in place of the whole seed, or within a list, stands for zeros"
            )
        if array.dtype.kind in "iub":
            array = array.astype(float)
        seed = array if array.shape else array[()]
    y_shape = tuple(y.shape) if hasattr(y, "shape") else ()
    shape = tuple(seed.shape)
    if shape != y_shape:
        if shape != ():
            raise ADSelectValueError(
                f"the seed for {where} has shape {shape}, the output has shape {y_shape}; they must be equal"
            )
        if y_shape and not is_native(seed):
            seed = np.broadcast_to(seed, y_shape)
    if _is_complex(seed) and not _is_complex(y):
        raise ADSelectValueError(
            f"the seed for {where} is complex but the output is real; a real output takes real seeds"
        )
    return seed


def _is_complex(value: Any) -> bool:
    return "complex" in str(getattr(value, "dtype", type(value).__name__))


def _with_zeros(seed: Any, shape: tuple) -> Any:
    """Nested lists of cotangents with zeros of the output's shape in place of None."""
    if seed is None:
        return np.zeros(shape)
    if isinstance(seed, (list, tuple)):
        return [_with_zeros(s, shape[1:]) for s in seed]
    return seed
