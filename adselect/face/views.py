"""Views: an array cut out of another shares what is written to either."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..values.kinds import isa
from .dispatch import applied, dispatch, dispatched, listed
from .indices import plain_index
from .layout import layout_of
from .traced import Traced


def link_view(base: Traced, view: Traced, *how: Any) -> None:
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


def root_of(array: Traced) -> Traced:
    """The array that owns what array shows."""
    while (link := getattr(array, "_link", None)) is not None:
        array = link[0]
    return array


def shown_of(array: Traced, root: np.ndarray) -> np.ndarray:
    """The part of a plain array that array shows of its own root."""
    link = getattr(array, "_link", None)
    if link is None:
        return root
    base = shown_of(link[0], root)
    return base[link[1]] if len(link) == 2 else link[1](base)


class Flat:
    """``x.flat``: an iterator over the elements that can also be indexed and written to."""

    __slots__ = ("_next", "base")

    def __init__(self, base: Traced):
        self.base = base
        self._next = 0

    @property
    def index(self) -> int:
        return self._next

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Flat:
        return self

    def __next__(self) -> Any:
        if self._next >= self.base.size:
            raise StopIteration
        self._next += 1
        return self.base.reshape(-1)[self._next - 1]

    def __getitem__(self, index: Any) -> Any:
        piece = self.base.reshape(-1)[index]
        return piece.copy() if isinstance(piece, Traced) and piece.ndim else piece

    def __setitem__(self, index: Any, value: Any) -> None:
        places = np.arange(self.base.size)[plain_index(index)]
        if np.ndim(places):
            self.base.put(places, value)
        else:
            put_flat(self.base, places, value)

    def copy(self) -> Any:
        return self.base.flatten()


def _read_only(base: Traced, new: Any) -> None:
    raise ValueError("assignment destination is read-only")


def check_writable(link: tuple | None) -> None:
    """NumPy's error for writing to a read-only array, which comes before those about the index and the value."""
    while link is not None:
        if link[-1] is _read_only:
            _read_only(link[0], None)
        link = getattr(link[0], "_link", None)


def not_known(base: Traced, new: Any) -> None:
    raise UnsupportedError(
        f"an array was written to at {user_line()} of which it is not known whether NumPy would have made it a view or "
        "a copy of the array that it was reshaped from (its memory order depends on the order of other arrays). Write "
        "np.copy(…) around the reshaped array, or write to the array before it is reshaped."
    )


def put_flat(target: Traced, places: np.ndarray, values: Any) -> None:
    """``target.flat[places] = values``."""
    target[np.unravel_index(places, target.shape)] = values


def flat_positions(layout: np.ndarray) -> np.ndarray:
    """The numbers 0, 1, 2, … of the elements, as an array with this layout in memory."""
    positions = np.empty_like(layout, dtype=np.intp)
    positions[...] = np.arange(positions.size).reshape(positions.shape)
    return positions


def linked(function: Callable, at: int = 0) -> Callable:
    """function, which rearranges the elements of its argument number ``at``: its results are linked to that argument
    as NumPy's own results are views of it.

    Whether they are, and where each element came from, is what function itself makes of a plain array with the same
    layout and of the positions: that serves every engine.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        result = dispatch(function, args, kwargs)
        base = args[at] if len(args) > at else None
        if not isinstance(base, Traced) or base._is_scalar():
            return result
        layout = layout_of(base)
        plainly = functools.partial(applied, function, args, kwargs, at)
        shown = plainly(np.empty(base.shape, bool) if layout is None else layout)
        if isinstance(result, (list, tuple)):
            return type(result)(
                [link(base, plainly, layout, v, s, i) for i, (v, s) in enumerate(zip(result, shown, strict=True))]
            )
        return link(base, plainly, layout, result, shown, None)

    def link(base: Traced, plainly: Callable, layout: Any, view: Any, shown: Any, part: int | None) -> Any:
        if view is base or not isinstance(view, Traced) or getattr(view, "_link", None) is not None:
            return view  # a rule written with views has linked it already
        if not view.shape and isa(shown, np.ndarray):
            view = view._as_array()
        if layout is not None and layout.size and not np.may_share_memory(layout, shown):
            return view

        read = functools.partial(_rearranged, plainly, part)

        def write(target: Traced, new: Any) -> None:
            put_flat(target, np.reshape(read(flat_positions(layout_of(target))), -1), np.reshape(new, -1))

        how = not_known if layout is None and base.ndim > 1 else write if shown_is_writable(shown) else _read_only
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


def each(function: Callable) -> Callable:
    """A function of any number of arrays that returns a view of each."""
    one = linked(function)

    def call(*arrays: Any) -> Any:
        views = tuple([one(a) if isinstance(a, Traced) else function(a) for a in arrays])
        return views[0] if len(views) == 1 else views

    return call


def part_view(function: Callable, base: Traced) -> Any:
    """The real or imaginary part of base, a view of it."""
    result = dispatch(function, (base,), {})
    if result is base or not isinstance(result, Traced) or base._is_scalar():
        return result
    if not result.shape:
        result = result._as_array()

    def write(target: Traced, new: Any) -> None:
        if target.dtype.kind != "c":
            target[...] = new
        elif function is np.real:
            target[...] = new + 1j * dispatch(np.imag, (target,), {})
        else:
            target[...] = dispatch(np.real, (target,), {}) + 1j * new

    fixed = function is np.imag and base.dtype.kind != "c"
    link_view(base, result, lambda source: dispatch(function, (source,), {}), _read_only if fixed else write)
    return result


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple:
    arrays = [listed(a) for a in args]
    shape = np.broadcast_shapes(*[np.shape(a) for a in arrays])
    return tuple([a if isinstance(a, Traced) and a.shape == shape else np.broadcast_to(a, shape) for a in arrays])


def einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
    """np.einsum; the result is a view where it only rearranges its single operand ("ii->i", "ij->ji")."""
    one = isinstance(subscripts, str) and len(operands) == 1
    return (_EINSUM_OF_ONE if one else _EINSUM_OF_SEVERAL)(subscripts, *operands, **kwargs)


_EINSUM_OF_ONE = linked(np.einsum, 1)
_EINSUM_OF_SEVERAL = functools.partial(dispatched, np.einsum)
