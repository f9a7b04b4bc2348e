"""Buffer: an array to fill in, entry by entry, while f runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..calls.in_progress import IN_PROGRESS
from ..errors import ADSelectValueError, user_line
from ..face.array import Array
from ..face.atoms import set_item
from ..face.dispatch import absorb, dispatch, is_traced, plain
from ..face.indices import covers_all, plain_index
from ..values.kinds import isa

__all__ = ["Buffer"]


def _dtype_of(x: Any) -> Any:
    return x.dtype if isinstance(x, Array) else np.asarray(plain(x)).dtype


class Buffer:
    """A mutable array for building results inside a differentiated function.

    ``Buffer(x)`` starts as a copy of x, ``Buffer(x, *shape)`` as zeros of x's dtype, ``Buffer([])`` empty. Read and
    write it by index, as in ``b[0:2] += x`` and ``b[[0, 1]] = y``; ``append`` and ``extend`` let it grow along its
    first axis. ``copy()`` gives the array and freezes the buffer. Unlike a plain ndarray it takes traced values; what
    was read from it stays what it was.

    The dtype is that of x, but that a buffer of integers takes floats, and a real one complex numbers, by becoming one
    of these. Inside a derivative the parts of it that are arrays are traced, single numbers are plain until a traced
    one has been written.

    Raises RuntimeError when written to after ``copy()``, ADSelectValueError for an entry that does not fit. Cost:
    writing a traced value copies the buffer, appending does not.

    >>> import numpy as np, adselect as ad
    >>> def powers(x):
    ...     out = Buffer(x, 3)
    ...     for i in range(3):
    ...         out[i] = x ** (i + 1)
    ...     return np.sum(out.copy())
    >>> ad.gradient(powers, 2.0)
    (17.0,)
    >>> def path(x):
    ...     states = Buffer([])
    ...     for _ in range(3):
    ...         states.append(x)
    ...         x = x * x
    ...     return np.sum(states.copy())
    >>> ad.gradient(path, 2.0)
    (37.0,)

    Source: Zygote.jl's ``Buffer``.
    """

    __slots__ = ("_added", "_contents", "_frozen")

    def __init__(self, x: Any, *shape: Any):
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        self._frozen = False
        self._added: list = []  # entries that were appended since the contents were last looked at
        if shape:
            self._contents: Any = np.zeros(plain_index(tuple(shape)), _dtype_of(x))
        elif isinstance(x, Array):
            self._contents = x.copy()
        else:
            self._contents = np.array(absorb(x)) if not is_traced(x) else absorb(x)

    @property
    def _value(self) -> Any:
        if self._added:
            parts, self._added = self._added, []
            rows = np.stack(parts)
            if self._contents.shape == (0,):
                self._contents = rows if self._contents.dtype.kind not in "iub" else rows.astype(_wide(rows, int))
            else:
                dtype = _wide(rows, self._contents.dtype)
                self._contents = np.concatenate([_as(self._contents, dtype), _as(rows, dtype)])
        return self._contents

    @property
    def data(self) -> Any:
        """The contents as they are now."""
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the contents."""
        return self._value.shape

    @property
    def dtype(self) -> Any:
        """dtype of the contents."""
        return self._value.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._value.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self._value.shape))

    def __len__(self) -> int:
        return len(self._contents) + len(self._added)

    def __getitem__(self, index: Any) -> Any:
        part = self._value[plain_index(index)]
        if not isa(part, np.ndarray):
            return part
        if not isinstance(part, Array) and not self._frozen and part.dtype.kind in "fc" and IN_PROGRESS.calls:
            traced = IN_PROGRESS.calls[-1].traced
            if traced is not None and not traced._closed:
                return traced._constant(part.copy())  # so that ``b[0:2] += x`` can be
        return part.copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check_open()
        index, value, held = plain_index(index), absorb(value), self._value
        kind = _dtype_of(value)
        dtype = _wide(value, held.dtype) if kind.kind in "fciub" else held.dtype
        if covers_all(index):
            whole = np.broadcast_to(value, self.shape)
            if isinstance(whole, Array):
                self._contents = whole.copy() if whole.dtype == dtype else whole.astype(dtype)
            else:
                self._contents = np.array(whole, dtype=dtype)
            return
        held = _as(held, dtype)
        if isinstance(value, Array) or isinstance(held, Array):
            held = dispatch(set_item, (held, value, index), {})
        else:
            held[index] = value
        self._contents = held

    def append(self, value: Any) -> None:
        """Add one entry at the end of the first axis: a number, or an array of the shape of the others.

        Raises ADSelectValueError for another shape, RuntimeError after ``copy()``.
        """
        self._check_open()
        value = absorb(value)
        entry = value.copy() if isinstance(value, Array) else np.array(value)
        held = self._contents
        if not held.shape:
            raise ADSelectValueError(f"a Buffer without axes cannot grow ({user_line()}); start from Buffer([])")
        first = self._added[0].shape if self._added and held.shape == (0,) else held.shape[1:]
        if entry.shape != first and not (held.shape == (0,) and not self._added):
            raise ADSelectValueError(
                f"append was given an entry of shape {entry.shape}, the others have shape {first} ({user_line()})"
            )
        self._added.append(entry)

    def extend(self, values: Iterable[Any]) -> None:
        """Append each of values, or each entry of an array along its first axis."""
        for value in values:
            self.append(value)

    def copy(self) -> Any:
        """The contents as an array; from now on the buffer cannot be written to."""
        self._frozen = True
        return self._value

    def _check_open(self) -> None:
        if self._frozen:
            raise RuntimeError("the Buffer was frozen by copy(); write to it before, or start a new Buffer")

    def __repr__(self) -> str:
        return f"Buffer({plain(self._value)!r})"


def _wide(value: Any, dtype: Any) -> Any:
    """The dtype of a buffer that takes a value: its own, unless it holds integers and is given floats, and so on."""
    given, own = _dtype_of(value), np.dtype(dtype)
    if (own.kind in "iub" and given.kind in "fc") or (own.kind == "f" and given.kind == "c"):
        return np.result_type(given, own)
    return own


def _as(array: Any, dtype: Any) -> Any:
    return array if array.dtype == dtype else array.astype(dtype)
