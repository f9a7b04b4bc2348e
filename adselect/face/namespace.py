"""What ``x.__array_namespace__()`` gives for a traced array: NumPy as the array-API standard (2024.12) has it.

NumPy's own functions are the standard's and reach the engine by NumPy's protocols. Written out here is what they do
not do for traced values: constructors, which get no array to dispatch on, questions about dtypes, and the options that
the standard has and NumPy lacks. Arrays of floats made here may have traced values written into them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..values.kinds import isa
from .dispatch import absorb, is_traced
from .traced import Traced

__all__ = ["Namespace"]


class Namespace:
    """NumPy as an array-API namespace for the engine of one traced array.

    >>> import numpy as np, adselect as ad
    >>> def f(x):
    ...     xp = x.__array_namespace__()
    ...     y = xp.zeros(2)
    ...     y[0] = xp.sum(xp.sin(x))
    ...     return xp.max(y)
    >>> ad.gradient(f, np.array([0.0, 1.0]))
    (array([1.        , 0.54030231]),)
    """

    __slots__ = ("_like",)
    __name__ = "adselect.face.namespace"

    def __init__(self, like: Traced):
        self._like = like

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(np), *object.__dir__(self)})

    def __repr__(self) -> str:
        return f"<the array namespace of {type(self._like).__name__}>"

    # Whichever array it was asked of, what a function computes depends on its arguments alone.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Namespace)

    def __hash__(self) -> int:
        return hash(Namespace)

    @property
    def fft(self) -> Any:
        """The extension of Fourier transforms."""
        return _FFT

    # -- creation ------------------------------------------------------------------------------------------------

    def _writable(self, value: np.ndarray) -> Any:
        """A new array that traced values can be written into, if it is one of floats."""
        if value.dtype.kind not in "fc" or not value.ndim or self._like._closed:
            return value
        return self._like._constant(value)

    def asarray(self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        """obj as an array; traced values, and nested lists of them, stay traced."""
        obj = absorb(obj)
        if not isinstance(obj, Traced):
            return np.asarray(obj, dtype=dtype, copy=copy, device=device)
        if dtype is not None and np.dtype(dtype) != obj.dtype:
            if copy is False:
                raise ValueError(f"an array of {obj.dtype} cannot become one of {np.dtype(dtype)} without a copy")
            return obj.astype(dtype)
        return obj.copy() if copy else obj

    array = asarray
    asanyarray = asarray

    def arange(self, start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Any:
        """Evenly spaced values; the ends and the step may be traced, how many values there are is then fixed."""
        if not is_traced([start, stop, step]):
            return np.arange(start, stop, step, dtype=dtype, device=device)
        start, stop = (0, start) if stop is None else (start, stop)
        n = max(0, int(np.ceil((stop - start) / step).astype(np.int64)))
        result = start + step * np.arange(n)
        return result if dtype is None else result.astype(dtype)

    def empty(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array to be filled."""
        return self._writable(np.empty(shape, dtype, device=device))

    def eye(
        self, n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
    ) -> Any:
        """Ones on the k-th diagonal."""
        return self._writable(np.eye(n_rows, n_cols, k=k, dtype=dtype or np.float64, device=device))

    def full(self, shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of one value, which may be traced."""
        if not isinstance(fill_value, Traced):
            return self._writable(np.full(shape, fill_value, dtype, device=device))
        filled = np.broadcast_to(fill_value, shape)
        return filled.copy() if dtype is None else filled.astype(dtype)

    def ones(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of ones."""
        return self._writable(np.ones(shape, dtype, device=device))

    def zeros(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """An array of zeros."""
        return self._writable(np.zeros(shape, dtype or np.float64, device=device))

    # -- dtypes --------------------------------------------------------------------------------------------------

    def astype(self, x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        """x in another dtype; with ``copy=False`` x itself if it has that dtype."""
        return x if not copy and x.dtype == np.dtype(dtype) else x.astype(dtype)

    def can_cast(self, from_: Any, to: Any, /) -> bool:
        """Whether a dtype, or the dtype of an array, casts to another one."""
        return np.can_cast(_dtype(from_), to)

    def finfo(self, type: Any, /) -> np.finfo:
        """The limits of a floating dtype, or of that of an array."""
        return np.finfo(_dtype(type))

    def iinfo(self, type: Any, /) -> np.iinfo:
        """The limits of an integer dtype, or of that of an array."""
        return np.iinfo(_dtype(type))

    # -- options that NumPy lacks --------------------------------------------------------------------------------

    def clip(self, x: Any, /, min: Any = None, max: Any = None) -> Any:
        """x between bounds, either of which may be missing."""
        return x if min is None and max is None else np.clip(x, min, max)

    def sort(self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """x sorted along an axis."""
        ordered = np.sort(x, axis=axis, stable=stable)
        return np.flip(ordered, axis) if descending else ordered

    def argsort(self, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """The positions that sort x; equal elements keep their order."""
        if not descending:
            return np.argsort(x, axis=axis, stable=stable)
        backwards = np.argsort(np.flip(x, axis), axis=axis, stable=stable)
        return np.shape(x)[axis] - 1 - np.flip(backwards, axis)


def _dtype(value: Any) -> Any:
    """The dtype of an array; a dtype is returned as it is."""
    return value.dtype if isa(value, (Traced, np.ndarray, np.generic)) else value


class _FourierTransforms:
    """``numpy.fft`` with the dtype option of the standard."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(np.fft, name)

    def fftfreq(self, n: int, /, *, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Any:
        """The frequencies of a transform of n samples at distance d."""
        frequencies = np.fft.fftfreq(n, device=device) / d
        return frequencies if dtype is None else frequencies.astype(dtype)

    def rfftfreq(self, n: int, /, *, d: Any = 1.0, dtype: Any = None, device: Any = None) -> Any:
        """The frequencies of a transform of n real samples at distance d."""
        frequencies = np.fft.rfftfreq(n, device=device) / d
        return frequencies if dtype is None else frequencies.astype(dtype)


_FFT = _FourierTransforms()
