"""Reading and writing at an index of a traced array."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import user_line
from .dispatch import dispatch, listed
from .foreign import FAMILIAR
from .indices import is_basic, is_mask, keeps_array, plain_index
from .integers import OF_INTEGERS, integers_in
from .layout import layout_of
from .likeness import entry_of_scalar
from .mistakes import assign, numpys_error
from .traced import Traced
from .ufuncs import ufunc_call
from .views import check_writable, flat_positions, link_view, not_known, root_of, shown_of


class Writing(Traced):
    """Reading and writing at an index; views share what is written."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        index = plain_index(index)
        if type(index) is int and self._is_scalar():
            raise entry_of_scalar(self, sys._getframe(1))
        try:
            result = self._getitem(index)
        except Exception as error:
            instead = numpys_error(error, operator.getitem, (self, index), {})
            if instead is None:
                raise
            raise instead from None
        if isinstance(result, Traced):
            kind = type(index)
            if kind is slice:
                link_view(self, result, index)
            elif kind is not int or result.shape:
                if not result.shape and keeps_array(index):
                    result = result._as_array()
                if is_basic(index):
                    if not result._is_scalar():
                        link_view(self, result, index)
                elif len(result.shape) > 1:
                    result._picked(self, index)
        return result

    def _write(self, new: Any) -> None:
        """Replace the contents by ``new`` (same shape), through to the base and out to the other views."""
        link = getattr(self, "_link", None)
        if link is None:
            self._rebind(new)
            self._refresh_views()
        elif len(link) == 2:
            base, index = link
            base[index] = new
        else:
            base, _, write = link
            write(base, new)

    def _check_write(self, index: Any, shape: tuple) -> None:
        """NumPy's error for writing a value of this shape at index, where the engine would have another or none."""
        if type(index) is tuple and not index and not self.shape:
            raise ValueError("setting an array element with a sequence.")

    def _overlaps(self, other: Traced) -> bool:
        """Whether the two are views of one array, or one of the other."""
        return root_of(self) is root_of(other)

    def _write_overlapping(self, mask: Any, value: Traced) -> None:
        """``self[mask] = value`` where both show one array: NumPy reads while it writes, so it is asked how."""
        root = root_of(self)
        layout = layout_of(root)
        positions = flat_positions(np.empty(root.shape, bool) if layout is None else layout)
        shown_of(self, positions)[mask] = shown_of(value, positions)
        root[...] = dispatch(np.reshape, (root, -1), {})[positions]

    def _refresh_views(self) -> None:
        for reference in getattr(self, "_views", ()):
            view = reference()
            if view is not None:
                link = view._link
                if link[-1] is not_known:
                    not_known(self, None)
                view._rebind(self._getitem(link[1]) if len(link) == 2 else link[1](self))
                view._refresh_views()

    def _update(self, function: Callable, other: Any) -> Any:
        """``self = function(self, other)`` in place, as NumPy's augmented assignment does."""
        if type(other) not in FAMILIAR:
            other = listed(other)
        if function in OF_INTEGERS or self._integer is not None:
            new = ufunc_call(function, "__call__", (self, other), {})
        else:
            new = dispatch(function, (self, other), {})
        if self._is_scalar():
            return new
        if new.shape != self.shape:
            raise ValueError(
                f"non-broadcastable output operand with shape {self.shape} doesn't match the broadcast shape "
                f"{new.shape}"
            )
        if new.dtype != self.dtype:
            if not np.can_cast(new.dtype, self.dtype, "same_kind"):
                raise TypeError(
                    f"cannot write a {new.dtype} result into a {self.dtype} array in place ({user_line()}); "
                    "write x = x + y instead of x += y"
                )
            new = new.astype(self.dtype)
        self._write(new if new.shape else np.copy(new))
        return self

    def _array__setitem__(self, index: Any, value: Any) -> None:
        if self._is_scalar():
            raise TypeError("a scalar does not support item assignment (NumPy scalars are immutable)")
        if (link := getattr(self, "_link", None)) is not None:
            check_writable(link)
        index = plain_index(index)
        value = listed(value)
        shape = getattr(value, "shape", ())
        if shape:
            self._check_write(index, shape)
        if type(index) is not int and isinstance(value, Traced) and self._overlaps(value) and is_mask(index):
            self._write_overlapping(index, value)
        else:
            try:
                new = self._setitem(index, value)
            except Exception as error:
                instead = numpys_error(error, assign, (self, index, value), {})
                if instead is None:
                    raise
                raise instead from None
            if (integers := self._integer) is not None and (given := integers_in(value)) is not NotImplemented:
                integers = np.array(integers)
                integers[index] = given
                new._integer = integers  # type: ignore[attr-defined]
            self._write(new)
