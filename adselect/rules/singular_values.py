"""Singular values: svd, svdvals, cond."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.atoms import dispatched, written_out
from ..values.kinds import isa
from .eigenvalues import check_vectors, cotangents
from .linalg import adjoint, like_argument
from .registry import composite, define, no_derivative
from .rule import somewhere, vanishing
from .undetermined import (
    CHOICE,
    SURPLUS,
    diagonal_of,
    inverse_gap,
    inverse_gaps,
    mixed,
    negligible,
    noise,
    phase_refusal,
    real_like,
    refuse_choice,
    refuse_second,
    repeated,
    skew,
    turn_of,
)


@dispatched
def singular(a: Any, full: bool) -> Any:
    """``np.linalg.svd(a, full_matrices=full)`` (the primitive)."""
    u, s, vh = np.linalg.svd(a, full)
    if CHOICE.turned and isa(s, np.ndarray):
        k = np.shape(s)[-1]
        thin = turn_of(s, u[..., :k], adjoint(vh)[..., :k])
        u = np.concatenate([thin[0], u[..., k:]], -1)
        vh = np.concatenate([adjoint(thin[1]), vh[..., k:, :]], -2)
    return u, s, vh


@written_out
def singular_sum(a: Any, g: Any, u: Any, s: Any, vh: Any) -> Any:
    """``Σ g[i] u[:, i] vh[i, :]``, as a function of a and g; u, s, vh are a's singular values and vectors."""
    return (u * np.expand_dims(g, -2)) @ vh


@written_out
def singular_diagonal(a: Any, d: Any, u: Any, s: Any, vh: Any) -> Any:
    """``real(diagonal(uᴴ d v))``, as a function of a and d: the derivative of a's singular values along d."""
    return np.real(diagonal_of(adjoint(u) @ d @ adjoint(vh)))


def _sums(s: Any) -> Any:
    return np.expand_dims(s, -2) + np.expand_dims(s, -1)


def _inverse(s: Any) -> Any:
    """1/s, 0 for a singular value that is 0."""
    return inverse_gap(s, noise(s))


def _inverse_sums(s: Any) -> Any:
    return inverse_gap(_sums(s), np.expand_dims(noise(s), -1))


def _parts(d: Any, u: Any, s: Any, vh: Any) -> tuple[Any, Any, Any, Any]:
    """d between the singular vectors (Hermitian and skew part) and beyond their range on the left and on the right.

    Refused where a second derivative would divide by 0.
    """
    p = adjoint(u) @ d @ adjoint(vh)
    even, odd = 0.5 * (p + adjoint(p)), 0.5 * skew(p)
    right = d @ adjoint(vh)
    left = adjoint(u) @ d
    below, beside = right - u @ p, left - p @ vh
    zero = s <= noise(s)
    lost = (
        np.where(repeated(s), even, 0.0),
        np.where(_sums(s) <= np.expand_dims(noise(s), -1), odd, 0.0),
        np.where(np.expand_dims(zero, -2), below, 0.0),
        np.where(np.expand_dims(zero, -1), beside, 0.0),
    )
    if not all(negligible(part, p) for part in lost):
        refuse_second("repeated or zero singular values")
    return even, odd, below, beside


def _singular_turn(d: Any, y: Any, a: Any, g: Any, u: Any, s: Any, vh: Any) -> Any:
    even, odd, below, beside = _parts(d, u, s, vh)
    column, row = np.expand_dims(g, -2), np.expand_dims(g, -1)
    core = (column - row) * inverse_gaps(s) * even + (column + row) * _inverse_sums(s) * odd
    ratio = g * _inverse(s)
    outside = (below * np.expand_dims(ratio, -2)) @ vh + u @ (np.expand_dims(ratio, -1) * beside)
    return u @ core @ vh + outside


def _singular_diagonal_turn(e: Any, y: Any, a: Any, d: Any, u: Any, s: Any, vh: Any) -> Any:
    even, odd, below, beside = _parts(e, u, s, vh)
    q = np.conj(adjoint(u) @ d @ adjoint(vh))
    gap, total = np.real(q * inverse_gaps(s) * even), np.real(q * _inverse_sums(s) * odd)
    core = np.sum(gap, axis=-2) - np.sum(gap, axis=-1) + np.sum(total, axis=-2) + np.sum(total, axis=-1)
    outside = np.real(
        np.sum(np.conj(d @ adjoint(vh)) * below, axis=-2) + np.sum(np.conj(adjoint(u) @ d) * beside, axis=-1)
    )
    return core + outside * _inverse(s)


# The derivative of singular_sum is its own transpose: it is the second derivative of Σ gᵢσᵢ.
define(
    singular_sum,
    (
        lambda g_bar, y, a, g, u, s, vh: real_like(_singular_turn(g_bar, y, a, g, u, s, vh), a),
        lambda g_bar, y, a, g, u, s, vh: singular_diagonal(a, g_bar, u, s, vh),
    ),
    (_singular_turn, lambda d, y, a, g, u, s, vh: singular_sum(a, d, u, s, vh)),
)
define(
    singular_diagonal,
    (
        lambda g, y, a, d, u, s, vh: real_like(_singular_turn(d, None, a, g, u, s, vh), a),
        lambda g, y, a, d, u, s, vh: real_like(singular_sum(a, g, u, s, vh), d),
    ),
    (_singular_diagonal_turn, lambda e, y, a, d, u, s, vh: singular_diagonal(a, e, u, s, vh)),
)


def _thin(u: Any, s: Any, vh: Any) -> tuple[Any, Any]:
    k = np.shape(s)[-1]
    return u[..., :k], vh[..., :k, :]


