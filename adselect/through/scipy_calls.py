"""Compiled functions of SciPy in lifted code, in NumPy functions that have rules.

Each reads what SciPy reads of its arguments: of a matrix that is said to be symmetric one triangle, so that the
gradient is that of the function as it is. Options that are not listed go to SciPy, which refuses traced values at the
user's line.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import special
from ..errors import UnsupportedError
from ..face.array import Array
from ..face.dispatch import is_traced
from ..values.kinds import isa
from .active import stacked
from .conversions import selected
from .named_calls import RULES, named

__all__: list[str] = []


def _instead(function: Callable) -> Callable:
    """What calls function where an argument is traced and it is a case that function knows, else the original."""
    signature = inspect.signature(function)

    def make(original: Callable) -> Callable:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not _is_traced([*args, *kwargs.values()]):
                return original(*args, **kwargs)
            try:
                given = signature.bind(*[_taken(a) for a in args], **{k: _taken(v) for k, v in kwargs.items()})
            except TypeError:  # an option that function does not know
                return original(*args, **kwargs)
            if given.arguments.get("check_finite", "check_finite" in signature.parameters):
                _check_finite(list(given.arguments.values()))
            result = function(*given.args, **given.kwargs)
            return original(*args, **kwargs) if result is NotImplemented else result

        return call

    return make


def _check_finite(values: list) -> None:
    """What SciPy's ``check_finite=True`` refuses, wherever the numbers can be looked at."""
    for value in values:
        if isinstance(value, tuple):
            _check_finite(list(value))
        elif isinstance(value, Array) or isa(value, np.ndarray):
            try:
                finite = bool(np.all(np.isfinite(value)))
            except UnsupportedError:  # compiled: there are no numbers yet
                continue
            if not finite:
                raise ValueError("array must not contain infs or NaNs")


def _is_traced(values: list) -> bool:
    return any(is_traced(v) or (isinstance(v, tuple) and _is_traced(list(v))) for v in values)


def _taken(value: Any) -> Any:
    """Lists of traced numbers as an array; of a factorisation, a tuple of unlike parts, each part."""
    if isinstance(value, tuple):
        return tuple([_taken(v) for v in value])
    return stacked(value)


for _name in special.__all__:
    RULES[f"scipy.special.{_name}"] = _instead(getattr(special, _name))


def _is_matrix(a: Any) -> bool:
    return np.ndim(a) == 2 and np.shape(a)[0] == np.shape(a)[1]


def _adjoint(a: Any) -> Any:
    return np.conj(np.transpose(a)) if np.iscomplexobj(a) else np.transpose(a)


def _from_triangle(a: Any, lower: bool, hermitian: bool = True) -> Any:
    """The symmetric matrix of which one triangle was read."""
    half = np.tril(a, -1) if lower else np.triu(a, 1)
    diagonal = np.diag(np.diag(a))
    return half + (_adjoint(half) if hermitian else np.transpose(half)) + diagonal


# -- equations ---------------------------------------------------------------------------------------------------------


@named("scipy.linalg.solve")
@_instead
def _solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: Any = None,
    transposed: bool = False,
) -> Any:
    if not _is_matrix(a) or np.ndim(b) not in (1, 2):
        return NotImplemented
    if assume_a in ("sym", "her", "pos", "symmetric", "hermitian", "positive definite"):
        a = _from_triangle(a, lower, hermitian=assume_a not in ("sym", "symmetric"))
    elif assume_a not in (None, "gen", "general"):
        return NotImplemented
    return np.linalg.solve(np.transpose(a) if transposed else a, b)


@named("scipy.linalg.solve_triangular")
@_instead
def _solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    if not _is_matrix(a) or np.ndim(b) not in (1, 2):
        return NotImplemented
    a = np.tril(a, -1 if unit_diagonal else 0) if lower else np.triu(a, 1 if unit_diagonal else 0)
    a = a + np.eye(np.shape(a)[0]) if unit_diagonal else a
    if trans in (1, "T"):
        a = np.transpose(a)
    elif trans in (2, "C"):
        a = _adjoint(a)
    return np.linalg.solve(a, b)


@named("scipy.linalg.inv")
@_instead
def _inv(
    a: Any, overwrite_a: bool = False, check_finite: bool = True, *, assume_a: Any = None, lower: bool = False
) -> Any:
    return np.linalg.inv(a) if assume_a in (None, "gen", "general") else NotImplemented


@named("scipy.linalg.det")
@_instead
def _det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    return np.linalg.det(a)


