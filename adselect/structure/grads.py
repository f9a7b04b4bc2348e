"""Grads: gradients by parameter, and their algebra."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, KeysView
from typing import Any

import numpy as np

from ..errors import ADSelectTypeError, ADSelectValueError, user_line
from ..values.identity import IdDict, NoEntryError
from ..values.kinds import isa
from ..values.natives import natives_of
from .leaves import is_leaf
from .params import Params, array_in_words, pour, poured

__all__ = ["Grads"]


class Grads:
    """Gradients by parameter: ``g[W]`` is the gradient of the array W, found by identity.

    What ``gradient(f, Params([…]))`` and its relatives give. An entry has the shape, dtype and kind of its parameter;
    None where the result does not depend on it. Iterating gives the gradients, in the order of the parameters, so
    that they can be clipped in place; ``items()`` gives pairs.

    Algebra, entry by entry: ``g1 + g2``, ``g1 - g2``, ``g1 * g2``, ``g1 / g2`` with other Grads or an
    :class:`IdDict`, ``2 * g``, ``g / 2``, ``-g``, ``g += d``; None counts as zero and stays None where all are None or
    where zero times it stands. The results are new arrays; ``+=`` and its like give the same Grads new arrays.

    Raises KeyError for an array that is no parameter, ADSelectValueError where the parameters of two differ. Cost:
    that of NumPy's operations.

    >>> import numpy as np, adselect as ad
    >>> W, b = np.array([1.0, 2.0]), np.array([3.0])
    >>> g = ad.gradient(lambda: np.sum(W**2) * b[0], ad.Params([W, b]))
    >>> g[W], g[b], W in g
    (array([ 6., 12.]), array([5.]), True)
    >>> (g + 2 * g)[b], [np.sum(x) for x in g]
    (array([15.]), [np.float64(18.0), np.float64(5.0)])

    Source: Zygote.jl's ``Grads``.
    """

    __slots__ = ("_grads",)
    __array_ufunc__ = None  # np.float64(2) * g is g's to compute
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, pairs: Any = ()):
        self._grads = IdDict(pairs)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def params(self) -> Params:
        """The parameters, in order."""
        return Params(self._grads.keys())

    def __getitem__(self, parameter: Any) -> Any:
        try:
            return self._grads[parameter]
        except KeyError:
            raise NoEntryError(f"{self._unknown(parameter)} ({user_line()})") from None

    def __setitem__(self, parameter: Any, grad: Any) -> None:
        if parameter not in self._grads:
            raise NoEntryError(f"{self._unknown(parameter)} ({user_line()}); merge adds parameters")
        self._grads[parameter] = grad

    def _unknown(self, parameter: Any) -> str:
        held = ", ".join([array_in_words(p) for p in self.keys()]) or "none"
        what = array_in_words(parameter)
        if isa(parameter, (int, slice)):
            return f"Grads are asked for by parameter, g[W], not by place; list(g)[{parameter}] goes by place"
        like = [p for p in self.keys() if getattr(p, "shape", None) == getattr(parameter, "shape", ())]
        again = (
            " One of them has its shape: was it bound anew (W = W - …)? Write W -= …, which stays the same array."
            if like
            else ""
        )
        return f"this {what} is no parameter of these Grads (they go by identity), which are: {held}.{again}"

    def get(self, parameter: Any, default: Any = None) -> Any:
        """The gradient of a parameter; default for another array."""
        return self._grads.get(parameter, default)

    def __contains__(self, parameter: Any) -> bool:
        return parameter in self._grads

    def __len__(self) -> int:
        return len(self._grads)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._grads.values())

    def keys(self) -> KeysView:
        """The parameters, in order."""
        return self._grads.keys()

    def values(self) -> list:
        """The gradients, in the order of the parameters."""
        return self._grads.values()

    def items(self) -> list:
        """Pairs of parameter and gradient."""
        return self._grads.items()

    def __repr__(self) -> str:
        shown = [f"{array_in_words(p)}: {array_in_words(g)}" for p, g in self.items()]
        return f"Grads({{{', '.join(shown)}}})"

    # -- others from it --------------------------------------------------------------------------------------------

    def map(self, function: Callable, *others: Any) -> Grads:
        """Other Grads: function of each gradient, and of the entries of others at the same parameter.

        function gets None where there is no gradient only if others are given; alone, None stays None.

        >>> import numpy as np
        >>> w = np.zeros(2)
        >>> Grads([(w, np.array([5.0, -7.0]))]).map(lambda g: np.clip(g, -0.1, 0.1))[w]
        array([ 0.1, -0.1])
        """
        tables = [self._aligned(other, "map") for other in others]
        found = []
        for p, g in self.items():
            args = [g, *[table[p] for table in tables]]
            found.append((p, None if all(a is None for a in args) else function(*args)))
        return Grads(found)

    def copy(self) -> Grads:
        """The same parameters with copies of the gradients."""
        return Grads([(p, _copied(g)) for p, g in self.items()])

    def merge(self, *others: Any) -> Grads:
        """Take over the entries of others, parameters included (the last one counts); gives these Grads."""
        for other in others:
            if not isinstance(other, (Grads, IdDict)):
                raise ADSelectTypeError(f"Grads.merge takes Grads or an IdDict, not {type(other).__name__}")
            self._grads.update(other)
        return self

    # -- all numbers in one vector ---------------------------------------------------------------------------------

    def copy_to(self, flat: Any) -> Any:
        """Write all entries, row by row, in the order of the parameters, into a vector; zeros for None."""
        return pour([np.zeros(tuple(p.shape)) if g is None else g for p, g in self.items()], flat, "Grads.copy_to")

    def copy_from(self, flat: Any) -> Grads:
        """Write the entries of a vector into the gradients, in place; a None becomes an array. Gives these Grads."""
        targets = [_zeros_like(p) if g is None else g for p, g in self.items()]
        poured(flat, targets, "Grads.copy_from")
        for p, g in zip(list(self.keys()), targets, strict=True):
            self._grads[p] = g
        return self

    # -- algebra ---------------------------------------------------------------------------------------------------

    def _aligned(self, other: Any, what: str) -> Any:
        """other, a table of the same parameters; else an error that names those that differ."""
        if not isinstance(other, (Grads, IdDict)):
            raise ADSelectTypeError(
                f"Grads.{what} takes Grads or an IdDict of the same parameters, not {type(other).__name__}"
            )
        missing = [array_in_words(p) for p in self.keys() if p not in other]
        further = [array_in_words(p) for p, _ in other.items() if p not in self]
        if missing or further:
            parts = [f"the right has none for {', '.join(missing)}"] if missing else []
            parts += [f"the left has none for {', '.join(further)}"] if further else []
            raise ADSelectValueError(
                f"the two have gradients of different parameters ({user_line()}): {' and '.join(parts)}. "
                "g1.copy().merge(g2) puts them together"
            )
        return other

    def _combined(self, other: Any, function: Callable, swapped: bool = False) -> Any:
        name = function.__name__
        if isinstance(other, (Grads, IdDict)):
            table = self._aligned(other, f"__{name}__")
            pairs = [(p, g, table[p]) for p, g in self.items()]
        elif _is_number(other) and name in ("mul", "truediv"):
            pairs = [(p, g, other) for p, g in self.items()]
            if swapped and name == "truediv":
                return NotImplemented
        else:
            return NotImplemented
        return [(p, _of_two(function, b, a) if swapped else _of_two(function, a, b)) for p, a, b in pairs]

    def _new(self, other: Any, function: Callable, swapped: bool = False) -> Any:
        found = self._combined(other, function, swapped)
        return found if found is NotImplemented else Grads(found)

    def _in_place(self, other: Any, function: Callable) -> Any:
        found = self._combined(other, function)
        if found is NotImplemented:
            return found
        self._grads.update(found)
        return self

    def __add__(self, other: Any) -> Grads:
        return self._new(other, operator.add)

    def __radd__(self, other: Any) -> Grads:
        if isa(other, (int, float)) and other == 0:  # sum([g1, g2]) begins with 0
            return self.copy()
        return self._new(other, operator.add, True)

    def __sub__(self, other: Any) -> Grads:
        return self._new(other, operator.sub)

    def __rsub__(self, other: Any) -> Grads:
        return self._new(other, operator.sub, True)

    def __mul__(self, other: Any) -> Grads:
        return self._new(other, operator.mul)

    def __rmul__(self, other: Any) -> Grads:
        return self._new(other, operator.mul, True)

    def __truediv__(self, other: Any) -> Grads:
        return self._new(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> Grads:
        return self._new(other, operator.truediv, True)

    def __neg__(self) -> Grads:
        return Grads([(p, None if g is None else -g) for p, g in self.items()])

    def __pos__(self) -> Grads:
        return self.copy()

    def __iadd__(self, other: Any) -> Grads:
        return self._in_place(other, operator.add)

    def __isub__(self, other: Any) -> Grads:
        return self._in_place(other, operator.sub)

    def __imul__(self, other: Any) -> Grads:
        return self._in_place(other, operator.mul)

    def __itruediv__(self, other: Any) -> Grads:
        return self._in_place(other, operator.truediv)


def _is_number(value: Any) -> bool:
    return is_leaf(value) and tuple(getattr(value, "shape", ())) == ()


def _of_two(function: Callable, a: Any, b: Any) -> Any:
    """a ∘ b where None stands for zero; None where the result is one."""
    if a is None and b is None:
        return None
    if function is operator.add or function is operator.sub:
        if a is None:
            return _copied(b) if function is operator.add else -b
        return _copied(a) if b is None else function(a, b)
    if function is operator.mul:
        return None if a is None or b is None else a * b
    if b is None:
        raise ADSelectValueError(f"division by a gradient that is None, which counts as zero ({user_line()})")
    return None if a is None else a / b


def _copied(grad: Any) -> Any:
    """A copy that nothing else writes to; a framework's arrays that cannot be copied cannot be written to, either."""
    if grad is None:
        return None
    return grad.copy() if hasattr(grad, "copy") else grad.clone() if hasattr(grad, "clone") else grad


def _zeros_like(parameter: Any) -> Any:
    zeros = np.zeros(tuple(parameter.shape))
    natives = natives_of(parameter)
    if natives is not None:
        return natives.like(zeros, parameter)
    return zeros if parameter.dtype.kind in "iu" else zeros.astype(parameter.dtype)
