"""Duplicated: a model together with memory for its gradient."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError, user_line
from ..face.dispatch import is_traced
from ..values.kinds import isa
from ..values.natives import natives_of, to_numpy
from .flattening import flatten
from .leaves import Const, leaf_dtype
from .projection import project

__all__ = ["Duplicated"]

_SHOWN = 12  # arrays that the text of a Duplicated lists


class Duplicated:
    """``Duplicated(model)``: a model with memory for its gradient, that ``gradient`` and ``withgradient`` write into.

    ``gradient(loss, Duplicated(model), Const(x))`` differentiates with respect to the model only: the other arguments
    are constants, with or without ``Const``. The gradient is returned and stays in ``.grad``; both are the same arrays,
    which the next call sets to zero and fills again. With ``zero=False`` it adds to them. The gradient of an array that
    the loss does not depend on is zeros. ``.value`` is the model, ``.zero()`` sets the gradient to zero, ``.norm()`` is
    its Euclidean norm.

    Arrays of NumPy and torch are written to in place; numbers, and arrays of a framework whose arrays cannot be
    written, are replaced, so that ``.grad`` is another object after each call. One call at a time uses the memory.

    Raises ADSelectTypeError for a model without numbers; ADSelectValueError when the model has other arrays than it
    had, or the option ``out=`` is given. Cost: the memory of one gradient, and of another for ``zero=False``. On the
    tape a call then allocates nothing of the size of a factor of a matrix product or of an array that is indexed.

    >>> import numpy as np, adselect as ad
    >>> model = Duplicated({"W": np.array([[3.0]]), "b": np.zeros(1)})
    >>> ad.gradient(lambda m, x: np.sum((m["W"] @ x + m["b"]) ** 2), model, np.array([1.0]))
    ({'W': array([[6.]]), 'b': array([6.])}, None)
    >>> model
    Duplicated(
      dict
      ['W']: float64[1, 1]
      ['b']: float64[1]
      # norm(grad) = 8.485
    )  # 2 arrays, 2 parameters, 16 bytes

    Source: ``Duplicated`` of Julia's Enzyme and Flux.
    """

    _opaque = _whole = True  # an argument as a whole, not an object to look into

    def __init__(self, value: Any):
        if isinstance(value, (Const, Duplicated)):
            raise ADSelectTypeError(
                f"Duplicated goes around a model, not around {type(value).__name__} ({user_line()})"
            )
        leaves, skeleton = flatten((value,))
        if not leaves:
            raise ADSelectTypeError(
                f"Duplicated was given {type(value).__name__}, which holds no numbers that could be differentiated "
                f"({user_line()})"
            )
        self._take(value, leaves, skeleton.paths)

    def _take(self, value: Any, leaves: list, paths: list[str]) -> None:
        self.value = value
        self._paths, self._kinds = paths, [_kind(leaf) for leaf in leaves]
        self._buffers = [_zeros(leaf) for leaf in leaves]
        self._scratch: list | None = None  # what a call fills that adds to the gradient
        self._tree: Any = None
        self._lock = threading.RLock()

    # -- for users -----------------------------------------------------------------------------------------------------

    @property
    def grad(self) -> Any:
        """The gradient in the structure in which ``gradient`` returns it."""
        if self._tree is None:
            tree = flatten((self.value,))[1].result(self._buffers)[0]
            mine = flatten((tree,))[0]
            shared = len(mine) == len(self._buffers) and all([a is b for a, b in zip(mine, self._buffers, strict=True)])
            if not shared or not all(map(_is_writable, self._buffers)):
                return tree
            self._tree = tree
        return self._tree

    def zero(self) -> None:
        """Set the gradient to zero."""
        with self._lock:
            self._buffers = [_written(b, 0.0) for b in self._buffers]

    def norm(self) -> float:
        """The Euclidean norm of the gradient, over all its numbers."""
        squares = [np.vdot(a, a).real for a in [np.asarray(to_numpy(b)) for b in self._buffers]]
        return float(np.sqrt(np.sum(squares)))

    def __repr__(self) -> str:
        sizes = [(p, k[1], k[2]) for p, k in zip(self._paths, self._kinds, strict=True)]
        lines = [
            f"  {p.removeprefix('args[0]')}: {dtype or 'number'}[{', '.join(map(str, shape))}]"
            for p, shape, dtype in sizes[:_SHOWN]
            if p != "args[0]"
        ]
        if len(sizes) > _SHOWN:
            lines.append(f"  … and {len(sizes) - _SHOWN} more")
        count = sum([int(np.prod(shape)) for _, shape, _ in sizes])
        memory = sum([np.asarray(to_numpy(b)).nbytes for b in self._buffers])
        arrays = "1 array" if len(sizes) == 1 else f"{len(sizes)} arrays"
        total = f"{arrays}, {count:_} parameters, {_bytes(memory)}"
        head = f"  {type(self.value).__name__}"
        return "\n".join(["Duplicated(", head, *lines, f"  # norm(grad) = {self.norm():.4g}", f")  # {total}"])

    # -- for gradient --------------------------------------------------------------------------------------------------

    def leaves(self) -> list:
        """The numbers and arrays of the model as they are now; an error where they are other ones than there were."""
        leaves, skeleton = flatten((self.value,))
        kinds = [_kind(leaf) for leaf in leaves]
        if skeleton.paths != self._paths or kinds != self._kinds:
            then, now = dict(zip(self._paths, self._kinds, strict=True)), dict(zip(skeleton.paths, kinds, strict=True))
            path = next(p for p in [*then, *now] if then.get(p) != now.get(p))
            raise ADSelectValueError(
                f"{path.replace('args[0]', 'the model', 1)} is not what it was when Duplicated was made "
                f"({user_line()}): {_in_words(now.get(path))}, it was {_in_words(then.get(path))}. Make a new "
                "Duplicated(model)"
            )
        return leaves

    def targets(self, zero: bool) -> list:
        """Buffers of zeros for the cotangents of a call, that are the gradient or are added to it afterwards."""
        if zero:
            self.zero()
            return self._buffers
        self._scratch = [_written(b, 0.0) for b in self._spare()]
        return self._scratch

    def _spare(self) -> list:
        if self._scratch is None:
            self._scratch = [_zeros(leaf) for leaf in self.leaves()]
        return self._scratch

    def receive(self, grads: list, leaves: list, zero: bool) -> Any:
        """Take over the cotangents of a call, where they are not in the targets already; gives the gradient."""
        targets = self._buffers if zero else self._spare()
        for k, (grad, leaf) in enumerate(zip(grads, leaves, strict=True)):
            if grad is not targets[k]:
                targets[k] = _written(targets[k], 0.0 if grad is None else project(grad, leaf))
        if not zero:
            self._buffers = [_increased(b, more) for b, more in zip(self._buffers, targets, strict=True)]
        return self.grad

    # -- copies --------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"value": self.value, "grads": self._buffers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        leaves, skeleton = flatten((state["value"],))
        self._take(state["value"], leaves, skeleton.paths)
        self._buffers = [_written(b, g) for b, g in zip(self._buffers, state["grads"], strict=True)]

    def __copy__(self) -> Duplicated:
        new = object.__new__(Duplicated)
        new.__setstate__(self.__getstate__())
        return new

    def __deepcopy__(self, memo: dict) -> Duplicated:
        new = memo[id(self)] = object.__new__(Duplicated)
        new.__setstate__({"value": copy.deepcopy(self.value, memo), "grads": self._buffers})
        return new


def _kind(leaf: Any) -> tuple:
    dtype = leaf_dtype(leaf) if hasattr(leaf, "dtype") else None
    return type(leaf), tuple(getattr(leaf, "shape", ())), "" if dtype is None else str(leaf.dtype)


def _in_words(kind: tuple | None) -> str:
    if kind is None:
        return "it is not there"
    return f"{kind[0].__name__} of shape {kind[1]}{f' and dtype {kind[2]}' if kind[2] else ''}"


def _zeros(leaf: Any) -> Any:
    """The gradient zero of a leaf, in memory of its own."""
    if is_traced(leaf):
        raise ADSelectTypeError(
            f"Duplicated cannot hold what an outer derivative traces ({user_line()}); differentiate the model itself "
            "there, gradient(f, model)"
        )
    dtype = leaf_dtype(leaf)
    return project(np.zeros(tuple(getattr(leaf, "shape", ())), float if dtype is None else dtype), leaf)


def _is_writable(buffer: Any) -> bool:
    natives = natives_of(buffer)
    return type(buffer) is np.ndarray if natives is None else natives.is_writable(buffer)


def _written(buffer: Any, value: Any) -> Any:
    """The buffer with this value: itself, where it can be written to."""
    if is_traced(value):
        raise ADSelectTypeError(
            f"the gradient of a Duplicated is traced by an outer derivative and cannot be kept ({user_line()}); "
            "differentiate the model itself there, gradient(f, model)"
        )
    if type(buffer) is np.ndarray:
        buffer[...] = value
        return buffer
    natives = natives_of(buffer)
    if natives is not None and natives.is_writable(buffer):
        buffer[...] = value
        return buffer
    return buffer * 0 if isa(value, float) and value == 0 else value


def _increased(buffer: Any, more: Any) -> Any:
    """The sum of both: the buffer, where it can be written to."""
    if _is_writable(buffer):
        buffer += more
        return buffer
    return buffer + more


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