def without_complement(g: Any, q: Any, k: int, what: str) -> Any:
    """Cotangent of the first k columns of the orthonormal q, that of the others turned into theirs."""
    if np.shape(q)[-1] == k:
        return g
    first, rest, g_rest = q[..., :k], q[..., k:], g[..., k:]
    if not negligible(skew(adjoint(rest) @ g_rest), g):
        refuse_choice(what, SURPLUS)
    return g[..., :k] - rest @ (adjoint(g_rest) @ first)


def with_complement(q_dot: Any, q: Any, k: int) -> Any:
    """Tangent of all columns of the orthonormal q from that of its first k."""
    if np.shape(q)[-1] == k:
        return q_dot
    return np.concatenate([q_dot, -q[..., :k] @ (adjoint(q_dot) @ q[..., k:])], axis=-1)


def _singular_vjp(g: Any, y: Any, a: Any, full: bool) -> Any:
    ((g_u, g_s, g_vh), used), (u, s, vh) = cotangents(g, y), y
    k = np.shape(s)[-1]
    what = "the choice of singular vectors beyond the first min(m, n) (full_matrices=True)"
    g_u, g_v = without_complement(g_u, u, k, what), without_complement(adjoint(g_vh), adjoint(vh), k, what)
    u, vh = _thin(u, s, vh)
    x_bar = singular_sum(a, g_s, u, s, vh)
    if used[0] or used[2]:
        what = "singular vectors of a repeated singular value"
        check_vectors(s, g_s, g_u, what)
        check_vectors(s, g_s, g_v, what)
        x, z = adjoint(u) @ g_u, vh @ g_v
        below, beside = g_u - u @ x, adjoint(g_v - adjoint(vh) @ z)
        zero, size = s <= noise(s), np.abs(g_u).max(initial=0.0) + np.abs(g_v).max(initial=0.0)
        if not negligible(np.where(repeated(s), x + z, 0.0), size):
            refuse_choice("singular vectors of a repeated singular value")
        x, z = skew(x), skew(z)
        if np.iscomplexobj(x) and not negligible(diagonal_of(x + z), size):
            raise phase_refusal("singular vectors")
        lost = np.where(np.expand_dims(zero, -2), below, 0.0), np.where(np.expand_dims(zero, -1), beside, 0.0)
        if not all(negligible(part, size) for part in lost):
            refuse_choice("the singular vectors of a singular value that is 0")
        core = 0.5 * (inverse_gaps(s) * (x + z) + _inverse_sums(s) * (x - z))
        inverse = _inverse(s)
        outside = (below * np.expand_dims(inverse, -2)) @ vh + u @ (np.expand_dims(inverse, -1) * beside)
        x_bar = x_bar + u @ core @ vh + outside
    return like_argument(x_bar, a)


def _singular_jvp(d: Any, y: Any, a: Any, full: bool) -> Any:
    all_u, s, all_vh = y
    k = np.shape(s)[-1]
    u, vh = _thin(all_u, s, all_vh)
    p = adjoint(u) @ d @ adjoint(vh)
    even, odd = 0.5 * (p + adjoint(p)), 0.5 * skew(p)
    even, odd = inverse_gaps(s) * even + mixed(even, s), _inverse_sums(s) * odd
    inverse = np.expand_dims(_inverse(s), -2)
    right, left = d @ adjoint(vh), adjoint(d) @ u
    u_dot = u @ (even + odd) + (right - u @ (adjoint(u) @ right)) * inverse
    v_dot = adjoint(vh) @ (even - odd) + (left - adjoint(vh) @ (vh @ left)) * inverse
    u_dot, v_dot = with_complement(u_dot, all_u, k), with_complement(v_dot, adjoint(all_vh), k)
    return u_dot, singular_diagonal(a, d, u, s, vh), adjoint(v_dot)


define(singular, (_singular_vjp,), (_singular_jvp,), partial=True)
_SVDResult: Any = type(np.linalg.svd(np.eye(1)))


@composite(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not hermitian:
        return _SVDResult(*singular(a, bool(full_matrices))) if compute_uv else np.linalg.svdvals(a)
    w, v = np.linalg.eigh(a)
    order = np.argsort(np.abs(w), axis=-1)[..., ::-1]
    s = np.take_along_axis(np.abs(w), order, -1)
    if not compute_uv:
        return s
    sign = np.take_along_axis(np.sign(w), order, -1)
    u = np.take_along_axis(v, np.expand_dims(order, -2), -1)
    return _SVDResult(u, s, adjoint(u * np.expand_dims(sign, -2)))


composite(np.linalg.svdvals)(lambda x, /: singular(x, False)[1])


@composite(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Any:
    if p is None or p in (2, -2):
        s = np.linalg.svdvals(x)
        with np.errstate(all="ignore"):
            r = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        try:
            inverse = np.linalg.inv(x)
        except np.linalg.LinAlgError:
            lost = np.expand_dims(without_inverse(x), (-2, -1))
            inverse = np.where(lost, np.nan, np.linalg.inv(np.where(lost, np.eye(np.shape(x)[-1], dtype=x.dtype), x)))
        r = np.linalg.norm(x, p, (-2, -1)) * np.linalg.norm(inverse, p, (-2, -1))
    lost = np.isnan(r)
    if not somewhere(lost):
        return r
    lost = lost & ~np.any(np.isnan(x), axis=(-2, -1))
    return vanishing(r, lost, lost) + np.where(lost, r.dtype.type(np.inf), r.dtype.type(0))


@dispatched
def without_inverse(a: Any) -> Any:
    """Which matrices of a stack np.linalg.inv takes for singular."""
    a = np.asarray(a)
    lost = np.zeros(a.shape[:-2], bool)
    for place in np.ndindex(lost.shape):
        try:
            np.linalg.inv(a[place])
        except np.linalg.LinAlgError:
            lost[place] = True
    return lost


no_derivative(without_inverse)
