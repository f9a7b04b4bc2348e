"""Each result of a derivative in the shape, dtype and kind of the argument it belongs to."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError
from ..face.array import Array
from ..values.kinds import isa
from ..values.natives import is_native, natives_of, to_numpy
from ..values.tangents import NoTangent, Tangent, ZeroTangent
from .flattening import flatten
from .leaves import ExactFraction, is_leaf, is_tracer, leaf_dtype

__all__ = ["project", "project_to"]


def project(grad: Any, leaf: Any) -> Any:
    """The gradient as a value of the leaf's kind: shape, dtype, framework, real for real.

    int → float64, Python number → Python number, Fraction → Fraction, NumPy → NumPy, native → native.
    """
    kind = type(leaf)
    if isinstance(grad, Array):
        return _project_traced(grad, leaf)
    if type(grad) is not np.ndarray and not is_native(leaf) and is_tracer(grad):
        return grad  # inside the user's own jax.grad or jax.jit: a NumPy argument's gradient is still being traced
    if kind is np.ndarray:
        dtype = leaf.dtype
        if dtype.kind in "iu":
            dtype = np.float64
        elif not dtype.isnative:
            dtype = dtype.newbyteorder("=")
        if type(grad) is np.ndarray and grad.dtype == dtype and grad.shape == leaf.shape:
            return grad
        grad = np.asarray(to_numpy(grad))
        if grad.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            grad = grad.real
        if grad.dtype == object:
            grad = np.vectorize(float, otypes=[float])(grad) if grad.size else grad.astype(float)
        if grad.shape != leaf.shape:
            grad = np.broadcast_to(grad, leaf.shape).astype(dtype)
        return grad.astype(dtype, copy=False)
    if kind is float or kind is int:
        return float(np.real(to_numpy(grad)))
    if kind is complex:
        return complex(to_numpy(grad))
    if isa(leaf, Fraction):
        return ExactFraction(grad if isa(grad, (Fraction, int)) else float(np.real(grad)))
    if isa(leaf, np.generic):
        dtype = np.float64 if leaf.dtype.kind in "iu" else leaf.dtype
        grad = np.asarray(to_numpy(grad))
        return (grad.real if dtype != grad.dtype and np.dtype(dtype).kind != "c" else grad).astype(dtype)[()]
    if isa(leaf, np.ndarray):
        return project(grad, np.asarray(leaf))
    if isinstance(leaf, Array):
        return project(grad, np.zeros(leaf.shape, leaf.dtype)) if leaf.ndim else grad
    if isa(leaf, (int, float)):
        return float(np.real(to_numpy(grad)))
    natives = natives_of(leaf)
    return grad if natives is None else natives.project(grad, leaf)


def _project_traced(grad: Any, leaf: Any) -> Any:
    shape, dtype = np.shape(leaf), leaf_dtype(leaf)
    if dtype is not None and dtype.kind != "c" and grad.dtype.kind == "c":
        grad = grad.real
    if grad.shape != shape:
        grad = np.broadcast_to(grad, shape)
    if dtype is not None and dtype.kind in "fc" and grad.dtype != dtype and isa(leaf, (np.ndarray, Array)):
        grad = grad.astype(dtype)
    return grad


class project_to:  # noqa: N801 - reads as a function, as in ChainRules' ProjectTo
    """The projection onto the tangent space of ``value``, as a callable remembered for later.

    Applied to a gradient it returns one of value's shape and dtype, real for real; NoTangent for values that have no
    tangent. Raises an error when the sizes differ. Cost: at most one copy.

    >>> project_to(np.array([1.0, 2.0, 3.0]))(np.array([[1], [2], [3]]))
    array([1., 2., 3.])
    >>> project_to(1.0)(2 + 3j)
    2.0
    >>> project_to(True)(2.0)
    NoTangent()
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any):
        self._value = value

    def __call__(self, grad: Any) -> Any:
        value = self._value
        if grad is None or isinstance(grad, (NoTangent, ZeroTangent)):
            return grad
        if not is_leaf(value):
            leaves, skeleton = flatten((value,))
            if not leaves:
                return NoTangent()
            if isinstance(grad, Tangent):
                return grad
            others, _ = flatten((grad,))
            if len(others) != len(leaves):
                raise ADSelectTypeError(f"cannot project {grad!r} onto the tangent space of {value!r}")
            return skeleton.result([project_to(x)(g) for x, g in zip(leaves, others, strict=True)])[0]
        shape = np.shape(value) if not is_native(value) else tuple(value.shape)
        size = int(np.prod(shape))
        if not isinstance(grad, Array) and not is_native(grad):
            grad = np.asarray(grad)
        if tuple(grad.shape) != shape:
            if int(np.prod(tuple(grad.shape))) != size:
                raise ADSelectTypeError(
                    f"a gradient of shape {tuple(grad.shape)} cannot be projected onto a value of shape {shape}"
                )
            grad = grad.reshape(shape)
        return project(grad, value)

    def __repr__(self) -> str:
        return f"project_to({self._value!r})"
