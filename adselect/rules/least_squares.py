"""QR, pseudo-inverse and least squares: qr, pinv, lstsq, tensorsolve, tensorinv."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import MissingRuleError, UnsupportedError, user_line
from ..face.array import Array
from ..face.atoms import dispatched, written_out
from ..values.kinds import isa
from .linalg import adjoint, like_argument
from .reductions import squared_modulus
from .registry import composite, define
from .singular_values import singular, singular_diagonal, singular_sum, with_complement, without_complement
from .undetermined import diagonal_of, noise

# -- qr ----------------------------------------------------------------------------------------------------------------


@dispatched
def orthonormal(a: Any, mode: Any) -> Any:
    """``np.linalg.qr(a, mode)`` of a matrix with at least as many rows as columns (the primitive)."""
    return tuple(np.linalg.qr(a, mode))


def _over(x: Any, r: Any) -> Any:
    """x r⁻¹, for the triangular r of a matrix of full column rank."""
    sizes = np.abs(diagonal_of(r))
    if np.any(sizes <= np.expand_dims(noise(sizes)[..., 0], -1)):
        raise UnsupportedError(
            f"qr of a matrix without full column rank has no derivative ({user_line()}): its r is singular"
        )
    try:
        return np.swapaxes(np.linalg.solve(np.swapaxes(r, -1, -2), np.swapaxes(x, -1, -2)), -1, -2)
    except np.linalg.LinAlgError:
        raise UnsupportedError(
            f"qr of a matrix without full column rank has no derivative ({user_line()}): its r is singular"
        ) from None


def _upper(w: Any) -> Any:
    """The upper triangular matrix with a real diagonal whose Hermitian part is that of w."""
    n = np.shape(w)[-1]
    return (w + adjoint(w)) * (np.triu(np.ones((n, n))) - 0.5 * np.eye(n))


def _upper_transposed(g: Any) -> Any:
    n = np.shape(g)[-1]
    strict = g * np.triu(np.ones((n, n)), 1)
    return strict + adjoint(strict) + np.real(g) * np.eye(n)


def _orthonormal_vjp(g: Any, y: Any, a: Any, mode: str) -> Any:
    (g_q, g_r), (q, r) = g, y
    n = np.shape(a)[-1]
    g_q = without_complement(g_q, q, n, "the choice of the columns of q beyond the rank (mode='complete')")
    q, r, g_r = q[..., :n], r[..., :n, :], g_r[..., :n, :]
    x_bar = g_q + q @ _upper_transposed(g_r @ adjoint(r) - adjoint(q) @ g_q)
    return like_argument(_over(x_bar, adjoint(r)), a)


def _orthonormal_jvp(d: Any, y: Any, a: Any, mode: str) -> Any:
    all_q, all_r = y
    m, n = np.shape(all_r)[-2], np.shape(a)[-1]
    q, r = all_q[..., :n], all_r[..., :n, :]
    x = _over(d, r)
    turn = _upper(adjoint(q) @ x)
    q_dot, r_dot = x - q @ turn, turn @ r
    if m > n:
        r_dot = np.concatenate([r_dot, np.zeros((*np.shape(r_dot)[:-2], m - n, n))], axis=-2)
    return with_complement(q_dot, all_q, n), r_dot


define(orthonormal, (_orthonormal_vjp,), (_orthonormal_jvp,))
_QRResult: Any = type(np.linalg.qr(np.eye(1)))


@composite(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise MissingRuleError(f"np.linalg.qr with mode={mode!r} has no derivative rule ({user_line()}); use 'reduced'")
    m, n = np.shape(a)[-2:]
    if m >= n:
        q, r = orthonormal(a, "complete" if mode == "complete" else "reduced")
    else:
        q, r = orthonormal(a[..., :m], "reduced")
        r = np.concatenate([r, adjoint(q) @ a[..., m:]], axis=-1)
    return r if mode == "r" else _QRResult(q, r)


# -- least squares -----------------------------------------------------------------------------------------------------


def _pinv_options(rcond: Any, hermitian: bool, rtol: Any) -> dict:
    options: dict = {"hermitian": hermitian}
    if rtol is not np._NoValue:
        options["rtol"] = rtol
    elif rcond is not None and rcond is not np._NoValue:
        options["rcond"] = rcond
    return options


def _pinv_vjp(g: Any, y: Any, a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    p, ph = y, adjoint(y)
    left, right = adjoint(g) - a @ (p @ adjoint(g)), adjoint(g) - (adjoint(g) @ p) @ a
    return like_argument(-ph @ g @ ph + left @ p @ ph + ph @ p @ right, a)


def _pinv_jvp(d: Any, y: Any, a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    p, ph, dh = y, adjoint(y), adjoint(d)
    return -p @ d @ p + p @ ph @ (dh - (dh @ a) @ p) + (dh - p @ (a @ dh)) @ ph @ p


# Of constant rank (Golub and Pereyra, 1973): directions that raise the rank have no derivative.
define(np.linalg.pinv, (_pinv_vjp,), (_pinv_jvp,))


@composite(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    a, b = a if isa(a, (Array, np.ndarray)) else np.asarray(a), b if isa(b, (Array, np.ndarray)) else np.asarray(b)
    dtype = np.result_type(*[v.dtype if v.dtype.kind in "fc" else np.float64 for v in (a, b)])
    a, b = [v if v.dtype == dtype else v.astype(dtype) for v in (a, b)]
    m, n = np.shape(a)
    x = least_squares(a, b, rcond)
    s = further_values(a)
    # What LAPACK takes for its own precision, where rcond is negative, is half of eps.
    cut = np.finfo(s.dtype).eps * (max(m, n) if rcond is None else 0.5) if rcond is None or rcond < 0 else rcond
    rank = np.int32(np.sum(s > cut * np.max(s, initial=0.0)))
    if rank == n and m > n:
        residuals = np.sum(squared_modulus(b - a @ x), axis=0)
        residuals = np.reshape(residuals, 1) if np.ndim(b) == 1 else residuals
    else:
        residuals = np.zeros(0, s.dtype)
    return x, residuals, rank, s


@written_out
def further_values(a: Any) -> Any:
    """The singular values as a rarely used result of lstsq: what cannot be had of them must not be in the way."""
    return np.linalg.svdvals(a)


def _further_values_vjp(g: Any, y: Any, a: Any) -> Any:
    u, s, vh = singular(a, False)
    return like_argument(singular_sum(a, g, u, s, vh), a)


def _further_values_jvp(d: Any, y: Any, a: Any) -> Any:
    u, s, vh = singular(a, False)
    try:
        return singular_diagonal(a, d, u, s, vh)
    except UnsupportedError:  # refused if it were asked for; forward mode carries tangents nobody asked for
        return np.full(np.shape(y), np.nan)


define(further_values, (_further_values_vjp,), (_further_values_jvp,))


@dispatched
def least_squares(a: Any, b: Any, rcond: Any) -> Any:
    """The first result of ``np.linalg.lstsq`` (the primitive)."""
    return np.linalg.lstsq(a, b, rcond)[0]


def _pinv_of(a: Any, rcond: Any) -> Any:
    if rcond is None or rcond < 0:
        eps = np.finfo(a.dtype).eps
        return np.linalg.pinv(a, rcond=eps * max(np.shape(a)) if rcond is None else 0.5 * eps)
    return np.linalg.pinv(a, rcond=rcond)


def _columns(x: Any) -> Any:
    return np.expand_dims(x, -1) if np.ndim(x) == 1 else x


def _least_squares_matrix(g: Any, y: Any, a: Any, b: Any, rcond: Any) -> Any:
    p = _pinv_of(a, rcond)
    g, x, b = _columns(g), _columns(y), _columns(b)
    down = adjoint(p) @ g
    x_bar = (
        -down @ adjoint(x) + (b - a @ x) @ (adjoint(down) @ adjoint(p)) + (adjoint(p) @ x) @ adjoint(g - p @ (a @ g))
    )
    return like_argument(x_bar, a)


def _least_squares_matrix_tangent(d: Any, y: Any, a: Any, b: Any, rcond: Any) -> Any:
    p = _pinv_of(a, rcond)
    x = _columns(y)
    up = adjoint(d) @ (adjoint(p) @ x)
    x_dot = -p @ (d @ x) + p @ (adjoint(p) @ (adjoint(d) @ (_columns(b) - a @ x))) + up - p @ (a @ up)
    return np.reshape(x_dot, np.shape(y))


define(
    least_squares,
    (_least_squares_matrix, lambda g, y, a, b, rcond: like_argument(adjoint(_pinv_of(a, rcond)) @ g, b)),
    (_least_squares_matrix_tangent, lambda d, y, a, b, rcond: _pinv_of(a, rcond) @ d),
)


@composite(np.linalg.tensorsolve)
def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    if axes is not None:
        order = [i for i in range(np.ndim(a)) if i not in [k % np.ndim(a) for k in axes]]
        a = np.transpose(a, order + [k % np.ndim(a) for k in axes])
    shape = np.shape(a)[np.ndim(b) :]
    n = int(np.prod(shape))
    return np.reshape(np.linalg.solve(np.reshape(a, (np.size(b), n)), np.reshape(b, -1)), shape)


@composite(np.linalg.tensorinv)
def _tensorinv(a: Any, ind: int = 2) -> Any:
    shape = np.shape(a)
    n = int(np.prod(shape[ind:]))
    return np.reshape(np.linalg.inv(np.reshape(a, (n, -1))), shape[ind:] + shape[:ind])
