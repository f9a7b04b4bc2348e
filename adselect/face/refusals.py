"""The refusals of traced values: what would have cut the derivative, where, and what to write instead.

Every suggestion works for plain values as well as for traced ones, for numbers as well as for arrays.
"""

from __future__ import annotations

import re

import numpy as np

from ..errors import REFUSALS, TracedValueError
from ..places import Place, place_of, user_place
from ..values.kinds import TracedValue
from .foreign import refused_class

__all__ = [
    "FILL",
    "LIFT",
    "LISTS",
    "refused_array",
    "refused_by_library",
    "refused_by_python",
    "refused_memory",
    "refused_number",
    "refused_write",
]

# x stands for any value the entries are computed from.
FILL = (
    "Collect the entries in a list and write np.stack(entries), or fill an array that is traced from the beginning: "
    "np.zeros_like(x), or np.zeros_like(x, shape=(n, m), dtype=float), where x is what the entries are computed from"
)
# The other way out, taken out again where f is lifted already.
LIFT = " Or leave the code as it is and differentiate adselect.lift(f)."
LISTS = "np.stack([a, b]) for a vector, np.block([[a, b], [c, d]]) for a matrix of numbers"
_WITHOUT = "where the number is wanted without its derivative, {}(adselect.ignore_derivatives(x))"

