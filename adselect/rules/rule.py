"""What a rule is: the derivative of one function, as products with a cotangent or tangent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from opcode import opmap
from typing import Any

import numpy as np

from ..errors import TracedValueError, UnsupportedError
from ..face.array import Array
from ..face.atoms import dispatched

__all__ = [
    "Elementwise",
    "Multilinear",
    "Rule",
    "Stubborn",
    "Uniform",
    "by_entries",
    "choose",
    "kink",
    "somewhere",
    "strong",
    "unbroadcast",
    "vanishing",
]


class Rule:
    """The derivative of one function, as one vjp and one jvp per differentiable positional argument.

    function: what the user calls; call: how the tape evaluates it on plain values (default: function itself);
    lazy: whether the vjps accept a cotangent that is only broadcastable to y's shape; singular: whether the
    derivative is infinite somewhere, so that forward mode must keep 0 · ∞ from becoming NaN; variadic: any number of
    differentiable arguments, ``vjps`` and ``jvps`` being one function each that takes the argument's number first;
    pointwise: whether the function broadcasts and the rule only multiplies tangents by functions of the arguments;
    by_shape: whether the vjps look at shapes and dtypes only, never at a value; keeps_zeros: whether a zero of a
    tangent's image is a place that the argument does not reach; partial: whether the vjps take None for the cotangent
    of a result that nothing depends on.
    """

    __slots__ = (
        *("by_shape", "call", "function", "jvps", "keeps_zeros", "lazy", "partial", "pointwise", "singular"),
        *("variadic", "vjps"),
    )

    def __init__(
        self,
        function: Any,
        vjps: Any,
        jvps: Any,
        call: Any = None,
        lazy: bool = False,
        singular: bool = False,
        variadic: bool = False,
        pointwise: bool = False,
        by_shape: bool = False,
        keeps_zeros: bool = False,
        partial: bool = False,
    ):
        self.function, self.vjps, self.jvps = function, vjps, jvps
        self.call = call or function
        self.lazy, self.singular, self.variadic, self.pointwise = lazy, singular, variadic, pointwise
        self.by_shape, self.keeps_zeros, self.partial = by_shape, keeps_zeros, partial

    def __repr__(self) -> str:
        return f"<rule of {getattr(self.function, '__name__', self.function)}>"

    def differentiable(self, i: int) -> bool:
        """Whether positional argument i has a derivative."""
        return self.variadic or (i < len(self.vjps) and self.vjps[i] is not None)

    def pull(self, i: int, g: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Cotangent of argument i from the cotangent g of the result."""
        if self.variadic:
            return self.vjps(i, g, y, *args, **kwargs)
        return self.vjps[i](g, y, *args, **kwargs)

    def push(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Tangent of the result due to the tangent x_dot of argument i."""
        if self.variadic:
            return self.jvps(i, x_dot, y, *args, **kwargs)
        return self.jvps[i](x_dot, y, *args, **kwargs)

    def push_linearly(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Like push, as an expression linear in x_dot, which a framework can transpose."""
        return self.push(i, x_dot, y, args, kwargs)


class Given(list):
    """Cotangents of several results, None for one that nothing depends on; 0 is then a cotangent like any other."""

    __slots__ = ()


# Instructions that read a variable; some of newer Pythons name two, of four bits each.
_LOADS = {number for name, number in opmap.items() if "LOAD_FAST" in name}
_LOADS_TWO = {number for name, number in opmap.items() if "LOAD_FAST" in name and name.count("FAST") == 2}


def arguments_read(form: Callable) -> frozenset[int]:
    """The numbers of the arguments that a function reads, on whichever way through it.

    >>> sorted(arguments_read(lambda g, y, x: g / x))
    [0, 2]
    """
    code: Any = form.__code__  # type: ignore[attr-defined]
    found: set[int] = set()
    for operation, i in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        if operation in _LOADS_TWO:
            found |= {i >> 4, i & 15}
        elif operation in _LOADS:
            found.add(i)
    names = code.co_varnames
    return frozenset(i for i in range(code.co_argcount) if i in found or names[i] in code.co_cellvars)


class Elementwise(Rule):
    """A broadcasting function with holomorphic partial derivatives: one product form per argument.

    ``unstretched`` is the same rule for calls in which no traced argument was broadcast (the other one is a Python
    number): the reverse pass need not compare shapes then. ``uniform`` is the same rule for float64 arrays of one
    shape: nothing need be looked at, and what the forms do not read (``needs_y``, ``needs_args``, which are found out
    from the forms) need not be kept. ``signs``: +1 or -1 per argument where the form is just ±g, so that the sum over
    broadcast axes may be taken first. ``into``: the same forms written into g's own memory, for a large cotangent that
    dies with this step.
    """

    __slots__ = ("broadcasts", "into", "needs_args", "needs_y", "signs", "uniform", "unstretched")

    def __init__(
        self,
        function: Any,
        forms: Any,
        call: Any = None,
        singular: bool = False,
        signs: tuple | None = None,
        into: tuple | None = None,
        uniform: tuple | None = None,
        keeps_zeros: bool = False,
        broadcasts: bool = True,
    ):
        super().__init__(
            function, forms, forms, call, lazy=True, singular=singular, pointwise=True, keeps_zeros=keeps_zeros
        )
        self.broadcasts = broadcasts and len(forms) > 1
        self.signs, self.into = signs, into
        self.unstretched = (
            Elementwise(function, forms, call, singular, signs, into, uniform, broadcasts=False)
            if self.broadcasts
            else self
        )
        self.uniform = Uniform(function, uniform or forms, into)
        read = frozenset().union(*[arguments_read(form) for form in uniform or forms if form is not None])
        self.needs_y, self.needs_args = 1 in read, bool(read - {0, 1})

    def pull(self, i: int, g: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        x = args[i]
        if _is_complex(g) or _is_complex(y):
            # The cotangent of a holomorphic function is g times the conjugate of the derivative.
            x_bar = np.conj(self.vjps[i](np.conj(g), y, *args, **kwargs))
            if not _is_complex(x):
                x_bar = np.real(x_bar)
        else:
            x_bar = self.vjps[i](g, y, *args, **kwargs)
        return self.reduce(x_bar, np.shape(y), x)

    def pull_strong(self, i: int, g: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Like pull, with 0 where the cotangent is 0 even if the derivative is infinite there."""
        form = self.vjps[i]
        with np.errstate(all="ignore"):
            if _is_complex(g) or _is_complex(y):
                x_bar = np.conj(form(np.conj(g), y, *args, **kwargs))
                if not _is_complex(args[i]):
                    x_bar = np.real(x_bar)
            else:
                x_bar = form(g, y, *args, **kwargs)
            x_bar = strong(form, x_bar, g, y, args)
            return self.reduce(x_bar, np.shape(y), args[i])

    @staticmethod
    def reduce(x_bar: Any, y_shape: tuple, x: Any) -> Any:
        """x_bar summed down to x's shape, where broadcasting made y larger."""
        return unbroadcast(x_bar, y_shape, np.shape(x))

    def push(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        y_dot = self.jvps[i](x_dot, y, *args, **kwargs)
        if type(y_dot) in (np.ndarray, np.float64):
            careful = not np.isfinite(np.add.reduce(y_dot, None))
        else:
            careful = self.singular and not (isinstance(y, Array) and y._by_reference)
        if careful:
            y_dot = strong(self.jvps[i], y_dot, x_dot, y, args)
        return y_dot if np.shape(y_dot) == np.shape(y) else np.broadcast_to(y_dot, np.shape(y))

    def push_linearly(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        # 0 · ∞ stays NaN here: what keeps it 0 looks at the tangent's value.
        y_dot = self.jvps[i](x_dot, y, *args, **kwargs)
        return y_dot if np.shape(y_dot) == np.shape(y) else np.broadcast_to(y_dot, np.shape(y))


class Uniform(Rule):
    """An elementwise rule on real float64 arrays of one shape, each of which may be a Python number instead.

    A record of it holds what the forms read; the rest of y and args may be None.
    """

    __slots__ = ("into",)

    def __init__(self, function: Any, forms: Any, into: tuple | None = None):
        super().__init__(function, forms, forms, lazy=True)
        self.into = into

    def pull_strong(self, i: int, g: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Like pull, with 0 where the cotangent is 0 even if the derivative is infinite there."""
        return strong(self.vjps[i], self.vjps[i](g, y, *args), g, y, args)


class AtIndex:
    """A cotangent that is zero but at an index: the reverse pass adds it where it belongs, without a dense array."""

    __slots__ = ("index", "value")

    def __init__(self, index: Any, value: Any):
        self.index, self.value = index, value


def without_zero_times_infinity(product: Any, factor: Any) -> Any:
    """product with 0 where it is not finite although the tangent or cotangent in it is 0.

    Only there: a factor that is 0 may have a derivative that is not, and with it the product.
    """
    dtype = getattr(product, "dtype", None)
    if (dtype is None and type(product) not in (float, complex)) or (dtype is not None and dtype.kind not in "fc"):
        return product  # exact numbers have no infinity
    lost = np.equal(factor, 0) & ~np.isfinite(product)
    return np.where(lost, 0.0, product) if somewhere(lost) else product


def choose(condition: Any, a: Any, b: Any) -> Any:
    """``np.where``, a number for numbers."""
    chosen = np.where(condition, a, b)
    return chosen[()] if type(chosen) is np.ndarray and not chosen.shape else chosen


def masked(g: Any, mask: Any) -> Any:
    """g where mask, elsewhere 0, whatever g is there."""
    if type(g) in (float, np.float64) and math.isfinite(g):
        return g * mask
    return choose(mask, g, 0.0)


def somewhere(mask: Any) -> bool:
    """Whether any entry of mask is true, or may be: under ``jax.jit`` and ``vmap`` there is no value to look at."""
    try:
        return bool(np.any(mask))
    except (UnsupportedError, TracedValueError):
        return True


def strong(form: Callable, product: Any, g: Any, y: Any, args: Sequence) -> Any:
    """The product ``form(g)`` of a cotangent and a slope with 0 where one of them is 0 and the other not finite.

    Such a 0 hides a derivative that nobody knows: an outer derivative finds NaN there, unless the zero is a constant.
    """
    lost = np.equal(g, 0) & ~np.isfinite(product)
    unknown = lost if isinstance(g, Array) else False
    infinite = np.isinf(g) & np.isnan(product)
    if somewhere(infinite):
        slope = form(1.0, y, *args)
        flat = infinite & np.equal(slope, 0)
        lost = lost | flat
        unknown = unknown | flat if isinstance(slope, Array) else unknown
    return vanishing(product, lost, unknown) if somewhere(lost) else product


@dispatched
def vanishing(value: Any, lost: Any, unknown: Any) -> Any:
    """value with 0 where lost (a primitive): its derivative is NaN where unknown, and else 0 where lost."""
    return choose(lost, 0.0, value)


class Stubborn(Elementwise):
    """Stands to its NaN: neither a cotangent nor a tangent of 0 makes a number of it."""

    __slots__ = ()

    def pull_strong(self, i: int, g: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        return self.pull(i, g, y, args, kwargs)

    def push(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        return self.push_linearly(i, x_dot, y, args, kwargs)


def vanishing_form(g: Any, y: Any, value: Any, lost: Any, unknown: Any) -> Any:
    # Linear in g, so that it can be transposed.
    return choose(np.logical_and(lost, np.logical_not(unknown)), 0.0, g) * choose(unknown, np.nan, 1.0)


@dispatched
def kink(slope: Any, at: Any, x: Any) -> Any:
    """The slope of a function of x with 0 where ``at``: the convention at a kink (a primitive).

    Beyond it there is no further derivative: that with respect to x is NaN there.
    """
    return choose(at, 0.0, slope)


def without_infinity_times_zero(form: Callable, product: Any, factor: Any, y: Any, args: Sequence) -> Any:
    """product with 0 where the factor is infinite and the derivative it is multiplied by is 0.

    The other half of a rule that holds in both modes: what is 0 on one side of a product stays 0.
    """
    if isinstance(product, Array) or isinstance(factor, Array) or not np.any(np.isinf(factor) & np.isnan(product)):
        return product
    with np.errstate(all="ignore"):
        derivative = form(1.0, y, *args)
    if isinstance(derivative, Array):
        return product
    return np.where(np.isinf(factor) & np.isnan(product) & np.equal(derivative, 0), 0.0, product)


class Linear(Rule):
    """Linear in the first argument, the others being parameters without a derivative."""

    __slots__ = ()

    def __init__(self, function: Any, vjp: Callable, call: Any = None, lazy: bool = False, keeps_zeros: bool = False):
        super().__init__(function, (vjp,), None, call, lazy, keeps_zeros=keeps_zeros)

    def push(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        return self.function(x_dot, *args[1:], **kwargs)


class Multilinear(Rule):
    """Linear in every argument: a product of matrices, whatever its cotangents and tangents are multiplied with."""

    __slots__ = ()

    def pull_strong(self, i: int, g: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Like pull on plain values, with 0 · ∞ = 0 in each product of entries."""
        return self._strongly(lambda g, args: self.pull(i, g, y, args, kwargs), i, g, args)

    def push_strong(self, i: int, x_dot: Any, y: Any, args: Sequence, kwargs: dict) -> Any:
        """Like push on plain values, with 0 · ∞ = 0 in each product of entries."""
        return self._strongly(lambda d, args: self.push(i, d, y, args, kwargs), i, x_dot, args)

    @staticmethod
    def _strongly(product: Callable, i: int, moving: Any, args: Sequence) -> Any:
        """The product from its finite terms, and from counts of the terms that are infinite and of either sign."""

        def of(change: Callable) -> Any:
            return product(change(moving), tuple([a if k == i else change(a) for k, a in enumerate(args)]))

        def there(a: Any) -> Any:
            return np.where(np.isnan(a), 0.0, np.not_equal(a, 0))

        def sign(a: Any) -> Any:
            return np.where(np.isnan(a), 0.0, np.sign(a))

        plain_product = product(moving, tuple(args))
        if np.iscomplexobj(plain_product) or not np.any(np.isnan(plain_product)):
            return plain_product
        total = of(lambda a: np.where(np.isfinite(a), a, 0.0))
        infinite = of(there) - of(lambda a: there(a) * np.isfinite(a))
        balance = of(sign) - of(lambda a: np.where(np.isfinite(a), sign(a), 0.0))
        undefined = of(lambda a: np.multiply(np.not_equal(a, 0), 1.0)) - of(there)
        # A cotangent or tangent that is NaN stays it.
        undefined = undefined + product(
            np.multiply(np.isnan(moving), 1.0),
            tuple([a if k == i else np.ones(np.shape(a)) for k, a in enumerate(args)]),
        )
        total = (
            total + np.where(infinite + balance > 0.5, np.inf, 0.0) - np.where(infinite - balance > 0.5, np.inf, 0.0)
        )
        return choose(undefined > 0.5, np.nan, total)


def by_entries(linear_map: Callable, moving: Any, size: int) -> Any:
    """``linear_map(moving)`` with the infinite entries of moving one at a time: where one does not reach it adds 0.

    None where that would take too long; size is that of the result.
    """
    infinite = np.isinf(moving)
    places = np.flatnonzero(infinite)
    if not len(places) or len(places) * max(size, np.size(moving)) > _MOST:
        return None
    moving = np.asarray(moving)
    total = linear_map(np.where(infinite, moving.dtype.type(0), moving)[()])
    for place in places:
        unit = np.zeros(moving.size, moving.dtype)
        unit[place] = 1.0
        row = linear_map(unit.reshape(moving.shape)[()])
        total = total + np.where(np.equal(row, 0), 0.0, row * moving.flat[place])
    return total


_MOST = 1 << 28  # entries computed with at most


def _is_complex(x: Any) -> bool:
    dtype = getattr(x, "dtype", None)
    return dtype.kind == "c" if dtype is not None else type(x) is complex


_ADD: Callable = np.add.reduce


def unbroadcast(g: Any, y_shape: tuple, x_shape: tuple) -> Any:
    """Sum g, broadcastable to y_shape, down to (something broadcastable to) x_shape.

    The result may stay smaller than x_shape: a lazy cotangent whose missing axes stand for equal entries.

    >>> unbroadcast(2.0, (3,), (3,))
    2.0
    >>> unbroadcast(2.0, (3,), ())
    6.0
    """
    if y_shape == x_shape:
        return g
    g_shape = np.shape(g)
    lead = len(y_shape) - len(x_shape)
    if g_shape == y_shape:
        if not x_shape:
            return _ADD(g, None)
        if y_shape[lead:] == x_shape:
            return _ADD(g, 0 if lead == 1 else tuple(range(lead)))
        if lead == 0:
            return _ADD(g, tuple([k for k, n in enumerate(x_shape) if n == 1 != y_shape[k]]), None, None, True)
    count, axes = 1, []
    pad = len(y_shape) - len(g_shape)
    for k, n in enumerate(y_shape):
        if n != 1 and (k < lead or x_shape[k - lead] == 1):
            if k < pad or g_shape[k - pad] == 1:
                count *= n  # g is constant along this axis: its sum is a multiple
            else:
                axes.append(k - pad)
    if axes:
        g = np.add.reduce(g, axis=tuple(axes), keepdims=True)
    if count != 1:
        g = g * count
    if len(g_shape) > len(x_shape):
        g = np.reshape(g, np.shape(g)[len(g_shape) - len(x_shape) :])
    return g
