"""The attributes of a traced array: shape, layout, parts."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .foreign import is_pandas
from .layout import layout_of, order_not_known
from .traced import Traced
from .views import Flat, part_view


class Attributes(Traced):
    """The attributes of an array: shape, layout, parts."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self._primal)

    @property
    def dtype(self) -> Any:
        value = self._primal
        return value.dtype if hasattr(value, "dtype") else np.result_type(value)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def flags(self) -> Any:
        if is_pandas(sys._getframe(1)):  # which makes its results read-only, and asks what is fastest
            return np.empty(self.shape, bool).flags
        return np.float64(0).flags if self._is_scalar() else self._known_layout().flags

    @property
    def strides(self) -> tuple[int, ...]:
        """Those of NumPy's array; where its layout is not known, an error."""
        layout = self._known_layout()
        return tuple([k // max(layout.itemsize, 1) * self.itemsize for k in layout.strides])

    def _known_layout(self) -> Any:
        layout = layout_of(self)
        if layout is None:
            raise order_not_known()
        return layout

    @property
    def base(self):
        link = getattr(self, "_link", None)
        return None if link is None else link[0]

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def device(self) -> str:
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The array-API method: only the CPU exists on this face."""
        if device != "cpu":
            raise ValueError(f"unsupported device {device!r}; NumPy arrays live on 'cpu'")
        return self

    @property
    def T(self) -> Any:
        return self.transpose()

    @property
    def mT(self) -> Any:
        if self.ndim < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> Any:
        return part_view(np.real, self)

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        return part_view(np.imag, self)

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    @property
    def flat(self) -> Any:
        return Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        Flat(self)[:] = value

    def _layout_in_numpy(self) -> Any:
        return layout_of(self)