# -- factorisations ----------------------------------------------------------------------------------------------------


@named("scipy.linalg.cholesky")
@_instead
def _cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    if not _is_matrix(a):
        return NotImplemented
    factor = np.linalg.cholesky(_from_triangle(a, lower))
    return factor if lower else _adjoint(factor)


@named("scipy.linalg.cho_factor")
@_instead
def _cho_factor(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    if not _is_matrix(a):
        return NotImplemented
    factor = np.linalg.cholesky(_from_triangle(a, lower))
    factor = factor if lower else _adjoint(factor)
    if _leaves_other_triangles():
        factor = factor + (np.triu(a, 1) if lower else np.tril(a, -1))
    return factor, lower


@functools.cache
def _leaves_other_triangles() -> bool:
    """Whether this SciPy, as before 1.18, returns the triangle that it does not read as it was, or zeros there."""
    from scipy.linalg import cho_factor

    return cho_factor(np.array([[4.0, 1.0], [1.0, 4.0]]))[0][1, 0] != 0


@named("scipy.linalg.cho_solve")
@_instead
def _cho_solve(c_and_lower: tuple, b: Any, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    c, lower = c_and_lower
    if not _is_matrix(c) or np.ndim(b) not in (1, 2):
        return NotImplemented
    if lower:
        c = np.tril(c)
        return np.linalg.solve(_adjoint(c), np.linalg.solve(c, b))
    c = np.triu(c)
    return np.linalg.solve(c, np.linalg.solve(_adjoint(c), b))


@named("scipy.linalg.lu_factor")
@_instead
def _lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    if not _is_matrix(a) or not isinstance(a, Array):
        return NotImplemented
    n, pivots = a.shape[0], []
    lu = a.copy()
    for k in range(n):
        pivot = k + int(np.argmax(np.abs(lu[k:, k])))
        pivots.append(pivot)
        if pivot != k:
            order = np.arange(n)
            order[[k, pivot]] = pivot, k
            lu = lu[order]
        if k + 1 < n:
            below = lu[k + 1 :, k] / lu[k, k]
            lu[k + 1 :, k] = below
            lu[k + 1 :, k + 1 :] -= np.outer(below, lu[k, k + 1 :])
    return lu, np.array(pivots, dtype=np.int32)


@named("scipy.linalg.lu_solve")
@_instead
def _lu_solve(lu_and_piv: tuple, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True) -> Any:
    lu, pivots = lu_and_piv
    if not _is_matrix(lu) or np.ndim(b) not in (1, 2):
        return NotImplemented
    n = np.shape(lu)[0]
    lower, upper = np.tril(lu, -1) + np.eye(n), np.triu(lu)
    order = np.arange(n)
    for k, pivot in enumerate(pivots):
        order[[k, pivot]] = order[[pivot, k]]
    if trans == 0:
        return np.linalg.solve(upper, np.linalg.solve(lower, b[order]))
    turned = np.transpose if trans == 1 else _adjoint
    return np.linalg.solve(turned(lower), np.linalg.solve(turned(upper), b))[np.argsort(order)]


# -- functions of matrices ---------------------------------------------------------------------------------------------

# The coefficients of the Padé approximant of order 13, and the norm up to which it is exact to rounding.
_PADE = tuple([math.factorial(26 - k) * math.comb(13, k) / math.factorial(13) for k in range(14)])
_WITHIN = 5.371920351148152


@named("scipy.linalg.expm")
@_instead
def _expm(A: Any) -> Any:
    """Scaling and squaring, as SciPy's: N. J. Higham, SIAM J. Matrix Anal. Appl. 26 (2005) 1179."""
    if not _is_matrix(A):
        return NotImplemented
    norm = np.max(np.sum(np.abs(A), axis=0))
    halvings = max(0, selected(np.ceil(np.log2(norm / _WITHIN)))) if norm > _WITHIN else 0
    a = A / 2.0**halvings
    c = [p / _PADE[13] for p in _PADE]
    one, a2 = np.eye(np.shape(a)[0]), a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = a6 @ (c[13] * a6 + c[11] * a4 + c[9] * a2) + c[7] * a6 + c[5] * a4 + c[3] * a2 + c[1] * one
    even = a6 @ (c[12] * a6 + c[10] * a4 + c[8] * a2) + c[6] * a6 + c[4] * a4 + c[2] * a2 + c[0] * one
    odd = a @ odd
    result = np.linalg.solve(even - odd, even + odd)
    for _ in range(halvings):
        result = result @ result
    return result
