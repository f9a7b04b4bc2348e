"""Buffer: an array to fill in, entry by entry, while f runs."""

from __future__ import annotations

from typing import Any

import numpy as np

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

    ``Buffer(x)`` starts as a copy of x, ``Buffer(x, *shape)`` as zeros of x's dtype. Read and write it by index;
    ``copy()`` gives the array and freezes the buffer. Unlike a plain ndarray it takes traced values.

    Raises RuntimeError when written to after ``copy()``. Cost: writing a traced value copies the buffer.

    >>> import numpy as np, adselect as ad
    >>> def powers(x):
    ...     out = Buffer(x, 3)
    ...     for i in range(3):
    ...         out[i] = x ** (i + 1)
    ...     return np.sum(out.copy())
    >>> ad.gradient(powers, 2.0)
    (17.0,)

    Source: Zygote.jl's ``Buffer``.
    """

    __slots__ = ("_frozen", "_value")

    def __init__(self, x: Any, *shape: Any):
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        self._frozen = False
        if shape:
            self._value: Any = np.zeros(plain_index(tuple(shape)), _dtype_of(x))
        elif isinstance(x, Array):
            self._value = x.copy()
        else:
            self._value = np.array(absorb(x)) if not is_traced(x) else absorb(x)

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
        return len(self._value)

    def __getitem__(self, index: Any) -> Any:
        part = self._value[plain_index(index)]
        return part.copy() if isa(part, np.ndarray) else part

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._frozen:
            raise RuntimeError("the Buffer was frozen by copy(); write to it before, or start a new Buffer")
        index, value = plain_index(index), absorb(value)
        if covers_all(index):
            whole = np.broadcast_to(value, self.shape)
            self._value = whole if isinstance(whole, Array) else np.array(whole, dtype=self._value.dtype)
        elif isinstance(value, Array) or isinstance(self._value, Array):
            if isa(self._value, np.ndarray) and self._value.dtype.kind in "iu" and value.dtype.kind in "fc":
                self._value = self._value.astype(value.dtype)
            self._value = dispatch(set_item, (self._value, value, index), {})
        else:
            self._value[index] = value

    def copy(self) -> Any:
        """The contents as an array; from now on the buffer cannot be written to."""
        self._frozen = True
        return self._value

    def __repr__(self) -> str:
        return f"Buffer({plain(self._value)!r})"
