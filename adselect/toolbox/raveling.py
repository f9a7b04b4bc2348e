"""ravel: the numbers of a structure as one vector, and back."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError, user_line
from ..face.array import Array
from ..face.dispatch import absorb
from ..primitives.leaves import is_inexact
from ..structure.flattening import Skeleton, flatten
from ..structure.leaves import leaf_dtype
from ..values.kinds import isa
from ..values.natives import Natives, is_native, natives_of
from .values import stacked

__all__ = ["Unravel", "ravel"]


def ravel(structure: Any) -> tuple[Any, Unravel]:
    """``(vector, unravel)``: the floating-point and complex numbers of a structure, one after the other, and the way
    back: ``unravel(vector)`` is a structure of the same kind around other numbers.

    structure: anything that gradients are taken of: numbers, arrays, tuples, lists, dicts, objects, closures, modules
    of layers; an object reached twice is there once. The order is that of the entries and fields, arrays row by row.
    The vector has the common dtype of the numbers (float64 where there are none), and is the framework's own where the
    structure holds a framework's arrays. Integers, booleans, strings and whatever else stay as they are, and are not
    part of it.

    ``unravel`` takes a vector of the same length: a NumPy array, a list, a traced value, a framework's array. Leaves
    get their own shape, dtype and kind back: float32 for float32, a Python number for a Python number, the real part
    for a real number.

    Both are differentiable on every backend, to any order. Raises ADSelectTypeError for a structure whose only numbers
    are integers, ADSelectValueError when unravel is given another length or shape. Cost: one copy each.

    >>> import numpy as np
    >>> vector, unravel = ravel({"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": 5.0, "layers": 2, "name": "net"})
    >>> vector
    array([1., 2., 3., 4., 5.])
    >>> unravel(2 * vector)
    {'w': array([[2., 4.],
           [6., 8.]]), 'b': 10.0, 'layers': 2, 'name': 'net'}

    Source: Flux.jl's ``destructure``; ``jax.flatten_util.ravel_pytree``.
    """
    leaves, skeleton = flatten((stacked(structure),), root="structure")
    places = [i for i, leaf in enumerate(leaves) if _is_in(leaf)]
    if leaves and not places:
        raise ADSelectTypeError(
            f"ravel found integers only ({user_line()}), which stay as they are: write x.astype(float) or float(n) for "
            "those that are to be part of the vector"
        )
    parts = [_Part.of(leaves[i]) for i in places]
    unravel = Unravel(skeleton, [None if _is_in(leaf) else leaf for leaf in leaves], places, parts)
    skeleton.release()
    return _joined([leaves[i] for i in places]), unravel


def _is_in(leaf: Any) -> bool:
    """Whether a leaf is part of the vector; integer arguments, floats in a derivative, are integers here."""
    return is_inexact(leaf) and not (isinstance(leaf, Array) and leaf._integers() is not None)


class _Part(NamedTuple):
    """What is known of one leaf."""

    shape: tuple[int, ...]
    dtype: Any
    kind: str  # "python", "scalar", "array" or "native"
    like: Any  # for a native leaf an empty array of its kind

    @classmethod
    def of(cls, leaf: Any) -> _Part:
        if is_native(leaf):
            return cls(tuple(leaf.shape), leaf.dtype, "native", leaf.reshape(-1)[:0])
        dtype = leaf_dtype(leaf)
        if isa(leaf, (np.ndarray, np.generic)):
            return cls(np.shape(leaf), dtype, "array" if isa(leaf, np.ndarray) else "scalar", None)
        return cls((), dtype, "python", None)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def taken_from(self, vector: Any, start: int) -> Any:
        """The leaf around the numbers of a vector from start on."""
        numbers = vector[start : start + self.size]
        if self.kind == "native" and not isinstance(numbers, Array):
            natives: Any = natives_of(self.like)
            numbers = numbers if is_native(numbers) else natives.like(np.asarray(numbers), self.like)
            return natives.of_shape(numbers.reshape(self.shape), self.like)
        numbers = numbers.reshape(self.shape)
        if is_native(numbers):
            return numbers
        dtype = leaf_dtype(numbers) if self.kind == "native" else self.dtype
        if dtype.kind != "c" and numbers.dtype.kind == "c":
            numbers = np.real(numbers)
        if numbers.dtype != dtype:
            numbers = numbers.astype(dtype)
        elif self.kind == "array" and isa(numbers, np.ndarray) and not isinstance(numbers, Array):
            numbers = numbers.copy()
        if self.kind == "array":
            return numbers
        number = numbers[()]
        return number if isinstance(number, Array) or self.kind != "python" else number.item()


class Unravel:
    """The way back from a vector to a structure; made by :func:`ravel`."""

    __slots__ = ("_leaves", "_parts", "_places", "_skeleton", "size")

    def __init__(self, skeleton: Skeleton, leaves: list, places: list[int], parts: list[_Part]):
        self._skeleton, self._leaves, self._places, self._parts = skeleton, leaves, places, parts
        self.size = sum([part.size for part in parts])

    def __call__(self, vector: Any) -> Any:
        """The structure around the numbers of the vector. Raises ADSelectValueError when it has another length."""
        vector = absorb(vector)
        if not isinstance(vector, Array) and not is_native(vector):
            vector = np.asarray(vector)
        if tuple(vector.shape) != (self.size,):
            raise ADSelectValueError(
                f"unravel takes a vector of {self.size} numbers, not an array of shape {tuple(vector.shape)} "
                f"({user_line()})"
            )
        leaves, start = list(self._leaves), 0
        for i, part in zip(self._places, self._parts, strict=True):
            leaves[i] = part.taken_from(vector, start)
            start += part.size
        return self._skeleton.rebuild(leaves)[0]

    def __repr__(self) -> str:
        paths = ", ".join(self._skeleton.paths[i].replace("structure[0]", "", 1) or "x" for i in self._places[:8])
        return f"<unravel {self.size} numbers into {paths}{', …' if len(self._places) > 8 else ''}>"


def _joined(leaves: list) -> Any:
    """The numbers of leaves as one vector."""
    natives: Natives | None = next((natives_of(leaf) for leaf in leaves if is_native(leaf)), None)
    if natives is not None and not any(isinstance(leaf, Array) for leaf in leaves):
        first = next(leaf for leaf in leaves if is_native(leaf))
        return natives.joined([leaf if is_native(leaf) else natives.like(np.asarray(leaf), first) for leaf in leaves])
    if not leaves:
        return np.zeros(0)
    dtype = np.result_type(*[leaf_dtype(leaf) for leaf in leaves])
    parts = [np.reshape(leaf, (-1,)) for leaf in leaves]
    return np.concatenate([part if part.dtype == dtype else part.astype(dtype) for part in parts])