# Functions of Python's and SciPy's that take plain numbers only, and what does the same on traced ones.
_MATH = {
    "fsum": "np.sum",
    "pow": "np.power",
    "dist": "np.linalg.norm(p - q)",
    "erf": "scipy.special.erf",
    "erfc": "scipy.special.erfc",
    "gamma": "scipy.special.gamma",
    "lgamma": "scipy.special.gammaln",
    "asin": "np.arcsin",
    "acos": "np.arccos",
    "atan": "np.arctan",
    "atan2": "np.arctan2",
    "asinh": "np.arcsinh",
    "acosh": "np.arccosh",
    "atanh": "np.arctanh",
    "phase": "np.angle",
    "sumprod": "np.dot",
}
_SAME_IN_NUMPY = frozenset(
    {
        *("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
        *("sqrt", "cbrt", "floor", "ceil", "trunc", "hypot", "degrees", "radians", "copysign", "fmod", "prod"),
        *("isfinite", "isinf", "isnan", "isclose"),
    }
)
# What to write instead of a call of a library whose containers hold traced arrays.
_GUESTS = {
    "pandas": "Take the numbers out, df['a'].to_numpy() or df.to_numpy(), and write it with NumPy functions. "
    "Arithmetic, reductions and indexing of a Series or DataFrame that f has as an argument can be followed, and so "
    "can what is made of it: s * x, df.assign(b=x).",
    "xarray": "Write a.data instead of a.values, a.to_numpy(), a.item() or float(a); xarray's arithmetic, reductions "
    "and indexing can be followed, what it hands to pandas or SciPy (interp, to_pandas, …) cannot: write that with "
    "NumPy functions on a.data. Into a plain container no traced value can be written: make a new one, "
    "xr.where(mask, x, a), a.copy(data=x).",
}
_LINALG = ("solve", "inv", "det", "norm", "svd", "svdvals", "eigh", "eigvalsh", "cholesky", "qr", "lstsq", "pinv")
_FFT = ("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "fftn", "ifftn")
_EQUIVALENTS = {
    **{f"scipy.linalg.{name}": f"np.linalg.{name}" for name in _LINALG},
    **{f"scipy.fft.{name}": f"np.fft.{name}" for name in _FFT},
    "scipy.integrate.trapezoid": "np.trapezoid",
    "scipy.signal.convolve": "np.convolve",
    "scipy.spatial.distance.euclidean": "np.linalg.norm(u - v)",
    "statistics.mean": "np.mean",
    "statistics.fmean": "np.mean",
    "statistics.pstdev": "np.std",
    "statistics.pvariance": "np.var",
    "statistics.median": "np.median",
}


def refused_number(kind: str, shape: tuple) -> TracedValueError:
    """The error for ``float(x)``, ``int(x)`` or ``complex(x)`` of a traced value."""
    place = user_place()
    if place is None:
        return TracedValueError(f"{kind}() of a traced value of shape {shape} would cut the derivative silently")
    if place.library and not place.library.startswith("numpy."):
        return _by_library(place, f"{kind}(x) of a traced value of shape {shape}")
    written = _written(place)
    if written:
        return refused_write(written, place)
    if place.library:
        return TracedValueError(
            f"{_numpy(place)} asked for {kind}(x) of a traced value at {place}{_shown(place)}, which would cut "
            f"the derivative silently: it does so for lists and object arrays of traced numbers. Give it an array: "
            f"{LISTS}.{LIFT}"
        )
    return TracedValueError(
        f"{kind}() of a traced value of shape {shape} at {place}{_shown(place)} would cut the derivative silently. "
        f"{_instead_of_number(kind, place)}{LIFT}"
    )


class RefusedAttributeError(TracedValueError, AttributeError):
    """The memory behind a traced value, or the digits of its number: for hasattr absent, else a refusal."""


def refused_memory(name: str, shape: tuple) -> RefusedAttributeError:
    """The error for ``x.tobytes``, ``x.data`` and whatever else is the memory behind a traced value."""
    place, what = user_place(), f"x.{name} of a traced value of shape {shape}"
    if place is not None and place.library:
        return RefusedAttributeError(*_by_library(place, what).args)
    return RefusedAttributeError(
        f"{what} was asked for at {place or '<unknown line>'}: it would cut the derivative, or change memory that "
        "other values are computed from. Compute with the array as it is; where the plain numbers are wanted, "
        f"adselect.ignore_derivatives(x).{name}."
    )


def refused_length(name: str) -> TracedValueError:
    """The error for a window whose number of points is a traced number."""
    place = user_place()
    where = f" at {place}{_shown(place)}" if place else ""
    return TracedValueError(
        f"np.{name}{where} was given a traced number of points, which has no derivative. Write int(M) of a plain "
        "number, pass M through adselect.Const, or take adselect.ignore_derivatives(M)."
    )


def refused_array(shape: tuple) -> TracedValueError:
    """The error for ``np.asarray(x)`` and whatever else turns a traced array into a plain one."""
    place = user_place()
    what = f"a traced array of shape {shape}"
    if place is None:
        return TracedValueError(f"np.asarray or np.array was called on {what}, which would cut the derivative")
    if place.library and not place.library.startswith("numpy."):
        return _by_library(place, f"np.asarray(x) of {what}")
    if place.library.startswith("numpy.ma.") or place.library.startswith("numpy.rec."):
        return refused_class(np.ma.MaskedArray if ".ma." in place.library else np.recarray)  # type: ignore[return-value]
    written = _written(place)
    if written:
        return refused_write(written, place)
    if place.library:
        return TracedValueError(
            f"{_numpy(place)} asked for np.asarray(x) of {what} at {place}{_shown(place)}, which would cut the "
            f"derivative silently. {_instead_of_list(place)}"
        )
    return TracedValueError(
        f"np.asarray or np.array was called on {what} at {place}{_shown(place)}; the result would be cut off from the "
        "derivative. A traced array is already an array: drop the call, write np.copy(x) where a copy is wanted, and "
        f"np.stack([a, b]) for a list of arrays.{LIFT}"
    )


def refused_write(what: str, place: Place | None = None) -> TracedValueError:
    """The error for a traced value on its way into plain memory; what: the call or the array written to."""
    place = place or user_place()
    if place is not None and re.match(_IN_PLACE, place.operation) and _is_augmented(place):
        what, advice = f"{place.expression or 'y += x'}", "Write y = y + x instead of y += x"
    else:
        advice = "Write y = y + x instead of np.add(y, x, out=y)" if "out=" in what else ""
    return TracedValueError(
        f"{what} would write a traced value into a plain ndarray at {place or '<unknown line>'}, which would cut the "
        f"derivative. {advice + '; otherwise c' + FILL[1:] if advice else FILL}.{LIFT}"
    )


def refused_by_library(error: Exception) -> TracedValueError | None:
    """The error to raise instead of a library's that names a traced value's class; None where it does not."""
    text = str(error)
    place = place_of(error) if _names_ours(text) or re.search(_COMPILED, text) else None
    if place is not None and not _names_ours(text) and place.library.partition(".")[0] not in _GUESTS:
        return None
    if place is None or not place.library or place.library.startswith("numpy."):
        return None
    refusal = _by_library(place, f"the plain number behind a traced value ({text})")
    refusal.__cause__ = error
    return refusal


def refused_by_python(error: Exception) -> TracedValueError | None:
    """The error to raise instead of one of Python's own about an array without memory or a number without digits."""
    text = str(error)
    place = place_of(error) if _names_ours(text) and re.search(_OF_BUILTINS, text) else None
    if place is None:
        return None
    refusal = TracedValueError(
        f"the plain numbers behind a traced value were asked for at {place}{_shown(place)} ({text}); the result would "
        "be cut off from the derivative. Compute with the array as it is; where the plain numbers are wanted, write "
        "adselect.ignore_derivatives(x)."
    )
    refusal.__cause__ = error
    return refusal


def _names_ours(text: str) -> bool:
    """Whether a text names one of the classes of traced values."""
    found, pending = set(), [TracedValue]
    while pending:
        pending += (below := type.__subclasses__(pending.pop()))
        found |= {cls.__name__ for cls in below}
    return any(name in found for name in re.findall(r"\b\w+Array\b", text))


# -- parts -------------------------------------------------------------------------------------------------------------

_IN_PLACE = "BINARY_OP|INPLACE_"
# What Cython says of an argument that is no plain array.
_COMPILED = (
    r"ambiguous argument types|No matching signature|has incorrect type \(expected numpy|Buffer dtype mismatch|"
    r"must be called with a collection of some kind|a bytes-like object is required|"
    r"does not have the buffer interface|Cannot convert \w+ to numpy"
)
_OF_BUILTINS = r"a bytes-like object is required|conversion from \w+ to Decimal|cannot convert '\w+' object to bytes"
_WRITES = r"\.(fill|put|itemset)\s*\("
_CALL = r"([A-Za-z_][\w.]*)\s*\("


def _is_augmented(place: Place) -> bool:
    return "=" in place.expression and "==" not in place.expression


def _shown(place: Place) -> str:
    return f" ({place.expression})" if place.expression else ""


def _numpy(place: Place) -> str:
    """The NumPy function that the user's line had called."""
    name = place.library.rpartition(".")[2]
    if name.startswith("_"):  # np.mgrid[…], or a wrapper
        return place.expression.partition("[" if name == "__getitem__" else "(")[0] or "NumPy"
    return place.library.replace("numpy.", "np.", 1) if "._" not in place.library else f"np.{name}"


def _instead_of_list(place: Place) -> str:
    if place.library.startswith("numpy.vectorize"):
        return "Call g on the whole array, or write np.stack([g(v) for v in np.ravel(x)])."
    if "grid[" in place.expression:
        return 'Write np.meshgrid(np.linspace(a, b, n), np.linspace(c, d, m), indexing="ij").'
    if place.library.startswith("numpy.testing"):
        return "Where only the numbers are looked at, hand it adselect.ignore_derivatives(x)."
    return (
        "For a list of arrays write np.stack([a, b]); a function that makes plain arrays of its arguments cannot be "
        "followed: write it with NumPy functions that have a rule (np.polyval for Polynomial, np.stack for np.array)."
    )


def _called(place: Place) -> str:
    """The name of the function that the user's line calls."""
    found = re.match(_CALL, place.expression)
    return found[1] if found and place.operation.startswith(("CALL", "PRECALL")) else ""


def _written(place: Place) -> str:
    """The write into a plain array that the user's line was about to do; "" where it was doing something else."""
    if place.operation.startswith("STORE_S"):  # STORE_SUBSCR, STORE_SLICE
        return f"{place.expression or 'A[i]'} = x"
    return place.expression if place.operation.startswith("CALL") and re.search(_WRITES, place.expression) else ""


def _by_library(place: Place, what: str) -> TracedValueError:
    package = place.library.partition(".")[0]
    if package in _GUESTS:
        refusal = TracedValueError(
            f"{place.library}, called at {place}{_shown(place)}, asked for {what}; the result would be cut off from "
            f"the derivative. {_GUESTS[package]}"
        )
        REFUSALS.library = place.library
        return refusal
    if place.library.startswith("scipy.sparse.") and ".linalg." not in place.library:
        refusal = TracedValueError(
            f"{place.library}, called at {place}{_shown(place)}, asked for {what}; SciPy's compiled code cannot follow "
            "a derivative. Write x @ A.T for A @ x, which can be followed (X.T @ A.T, transposed, for a matrix X), or "
            "A.toarray() in its place."
        )
        REFUSALS.library = place.library
        return refusal
    instead = _EQUIVALENTS.get(place.library)
    advice = f"Write {instead}, which can be followed" if instead else "Write it with NumPy functions"
    refusal = TracedValueError(
        f"{place.library}, called at {place}{_shown(place)}, asked for {what}; the result would be cut off from the "
        f"derivative. {advice}; or put the call into a function g of the values it depends on and give that a "
        "derivative: g = adselect.primitive(g, host=True), and a rule with adselect.define_rrule(g). Where only the "
        "numbers are wanted (a picture, a log), hand it adselect.ignore_derivatives(x). What is pure Python can be "
        "followed as it is: differentiate adselect.lift(f)."
    )
    REFUSALS.library = place.library
    return refusal


def _instead_of_number(kind: str, place: Place) -> str:
    module, _, name = _called(place).rpartition(".")
    if module in ("math", "cmath") or name in _MATH:
        instead = _MATH.get(name) or (f"np.{name}" if name in _SAME_IN_NUMPY else "")
        if instead:
            return f"Write {instead} instead of {place.expression.partition('(')[0]}."
    if name in ("array", "asarray", "full"):
        return f"Write {LISTS}."
    if name in ("arange", "linspace"):
        return "Write start + step * np.arange(n)."
    wanted = _WITHOUT.format(kind)
    if name == kind or name.startswith(kind):
        return f"Drop the call; {wanted}."
    return (
        f"It is called by {kind}(x), by math.* functions, and when a traced value is written into a plain ndarray. "
        f"Write np.sin(x) instead of math.sin(x) and drop {kind}(x); instead of filling np.zeros(n) write np.stack([…])"
        f" or fill np.zeros_like(x, shape=n, dtype=float); {wanted}."
    )
