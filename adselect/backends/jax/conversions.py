"""One value at a time: seeds, tangents and results between NumPy and JAX."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ...errors import ADSelectTypeError, ADSelectValueError, UnsupportedError, user_line
from ...face.array import Array
from ...face.traced import UNKNOWN
from ...values.kinds import isa
from .face import JaxArray


def is_conversion(error: Exception) -> bool:
    return isinstance(error, jax.errors.TracerArrayConversionError)


def kind_of_number(leaf: Any) -> str:
    return "array" if isinstance(leaf, Array) else "native" if isinstance(leaf, jax.Array) else "numpy"


def native_value(leaf: Any, kind: str) -> Any:
    if kind == "array":
        if not isinstance(leaf, JaxArray):
            raise UnsupportedError(
                f"AutoJax was called at {user_line()} on a {type(leaf).__name__}, a traced value of another backend. "
                "Derivatives of different frameworks do not nest this way: use the same choice inside and outside, or "
                "SecondOrder(outer, inner)."
            )
        leaf = leaf._primal
    if isinstance(leaf, jax.Array):
        return leaf.astype(float) if leaf.dtype.kind in "iub" else leaf
    if isa(leaf, (np.ndarray, np.generic)):
        dtype = leaf.dtype
        if dtype.kind in "iub":
            dtype = np.dtype(float)
        if dtype.kind not in "fc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
            raise ADSelectTypeError(f"JAX has no arrays of dtype {dtype}; convert the argument, as in x.astype(float)")
        # A copy: JAX may read the buffer later than the caller writes into it again.
        return jnp.asarray(np.array(leaf, dtype=dtype.newbyteorder("="), order="C"))
    if isa(leaf, (int, Fraction)):
        leaf = float(leaf)
    if isa(leaf, (float, complex)):
        return jnp.asarray(leaf)  # weak, as Python numbers are in NumPy: float32 arrays stay float32
    if isa(leaf, Number):
        return jnp.asarray(float(leaf))  # type: ignore[arg-type]
    raise ADSelectTypeError(f"AutoJax cannot differentiate with respect to a {type(leaf).__name__}")


def integers(leaf: Any) -> Any:
    """The integers behind a leaf that counts as float in arithmetic and still works as an index."""
    if isinstance(leaf, JaxArray):
        return leaf._integer
    if isinstance(leaf, jax.Array):
        return None if leaf.dtype.kind not in "iu" or isinstance(leaf, Tracer) else np.asarray(leaf)[()]
    if isa(leaf, np.ndarray):
        # A copy, in which nothing wraps either.
        return leaf.astype(np.int64) if leaf.dtype.kind in "iu" else leaf if leaf.dtype.kind == "b" else None
    if isa(leaf, (int, np.integer)):
        return int(leaf) if type(leaf) is not bool else leaf
    return None


def is_wide(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is None or dtype.kind in "iub" or dtype.itemsize >= (16 if dtype.kind == "c" else 8)


def described_outputs(outputs: list) -> tuple[list[Output], list]:
    """What each output is, and the native arrays among them."""
    described, natives = [], []
    for value in outputs:
        if isinstance(value, JaxArray):
            described.append(Output("face", value._deps, None))
            natives.append(value._primal)
        elif isinstance(value, Array):
            raise UnsupportedError(
                f"f returned a {type(value).__name__}, a traced value of another backend that it captured; pass that "
                "value to the inner function as an argument"
            )
        elif isinstance(value, jax.Array):
            described.append(Output("native", UNKNOWN, None))
            natives.append(value)
        else:
            described.append(Output("plain", 0, value))
    return described, natives


def conj(value: Any) -> Any:
    return jnp.conj(value) if value.dtype.kind == "c" else value


def seed_in_jax(seed: Any, shape: tuple, dtype: Any) -> Any:
    """A cotangent or tangent as a native array of the given shape and dtype."""
    if dtype.kind not in "fcV":  # V: bfloat16 and friends
        return jnp.zeros(shape, dtype)
    if seed is None:
        return jnp.zeros(shape, dtype)
    if isinstance(seed, JaxArray):
        seed = seed._primal
    elif not isinstance(seed, jax.Array):
        seed = np.array(seed)  # a copy; NumPy converts it at a tenth of what JAX takes
    if seed.shape != tuple(shape):
        raise ADSelectValueError(f"a seed of shape {seed.shape} does not fit a value of shape {tuple(shape)}")
    if seed.dtype.kind == "c" and dtype.kind != "c":
        seed = seed.real
    return jnp.asarray(seed.astype(dtype))


def with_float0(seeds: list, avals: list) -> list:
    """Seeds as jax.vjp wants them: integer outputs take the empty type float0."""
    return [
        seed if dtype.kind in "fcV" else np.zeros(shape, jax.dtypes.float0)
        for seed, (shape, dtype) in zip(seeds, avals, strict=True)
    ]


def without_float0(tangents: list) -> list:
    """Tangents with plain zeros for integer outputs, which have none."""
    return [jnp.zeros(t.shape) if t.dtype == jax.dtypes.float0 else t for t in tangents]


def directional(linear: Callable, tangents: list[list]) -> list[list]:
    """``linear`` along each direction: called once, over all of them at a time."""
    if len(tangents) == 1:
        return [linear(*tangents[0])]
    stacked = jax.vmap(linear)(*[jnp.stack(column) for column in zip(*tangents, strict=True)])
    return [[y_dot[d] for y_dot in stacked] for d in range(len(tangents))]


def transposed(masks: list[int], count: int) -> list[int]:
    """From "outputs each leaf receives from" to "leaves each output depends on"."""
    return [sum(1 << i for i, mask in enumerate(masks) if mask >> k & 1) for k in range(count)]


class Output(NamedTuple):
    """What one output of f was: ``kind`` is "face", "native" or "plain"; ``value`` only for plain ones."""

    kind: str
    deps: int
    value: Any
