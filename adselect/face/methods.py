"""The methods of a traced array whose signature differs from that of NumPy's function."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..errors import UnsupportedError, user_line
from ..values.kinds import isa
from .binder import check_casting
from .dispatch import dispatch, listed
from .foreign import refused_class
from .functions import as_objects, function_call
from .indices import looked_at, plain_index
from .layout import axes_in_memory, layout_of, order_not_known, order_of, real_layout
from .traced import Traced
from .views import flat_positions, link_view, not_known, put_flat
from .writers import truth, whole


class Methods(Traced):
    """The methods of an array whose signature differs from that of NumPy's function."""

    __slots__ = ()

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        if len(shape) == 1:
            shape = shape[0]
        shape = plain_index(shape)
        if type(shape) is np.ndarray:
            shape = shape.tolist()
        order = order_of(self, order)
        old = self.shape

        def read(base: Any) -> Any:
            return dispatch(np.reshape, (base, shape), {} if order == "C" else {"order": order})

        def write(base: Any, new: Any) -> None:
            base[...] = np.reshape(new, old, order=order)  # type: ignore[call-overload]

        if copy:
            return np.copy(read(self))
        result = self._view(read, write, order)
        if copy is False and isinstance(result, Traced) and getattr(result, "_link", None) is None:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
        return result

    def ravel(self, order: str = "C") -> Any:
        order = order_of(self, order)
        if order == "K":
            layout = layout_of(self)
            if layout is None and self.ndim > 1:
                raise order_not_known()
            if layout is None or layout.flags.c_contiguous:
                order = "C"
            elif layout.flags.f_contiguous:
                order = "F"
            else:
                return self._in_memory_order(layout)
        old = self.shape
        options = {} if order == "C" else {"order": order}

        def read(base: Any) -> Any:
            return dispatch(np.reshape, (base, -1), options)

        def write(base: Any, new: Any) -> None:
            base[...] = np.reshape(new, old, order=order)  # type: ignore[call-overload]

        # The same elements as reshape(-1), but contiguous: a copy where reshape gives a view with gaps.
        return self._view(read, write, order, lambda plainly: plainly.ravel(order))

    def _in_memory_order(self, layout: np.ndarray) -> Any:
        """ravel("K") of an array that is neither in C nor in Fortran order."""
        if 0 in layout.strides and layout.size:
            raise UnsupportedError(
                f'ravel(order="K") of a broadcast array at {user_line()}: its order in memory is not that of an array '
                "of its own. Write np.ravel(np.copy(x))."
            )
        places = flat_positions(layout).ravel("K")

        def read(base: Any) -> Any:
            return dispatch(np.reshape, (base, -1), {})[places]

        def write(base: Any, new: Any) -> None:
            put_flat(base, places, new)

        return self._view(read, write, "K", lambda plainly: plainly.ravel("K"))

    def flatten(self, order: str = "C") -> Any:
        return self.ravel(order).copy()

    def transpose(self, *axes: Any) -> Any:
        if self._is_scalar():
            return self
        if len(axes) == 1:
            axes = axes[0]
        order = None
        axes = () if axes is None else tuple(axes) if hasattr(axes, "__iter__") else (axes,)
        if axes:
            order = normalize_axis_tuple(plain_index(axes), self.ndim)
            if len(order) != self.ndim:
                raise ValueError("axes don't match array")
        inverse = None if order is None else tuple([order.index(i) for i in range(len(order))])

        def read(base: Any) -> Any:
            return dispatch(np.transpose, (base, order), {})

        def write(base: Any, new: Any) -> None:
            base[...] = np.transpose(new, inverse)

        result = read(self)
        if result is not self and isinstance(result, Traced):
            if (integers := self._integer) is not None:
                result._integer = read(integers)  # type: ignore[attr-defined]
            link_view(self, result, read, write)
        return result

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None) -> None:
        self[...] = dispatch(np.partition, (self, kth), {"axis": axis})

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        axis1, axis2 = normalize_axis_index(axis1, self.ndim), normalize_axis_index(axis2, self.ndim)
        order = list(range(self.ndim))
        order[axis1], order[axis2] = axis2, axis1
        return self.transpose(order)

    def _view(self, read: Callable, write: Callable, order: str, plainly: Callable | None = None) -> Any:
        """``read(self)``, linked to self if what read (or plainly) makes of a plain array is a view of that array."""
        result = read(self)
        if result is self or not isinstance(result, Traced):
            return result
        if not result.shape:
            result = result._as_array()
        if (integers := self._integer) is not None:
            result._integer = read(integers)  # type: ignore[attr-defined]
        if self._is_scalar():
            return result
        before = self._in_memory() if not getattr(self, "_astray", False) else None
        real = type(before) is np.ndarray
        if not (real and order == "C" and before.flags.c_contiguous):
            before = before if real else layout_of(self)
            if before is None:  # one axis is a view in any case
                if self.ndim > 1:
                    write = not_known
            elif before.size:
                after = real_layout(result) if real and plainly is None else None
                shown = (plainly or read)(before) if after is None else after
                if not np.may_share_memory(before, shown):
                    return result if after is not None else result._laid_out(shown)
        link_view(self, result, read, write)
        return result

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        dtype = np.dtype(dtype)
        if casting != "unsafe":
            check_casting([self], dtype, casting)
        if not copy and dtype == self.dtype and order in "KA":
            return self
        if dtype.kind not in "biufc":
            return as_objects(self, dtype)
        return dispatch(np.astype, (self, dtype), {})

    def copy(self, order: str = "C") -> Any:
        if self._is_scalar():
            return self
        if order != "C" and self.ndim > 1 and real_layout(self) is None:
            # A framework copies in C order; the order asked for is kept as that of the transposed copy's view.
            axes = tuple(range(self.ndim))[::-1] if order_of(self, order) == "F" else axes_in_memory(self)
            return self.transpose(axes).copy().transpose(np.argsort(axes))
        result = dispatch(np.copy, (self,), {"order": order})
        if (integers := self._integer) is not None:
            result._integer = np.copy(integers)
        return result if result.shape else result._as_array()

    def item(self, *args: Any) -> Any:
        """The element itself, still traced: a plain Python number would cut the derivative."""
        if args:
            index = args[0] if len(args) == 1 else args
            flat = self.ravel() if not isinstance(index, tuple) else self
            return flat[index]
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.reshape(())[()]

    def tolist(self) -> Any:
        """Nested lists of traced scalars."""
        return [row.tolist() for row in self] if self.ndim else self[()]

    def fill(self, value: Any) -> None:
        if np.ndim(value):
            raise ValueError("setting an array element with a sequence.")
        self[...] = value

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise", **options: Any) -> Any:
        if not options:
            given = {} if out is None else {"out": out}
            if mode != "raise":
                given["mode"] = mode
            return function_call(np.take, (self, indices) if axis is None else (self, indices, axis), given)
        indices = np.asarray(indices)  # of pandas: -1 stands for what is missing
        taken = np.take(self, np.maximum(indices, 0) if options.get("allow_fill") else indices, axis=axis)
        missing = indices < 0
        if not options.get("allow_fill") or not missing.any():
            return taken
        shape = [-1 if k == (axis or 0) else 1 for k in range(taken.ndim)]
        return np.where(np.reshape(missing, shape), options["fill_value"], taken)

    def sort(self, axis: int = -1, kind: Any = None, order: Any = None) -> None:
        self[...] = dispatch(np.sort, (self,), {"axis": axis})

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        places = np.ravel(np.asarray(looked_at(whole(indices))))
        if mode == "raise" and places.dtype.kind in "iu" and places.size:
            bad = places[(places < -self.size) | (places >= self.size)]
            if bad.size:
                raise IndexError(f"index {bad[0]} is out of bounds for axis 0 with size {self.size}")
            places = places % self.size
        if mode == "wrap":
            places = places % self.size
        elif mode == "clip":
            places = np.clip(places, 0, self.size - 1)
        else:
            places = np.arange(self.size)[places]
        values = np.ravel(listed(values))
        if len(values) and len(places):  # too few values are used again and again, as in NumPy
            put_flat(self, places, values[np.arange(len(places)) % len(values)])

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Any:
        """The slices where condition is true; the function of that name takes the condition first."""
        return self.take(np.flatnonzero(truth(condition)), axis=axis, **({} if out is None else {"out": out}))

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        return function_call(np.round, (self, decimals), {} if out is None else {"out": out})

    def clip(self, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
        return function_call(np.clip, (self, min, max), kwargs if out is None else {**kwargs, "out": out})

    def conjugate(self) -> Any:
        return dispatch(np.conjugate, (self,), {})

    conj = conjugate

    def view(self, dtype: Any = None, type: Any = None) -> Any:
        for wanted in (dtype, type):
            if wanted is None or wanted is np.ndarray:
                continue
            if isa(wanted, builtins.type) and issubclass(wanted, np.ndarray):
                refused = refused_class(wanted)
                if refused is not None:
                    raise refused
                raise UnsupportedError(
                    f"x.view({wanted.__name__}) of a traced array ({user_line()}): {wanted.__name__} has none. "
                    "Compute with the array as it is"
                )
            if np.dtype(wanted) != self.dtype:
                raise UnsupportedError(
                    f"x.view({np.dtype(wanted)}) reinterprets the memory of a {self.dtype} array and has no derivative "
                    f"({user_line()}); use x.astype({np.dtype(wanted)}) to convert its numbers"
                )
        return self if self._is_scalar() else self[...]

    def resize(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"x.resize() changes the array in place ({user_line()}); use np.resize(x, shape)")
