"""One call of f under autograd: leaves become boxes, results come back plain."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import getval, isbox

from ...errors import ADSelectTypeError, UnsupportedError
from ...face.array import Array
from ...face.dispatch import absorb
from ...values.kinds import isa
from .face import AutogradArray, bare, behind_face, conj, foreign, is_complex
from .modes import settle
from .traces import number_of

_FLOAT64 = np.dtype(np.float64)
_NUMERIC = (int, float, complex, Fraction, np.number, np.ndarray)


class Leaf:
    """One argument on its way to autograd and back."""

    __slots__ = ("dtype", "integer", "is_array", "native", "value")

    def __init__(self, leaf: Any):
        if type(leaf) is np.ndarray and leaf.dtype == np.float64:
            self.is_array = self.native = False
            self.integer, self.value, self.dtype = None, self._plain(leaf), _FLOAT64
            return
        self.is_array, self.native = isinstance(leaf, Array), isbox(leaf)
        self.integer: Any = None
        if self.is_array and not isinstance(leaf, AutogradArray):
            raise UnsupportedError(foreign(leaf))
        value = settle(leaf._primal) if self.is_array else leaf
        if isa(value, (bool, np.bool_)) or not (isbox(value) or isa(value, _NUMERIC)):
            raise ADSelectTypeError(
                f"AutoAutograd differentiates numbers and NumPy arrays, not {type(leaf).__name__}; for jax arrays use "
                "AutoJax(), for torch tensors AutoTorch()"
            )
        if self.is_array:
            self.integer = leaf._integer
        if isa(value, (int, np.integer)) or (isa(value, np.ndarray) and value.dtype.kind in "iu"):
            self.integer = value.astype(np.int64) if isa(value, np.ndarray) else int(value)
        if not isbox(value):
            value = self._plain(value)
        self.value = value
        self.dtype = np.result_type(getval(value))

    @staticmethod
    def _plain(value: Any) -> Any:
        """A scalar as a NumPy scalar (1/0 means what it means in NumPy), an array as a private copy in floats."""
        if isa(value, np.ndarray):
            dtype = value.dtype.newbyteorder("=")
            return value.astype(dtype if dtype.kind in "fc" else np.float64)
        if isa(value, (np.inexact,)):
            return value
        return np.complex128(value) if isa(value, complex) else np.float64(value)

    def cotangent(self, x_bar: Any, stays_face: bool) -> Any:
        """What the caller gets for this leaf: its dtype and shape, our complex convention."""
        if x_bar is None:
            return None
        if type(x_bar) is np.ndarray and x_bar.dtype == self.dtype and self.dtype.kind == "f" and x_bar.ndim:
            return x_bar.copy()  # shared with nobody
        x_bar = settle(conj(x_bar))
        if np.result_type(getval(x_bar)) != self.dtype:
            if self.dtype.kind != "c" and is_complex(x_bar):
                x_bar = anp.real(x_bar)
            x_bar = bare(AutogradArray(x_bar).astype(self.dtype))
        if isbox(x_bar):
            return AutogradArray(x_bar) if stays_face else x_bar
        x_bar = np.array(x_bar, dtype=self.dtype)  # shared with nobody
        return x_bar if x_bar.ndim else x_bar[()]


def output(value: Any) -> Any:
    """What f returned, without the face."""
    if type(value) is np.ndarray and value.dtype == object:
        value = absorb(value)
    if isinstance(value, AutogradArray):
        return value._primal
    if isinstance(value, Array) and not value._closed:
        raise UnsupportedError(foreign(value))
    return value


def leave(value: Any, nested: bool) -> Any:
    """A result as the caller sees it: plain, or still traced by an outer derivative."""
    value = settle(value)
    if isinstance(value, ArrayBox):
        return AutogradArray(value) if nested else value
    return value.copy("K") if type(value) is np.ndarray else value


def seed(y_bar: Any, y: Any) -> Any:
    """A cotangent in the shape, dtype and convention that autograd expects for y."""
    if y_bar is None:
        return None
    if type(y_bar) is float and type(getval(y)) is np.float64:
        return np.float64(y_bar)
    y_bar = bare(y_bar)
    if isinstance(y_bar, Array):
        raise UnsupportedError(foreign(y_bar))
    plain_y = getval(y)
    dtype, shape = np.result_type(plain_y), np.shape(plain_y)
    if dtype.kind != "c" and is_complex(y_bar):
        y_bar = anp.real(y_bar)
    if isbox(y_bar):
        return conj(y_bar)
    y_bar = np.conj(np.asarray(y_bar).astype(dtype if dtype.kind in "fc" else float))
    return np.broadcast_to(y_bar, shape) if shape else y_bar.reshape(())[()]


def inner_value(x_bars: list, tangents: list) -> Any:
    """Re Σ x̄·ẋ over the leaves; x̄ in autograd's convention, conjugate to ours, so no conjugation is left to do."""
    total: Any = 0.0
    for x_bar, x_dot in zip(x_bars, tangents, strict=True):
        if x_bar is None or x_dot is None:
            continue
        x_dot = bare(x_dot)
        if isinstance(x_dot, Array):
            raise UnsupportedError(foreign(x_dot))
        product = np.multiply(behind_face(x_bar), behind_face(x_dot))
        product = np.real(product) if np.iscomplexobj(product) else product
        still = np.equal(number_of(x_dot), 0)
        if np.any(still):
            product = np.where(still, 0.0, product)  # what does not move, whatever its slope is
        total = total + bare(np.sum(product))
    return total
