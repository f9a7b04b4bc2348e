"""Linear systems and what belongs to them: solve, inv, det, slogdet, cholesky."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..face.array import Array
from ..face.atoms import dispatched
from .linalg import adjoint, conjugated, like_argument
from .registry import define, no_derivative


def _columns(x: Any, b: Any) -> Any:
    """x as columns, where the right-hand side b is a vector (and x perhaps a stack of them)."""
    return np.expand_dims(x, -1) if np.ndim(b) == 1 else x


def _solve_matrix(g: Any, y: Any, a: Any, b: Any) -> Any:
    return like_argument(-np.linalg.solve(adjoint(a), _columns(g, b)) @ adjoint(_columns(y, b)), a)


def _solve_tangent(d: Any, y: Any, a: Any, b: Any) -> Any:
    return np.reshape(-np.linalg.solve(a, d @ _columns(y, b)), np.shape(y))


def _solve_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    return like_argument(np.reshape(np.linalg.solve(adjoint(a), _columns(g, b)), np.shape(y)), b)


define(
    np.linalg.solve,
    (_solve_matrix, _solve_right),
    (_solve_tangent, lambda d, y, a, b: np.linalg.solve(a, d)),
)
define(
    np.linalg.inv,
    (lambda g, y, a: like_argument(-adjoint(y) @ g @ adjoint(y), a),),
    (lambda d, y, a: -y @ d @ y,),
)


def cofactors(a: Any) -> Any:
    """∂det(a)/∂a, exact also where a is singular: from the singular values, never from an inverse of a singular matrix.

    For values traced by an outer derivative the adjugate comes from the Faddeev–LeVerrier recurrence, a polynomial in
    the entries that can be differentiated again at a singular matrix too (used up to order 12).
    """
    n = np.shape(a)[-1]
    if isinstance(a, Array):
        det = np.linalg.det(a)
        if not np.any(nearly_singular(a)):
            return det[..., None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)
        if n > 12:
            raise UnsupportedError(
                f"the second derivative of det at a singular {n}×{n} matrix is not available ({user_line()}); it is up "
                "to order 12"
            )
        return np.swapaxes(_adjugate(a), -1, -2)
    known = np.all(np.isfinite(a), axis=(-2, -1))[..., None, None]
    u, s, vh = np.linalg.svd(np.where(known, a, 0.0))
    phase = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    others = np.ones_like(s)
    for i in range(n):
        others[..., i] = np.prod(np.delete(s, i, axis=-1), axis=-1)
    # det = det(u) ∏s det(vh); its derivative with respect to conj(a) direction uses conj(u), conj(vh).
    return np.where(known, phase * ((np.conj(u) * others[..., None, :]) @ np.conj(vh)), np.nan)


@dispatched
def nearly_singular(a: Any) -> Any:
    """Whether singular values vanish (without a derivative): a look at the values, which a replay repeats."""
    s = np.linalg.svd(a, compute_uv=False)
    return s[..., -1] <= 1e-10 * s[..., 0]


no_derivative(nearly_singular)


def _adjugate(a: Any) -> Any:
    n = np.shape(a)[-1]
    eye = np.eye(n)
    m, c = eye, 0.0
    for k in range(1, n + 1):
        if k > 1:
            m = a @ m + c * eye
        if k == n:
            break
        c = -np.trace(a @ m, axis1=-2, axis2=-1)[..., None, None] / k
    return m if n % 2 else -m


def _det_vjp(g: Any, y: Any, a: Any) -> Any:
    return like_argument(np.reshape(g, (*np.shape(g), 1, 1)) * conjugated(cofactors(a)), a)


def _det_jvp(d: Any, y: Any, a: Any) -> Any:
    return np.sum(cofactors(a) * d, axis=(-2, -1))


define(np.linalg.det, (_det_vjp,), (_det_jvp,))


def _inverse_transposed(a: Any) -> Any:
    """The derivative of log |det|: infinite where a is singular and the cofactor is not 0."""
    try:
        return np.swapaxes(np.linalg.inv(a), -1, -2)
    except np.linalg.LinAlgError:
        parts, det = cofactors(a), np.linalg.det(a)[..., None, None]
        with np.errstate(all="ignore"):
            return np.where(np.equal(parts, 0), 0.0, parts / np.where(np.equal(det, 0), 0.0, det))


def _slogdet_vjp(g: Any, y: Any, a: Any) -> Any:
    g_sign, g_log = g
    inverse = conjugated(_inverse_transposed(a))
    x_bar = np.reshape(np.real(g_log), (*np.shape(g_log), 1, 1)) * inverse
    if np.iscomplexobj(a):
        turn = np.imag(np.conj(y[0]) * g_sign)  # the sign turns on the unit circle
        x_bar = x_bar + 1j * np.reshape(turn, (*np.shape(turn), 1, 1)) * inverse
    return x_bar


def _slogdet_jvp(d: Any, y: Any, a: Any) -> Any:
    with np.errstate(invalid="ignore"):
        rate = np.sum(np.where(np.equal(d, 0), 0.0, _inverse_transposed(a) * d), axis=(-2, -1))
    sign_dot = y[0] * (1j * np.imag(rate)) if np.iscomplexobj(a) else np.zeros(np.shape(rate))
    return sign_dot, np.real(rate)


define(np.linalg.slogdet, (_slogdet_vjp,), (_slogdet_jvp,))


def _lower(x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    n = np.shape(x)[-1]
    return x * (np.tril(np.ones((n, n))) - 0.5 * np.eye(n))


def _cholesky_vjp(g: Any, y: Any, a: Any, *, upper: bool = False) -> Any:
    lower = adjoint(y) if upper else y
    g = adjoint(g) if upper else g
    inverse = np.linalg.inv(lower)
    phi = _lower(adjoint(lower) @ g)
    s = adjoint(inverse) @ phi @ inverse
    x_bar = 0.5 * (s + adjoint(s))
    return like_argument(x_bar, a)


def _cholesky_jvp(d: Any, y: Any, a: Any, *, upper: bool = False) -> Any:
    lower = adjoint(y) if upper else y
    d = 0.5 * (d + adjoint(d))
    inverse = np.linalg.inv(lower)
    y_dot = lower @ _lower(inverse @ d @ adjoint(inverse))
    return adjoint(y_dot) if upper else y_dot


define(np.linalg.cholesky, (_cholesky_vjp,), (_cholesky_jvp,))
