"""Array: a value that speaks NumPy's protocols and hands every operation to an engine.

``Array`` knows nothing about derivatives. A subclass (an *engine*) implements ``_apply`` for any NumPy function; the
built-in tape records, the framework faces translate to ``jnp``, ``torch`` or ``autograd.numpy``. Python operators,
NumPy's functions, ufuncs, methods and attributes all arrive there. Writing in place (``y[i] = …``, ``y += …``) is
functional underneath with NumPy's semantics on top: a view writes through to its base, and a base refreshes its views.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import inspect
import itertools
import operator
import sys
import weakref
import zlib
from collections.abc import Callable
from dis import _nb_ops, opmap  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..errors import MissingRuleError, TracedValueError, UnsupportedError, user_line
from ..values.kinds import isa
from .binder import binder_of, check_casting
from .foreign import (
    FAMILIAR,
    HOLDER,
    LABELLED,
    REFUSED,
    SEQUENCE,
    as_array,
    as_index,
    converted,
    first_refused,
    foreign_of,
    is_computed_by_numpy,
    is_pandas,
    refused_class,
    refused_foreign,
)
from .likeness import (
    HOLDING,
    OF_MEMORY,
    OF_NUMBERS,
    SCALAR_CLASSES,
    ArrayType,
    OfArrays,
    entry_of_scalar,
    held_as,
    refused_attribute,
)
from .mistakes import assign, numpys_error
from .object_arrays import carried, is_joining
from .refusals import refused_array, refused_length, refused_number, refused_write
from .verdicts import VERDICTS

__all__ = ["Array", "absorb", "dispatch", "fingerprint", "is_traced", "looked_at", "overwritten", "picked"]

# ufunc.reduce and friends are the named function with the same derivative.
REDUCTIONS: dict[Any, Callable] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
ACCUMULATIONS: dict[Any, Callable] = {np.add: np.cumsum, np.multiply: np.cumprod}


_LOADED = sys.modules
# The windows, which are not told of arrays of other libraries: NumPy joins their arguments in an array.
_WINDOWS = frozenset(
    [inspect.unwrap(f).__code__ for f in (np.bartlett, np.blackman, np.hamming, np.hanning, np.kaiser)]
)


class Array(OfArrays, metaclass=ArrayType):
    """A traced value. Behaves like the ``numpy.ndarray`` (or scalar) it stands for."""

    __slots__ = ("__weakref__", "_astray", "_link", "_primal", "_views")
    __array_priority__ = 1000.0

    _primal: Any

    # -- what an engine implements -------------------------------------------------------------------------------

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        # What isinstance, np.isscalar and abstract base classes see: the NumPy type that stands here in plain code.
        scalar = self._is_scalar()
        if "pandas" in _LOADED:  # xarray loads it, too
            asking = sys._getframe(1)
            if asking.f_code.co_name in HOLDING:
                return held_as(self, scalar, asking)
        return SCALAR_CLASSES.get(self.dtype.char, np.float64) if scalar else np.ndarray

    @property
    def level(self) -> int:
        """Nesting level: among several Arrays the one with the highest level carries the operation out."""
        return 0

    def _apply(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Carry ``function(*args, **kwargs)`` out; args may hold Arrays, also inside lists and tuples."""
        raise NotImplementedError

    def _getitem(self, index: Any) -> Any:
        """``self[index]`` without view bookkeeping; index holds no Arrays."""
        raise NotImplementedError

    def _setitem(self, index: Any, value: Any) -> Array:
        """A new Array equal to self with ``[index]`` replaced by value; self stays as it is."""
        raise NotImplementedError

    def _rebind(self, other: Any) -> None:
        """Become ``other`` (the handle keeps its identity): how writing in place is done."""
        raise NotImplementedError

    @property
    def _inside(self) -> Any:
        """The value one level further in."""
        return self._primal

    def _constant(self, value: np.ndarray) -> Any:
        """value as an Array of this engine that depends on nothing yet: what ``np.zeros_like(x)``, ``like=x`` give."""
        raise NotImplementedError

    def _enclose(self) -> None:
        """Note, for the derivatives that this value belongs to, that an inner one is taken at it."""

    @property
    def _closed(self) -> bool:
        """Whether the derivative this value belonged to is over: from then on it behaves as its plain value."""
        return False

    # Whether plain arrays met on the way are recorded as they are, for a replay that shall see their later contents.
    _by_reference = False

    # Whether the engine itself finds out what has been computed from integers alone; else results are told.
    _finds_integers = False

    def _is_scalar(self) -> bool:
        """Whether this stands for an immutable scalar rather than a 0-d array."""
        return self.ndim == 0

    def _as_array(self) -> Any:
        """This, without dimensions, as a 0-d array that can be written to: for results that NumPy gives as arrays."""
        return self

    def _as_scalar(self) -> Any:
        """This, without dimensions, as a scalar: for results that NumPy gives as scalars."""
        return self

    def _in_memory(self) -> Any:
        """One level further in, to the NumPy array that shows the layout in memory, if there is one."""
        return self._primal

    def _laid_out(self, memory: np.ndarray) -> Any:
        """This, with the layout in memory of a plain array: for engines whose values do not show NumPy's."""
        return self

    def _picked(self, base: Array, index: Any) -> None:
        """Note that this was picked out of base by an index of arrays, whose results NumPy lays out in its own way."""

    def _own_layout(self) -> Any:
        """An array with the layout in memory that plain NumPy would have given this one; None where it is not known."""
        return np.empty(self.shape, bool)

    # -- NumPy's protocols ---------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ufunc_call(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in CREATORS:  # called with like=self
            return created(self, function, args, kwargs)
        if function is np.shape and args and args[0] is self:  # which rules ask for all the time
            return self.shape
        return function_call(function, args, kwargs)

    def _conversion(self) -> Callable:
        # NumPy asks the instance: a scalar without __array__ becomes an element of an object array, which goes on
        # working; an array must not be converted silently, so the hook exists and raises.
        known = self._known()
        if known is not NotImplemented:
            return lambda dtype=None, copy=None: np.array(known, dtype=dtype)
        if (integers := self._integers()) is not None and _is_index(self, sys._getframe(1)):
            return lambda dtype=None, copy=None: np.array(looked_at(integers), dtype=dtype)  # plain[x]
        if self.ndim == 0:
            if (known := self._in_window(sys._getframe(1))) is not None:
                return lambda dtype=None, copy=None: np.array(known, dtype=dtype)
            raise AttributeError("__array__")
        return self._refuse_conversion

    def _in_window(self, frame: Any) -> Any:
        """The plain number that one of NumPy's windows reads in place of this, for its length above all; else None."""
        if frame.f_code not in _WINDOWS:
            return None
        length = frame.f_locals["M"]
        if length is self and (self._integers() is not None or self.dtype.kind in "iub"):
            return int(self)
        if isinstance(length, Array):  # beside a traced parameter, the length would be followed as well
            raise refused_length(frame.f_code.co_name)
        return 1.0 if length == 1 else None  # a parameter that a window of one point does not depend on

    @property
    def __pandas_priority__(self) -> int:
        # The operators of pandas leave their work to ours; but where they write in place, they do not ask whether they
        # have a result.
        frame = sys._getframe(1)
        guest = frame.f_locals.get("self")
        if hasattr(guest, "plainly"):
            return 0  # it holds traced numbers itself
        if frame.f_back is not None and frame.f_back.f_code.co_name == "_inplace_method":
            raise refused_foreign(guest)
        return 10000

    @property
    def _data(self) -> Any:
        # np.ma asks every operand for this, and would compute with objects where a number has none.
        if sys._getframe(1).f_globals.get("__name__") == "numpy.ma.core":
            raise refused_class(np.ma.MaskedArray)  # type: ignore[misc]
        raise AttributeError(f"'{self.__class__.__name__}' object has no attribute '_data'")

    def _refuse_conversion(self, dtype: Any = None, copy: Any = None) -> Any:
        if is_joining(sys._getframe(1)):
            return carried(self, dtype)
        if is_pandas(sys._getframe(1)):
            raise refused_array(self.shape)
        if self.dtype.kind in "fc":
            _check_index(self, sys._getframe(1))
        if dtype is not None and np.dtype(dtype) == object:  # asked for one object per entry, as np.vectorize does
            entries = np.empty(self.shape, object)
            for index in np.ndindex(self.shape):
                entries[index] = self[index]
            return entries
        raise refused_array(self.shape)

    if TYPE_CHECKING:  # what type checkers cannot see: NumPy's stubs know __array__ as a method; _install uses setattr

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray: ...
        def __lt__(self, other: Any) -> Any: ...

        __le__ = __gt__ = __ge__ = __lt__
        __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __lt__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = __rmatmul__ = __lt__
        __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __lt__

        def __neg__(self) -> Any: ...

        __pos__ = __abs__ = __invert__ = __neg__
    else:
        __array__ = property(_conversion)

    def __array_namespace__(self, *, api_version: Any = None) -> Any:
        """The array-API standard's functions for this array; ValueError for a version that NumPy does not have."""
        from .namespace import Namespace

        np.empty(0).__array_namespace__(api_version=api_version)
        return Namespace(self)

    def __dlpack__(self, **options: Any) -> Any:
        """The memory behind the array, for other libraries: refused while a derivative is being computed."""
        if self._closed:
            return np.asarray(plain(self)).__dlpack__(**options)
        raise TracedValueError(
            f"__dlpack__ of a traced array of shape {self.shape} was called at {user_line()} (from_dlpack); the other "
            "library's array would be cut off from the derivative. Compute with the array as it is, or choose the "
            "backend of that library."
        )

    def __dlpack_device__(self) -> tuple:
        """Where the memory is."""
        return np.empty(0).__dlpack_device__()

    # -- Python's conversions ------------------------------------------------------------------------------------

    def _known(self) -> Any:
        """The plain value behind, where no derivative is lost with it; NotImplemented for all others."""
        if not self._closed:
            return NotImplemented
        inner = self._inside  # of an outer derivative, perhaps, which may still be open
        return inner._known() if isinstance(inner, Array) else inner

    def _integers(self) -> Any:
        """The integers of an integer argument, which counts as its float64 values but in an index or a size; else None.

        Also of what has been computed from integers alone, where NumPy's result would be integers.
        """
        return getattr(self, "integer", None)

    def is_integer(self):
        if not self._is_scalar():
            raise AttributeError(f"'{self.__class__.__name__}' object has no attribute 'is_integer'")
        return bool(self == np.floor(self))

    def __float__(self) -> float:
        known = self._known()
        if known is NotImplemented and (known := self._in_window(sys._getframe(1))) is None:
            if _is_formatting(sys._getframe(1)):
                return float(format(self, ".17g"))
            raise refused_number("float", self.shape)
        return float(known)

    def __complex__(self) -> complex:
        known = self._known()
        if known is NotImplemented:
            raise refused_number("complex", self.shape)
        return complex(known)

    def __int__(self) -> int:
        known = self._known()
        if known is not NotImplemented:
            return int(known)
        if self.dtype.kind in "iub":
            return int(self.__index__())
        integers = self._integers()
        if integers is not None:
            return int(integers)
        if _is_formatting(sys._getframe(1)):
            return int(float(format(self, ".17g")))
        raise refused_number("int", self.shape)

    def __index__(self) -> int:
        integers = self._integers()
        return operator.index(self._primal if integers is None else integers)

    def __bool__(self) -> bool:
        return bool(self._primal)

    def __hash__(self) -> int:
        if self.ndim:
            raise TypeError("unhashable type: traced array")
        self._check_hash(sys._getframe(1))
        return hash(plain(self))

    def _check_hash(self, frame: Any) -> None:
        """Refuse that a frame looks a traced float up by its value."""
        if self.dtype.kind in "fc" and not self._closed and not _among_constants(frame):
            raise TracedValueError(
                f"a traced number was hashed at {user_line()} (functools.lru_cache, a dict's key, a member of a set): "
                "equal numbers may be different variables, and a look-up by value would mix up their derivatives. Use "
                "an index or a name as the key, call the cached function's __wrapped__, or compute without the cache."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({plain(self)!r})"

    def __str__(self) -> str:
        return str(plain(self))

    def __format__(self, spec: str) -> str:
        return format(plain(self), spec)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        raise TracedValueError(
            f"a traced value cannot be pickled ({user_line()}): it belongs to the derivative being computed in this "
            "process. Differentiate inside the worker instead."
        )

    def _array__len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of unsized object")
        return shape[0]

    def _array__iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def _array__contains__(self, item: Any) -> bool:
        return bool(np.any(self == item))

    def _array__setitem__(self, index: Any, value: Any) -> None:
        if self._is_scalar():
            raise TypeError("a scalar does not support item assignment (NumPy scalars are immutable)")
        if (link := getattr(self, "_link", None)) is not None:
            _check_writable(link)
        index = plain_index(index)
        value = _listed(value)
        shape = getattr(value, "shape", ())
        if shape:
            self._check_write(index, shape)
        if type(index) is not int and isinstance(value, Array) and self._overlaps(value) and _is_mask(index):
            self._write_overlapping(index, value)
        else:
            try:
                new = self._setitem(index, value)
            except Exception as error:
                instead = numpys_error(error, assign, (self, index, value), {})
                if instead is None:
                    raise
                raise instead from None
            if (integers := getattr(self, "integer", None)) is not None and (
                given := _integers_in(value)
            ) is not NotImplemented:
                integers = np.array(integers)
                integers[index] = given
                new.integer = integers  # type: ignore[attr-defined]
            self._write(new)

    # -- attributes ----------------------------------------------------------------------------------------------

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
        layout = _layout(self)
        if layout is None:
            raise _order_not_known()
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
        return _part_view(np.real, self)

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> Any:
        return _part_view(np.imag, self)

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    @property
    def flat(self) -> Any:
        return _Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        _Flat(self)[:] = value

    # -- indexing and writing in place ---------------------------------------------------------------------------

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
        if isinstance(result, Array):
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

    def _overlaps(self, other: Array) -> bool:
        """Whether the two are views of one array, or one of the other."""
        return _root(self) is _root(other)

    def _write_overlapping(self, mask: Any, value: Array) -> None:
        """``self[mask] = value`` where both show one array: NumPy reads while it writes, so it is asked how."""
        root = _root(self)
        layout = _layout(root)
        positions = _positions(np.empty(root.shape, bool) if layout is None else layout)
        _shown_of(self, positions)[mask] = _shown_of(value, positions)
        root[...] = dispatch(np.reshape, (root, -1), {})[positions]

    def _refresh_views(self) -> None:
        for reference in getattr(self, "_views", ()):
            view = reference()
            if view is not None:
                link = view._link
                if link[-1] is _not_known:
                    _not_known(self, None)
                view._rebind(self._getitem(link[1]) if len(link) == 2 else link[1](self))
                view._refresh_views()

    def _update(self, function: Callable, other: Any) -> Any:
        """``self = function(self, other)`` in place, as NumPy's augmented assignment does."""
        if type(other) not in FAMILIAR:
            other = _listed(other)
        if function in _OF_INTEGERS or getattr(self, "integer", None) is not None:
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

    # -- methods whose signature differs from the function's ------------------------------------------------------

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        if len(shape) == 1:
            shape = shape[0]
        shape = plain_index(shape)
        if type(shape) is np.ndarray:
            shape = shape.tolist()
        order = _order_of(self, order)
        old = self.shape

        def read(base: Any) -> Any:
            return dispatch(np.reshape, (base, shape), {} if order == "C" else {"order": order})

        def write(base: Any, new: Any) -> None:
            base[...] = np.reshape(new, old, order=order)  # type: ignore[call-overload]

        if copy:
            return np.copy(read(self))
        result = self._view(read, write, order)
        if copy is False and isinstance(result, Array) and getattr(result, "_link", None) is None:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
        return result

    def ravel(self, order: str = "C") -> Any:
        order = _order_of(self, order)
        if order == "K":
            layout = _layout(self)
            if layout is None and self.ndim > 1:
                raise _order_not_known()
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
        places = _positions(layout).ravel("K")

        def read(base: Any) -> Any:
            return dispatch(np.reshape, (base, -1), {})[places]

        def write(base: Any, new: Any) -> None:
            _put_flat(base, places, new)

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
        if result is not self and isinstance(result, Array):
            if (integers := getattr(self, "integer", None)) is not None:
                result.integer = read(integers)  # type: ignore[attr-defined]
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
        if result is self or not isinstance(result, Array):
            return result
        if not result.shape:
            result = result._as_array()
        if (integers := getattr(self, "integer", None)) is not None:
            result.integer = read(integers)  # type: ignore[attr-defined]
        if self._is_scalar():
            return result
        before = self._in_memory() if not getattr(self, "_astray", False) else None
        real = type(before) is np.ndarray
        if not (real and order == "C" and before.flags.c_contiguous):
            before = before if real else _layout(self)
            if before is None:  # one axis is a view in any case
                if self.ndim > 1:
                    write = _not_known
            elif before.size:
                after = _real_layout(result) if real and plainly is None else None
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
            return _as_objects(self, dtype)
        return dispatch(np.astype, (self, dtype), {})

    def copy(self, order: str = "C") -> Any:
        if self._is_scalar():
            return self
        if order != "C" and self.ndim > 1 and _real_layout(self) is None:
            # A framework copies in C order; the order asked for is kept as that of the transposed copy's view.
            axes = tuple(range(self.ndim))[::-1] if _order_of(self, order) == "F" else axes_in_memory(self)
            return self.transpose(axes).copy().transpose(np.argsort(axes))
        result = dispatch(np.copy, (self,), {"order": order})
        if (integers := getattr(self, "integer", None)) is not None:
            result.integer = np.copy(integers)
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
        places = np.ravel(np.asarray(looked_at(_whole(indices))))
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
        values = np.ravel(_listed(values))
        if len(values) and len(places):  # too few values are used again and again, as in NumPy
            _put_flat(self, places, values[np.arange(len(places)) % len(values)])

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Any:
        """The slices where condition is true; the function of that name takes the condition first."""
        return self.take(np.flatnonzero(_truth(condition)), axis=axis, **({} if out is None else {"out": out}))

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


for _name in (*OF_MEMORY, *OF_NUMBERS):
    setattr(Array, _name, refused_attribute(_name))


def _real_layout(value: Any) -> Any:
    """The NumPy array behind value, whose strides are those that plain NumPy would have; None on a framework."""
    inner = value
    while isinstance(inner, Array):
        inner = inner._in_memory()
    return inner if isa(inner, (np.ndarray, np.generic)) else None


def _layout(value: Any) -> Any:
    """An array with the strides that value would have in plain NumPy; None where that is not known."""
    link = getattr(value, "_link", None)
    if link is not None:
        base = _layout(link[0])
        return base if base is None else base[link[1]] if len(link) == 2 else link[1](base)
    found = _real_layout(value)
    if found is not None:
        return found
    return value._own_layout()


Array._layout_in_numpy = _layout  # type: ignore[attr-defined]


def _order_not_known() -> UnsupportedError:
    return UnsupportedError(
        f"the order in memory of an array was asked for at {user_line()} that is not known on this backend (it depends "
        'on the order of other arrays). Write order="C" or order="F" instead of "A" or "K", or take np.copy(x, "C").'
    )


def axes_in_memory(value: Array) -> tuple[int, ...]:
    """The axes from the slowest to the fastest in memory, the order of NumPy's "K"."""
    layout = _layout(value)
    if layout is None and value.ndim > 1:
        raise _order_not_known()
    strides = [0] * value.ndim if layout is None else [abs(k) for k in layout.strides]
    return tuple(sorted(range(value.ndim), key=lambda i: -strides[i]))


def _order_of(value: Array, order: str) -> str:
    """What "A" means for value."""
    if order != "A":
        return order
    layout = _layout(value)
    if layout is None and value.ndim > 1:
        raise _order_not_known()
    return "F" if layout is not None and layout.flags.f_contiguous and not layout.flags.c_contiguous else "C"


# -- views -----------------------------------------------------------------------------------------------------------


def link_view(base: Array, view: Array, *how: Any) -> None:
    """Remember that view shows part of base: how is the index, or a (read, write) pair of functions."""
    view._link = (base, *how)
    # A rule that copies where NumPy does not leaves other strides behind than NumPy's.
    if type(how[0]) is functools.partial or getattr(base, "_astray", False):
        view._astray = True
    views = getattr(base, "_views", None)
    if views is None:
        base._views = [weakref.ref(view)]
        return
    if len(views) >= 32 and (len(views) & (len(views) - 1)) == 0:  # powers of two: amortised pruning
        views[:] = [r for r in views if r() is not None]
    views.append(weakref.ref(view))


def _root(array: Array) -> Array:
    """The array that owns what array shows."""
    while (link := getattr(array, "_link", None)) is not None:
        array = link[0]
    return array


def _shown_of(array: Array, root: np.ndarray) -> np.ndarray:
    """The part of a plain array that array shows of its own root."""
    link = getattr(array, "_link", None)
    if link is None:
        return root
    base = _shown_of(link[0], root)
    return base[link[1]] if len(link) == 2 else link[1](base)


def _is_mask(index: Any) -> bool:
    return any([isa(i, np.ndarray) and i.dtype == bool for i in (index if type(index) is tuple else (index,))])


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def is_basic(index: Any) -> bool:
    """Whether NumPy would return a view for this index."""
    kind = type(index)
    if kind is int or kind is slice:
        return True
    if kind is tuple:
        return all(i is None or i is Ellipsis or (isa(i, (int, slice, np.integer)) and not isa(i, bool)) for i in index)
    return index is None or index is Ellipsis or (isa(index, (int, slice, np.integer)) and not isa(index, bool))


def keeps_array(index: Any) -> bool:
    """Whether ``y[index]`` is an array in NumPy even without dimensions: an index with an ellipsis."""
    return index is Ellipsis or (type(index) is tuple and any([i is Ellipsis for i in index]))


def covers_all(index: Any) -> bool:
    """Whether ``y[index] = value`` replaces every element."""
    if type(index) is tuple:
        return all(i is Ellipsis or (type(i) is slice and i == slice(None)) for i in index)
    return index is Ellipsis or (type(index) is slice and index == slice(None))


def without_leading_ones(value: Any, ndim: int) -> Any:
    """value without the leading axes of length 1 that it has beyond ndim: what may be written into ndim dimensions."""
    extra = getattr(value, "ndim", 0) - ndim
    return value.reshape(value.shape[extra:]) if extra > 0 and set(value.shape[:extra]) == {1} else value


_INTEGERS = frozenset({int}).issuperset


def plain_index(index: Any) -> Any:
    """The index with traced integers and booleans replaced by their values (an index carries no derivative)."""
    kind = type(index)
    if kind is int:
        return index
    if kind is slice:
        parts = (index.start, index.stop, index.step)
        for part in parts:
            if part is not None and isinstance(part, Array):
                return slice(*[plain_index(s) for s in parts])
        return index
    if kind is tuple:
        return index if _INTEGERS(map(type, index)) else tuple([plain_index(i) for i in index])
    if isinstance(index, Array):
        if index.dtype.kind in "iub":
            return index._as_index()
        integers = index._integers()
        if integers is None:
            raise IndexError(
                f"a traced {index.dtype} value was used as an index at {user_line()}; indices must be integers or "
                "booleans"
            )
        return plain_index(integers)
    if kind is list and any(isinstance(i, (Array, list)) for i in index):
        return [plain_index(i) for i in index]
    return index if kind in FAMILIAR or kind is list else as_index(index, absorb)


def looked_at(index: Any) -> Any:
    """A traced index, size or number of times as the numbers it is, for NumPy's own call; anything else as it is."""
    if isinstance(index, Array):
        index = plain_index(index)
        return index if not isinstance(index, Array) else np.asarray(index) if index.ndim else operator.index(index)
    if type(index) in (list, tuple):
        return type(index)([looked_at(i) for i in index])
    return index


def _as_index(self: Array) -> Any:
    """The integers or booleans behind a traced index; those of a program that is written down belong to it."""
    inside = self._inside
    return inside._as_index() if isinstance(inside, Array) else inside


Array._as_index = _as_index  # type: ignore[attr-defined]


# -- dispatch --------------------------------------------------------------------------------------------------------


def _among_constants(frame: Any) -> bool:
    """Whether a frame asks ``x in {0, 1}``, of numbers written there: a comparison, which mixes up no variables."""
    code, at = frame.f_code, frame.f_lasti
    if at < 2 or code.co_code[at] != _CONTAINS or code.co_code[at - 2] != _LOAD_CONST:
        return False
    constant = code.co_consts[code.co_code[at - 1]]
    return type(constant) is frozenset and all([isa(c, (int, float, complex)) for c in constant])


_CONTAINS, _LOAD_CONST = opmap["CONTAINS_OP"], opmap["LOAD_CONST"]


def plain(value: Any) -> Any:
    """The NumPy (or framework) value under any number of levels; for printing and for indices only."""
    while isinstance(value, Array):
        value = value._inside
    return value


def is_traced(value: Any) -> bool:
    """Whether value is, or an object array or list that holds, a traced value.

    >>> is_traced(1.0)
    False
    """
    if isinstance(value, Array):
        return True
    if isa(value, np.ndarray):
        return value.dtype == object and any(isinstance(v, Array) for v in value.flat)
    if isinstance(value, (list, tuple)):
        return any(is_traced(v) for v in value)
    return False


def absorb(value: Any) -> Any:
    """Object arrays and lists of traced scalars become one Array (a stack); anything else is returned as it is."""
    if isa(value, np.ndarray):
        if value.dtype == object and any(isinstance(v, Array) for v in value.flat):
            items = list(value.flat)
            stacked = np.stack(
                [
                    v if isinstance(v, Array) else np.asarray(v, dtype=float if not isa(v, complex) else complex)
                    for v in items
                ]
            )
            return stacked.reshape(value.shape) if value.shape != stacked.shape else stacked
        return value
    if type(value) in (list, tuple) and is_traced(value):
        return np.stack([absorb(v) for v in value])
    return value


def _as_objects(x: Array, dtype: np.dtype) -> Any:
    """``x.astype(object)``: an object array of traced scalars, as ``np.array([x0, x1])`` makes one."""
    if dtype.kind != "O":
        raise UnsupportedError(
            f"a traced value was converted to dtype {dtype} at {user_line()}, which has no derivative. Convert "
            "adselect.ignore_derivatives(x) where the number is wanted without it."
        )
    if not x.ndim:
        return x[()]
    objects = np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        objects[place] = x[place]
    return objects


def _top(args: Any, best: Array | None = None) -> Array | None:
    """The Array of the highest level among args, looking into lists and tuples."""
    for a in args:
        kind = type(a)
        if kind is tuple or kind is list:
            if not _PLAIN_ONLY(map(type, a)):
                best = _top(a, best)
        elif kind is np.ndarray:
            if a.dtype.char == "O":
                best = _top(list(a.flat), best)
        elif kind not in _PLAIN and isinstance(a, Array) and (best is None or a.level > best.level):
            best = a
    return best


# Classes of values in which no traced value is.
_PLAIN = frozenset({int, float, bool, str, type(None), slice, np.float64, np.int64, np.bool_})
_PLAIN_ONLY = _PLAIN.issuperset


def dispatch(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Hand the call to the engine of the highest-level Array among the arguments."""
    top = _top(args)
    if kwargs:
        top = _top(kwargs.values(), top)
    if top is None:
        return function(*args, **kwargs)
    try:
        return top._apply(function, args, kwargs)
    except Exception as error:
        instead = numpys_error(error, function, args, kwargs)
        if instead is None:
            raise
        raise instead from None


def ufunc_call(ufunc: Any, method: str, inputs: tuple, kwargs: dict) -> Any:
    """A ufunc, or one of its methods, on traced values."""
    out = kwargs.pop("out", None)
    for a in inputs:
        if type(a) is np.ndarray:
            if a.dtype.char in "OV":
                if a.dtype.names is not None:
                    raise refused_foreign(a)
                inputs = tuple([absorb(a) for a in inputs])
            else:
                continue
        elif type(a) in FAMILIAR:
            continue
        if first_refused(inputs, _NEVER_OPERANDS) is not None:
            inputs = _met_in_ufunc(inputs)
            if inputs is NotImplemented:
                return NotImplemented
            if first_refused(inputs, (HOLDER,)) is not None:
                return getattr(ufunc, method)(*inputs, **(kwargs if out is None else {**kwargs, "out": out}))
        break
    if ufunc in _OF_INTEGERS:
        inputs = tuple([as_integers(a) for a in inputs])
    if method == "__call__":
        where = kwargs.pop("where", True)
        if kwargs:
            inputs, kwargs = _ufunc_options(ufunc, inputs, kwargs, out)
        keepdims = kwargs.pop("keepdims", False)
        result = _carried_out(ufunc, inputs, kwargs)
        if keepdims:  # a product of vectors: the axis that is gone
            result = np.expand_dims(result, kwargs.get("axis", -1))
        if not getattr(result, "_finds_integers", False) and ufunc in TO_INTEGERS:
            _note_integers(result, ufunc, inputs, kwargs)
        if where is not True:
            _check_where(where)
            if out is None:
                raise UnsupportedError(
                    f"np.{ufunc.__name__}(…, where=mask) without out= leaves the other elements undefined "
                    f"({user_line()}); write np.where(mask, np.{ufunc.__name__}(…), other)"
                )
            result = np.where(where, result, out[0])
    elif method == "reduce":
        if ufunc not in REDUCTIONS and ufunc.nin == 2 and ufunc.nout == 1:
            result = _stepwise(ufunc, *inputs, **_reduction_options(ufunc, kwargs))
        else:
            result = dispatch(_reduction(REDUCTIONS, ufunc, method), inputs, _reduction_options(ufunc, kwargs))
    elif method == "accumulate":
        kwargs.setdefault("axis", 0)
        if ufunc not in ACCUMULATIONS and ufunc.nin == 2 and ufunc.nout == 1:
            result = _stepwise(ufunc, *inputs, **kwargs, every=True)
        else:
            result = dispatch(_reduction(ACCUMULATIONS, ufunc, method), inputs, kwargs)
    elif method == "outer":
        a, b = inputs
        shape = np.shape(a) + (1,) * np.ndim(b)
        return ufunc_call(
            ufunc, "__call__", (np.reshape(a, shape), b), kwargs if out is None else {**kwargs, "out": out}
        )
    elif method == "at":
        return _ufunc_at(ufunc, inputs)
    elif method == "reduceat":
        result = _reduceat(ufunc, *inputs, **kwargs)
    else:
        raise MissingRuleError(f"np.{ufunc.__name__}.{method} has no derivative rule ({user_line()})")
    if out is not None:
        return _write_out(out, result, ufunc.__name__)
    return result


def _is_familiar(value: Any) -> bool:
    """Whether nothing foreign is in a value, by types alone."""
    kind = type(value)
    return kind in FAMILIAR or ((kind is list or kind is tuple) and _FAMILIAR(map(type, value)))


_FAMILIAR = FAMILIAR.issuperset
# Without an identity, and still the same in any order.
_REORDERABLE = frozenset({np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2, np.hypot})
_NEVER_OPERANDS = (REFUSED, SEQUENCE, LABELLED, HOLDER)


def _met_in_ufunc(inputs: tuple) -> Any:
    """Operands of which some are foreign: sequences as arrays, others refused or left to their library."""
    refused = first_refused(inputs)
    if refused is not None:
        raise refused_foreign(refused)
    if first_refused(inputs, (HOLDER,)) is not None:
        return NotImplemented
    labelled = first_refused(inputs, (LABELLED,))
    if labelled is None:
        return converted(inputs, absorb)
    from ..guests.pandas_ import lifted

    inputs = tuple([lifted(a) for a in inputs])
    if first_refused(inputs, (LABELLED,)) is not None:
        raise refused_foreign(labelled)
    return inputs


def _met_in_function(function: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Arguments of which some are foreign: as arrays, where that is what NumPy makes of them."""
    values = (*args, *kwargs.values()) if kwargs else args
    if all(map(_is_familiar, values)):
        return args, kwargs
    if first_refused(values, _NEVER_OPERANDS) is None:
        return args, kwargs
    refused = first_refused(values)
    if refused is not None:
        raise refused_foreign(refused)
    guest = first_refused(values, (LABELLED, HOLDER))
    if hasattr(type(guest), "toarray"):
        raise refused_foreign(guest)
    if guest is not None and function not in _WRITERS and not is_computed_by_numpy(function, args, kwargs, absorb):
        raise refused_foreign(guest)
    return converted(args, absorb), {k: v if k == "out" else converted(v, absorb) for k, v in kwargs.items()}


def _ufunc_options(ufunc: Any, inputs: tuple, kwargs: dict, out: Any) -> tuple[tuple, dict]:
    """The operands in the dtype that the options ask for, and the options that are left for the rule.

    Which are allowed, and what they lead to, says NumPy.
    """
    kwargs = {k: v for k, v in kwargs.items() if v is not None and not (k == "keepdims" and v is False)}
    typing = {k: kwargs.pop(k) for k in ("dtype", "casting", "signature", "sig") if k in kwargs}
    for name in ("order", "subok"):
        kwargs.pop(name, None)
    if typing and ufunc.signature is None:
        given = [a.dtype if hasattr(a, "dtype") else type(a) for a in inputs]
        results = out if type(out) is tuple else (out,) * ufunc.nout
        given += [None if t is None else t.dtype for t in results]
        loop = _signature(ufunc, typing)
        options = {} if loop is None else {"signature": loop}
        chosen = ufunc.resolve_dtypes(tuple(given), casting=typing.get("casting", "same_kind"), **options)
        inputs = tuple(
            [
                a.astype(t) if isinstance(a, Array) or isa(a, np.ndarray) else a
                for a, t in zip(inputs, chosen, strict=False)
            ]
        )
    return inputs, kwargs


def _signature(ufunc: Any, typing: dict) -> Any:
    """What ``dtype=`` means: the dtype of the loop's results."""
    if typing.get("dtype") is not None:
        return (None,) * ufunc.nin + (np.dtype(typing["dtype"]),) * ufunc.nout
    return typing.get("signature", typing.get("sig"))


def _stepwise(
    ufunc: Any,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
    every: bool = False,
) -> Any:
    """``ufunc.reduce`` (with every: ``ufunc.accumulate``) as NumPy defines them: one call of the ufunc per entry."""
    if where is not True:
        raise UnsupportedError(f"np.{ufunc.__name__}.reduce(…, where=mask) has no derivative ({user_line()})")
    a = absorb(a) if not isinstance(a, Array) else a
    if dtype is not None:
        a = a.astype(dtype)
    axes = tuple(range(a.ndim)) if axis is None else normalize_axis_tuple(axis, a.ndim)
    if len(axes) > 1 and ufunc.identity is None and ufunc not in _REORDERABLE:
        raise ValueError(
            f"reduction operation '{ufunc.__name__}' is not reorderable, so at most one axis may be specified"
        )
    axes = sorted(axes)
    a_shape = a.shape
    rest = [n for k, n in enumerate(a_shape) if k not in axes]
    a = np.reshape(np.moveaxis(a, axes, list(range(len(axes)))), (-1, *rest))
    running = initial
    steps = []
    for i in range(a.shape[0]):
        running = a[i] if running is None else ufunc(running, a[i])
        steps.append(running)
    if every:
        return np.moveaxis(np.stack(steps), 0, axes[0]) if steps else a
    if running is None:
        if ufunc.identity is None:
            raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
        running = np.full(rest, ufunc.identity)
    return np.reshape(running, [1 if k in axes else n for k, n in enumerate(a_shape)]) if keepdims else running


def _reduction(table: dict, ufunc: Any, method: str) -> Callable:
    function = table.get(ufunc)
    if function is None:
        raise MissingRuleError(f"np.{ufunc.__name__}.{method} has no derivative rule ({user_line()})")
    return function


def _reduction_options(ufunc: Any, kwargs: dict) -> dict:
    options: dict[str, Any] = {"axis": 0}
    for name, value in kwargs.items():
        if (value is not None and value is not np._NoValue) or name == "axis":
            options[name] = _listed(value) if name == "where" and type(value) is not bool else value
    return options


def _ufunc_at(ufunc: Any, inputs: tuple) -> None:
    target, indices, *rest = inputs
    if not isinstance(target, Array):
        return _into_plain(ufunc.at, target, plain_index(indices), *rest, name=f"np.{ufunc.__name__}.at")
    indices = plain_index(indices)
    indices = np.asarray(indices) if isinstance(indices, list) else indices
    positions = picked(np.arange(target.size).reshape(target.shape), indices)
    amounts = [np.broadcast_to(absorb(a), positions.shape) for a in rest]
    if ufunc in (np.add, np.subtract):
        # Repeated indices add up, and so do their cotangents: linear in the operand.
        from ..rules.indexing import scatter

        dtype = np.result_type(target.dtype, amounts[0].dtype)
        target._write(dispatch(ufunc, (target, scatter(amounts, [indices], target.shape, dtype)), {}))
        return
    # Elsewhere the order counts: one write for each time an index has come up before.
    positions = np.asarray(positions).reshape(-1)
    amounts = [np.reshape(a, -1) for a in amounts]
    seen = occurrences(positions)
    for k in range(int(seen.max(initial=-1)) + 1):
        chosen = np.flatnonzero(seen == k)
        place = np.unravel_index(positions[chosen], target.shape)
        target[place] = dispatch(ufunc, (target[place], *[a[chosen] for a in amounts]), {})


def picked(array: Any, index: Any) -> Any:
    """``array[index]``, also of a plain array at a traced index."""
    if isinstance(array, Array) or not is_traced(index):
        return array[index]
    if isinstance(index, Array) and getattr(index, "framework", ""):
        return dispatch(np.take, (array, index), {"axis": 0})
    return dispatch(operator.getitem, (array, index), {})


def occurrences(positions: np.ndarray) -> np.ndarray:
    """For each entry of an index array, how often its value has come up before."""
    order = np.argsort(positions, kind="stable")
    starts = np.searchsorted(positions[order], positions[order], side="left")
    seen = np.empty(len(positions), dtype=np.intp)
    seen[order] = np.arange(len(positions)) - starts
    return seen


def _reduceat(ufunc: Any, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    array = absorb(array)
    axis = normalize_axis_index(axis, array.ndim)
    if dtype is not None:
        array = array.astype(dtype)
    n, pieces = array.shape[axis], []
    starts = [operator.index(i) for i in np.reshape(plain_index(indices), -1).tolist()]
    for i, start in enumerate(starts):
        if not 0 <= start < n:
            raise IndexError(f"index {start} out-of-bounds in {ufunc.__name__}.reduceat [0, {n})")
        stop = starts[i + 1] if i + 1 < len(starts) else n
        window = [slice(None)] * array.ndim
        window[axis] = slice(start, stop if stop > start else start + 1)
        pieces.append(ufunc.reduce(array[tuple(window)], axis=axis))
    empty = [slice(0) if k == axis else slice(None) for k in range(array.ndim)]
    return np.stack(pieces, axis=axis) if pieces else array[tuple(empty)]


def _write_out(out: Any, result: Any, name: str) -> Any:
    targets = out if type(out) is tuple else (out,)
    results = result if type(result) is tuple else (result,)
    for target, value in zip(targets, results, strict=False):
        if target is None:
            continue
        if not isinstance(target, Array):
            known = value._known() if isinstance(value, Array) else value
            if known is NotImplemented or is_traced(known):
                raise refused_write(f"np.{name}(…, out=…)")
            target[...] = known
        else:
            if getattr(value, "dtype", None) != target.dtype:
                _check_result(value, target, name)
            target[...] = value
    return targets[0] if len(targets) == 1 else targets


def _check_result(value: Any, target: Array, name: str) -> None:
    """NumPy's error for a complex result that is to go into a real array."""
    if np.iscomplexobj(value) and target.dtype.kind != "c":
        raise TypeError(
            f"Cannot cast {name!r} output from {np.result_type(value)!r} to {target.dtype!r} with casting rule "
            f"'same_kind' ({user_line()})"
        )


class _Flat:
    """``x.flat``: an iterator over the elements that can also be indexed and written to."""

    __slots__ = ("_next", "base")

    def __init__(self, base: Array):
        self.base = base
        self._next = 0

    @property
    def index(self) -> int:
        return self._next

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> _Flat:
        return self

    def __next__(self) -> Any:
        if self._next >= self.base.size:
            raise StopIteration
        self._next += 1
        return self.base.reshape(-1)[self._next - 1]

    def __getitem__(self, index: Any) -> Any:
        piece = self.base.reshape(-1)[index]
        return piece.copy() if isinstance(piece, Array) and piece.ndim else piece

    def __setitem__(self, index: Any, value: Any) -> None:
        places = np.arange(self.base.size)[plain_index(index)]
        if np.ndim(places):
            self.base.put(places, value)
        else:
            _put_flat(self.base, places, value)

    def copy(self) -> Any:
        return self.base.flatten()


def _read_only(base: Array, new: Any) -> None:
    raise ValueError("assignment destination is read-only")


def _check_writable(link: tuple | None) -> None:
    """NumPy's error for writing to a read-only array, which comes before those about the index and the value."""
    while link is not None:
        if link[-1] is _read_only:
            _read_only(link[0], None)
        link = getattr(link[0], "_link", None)


def _not_known(base: Array, new: Any) -> None:
    raise UnsupportedError(
        f"an array was written to at {user_line()} of which it is not known whether NumPy would have made it a view or "
        "a copy of the array that it was reshaped from (its memory order depends on the order of other arrays). Write "
        "np.copy(…) around the reshaped array, or write to the array before it is reshaped."
    )


def _put_flat(target: Array, places: np.ndarray, values: Any) -> None:
    """``target.flat[places] = values``."""
    target[np.unravel_index(places, target.shape)] = values


def _positions(layout: np.ndarray) -> np.ndarray:
    """The numbers 0, 1, 2, … of the elements, as an array with this layout in memory."""
    positions = np.empty_like(layout, dtype=np.intp)
    positions[...] = np.arange(positions.size).reshape(positions.shape)
    return positions


def _linked(function: Callable, at: int = 0) -> Callable:
    """function, which rearranges the elements of its argument number ``at``: its results are linked to that argument
    as NumPy's own results are views of it.

    Whether they are, and where each element came from, is what function itself makes of a plain array with the same
    layout and of the positions: that serves every engine.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        result = dispatch(function, args, kwargs)
        base = args[at] if len(args) > at else None
        if not isinstance(base, Array) or base._is_scalar():
            return result
        layout = _layout(base)
        plainly = functools.partial(_applied, function, args, kwargs, at)
        shown = plainly(np.empty(base.shape, bool) if layout is None else layout)
        if isinstance(result, (list, tuple)):
            return type(result)(
                [link(base, plainly, layout, v, s, i) for i, (v, s) in enumerate(zip(result, shown, strict=True))]
            )
        return link(base, plainly, layout, result, shown, None)

    def link(base: Array, plainly: Callable, layout: Any, view: Any, shown: Any, part: int | None) -> Any:
        if view is base or not isinstance(view, Array) or getattr(view, "_link", None) is not None:
            return view  # a rule written with views has linked it already
        if not view.shape and isa(shown, np.ndarray):
            view = view._as_array()
        if layout is not None and layout.size and not np.may_share_memory(layout, shown):
            return view

        read = functools.partial(_rearranged, plainly, part)

        def write(target: Array, new: Any) -> None:
            _put_flat(target, np.reshape(read(_positions(_layout(target))), -1), np.reshape(new, -1))

        how = _not_known if layout is None and base.ndim > 1 else write if shown_is_writable(shown) else _read_only
        link_view(base, view, read, how)
        return view

    def shown_is_writable(shown: Any) -> bool:
        # An array in which several elements are one in memory is refused, too: which of them holds is left open.
        strides = [k for k, n in zip(shown.strides, shown.shape, strict=True) if n > 1]
        return shown.flags.writeable and (0 not in strides or not shown.size)

    return call


def _rearranged(plainly: Callable, part: int | None, source: Any) -> Any:
    result = plainly(source)
    return result if part is None else result[part]


def _dispatched(function: Callable, *args: Any, **kwargs: Any) -> Any:
    return dispatch(function, args, kwargs)


def _applied(function: Callable, args: tuple, kwargs: dict, at: int, operand: Any) -> Any:
    return dispatch(function, (*args[:at], operand, *args[at + 1 :]), kwargs)


def _each(function: Callable) -> Callable:
    """A function of any number of arrays that returns a view of each."""
    one = _linked(function)

    def call(*arrays: Any) -> Any:
        views = tuple([one(a) if isinstance(a, Array) else function(a) for a in arrays])
        return views[0] if len(views) == 1 else views

    return call


def _part_view(function: Callable, base: Array) -> Any:
    """The real or imaginary part of base, a view of it."""
    result = dispatch(function, (base,), {})
    if result is base or not isinstance(result, Array) or base._is_scalar():
        return result
    if not result.shape:
        result = result._as_array()

    def write(target: Array, new: Any) -> None:
        if target.dtype.kind != "c":
            target[...] = new
        elif function is np.real:
            target[...] = new + 1j * dispatch(np.imag, (target,), {})
        else:
            target[...] = dispatch(np.real, (target,), {}) + 1j * new

    fixed = function is np.imag and base.dtype.kind != "c"
    link_view(base, result, lambda source: dispatch(function, (source,), {}), _read_only if fixed else write)
    return result


def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple:
    arrays = [_listed(a) for a in args]
    shape = np.broadcast_shapes(*[np.shape(a) for a in arrays])
    return tuple([a if isinstance(a, Array) and a.shape == shape else np.broadcast_to(a, shape) for a in arrays])


def _einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    """np.einsum; the result is a view where it only rearranges its single operand ("ii->i", "ij->ji")."""
    one = isinstance(subscripts, str) and len(operands) == 1
    return (_EINSUM_OF_ONE if one else _EINSUM_OF_SEVERAL)(subscripts, *operands, **kwargs)


def _sorted_partly(a: Any, axis: Any = None, *, overwrite_input: Any = False, **options: Any) -> None:
    """What np.median(a, overwrite_input=True) leaves behind: the middle of a, or of what a is reshaped to, in place."""
    if not overwrite_input or not isinstance(a, Array) or not a.size or not a.ndim:
        return
    if axis is None:
        a, axis = a.ravel(), 0
    elif len(axes := normalize_axis_tuple(axis, a.ndim)) == 1:
        axis = axes[0]
    else:
        kept = tuple([k for k in range(a.ndim) if k not in axes])
        a = a.transpose(kept + tuple([k for k in range(a.ndim) if k in axes]))
        a, axis = a.reshape((*a.shape[: len(kept)], -1)), -1
    n = a.shape[axis]
    middle = [n // 2] if n % 2 else [n // 2 - 1, n // 2]
    a[...] = dispatch(partitioned, (a, [*middle, -1], axis), {})


def partitioned(a: Any, kth: list, axis: int) -> Any:
    """``np.partition(a, kth, axis)`` with every element where NumPy puts it, which np.argpartition does not tell."""
    return np.partition(a, kth, axis)


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    replaced = dispatch(np.nan_to_num, (x,), {"nan": nan, "posinf": posinf, "neginf": neginf})
    if copy or not isinstance(x, Array) or x._is_scalar():
        return replaced
    x[...] = replaced
    return x


def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return dispatch(np.copy, (a,), {})._as_array() if a._is_scalar() else a.copy(order)


def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return x.astype(dtype, copy=copy)


def _diff(a: Any, n: int = 1, *args: Any, **kwargs: Any) -> Any:
    return a if n == 0 else dispatch(np.diff, (a, n, *args), kwargs)


def _matrix_power(a: Any, n: int) -> Any:
    return a if operator.index(n) == 1 else dispatch(np.linalg.matrix_power, (a, n), {})


_EINSUM_OF_ONE = _linked(np.einsum, 1)
_EINSUM_OF_SEVERAL = functools.partial(_dispatched, np.einsum)

# Functions that return a view of their argument in NumPy: the result keeps the link to the base.
_VIEW_FUNCTIONS: dict[Any, Callable] = {
    np.reshape: lambda a, shape=None, order="C", **options: a.reshape(shape, order=order, **options),
    np.ravel: lambda a, order="C": a.ravel(order),
    np.transpose: lambda a, axes=None: a.transpose() if axes is None else a.transpose(axes),
    np.swapaxes: lambda a, axis1, axis2: a.swapaxes(axis1, axis2),
    np.real: lambda val: _part_view(np.real, val),
    np.imag: lambda val: _part_view(np.imag, val),
    np.astype: _astype,
    np.copy: _copy,
    np.broadcast_arrays: _broadcast_arrays,
    np.einsum: _einsum,
    np.diff: _diff,
    np.linalg.matrix_power: _matrix_power,
    np.nan_to_num: _nan_to_num,
    **{f: _linked(f) for f in (np.squeeze, np.expand_dims, np.moveaxis, np.rollaxis, np.unstack)},
    **{f: _linked(f) for f in (np.matrix_transpose, np.linalg.matrix_transpose)},
    **{f: _linked(f) for f in (np.flip, np.fliplr, np.flipud, np.rot90)},
    **{f: _linked(f) for f in (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit)},
    **{f: _each(f) for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)},
    **{f: _linked(f) for f in (np.diagonal, np.linalg.diagonal, np.diag, np.broadcast_to)},
    np.lib.stride_tricks.sliding_window_view: _linked(np.lib.stride_tricks.sliding_window_view),
}


def function_call(function: Any, args: tuple, kwargs: dict) -> Any:
    """A NumPy function (not a ufunc) on traced values."""
    bind, verdict, own_way, gives_arrays, indices, of_integers = _PLANS.get(function) or _plan(function)
    if not _FAMILIAR(map(type, args)) or (kwargs and not _FAMILIAR(map(type, kwargs.values()))):
        args, kwargs = _met_in_function(function, args, kwargs)
    if indices is not None:
        args, kwargs = _with_plain_indices(indices, args, kwargs)
    out = None
    try:
        if bind is not None and (kwargs or len(args) > bind.as_written):
            args, kwargs, out = bind(args, kwargs)
            if kwargs:
                args, kwargs = _checked_options(function, args, kwargs, out)
        if verdict is not None:
            verdict(*args, **kwargs)
        if (
            own_way is not None
            and out is None
            and (any([isinstance(a, Array) for a in args]) or (kwargs and function in _WRITERS))
        ):
            result = own_way(*args, **kwargs)
            if of_integers and not getattr(result, "_finds_integers", False):
                _note_integers(result, function, args, kwargs)
            return result
        result = _carried_out(function, args, kwargs) if kwargs else dispatch(function, args, kwargs)
    except TypeError:
        result = _with_counts(function, args, kwargs if out is None else {**kwargs, "out": out})
        if result is NotImplemented:
            raise
        return result
    if out is not None and _takes_out(function, args, kwargs, out):
        if of_integers:
            _note_integers(result, function, args, kwargs)
        return _write_out(out, result, function.__name__)
    if isinstance(result, Array):
        if not result.shape:
            result = result._as_array() if gives_arrays else result._as_scalar()
        if of_integers and not result._finds_integers:
            _note_integers(result, function, args, kwargs)
    elif of_integers and isinstance(result, (list, tuple)):
        _note_integers(result, function, args, kwargs)
    return result


# What is to be known of a NumPy function before it is called, by function: found when it is first met.
_PLANS: dict[Any, tuple] = {}


def _plan(function: Any) -> tuple:
    plan = (
        *(binder_of(function), _BEFOREHAND.get(function), _OWN_WAYS.get(function), function in ARRAYS_ALWAYS),
        *(_INDEX_ARGUMENTS.get(function), function in TO_INTEGERS),
    )
    _PLANS[function] = plan
    return plan


def _checked_options(function: Any, args: tuple, kwargs: dict, out: Any) -> tuple[tuple, dict]:
    """casting= is checked here, and the dtype= of a reduction is that of its operand."""
    if type(kwargs.get("where")) in (list, tuple):
        kwargs = {**kwargs, "where": _listed(kwargs["where"])}
    if kwargs.get("where", True) is not True:
        _check_where(kwargs["where"])
    if "casting" in kwargs and function not in _WRITERS:
        operands = args[0] if isinstance(args[0], (list, tuple)) else args
        check_casting(operands, kwargs.get("dtype") or getattr(out, "dtype", None), kwargs.pop("casting"))
    if kwargs.get("dtype") is not None and function in _COMPUTED_IN and isinstance(args[0], Array):
        args, kwargs = (args[0].astype(kwargs["dtype"]), *args[1:]), {k: v for k, v in kwargs.items() if k != "dtype"}
    return args, kwargs


def _carried_out(function: Any, args: tuple, kwargs: dict) -> Any:
    """The call handed to the engine; an option that its rule does not know is refused by name."""
    try:
        return dispatch(function, args, kwargs)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error) or not kwargs:
            raise
        option = str(error).rpartition(" ")[2].strip("'")
        if option not in kwargs:
            raise
        raise UnsupportedError(
            f"np.{function.__name__} with {option}= has no derivative rule ({user_line()})"
        ) from None


def _takes_out(function: Any, args: tuple, kwargs: dict, out: Any) -> bool:
    """Whether function writes to its ``out``: some of NumPy's transforms take one and leave it alone."""
    if not (getattr(function, "__module__", None) or "").startswith("numpy.fft"):
        return True
    written = np.empty(out.shape, out.dtype)
    stand_ins = [np.ones(np.shape(a)) if isinstance(a, (Array, list)) or isa(a, np.ndarray) else a for a in args]
    return function(*stand_ins, **kwargs, out=written) is written


# Functions whose result without dimensions is a 0-d array in NumPy, where others give a scalar.
ARRAYS_ALWAYS: frozenset[Any] = frozenset(
    {
        *(np.where, np.copy, np.tensordot, np.linalg.tensordot, np.cov, np.select, np.piecewise, np.reshape),
        *(
            np.linalg.tensorsolve,
            np.trim_zeros,
            np.argsort,
            np.roll,
            np.pad,
            np.i0,
            np.real_if_close,
            np.astype,
            np.fft.fftn,
            np.fft.ifftn,
        ),
        *(np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.broadcast_to),
        *(np.array, np.asarray, np.asanyarray, np.zeros, np.ones, np.empty, np.full),
    }
)


# -- integers, which count as floats and still work as indices ---------------------------------------------------------

# Parameters that are indices or counts, and the functions of integers only: there integers are taken as what they are.
_INDEX_ARGUMENTS: dict[Any, tuple[tuple[int, str], ...]] = {
    **dict.fromkeys((np.take, np.take_along_axis), ((1, "indices"),)),
    **dict.fromkeys((np.delete, np.insert), ((1, "obj"),)),
    **dict.fromkeys(
        (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit), ((1, "indices_or_sections"), (2, "axis"))
    ),
    **dict.fromkeys((np.compress, np.extract), ((0, "condition"),)),
    **dict.fromkeys((np.linalg.matrix_power, np.diff), ((1, "n"),)),
    **dict.fromkeys((np.choose, np.packbits, np.unpackbits), ((0, "a"),)),
    **dict.fromkeys((np.round, np.around), ((1, "decimals"),)),
    **dict.fromkeys((np.expand_dims, np.squeeze, np.flip), ((1, "axis"),)),
    **dict.fromkeys((np.rot90, np.tril, np.triu, np.diag), ((1, "k"),)),
    np.bincount: ((0, "x"),),
    np.repeat: ((1, "repeats"),),
    np.tile: ((1, "reps"),),
    np.roll: ((1, "shift"),),
    np.broadcast_to: ((1, "shape"),),
    np.resize: ((1, "new_shape"),),
    np.unravel_index: ((0, "indices"), (1, "shape")),
    np.ravel_multi_index: ((0, "multi_index"), (1, "dims")),
    np.moveaxis: ((1, "source"), (2, "destination")),
    np.swapaxes: ((1, "axis1"), (2, "axis2")),
    np.ix_: ((0, "0"), (1, "1"), (2, "2"), (3, "3")),
}
_OF_INTEGERS = frozenset(
    {
        *(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift),
        *(np.gcd, np.lcm, np.bitwise_count),
    }
)
# Functions that make integers of integers: what is computed from an index is an index.
TO_INTEGERS: frozenset[Any] = frozenset(
    {
        *(operator.getitem, np.add, np.subtract, np.multiply, np.negative, np.positive, np.floor_divide, np.remainder),
        *(np.fmod, np.absolute, np.square, np.sign, np.maximum, np.minimum, np.fmax, np.fmin, np.power, np.matmul),
        *(np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.squeeze, np.expand_dims, np.broadcast_to),
        *(np.sum, np.prod, np.max, np.min, np.cumsum, np.cumprod, np.dot, np.diff, np.clip, np.where, np.copy),
        *(np.concatenate, np.stack, np.vstack, np.hstack, np.take, np.take_along_axis, np.sort, np.flip, np.roll),
        *(np.repeat, np.tile, np.unique, np.atleast_1d, np.atleast_2d, np.delete, np.insert, np.append, np.round),
        *(np.diagonal, np.diag, np.triu, np.tril, np.rot90, np.split, np.array_split, np.ptp, np.rint, np.trace),
        *(np.floor, np.ceil, np.trunc),
    }
)
# Where integers beyond 2**63 would wrap: no index, then.
_GROWING = frozenset({np.multiply, np.square, np.power, np.prod, np.cumprod})


def _is_subscript(frame: Any) -> bool:
    """Whether a frame is carrying out ``a[b]`` or ``a[b] = c``: NumPy converts b, and a conversion is not refused."""
    code, place = frame.f_code.co_code, frame.f_lasti
    if code[place] == opmap["STORE_SUBSCR"]:
        return True
    if "BINARY_SUBSCR" in opmap:
        return code[place] == opmap["BINARY_SUBSCR"]
    return code[place] == opmap["BINARY_OP"] and _nb_ops[code[place + 1]][1] == "[]"  # from Python 3.14 on


def _is_formatting(frame: Any) -> bool:
    """Whether a frame is carrying out ``"%.3f" % x``: no other left operand of ``%`` asks for the number behind x."""
    while frame.f_code.co_name in ("__int__", "__float__"):  # of an engine
        frame = frame.f_back
    code, place = frame.f_code.co_code, frame.f_lasti
    return code[place] == opmap["BINARY_OP"] and _nb_ops[code[place + 1]][1] in ("%", "%=")


def _is_index(value: Array, frame: Any) -> bool:
    """Whether NumPy converts value for an index, or for a number of repeats, of a plain array."""
    if not _by_method(frame):
        return _is_subscript(frame)
    return frame.f_locals["method"] in ("take", "repeat") and frame.f_locals["args"][0] is value


def _check_index(value: Array, frame: Any) -> None:
    """NumPy's error for an array of floats as the index, or the numbers of repeats, of a plain array."""
    if _by_method(frame):
        if _is_index(value, frame):
            getattr(np.asarray(frame.f_locals["obj"]), frame.f_locals["method"])(np.ones(value.shape, value.dtype))
    elif _is_subscript(frame) and not _is_written(frame):
        raise IndexError("arrays used as indices must be of integer (or boolean) type")


def _by_method(frame: Any) -> bool:
    """Whether one of NumPy's functions is calling the method of a plain array."""
    return frame.f_code.co_name in ("_wrapfunc", "_wrapit") and frame.f_globals.get("__name__", "").startswith("numpy.")


def _is_written(frame: Any) -> bool:
    return frame.f_code.co_code[frame.f_lasti] == opmap["STORE_SUBSCR"]


_JUST_INT = frozenset({int})


def as_integers(value: Any) -> Any:
    """The integers behind a traced value, also in lists; anything else as it is."""
    kind = type(value)
    if kind is int or kind is np.ndarray:
        return value
    if isinstance(value, Array):
        integers = value._integers()
        if integers is None:
            return plain_index(value) if value.dtype.kind in "iu" else value
        return plain_index(integers)
    if kind in (list, tuple) and not _JUST_INT.issuperset(map(type, value)):
        items = [as_integers(v) for v in value]
        return value if all(map(operator.is_, items, value)) else kind(items)
    return value


def _with_plain_indices(places: tuple, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    for place, name in places:
        if place < len(args):
            value = args[place]
            if type(value) is not int and (known := as_integers(value)) is not value:
                args = (*args[:place], known, *args[place + 1 :])
        elif name in kwargs and (known := as_integers(kwargs[name])) is not kwargs[name]:
            kwargs = {**kwargs, name: known}
    return args, kwargs


def _with_counts(function: Any, args: tuple, kwargs: dict) -> Any:
    """The call again, an axis or a count as the integer it was given as; NotImplemented: nothing to try."""
    places: list = [i for i, a in enumerate(args) if i and as_integers(a) is not a]
    places += [name for name, v in kwargs.items() if as_integers(v) is not v]
    for n in (1, 2):
        for chosen in itertools.combinations(places, n):
            given = tuple([as_integers(a) if i in chosen else a for i, a in enumerate(args)])
            options = {k: as_integers(v) if k in chosen else v for k, v in kwargs.items()}
            with contextlib.suppress(TypeError):
                return function_call(function, given, options)
    return NotImplemented


def _note_integers(result: Any, function: Any, args: tuple, kwargs: dict) -> None:
    """Let a framework's result know the integers it stands for, where it was computed from integers alone."""
    parts = result if isa(result, (list, tuple)) else [result]
    if not any([hasattr(part, "integer") for part in parts]):  # an engine's value finds them itself
        return
    if not any([getattr(a, "integer", None) is not None or type(a) in (list, tuple) for a in args]):
        return
    integers = [_integers_in(a) for a in args]
    if any(i is NotImplemented for i in integers):
        return
    if function in _GROWING:
        n_operands = getattr(function, "nin", 1)  # what follows them is an axis
        sizes = function(*[np.asarray(i, float) for i in integers[:n_operands]], *integers[n_operands:], **kwargs)
        if np.any(np.abs(sizes) >= 2**53) or np.any(sizes != np.floor(sizes)):
            return
    with np.errstate(all="ignore"):
        values = function(*integers, **kwargs)
    for part, value in zip(parts, values if parts is result else [values], strict=True):
        if hasattr(part, "integer") and np.result_type(value).kind in "iu":
            part.integer = value


def _integers_in(value: Any) -> Any:
    """value as integers, NotImplemented where it is something else."""
    if type(value) in (list, tuple):
        items = [_integers_in(v) for v in value]
        return NotImplemented if any(i is NotImplemented for i in items) else type(value)(items)
    if isinstance(value, Array):
        known = plain(value) if value.dtype.kind == "b" else getattr(value, "integer", None)
        return NotImplemented if known is None else known
    if isa(value, (float, complex, np.inexact)) or getattr(value, "dtype", np.dtype(bool)).kind in "fc":
        return NotImplemented
    return value


# Functions whose dtype= is the one they compute in.
_COMPUTED_IN: frozenset[Any] = frozenset(
    {
        *(np.sum, np.prod, np.mean, np.var, np.std, np.cumsum, np.cumprod, np.cumulative_sum, np.cumulative_prod),
        *(np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.trace, np.linalg.trace),
    }
)


# Functions that reach us only by their like= argument: array constructors.
CREATORS: frozenset[Any] = frozenset(
    {
        *(np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.require),
        *(np.zeros, np.ones, np.empty, np.full, np.eye, np.identity, np.tri, np.arange),
        *(np.fromfunction, np.fromiter, np.frombuffer, np.fromstring, np.fromfile, np.loadtxt, np.genfromtxt),
    }
)


def created(like: Array, function: Any, args: tuple, kwargs: dict) -> Any:
    """``function(*args, like=like, **kwargs)``: a traced array, so that traced values can be written into it."""
    from .namespace import Namespace

    if function is np.full and is_traced(args[1:]):
        value = Namespace(like).full(*args, **{k: v for k, v in kwargs.items() if k == "dtype"})
    elif is_traced(args[:1]):
        value = Namespace(like).asarray(args[0], dtype=kwargs.get("dtype"), copy=function is np.array or None)
    else:
        value = function(*args, **kwargs)
    if not isinstance(value, Array) and not like._closed:
        value = like._constant(value)
    return value._as_array() if isinstance(value, Array) and not value.shape else value


def _into_plain(function: Any, *args: Any, name: str = "", **kwargs: Any) -> Any:
    """``function(*args)``, which writes into a plain array: of values that carry no derivative."""
    known = [a._known() if isinstance(a, Array) else a for a in args]
    if any([k is NotImplemented or is_traced(k) for k in known]):
        raise refused_write(name or f"np.{function.__name__}")
    return function(*known, **kwargs)


def _check_where(where: Any) -> None:
    """NumPy's error for a mask that is not of truth values."""
    dtype = np.result_type(where) if not isinstance(where, (list, tuple)) else np.asarray(where).dtype
    if dtype.kind != "b":
        raise TypeError(f"Cannot cast array data from {dtype!r} to dtype('bool') according to the rule 'safe'")


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if where is not True:
        _check_where(where)
    if not isinstance(dst, Array):
        return _into_plain(np.copyto, dst, src, casting=casting, where=plain_index(where))
    given = getattr(src, "dtype", None)
    if given != dst.dtype:
        like = np.empty((), dst.dtype)
        np.copyto(like, np.zeros((), given) if given is not None else np.ravel(src)[0], casting=casting)  # type: ignore[arg-type]
    dst[...] = src if where is True else np.where(where, src, dst)


def _whole(ind: Any) -> Any:
    """The plain places behind ``ind``, with NumPy's error for an array of floats."""
    if isinstance(ind, Array) and ind.dtype.kind in "fc" and ind._integers() is None:
        if not ind.ndim:
            raise refused_number("int", ())
        raise TypeError(f"Cannot cast array data from {ind.dtype!r} to {np.dtype(int)!r} according to the rule 'safe'")
    return plain_index(ind)


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    if not isinstance(a, Array):
        return _into_plain(np.put, a, _whole(ind), v, mode=mode)
    a.put(ind, v, mode)


def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    if not isinstance(a, Array):
        return _into_plain(np.fill_diagonal, a, val, wrap=wrap)
    places = np.zeros(a.shape, bool)
    np.fill_diagonal(places, True, wrap=wrap)  # or NumPy's error about the shape
    places = np.flatnonzero(places)
    _put_flat(a, places, _repeated(val, len(places)))


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    if not isinstance(arr, Array):
        return _into_plain(np.put_along_axis, arr, plain_index(indices), values, axis=axis)
    positions = np.take_along_axis(np.arange(arr.size).reshape(arr.shape), plain_index(indices), axis)
    _put_flat(arr, positions.ravel(), np.reshape(np.broadcast_to(values, positions.shape), -1))


def _repeated(values: Any, n: int) -> Any:
    """The first n of values, which are used again and again."""
    values = np.ravel(_listed(values))
    return values[np.arange(n) % values.size]


def _truth(mask: Any) -> Any:
    """The truth values of a mask, which may be of any numbers."""
    mask = _listed(mask)
    return plain_index(mask if mask.dtype.kind == "b" else mask != 0) if isinstance(mask, Array) else mask


def _place(arr: Any, mask: Any, vals: Any) -> None:
    if not isinstance(arr, Array):
        return _into_plain(np.place, arr, _truth(mask), vals)
    mask = np.asarray(_truth(mask), bool)
    n = int(mask.sum())
    if mask.size != arr.size:
        raise ValueError("place: mask and data must be the same size")
    if n and not np.size(vals):
        raise ValueError("Cannot insert from an empty array!")
    arr[mask.reshape(arr.shape)] = np.resize(vals, n)


def _putmask(a: Any, mask: Any, values: Any) -> None:
    if not isinstance(a, Array):
        return _into_plain(np.putmask, a, _truth(mask), values)
    mask = _truth(mask)
    if np.size(mask) != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    if isinstance(mask, Array):  # of a program being written, which computes it anew in every replay
        a[...] = np.where(mask, np.resize(values, a.shape), a)
        return
    mask = np.asarray(mask, bool).reshape(a.shape)
    a[mask] = np.resize(values, a.shape)[mask]


_WRITERS: dict[Any, Callable] = {
    np.copyto: _copyto,
    np.put: _put,
    np.fill_diagonal: _fill_diagonal,
    np.put_along_axis: _put_along_axis,
    np.place: _place,
    np.putmask: _putmask,
}
# What is done before a call: it is refused where NumPy refuses it, and its operand is changed where NumPy changes it.
_BEFOREHAND: dict[Any, Callable] = {**VERDICTS, np.median: _sorted_partly}
# Functions that do more than compute: their results are views, or they write.
_OWN_WAYS: dict[Any, Callable] = {**_VIEW_FUNCTIONS, **_WRITERS}


# -- operators and methods, generated ----------------------------------------------------------------------------------

BINARY_OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
UNARY_OPERATORS = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}

# Methods with the signature of the function of the same name (self first).
METHODS = (
    "sum prod mean std var max min cumsum cumprod argmax argmin argsort argpartition all any trace diagonal "
    "dot repeat squeeze choose nonzero searchsorted"
)

# NumPy's loops over object arrays call the method of the element named like the ufunc.
ELEMENT_METHODS = (
    "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log2 log10 log1p sqrt "
    "cbrt square reciprocal rint floor ceil trunc sign fabs isnan isfinite isinf deg2rad rad2deg degrees radians "
    "arctan2 hypot logaddexp logaddexp2 fmax fmin maximum minimum heaviside copysign spacing signbit logical_not "
    "logical_and logical_or"
)


def _comparable(other: Any) -> bool:
    return other is not None and not isinstance(other, (str, bytes, dict, set, type))


def _install() -> None:
    def binary(function: Any) -> Callable:
        def forward(self: Array, other: Any) -> Any:
            if isa(other, (Array, np.ndarray, np.generic, int, float, complex)):
                return ufunc_call(function, "__call__", (self, other), {})
            return _with_foreign(function, (self, other), other)

        return forward

    def reflected(function: Any) -> Callable:
        def backward(self: Array, other: Any) -> Any:
            if isa(other, (Array, np.ndarray, np.generic, int, float, complex)):
                return ufunc_call(function, "__call__", (other, self), {})
            return _with_foreign(function, (other, self), other)

        return backward

    def inplace(function: Any) -> Callable:
        return lambda self, other: self._update(function, other)

    def comparison(function: Any, otherwise: Any) -> Callable:
        def compare(self: Array, other: Any) -> Any:
            if not _comparable(other):
                return otherwise
            return ufunc_call(function, "__call__", (self, other), {})

        return compare

    def unary(function: Any) -> Callable:
        def apply(self: Array) -> Any:
            if function is np.invert or getattr(self, "integer", None) is not None:
                return ufunc_call(function, "__call__", (self,), {})
            return dispatch(function, (self,), {})

        return apply

    def method(name: str) -> Callable:
        function = getattr(np, name)

        def call(self: Array, *args: Any, **kwargs: Any) -> Any:
            return function_call(function, (self, *args), kwargs)

        call.__name__ = name
        return call

    def element(function: Any) -> Callable:
        return lambda self, *others: ufunc_call(function, "__call__", (self, *others), {})

    for name, function in BINARY_OPERATORS.items():
        setattr(Array, f"__{name}__", binary(function))
        setattr(Array, f"__r{name}__", reflected(function))
        setattr(Array, f"__i{name}__", inplace(function))
    for name, function in COMPARISONS.items():
        setattr(Array, f"__{name}__", comparison(function, {"eq": False, "ne": True}.get(name, NotImplemented)))
    for name, function in UNARY_OPERATORS.items():
        setattr(Array, f"__{name}__", unary(function))
    for name in METHODS.split():
        setattr(Array, name, method(name))
    for name in ELEMENT_METHODS.split():
        setattr(Array, name, element(getattr(np, name)))
    Array.__divmod__ = lambda self, other: (self // other, self % other)  # type: ignore[attr-defined]
    Array.__rdivmod__ = lambda self, other: (other // self, other % self)  # type: ignore[attr-defined]
    Array.__round__ = lambda self, digits=0: np.round(self, digits or 0)  # type: ignore[attr-defined]
    Array.__floor__ = lambda self: np.floor(self)  # type: ignore[attr-defined]
    Array.__ceil__ = lambda self: np.ceil(self)  # type: ignore[attr-defined]
    Array.__trunc__ = lambda self: np.trunc(self)  # type: ignore[attr-defined]


def _with_foreign(function: Any, operands: tuple, other: Any) -> Any:
    """An operator whose other side is no number and no array: a list, a Fraction, another library's object."""
    if isinstance(other, (list, tuple, range)):
        return ufunc_call(function, "__call__", tuple([_listed(o) for o in operands]), {})
    found = foreign_of(other)
    if found is not None:
        traced = operands[0] if operands[1] is other else operands[1]
        if found.name in ("a deque", "an array.array") and function is np.multiply and not traced.shape:
            return NotImplemented  # NumPy's scalars leave sequences to Python, which repeats them
        if function is np.matmul and other is operands[1] and found.name == "a SciPy sparse array":
            from ..guests.sparse_ import product

            return product(*operands)
        return ufunc_call(function, "__call__", operands, {})
    from decimal import Decimal
    from fractions import Fraction
    from numbers import Number

    if isa(other, Number):
        traced = inner = operands[0] if operands[1] is other else operands[1]
        while isinstance(inner, Array):
            inner = inner._primal
        exact = isa(inner, (Fraction, Decimal))  # traced exact numbers stay exact
        if isa(other, (Fraction, Decimal)) and not exact and traced.dtype.kind in "fc":
            operands = tuple([float(o) if o is other else o for o in operands])  # NumPy would make an object array
        return dispatch(function, operands, {})
    return NotImplemented


def _listed(operand: Any) -> Any:
    if type(operand) in FAMILIAR or isinstance(operand, Array):
        return operand
    if isinstance(operand, (list, tuple)):
        if first_refused(operand) is not None:
            raise refused_foreign(first_refused(operand))
        operand = absorb(operand)
        return operand if isinstance(operand, Array) else np.asarray(operand)
    found = foreign_of(operand)
    if found is not None and found.way == REFUSED:
        raise refused_foreign(operand)
    return operand if found is None else as_array(operand, absorb)


# -- plain arrays that a derivative relies on -----------------------------------------------------------------------

_ROW = 1024


def _scattered(n: int) -> np.ndarray:
    """n numbers in [0, 1) without a pattern, by splitmix64: importing NumPy's own generators costs 14 ms."""
    x = np.arange(1, n + 1, dtype=np.uint64) * 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return ((x ^ (x >> 31)) >> 11) * 2.0**-53


# Weights near 1: what two entries that change places do to a sum of products with them shows.
_WEIGHTS = {k: _scattered(_ROW).astype(k) + k(1) for k in (np.float64, np.float32)}


def fingerprint(array: np.ndarray) -> Any:
    """A mark of an array's contents, from all of its entries, at the speed of the memory.

    Floats: the exclusive or of all words, which any one change turns, and weighted sums of the rows, which entries turn
    that change places. Anything else: a checksum of the bytes.
    """
    flat = array.ravel(order="K")
    if flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    weights = _WEIGHTS.get(flat.dtype.type) if flat.dtype.isnative else None
    rows = flat.size // _ROW
    if weights is not None and rows:
        with np.errstate(all="ignore"):
            sums = flat[: rows * _ROW].reshape(rows, _ROW) @ weights
        if np.isfinite(sums).all():
            words = flat.view(f"u{flat.itemsize}")
            rest = zlib.crc32(words[rows * _ROW :].data)
            return int(np.bitwise_xor.reduce(words)), rest, hash(sums.tobytes())
    return zlib.crc32(flat.view(np.uint8).data)


def overwritten(array: np.ndarray) -> TracedValueError:
    """The error for a plain array that is no longer what a traced operation has read."""
    return TracedValueError(
        f"a plain array of shape {array.shape} was written to after a traced operation had used it ({user_line()}); "
        "the derivative needs the values it had. Use a new array for each step (y = a * b instead of "
        "np.multiply(a, b, out=y)), or pass np.copy(array) to the operation."
    )


_install()
