"""Params: the arrays that a function without arguments is differentiated with respect to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError
from ..face.array import Array
from ..face.foreign import FAMILIAR, advice, foreign_of
from ..values.kinds import isa
from ..values.natives import is_native, natives_of, to_numpy
from .leaves import is_leaf

__all__ = ["Params", "array_in_words", "pour", "poured"]


class Params:
    """``Params(arrays)``: an ordered set of arrays, by identity: *implicit parameters*.

    ``gradient(f, Params([W, b]))`` differentiates f, which takes no arguments, with respect to the arrays W and b,
    which it reaches through closures, globals, defaults, attributes and containers; the result is a :class:`Grads`.
    The arrays are not copied: written to in place (``W -= 0.1 * g[W]``) they stay the same parameters.

    arrays: an iterable of numeric arrays, NumPy's or a framework's own; one that comes twice counts once.
    ``x in ps`` and ``ps[i]`` go by identity and order, ``==`` asks for the same arrays in the same order.

    Raises ADSelectTypeError for anything that has no identity to find it by, such as a float, and for arrays without
    a derivative. Cost: none of the arrays is looked into.

    >>> import numpy as np
    >>> W, b = np.ones((2, 3)), np.zeros(2)
    >>> ps = Params([W, b, W])
    >>> len(ps), W in ps, W.copy() in ps, ps[1] is b
    (2, True, False, True)

    Source: Zygote.jl's ``Params``.
    """

    __slots__ = ("__weakref__", "_arrays")

    def __init__(self, arrays: Iterable = ()):
        if is_leaf(arrays) or isinstance(arrays, (str, bytes)):
            raise ADSelectTypeError(
                f"Params takes a list of arrays, not {array_in_words(arrays)}: write Params([x]); the rows of an array "
                "are views of it and no parameters of their own"
            )
        self._arrays: dict[int, Any] = {}
        for array in arrays:
            self.add(array)

    # -- the set ---------------------------------------------------------------------------------------------------

    def add(self, array: Any) -> Params:
        """Put an array at the end, unless it is there; gives the Params."""
        _check_parameter(array, len(self))
        self._arrays.setdefault(id(array), array)
        return self

    def discard(self, array: Any) -> Params:
        """Take an array out, if it is there; gives the Params."""
        self._arrays.pop(id(array), None)
        return self

    delete = discard

    def union(self, *others: Iterable) -> Params:
        """The arrays of all, in the order in which they come up."""
        new = Params(self)
        for other in others:
            for array in other:
                new.add(array)
        return new

    def intersection(self, *others: Iterable) -> Params:
        """The arrays that all of them hold, in the order here."""
        kept = [{id(array) for array in other} for other in others]
        return Params([array for array in self if all(id(array) in ids for ids in kept)])

    __or__ = union
    __and__ = intersection

    def copy(self) -> Params:
        """The same arrays in another Params."""
        return Params(self)

    def __contains__(self, array: Any) -> bool:
        return id(array) in self._arrays

    def __len__(self) -> int:
        return len(self._arrays)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._arrays.values()))

    def __getitem__(self, index: Any) -> Any:
        """The array at a place, a list of them for a slice."""
        return list(self._arrays.values())[index]

    def index(self, array: Any) -> int:
        """The place of an array, by identity. Raises ADSelectValueError where it is none of the parameters."""
        for i, held in enumerate(self):
            if held is array:
                return i
        raise ADSelectValueError(f"{array_in_words(array)} is none of the {len(self)} parameters (they go by identity)")

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Params):
            return NotImplemented
        return list(self._arrays) == list(other._arrays)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Params([{', '.join([array_in_words(a) for a in self])}])"

    def __reduce__(self) -> tuple:
        return Params, (list(self),)

    # -- all numbers in one vector ---------------------------------------------------------------------------------

    def copy_to(self, flat: Any) -> Any:
        """Write all entries, row by row and one array after the other, into a vector; gives the vector.

        Raises ADSelectValueError where the lengths differ.
        """
        return pour(list(self), flat, "Params.copy_to")

    def copy_from(self, flat: Any) -> Params:
        """Write the entries of a vector into the arrays, in place, row by row; gives the Params.

        Raises ADSelectValueError where the lengths differ, ADSelectTypeError for an array that cannot be written to.
        """
        poured(flat, list(self), "Params.copy_from")
        return self

    @classmethod
    def _around(cls, arrays: list) -> Params:
        """Params of traced arrays, which stand for those that were checked."""
        new = cls()
        new._arrays = {id(a): a for a in arrays}
        return new


def _check_parameter(array: Any, place: int) -> None:
    if type(array) not in FAMILIAR and (found := foreign_of(array)) is not None:
        raise ADSelectTypeError(f"Params[{place}] is {found.name}; pass {advice(found, 'x')}")
    if isinstance(array, Array) and array._is_scalar():
        raise ADSelectTypeError(f"Params[{place}] is a number, which is another object each time it is asked for")
    if isinstance(array, Array) or isa(array, np.ndarray) or is_native(array):
        if not is_leaf(array):
            raise ADSelectTypeError(
                f"Params[{place}] is {array_in_words(array)}; a parameter has a numeric dtype: write .astype(float)"
            )
        return
    advise = (
        "Python numbers are no parameters, since they have no identity: write np.array(x), and read it in f as p[()]"
    )
    if not is_leaf(array):
        advise = "a parameter is an array; of a list or an object pass the arrays that it holds"
    raise ADSelectTypeError(f"Params[{place}] is {array!r:.60} ({type(array).__name__}): {advise}")


def array_in_words(array: Any) -> str:
    """dtype and shape of an array; the type of anything else."""
    if array is None or not hasattr(array, "shape"):
        return "None" if array is None else type(array).__name__
    return f"{array.dtype} array of shape {tuple(array.shape)}"


def _size(array: Any) -> int:
    return int(np.prod(tuple(array.shape), dtype=int))


def _vector(flat: Any, arrays: list, what: str) -> np.ndarray:
    """flat as a NumPy vector of as many entries as the arrays have."""
    vector, wanted = np.asarray(to_numpy(flat)), sum(map(_size, arrays))
    if vector.ndim != 1 or vector.size != wanted:
        shapes = ", ".join([str(tuple(a.shape)) for a in arrays])
        raise ADSelectValueError(
            f"{what} got an array of shape {vector.shape}; {wanted} entries in a vector are needed (for {shapes})"
        )
    return vector


def pour(arrays: list, flat: Any, what: str) -> Any:
    """Write the entries of the arrays into a vector."""
    if not isa(flat, np.ndarray):
        raise ADSelectTypeError(f"{what} writes into a NumPy vector, not into a {type(flat).__name__}")
    _vector(flat, arrays, what)
    at = 0
    for array in arrays:
        values = np.asarray(to_numpy(array)).reshape(-1)
        if not np.can_cast(values.dtype, flat.dtype, "same_kind"):
            raise ADSelectTypeError(f"{what}: {values.dtype} does not go into {flat.dtype} without loss")
        flat[at : at + values.size] = values
        at += values.size
    return flat


def poured(flat: Any, arrays: list, what: str) -> None:
    """Write the entries of a vector into the arrays. Everything is looked at before anything is written."""
    vector, at, writes = _vector(flat, arrays, what), 0, []
    for i, array in enumerate(arrays):
        values = vector[at : at + _size(array)].reshape(tuple(array.shape))
        at += values.size
        natives = natives_of(array)
        if natives is None:
            if not array.flags.writeable:
                raise ADSelectTypeError(f"{what}: array {i} ({array_in_words(array)}) is read-only")
            # Integers in a list of Python numbers are fine, fractions in an integer array are not.
            if not np.can_cast(values.dtype, array.dtype, "same_kind"):
                raise ADSelectTypeError(f"{what}: {values.dtype} does not go into {array.dtype} without loss")
        else:
            values = natives.like(np.array(values), array)
        writes.append((array, values))
    for array, values in writes:
        try:
            array[...] = values
        except (TypeError, RuntimeError) as error:
            raise ADSelectTypeError(f"{what}: {array_in_words(array)} cannot be written to: {error}") from error
