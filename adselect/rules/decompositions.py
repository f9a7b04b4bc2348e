"""Decompositions of numpy.linalg: eigh, eig, svd, qr, and what is made of them: pinv, lstsq, cond, tensorsolve.

Eigenvectors and singular vectors are determined up to a factor of modulus 1; their derivative is the one that turns
none of them into itself, for results that do not depend on the factor. Where a value is repeated they are determined up
to a rotation only, and how a disturbance splits the value decides where they go: they have no derivative if the result
mixes them. Reverse mode refuses both (it sees what the result depends on), forward mode gives NaN for mixed vectors.
The gradients of eigenvalues and singular values have no such trouble and are finite everywhere.

Differentiating *again* at repeated values divides by their distance. Where that distance matters, the second
derivative is refused rather than given without the missing terms. Values therefore get rules of their own, in which the
vectors are constants: ``spectral_sum`` and ``singular_sum`` are the gradients of Σ gᵢλᵢ and Σ gᵢσᵢ as functions of the
matrix, ``spectral_diagonal`` and ``singular_diagonal`` the derivatives of the values.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import MissingRuleError, UnsupportedError, user_line
from ..face.array import Array
from ..face.atoms import dispatched, written_out
from ..values.kinds import isa
from .linalg import _h, _like
from .reductions import squared_modulus
from .registry import RULES, Given, composite, define, elementwise, no_derivative, somewhere, vanishing

__all__ = [
    "CHOICE",
    "SINGULAR",
    "ChoiceError",
    "choosing",
    "in_blocks",
    "noise",
    "phase_refusal",
    "refusal",
    "repeated",
]


@dispatched
def noise(values: Any) -> Any:
    """The distance below which computed values count as equal, per matrix of a stack."""
    size = np.abs(values)
    n = np.shape(values)[-1]
    return 4 * max(n, 1) * np.finfo(values.dtype).eps * np.max(size, axis=-1, keepdims=True, initial=0.0)


def _negligible(part: Any, whole: Any) -> bool:
    """Whether part is rounding noise of whole."""
    return not np.any(np.abs(part) > np.sqrt(np.finfo(whole.dtype).eps) * np.max(np.abs(whole), initial=1e-300))


class ChoiceError(UnsupportedError):
    """The result depends, or may depend, on what a decomposition is free to choose."""


class _Choice(threading.local):
    """How decompositions choose the vectors of a repeated value, on this thread."""

    trusting = False  # whether the cotangents' word is taken for it that the result does not depend on the choice
    turned = False  # whether another choice than LAPACK's is made
    met: str = ""  # where tangents of such vectors were given up: a line of the user's


CHOICE = _Choice()


@contextmanager
def choosing(turned: bool) -> Iterator[None]:
    """Within, vectors of repeated values are differentiated as if the result did not depend on their choice."""
    before = CHOICE.trusting, CHOICE.turned
    CHOICE.trusting, CHOICE.turned = True, turned
    try:
        yield
    finally:
        CHOICE.trusting, CHOICE.turned = before


_REPEATED = "the values alone, the vectors of values that stand alone, 1 minus the projector v vᴴ onto those"
_PHASE = "|v|², a projector v vᴴ"
_SURPLUS = "the projector onto all of them, which is 1 minus that onto the first"
SINGULAR = "vectors of a repeated value or of a matrix without full rank"


def refusal(what: str, where: str = "", instead: str = _REPEATED) -> ChoiceError:
    """The error for a derivative that the decomposition does not determine."""
    return ChoiceError(
        f"the result depends on {what}, which the decomposition does not determine: it has no derivative "
        f"({where or user_line()}). Use something that does not depend on that choice ({instead}), "
        "or write the function without the decomposition"
    )


def phase_refusal(what: str = "vectors") -> ChoiceError:
    """The error for a result that depends on the phase of complex vectors."""
    return refusal(f"the phase of complex {what}", instead=_PHASE)


def in_blocks(w: Any) -> Any:
    """Whether each value is one of several equal ones."""
    return np.any(repeated(w), axis=-1)


def _turn(w: np.ndarray, *vectors: np.ndarray) -> list[np.ndarray]:
    """The columns of the vectors that belong to a repeated value, turned into others just as good."""
    equal = repeated(w) | np.eye(np.shape(w)[-1], dtype=bool)
    results = [np.array(v) for v in vectors]
    rng = np.random.default_rng(7)
    for place in np.ndindex(np.shape(w)[:-1]):
        left = set(range(np.shape(w)[-1]))
        while left:
            block = sorted(set(np.flatnonzero(equal[place][min(left)])) & left)
            left -= set(block)
            if len(block) > 1:
                x = rng.standard_normal((len(block), len(block)))
                q = np.linalg.qr(x + 1j * rng.standard_normal(x.shape) if np.iscomplexobj(vectors[0]) else x)[0]
                for v in results:
                    turned = v[place][:, block] @ q
                    v[place][:, block] = turned / np.linalg.norm(turned, axis=0)
    return results


def _refuse_choice(what: str, instead: str = _REPEATED) -> None:
    raise refusal(what, instead=instead)


def _refuse_second(what: str) -> None:
    raise UnsupportedError(
        f"the second derivative of a decomposition at {what} is not available ({user_line()}): it needs the distance "
        "between the values, which is 0. Write the function without the decomposition (np.sum(np.abs(A)**2), "
        "np.trace(A @ A), np.linalg.det(A)), or move away from the repeated value"
    )


@dispatched
def inverse_gap(gap: Any, zero: Any) -> Any:
    """1/gap, and 0 where gap is 0 up to rounding (at most ``zero``): what is not to count."""
    with np.errstate(divide="ignore"):
        return np.where(np.abs(gap) <= zero, 0, 1 / gap)


def _inverse_gap_form(g: Any, y: Any, gap: Any, zero: Any) -> Any:
    if np.any(np.equal(y, 0) & np.isfinite(gap)):
        _refuse_second("repeated eigenvalues, or repeated or zero singular values,")
    return -g * y * y


elementwise(inverse_gap, _inverse_gap_form, None)


def _gaps(w: Any) -> Any:
    """``w[j] - w[i]`` at ``[i, j]``, ∞ on the diagonal."""
    n = np.shape(w)[-1]
    diagonal = np.zeros((n, n), np.empty(0, w.dtype).real.dtype)
    np.fill_diagonal(diagonal, np.inf)
    return np.expand_dims(w, -2) - np.expand_dims(w, -1) + diagonal


@dispatched
def repeated(w: Any) -> Any:
    """Whether i and j are different places of one repeated value."""
    return np.abs(_gaps(w)) <= np.expand_dims(noise(w), -1)


no_derivative(np.linalg.matrix_rank, noise, repeated)


def _inverse_gaps(w: Any) -> Any:
    return inverse_gap(_gaps(w), np.expand_dims(noise(w), -1))


def _real_like(x_bar: Any, x: Any) -> Any:
    return np.real(x_bar) if np.iscomplexobj(x_bar) and not np.iscomplexobj(x) else x_bar


def _diagonal(x: Any) -> Any:
    return np.diagonal(x, 0, -2, -1)


def _hermitian(x: Any) -> Any:
    return 0.5 * (x + _h(x))


def _skew(x: Any) -> Any:
    return x - _h(x)


def _mixed(s: Any, w: Any) -> Any:
    """NaN in the columns of a repeated value that the tangent s splits, and 0 elsewhere: those have no derivative then.

    They stay only where s is a multiple of 1 among them.
    """
    size = np.abs(s)
    n = np.shape(w)[-1]
    diagonal = np.expand_dims(_diagonal(s), -1)
    apart = np.abs(diagonal - np.swapaxes(diagonal, -1, -2)) + size * (1 - np.eye(n))
    split = repeated(w) & (apart > np.sqrt(np.finfo(s.dtype).eps) * np.max(size, initial=0.0))
    if np.any(split):
        CHOICE.met = user_line()
    return np.where(np.any(split, axis=-2, keepdims=True), np.nan, np.zeros((n, n)))


# -- eigenvalues -------------------------------------------------------------------------------------------------------


@written_out
def spectral_sum(a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    """``Σ g[i] v[:, i] v_inv[i, :]``, as a function of a and g; w, v, v_inv are a's eigenvalues and vectors."""
    return (v * np.expand_dims(g, -2)) @ v_inv


@written_out
def spectral_diagonal(a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    """``diagonal(v_inv @ d @ v)``, as a function of a and d: the derivative of a's eigenvalues in the direction d."""
    return _diagonal(v_inv @ d @ v)


def _coupling(d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    """d between the eigenvectors; refused where it mixes those of a repeated value."""
    s = v_inv @ d @ v
    if not _negligible(np.where(repeated(w), s, 0.0), s):
        _refuse_second("repeated eigenvalues")
    return s


def _spectral_turn(d: Any, y: Any, a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    weights = (np.expand_dims(g, -2) - np.expand_dims(g, -1)) * _inverse_gaps(w)
    return v @ (weights * _coupling(d, w, v, v_inv)) @ v_inv


def _spectral_sum_matrix(g_bar: Any, y: Any, a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return _real_like(_h(_spectral_turn(_h(g_bar), y, a, g, w, v, v_inv)), a)


def _spectral_sum_weights(g_bar: Any, y: Any, a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return _real_like(np.conj(spectral_diagonal(a, _h(g_bar), w, v, v_inv)), g)


def _spectral_diagonal_turn(e: Any, y: Any, a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    s, t = v_inv @ d @ v, _coupling(e, w, v, v_inv)
    products = np.swapaxes(_inverse_gaps(w), -1, -2) * (s * np.swapaxes(t, -1, -2) + t * np.swapaxes(s, -1, -2))
    return np.sum(products, axis=-1)


def _spectral_diagonal_matrix(g: Any, y: Any, a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return _real_like(_h(_spectral_turn(d, None, a, np.conj(g), w, v, v_inv)), a)


def _spectral_diagonal_direction(g: Any, y: Any, a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return _real_like(_h(spectral_sum(a, np.conj(g), w, v, v_inv)), d)


define(
    spectral_sum,
    (_spectral_sum_matrix, _spectral_sum_weights),
    (_spectral_turn, lambda d, y, a, g, w, v, v_inv: spectral_sum(a, d, w, v, v_inv)),
)
define(
    spectral_diagonal,
    (_spectral_diagonal_matrix, _spectral_diagonal_direction),
    (_spectral_diagonal_turn, lambda d, y, a, _, w, v, v_inv: spectral_diagonal(a, d, w, v, v_inv)),
)


def _cotangents(g: Any, y: Any) -> tuple[list, list]:
    """The cotangents of all results, and which results something depends on.

    Where that is not known, a cotangent of 0 counts as that of a result that nothing depends on.
    """
    used = [bar is not None and (type(g) is Given or bool(np.any(np.not_equal(bar, 0)))) for bar in g]
    return [np.zeros_like(item) if bar is None else bar for bar, item in zip(g, y, strict=True)], used


def _check_vectors(w: Any, g_w: Any, g_v: Any, what: str) -> None:
    """Refuse cotangents of vectors, one set a column, that belong to a repeated value."""
    if CHOICE.trusting:
        return
    blocks = in_blocks(w)
    if np.any(blocks) and np.any(np.expand_dims(blocks, -2) & np.not_equal(g_v, 0)):
        _refuse_choice(what)
    if np.any(blocks & np.not_equal(g_w, 0)):  # v diag(w) vᴴ where w is 0: what v does is weighted with 0
        _refuse_choice(what)


def _eigh_vjp(g: Any, y: Any, a: Any, UPLO: str = "L") -> Any:
    ((g_w, g_v), (_, used)), (w, v) = _cotangents(g, y), y
    x_bar = spectral_sum(_hermitian(a), g_w, w, v, _h(v))
    if used:
        _check_vectors(w, g_w, g_v, "eigenvectors of a repeated eigenvalue")
        m = _h(v) @ g_v
        if not _negligible(np.where(repeated(w), m, 0.0), g_v):
            _refuse_choice("eigenvectors of a repeated eigenvalue")
        m = _skew(m)
        if np.iscomplexobj(m) and not _negligible(_diagonal(m), g_v):
            raise phase_refusal("eigenvectors")
        x_bar = x_bar + v @ (0.5 * _inverse_gaps(w) * m) @ _h(v)
    return _like(x_bar, a)


def _eigh_jvp(d: Any, y: Any, a: Any, UPLO: str = "L") -> Any:
    w, v = y
    d = _hermitian(d)
    w_dot = np.real(spectral_diagonal(_hermitian(a), d, w, v, _h(v)))
    s = _h(v) @ d @ v
    return w_dot, v @ (_inverse_gaps(w) * s + _mixed(s, w))


# The gradient is Hermitian although only one triangle is read: that of a function of Hermitian matrices.
def _eigh_call(a: Any, UPLO: Any = "L") -> Any:
    w, v = result = np.linalg.eigh(a, UPLO)
    return type(result)(w, *_turn(w, v)) if CHOICE.turned else result


define(np.linalg.eigh, (_eigh_vjp,), (_eigh_jvp,), call=_eigh_call)


@composite(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: Any = "L") -> Any:
    return np.linalg.eigh(a, UPLO)[0]


def _eig_vjp(g: Any, y: Any, a: Any) -> Any:
    ((g_w, g_v), (_, used)), (w, v) = _cotangents(g, y), y
    v_inv = np.linalg.inv(v)
    x_bar = _h(spectral_sum(a, np.conj(g_w), w, v, v_inv))
    if used:
        _check_vectors(w, g_w, g_v, "eigenvectors of a repeated eigenvalue")
        m = _h(v) @ g_v
        if np.iscomplexobj(m) and not _negligible(np.imag(_diagonal(m)), g_v):
            raise phase_refusal("eigenvectors")
        m = m - (_h(v) @ v) * np.expand_dims(np.real(_diagonal(m)), -2)  # unit length
        if not _negligible(np.where(repeated(w), m, 0.0), g_v):
            _refuse_choice("eigenvectors of a repeated eigenvalue")
        x_bar = x_bar + _h(v_inv) @ (np.conj(_inverse_gaps(w)) * m) @ _h(v)
    return _like(x_bar, a)


def _eig_jvp(d: Any, y: Any, a: Any) -> Any:
    w, v = y
    v_inv = np.linalg.inv(v)
    s = v_inv @ d @ v
    turn = v @ (_inverse_gaps(w) * s + _mixed(s, w))
    v_dot = turn - v * np.expand_dims(np.real(np.sum(np.conj(v) * turn, axis=-2)), -2)
    return spectral_diagonal(a, d, w, v, v_inv), v_dot


def _eig_call(a: Any) -> Any:
    w, v = result = np.linalg.eig(a)
    return type(result)(w, *_turn(w, v)) if CHOICE.turned else result


define(np.linalg.eig, (_eig_vjp,), (_eig_jvp,), call=_eig_call)
composite(np.linalg.eigvals)(lambda a: np.linalg.eig(a)[0])


# -- singular values ---------------------------------------------------------------------------------------------------


@dispatched
def singular(a: Any, full: bool) -> Any:
    """``np.linalg.svd(a, full_matrices=full)`` (the primitive)."""
    u, s, vh = np.linalg.svd(a, full)
    if CHOICE.turned and isa(s, np.ndarray):
        k = np.shape(s)[-1]
        thin = _turn(s, u[..., :k], _h(vh)[..., :k])
        u = np.concatenate([thin[0], u[..., k:]], -1)
        vh = np.concatenate([_h(thin[1]), vh[..., k:, :]], -2)
    return u, s, vh


@written_out
def singular_sum(a: Any, g: Any, u: Any, s: Any, vh: Any) -> Any:
    """``Σ g[i] u[:, i] vh[i, :]``, as a function of a and g; u, s, vh are a's singular values and vectors."""
    return (u * np.expand_dims(g, -2)) @ vh


@written_out
def singular_diagonal(a: Any, d: Any, u: Any, s: Any, vh: Any) -> Any:
    """``real(diagonal(uᴴ d v))``, as a function of a and d: the derivative of a's singular values along d."""
    return np.real(_diagonal(_h(u) @ d @ _h(vh)))


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
    p = _h(u) @ d @ _h(vh)
    even, odd = 0.5 * (p + _h(p)), 0.5 * _skew(p)
    right = d @ _h(vh)
    left = _h(u) @ d
    below, beside = right - u @ p, left - p @ vh
    zero = s <= noise(s)
    lost = (
        np.where(repeated(s), even, 0.0),
        np.where(_sums(s) <= np.expand_dims(noise(s), -1), odd, 0.0),
        np.where(np.expand_dims(zero, -2), below, 0.0),
        np.where(np.expand_dims(zero, -1), beside, 0.0),
    )
    if not all(_negligible(part, p) for part in lost):
        _refuse_second("repeated or zero singular values")
    return even, odd, below, beside


def _singular_turn(d: Any, y: Any, a: Any, g: Any, u: Any, s: Any, vh: Any) -> Any:
    even, odd, below, beside = _parts(d, u, s, vh)
    column, row = np.expand_dims(g, -2), np.expand_dims(g, -1)
    core = (column - row) * _inverse_gaps(s) * even + (column + row) * _inverse_sums(s) * odd
    ratio = g * _inverse(s)
    outside = (below * np.expand_dims(ratio, -2)) @ vh + u @ (np.expand_dims(ratio, -1) * beside)
    return u @ core @ vh + outside


def _singular_diagonal_turn(e: Any, y: Any, a: Any, d: Any, u: Any, s: Any, vh: Any) -> Any:
    even, odd, below, beside = _parts(e, u, s, vh)
    q = np.conj(_h(u) @ d @ _h(vh))
    gap, total = np.real(q * _inverse_gaps(s) * even), np.real(q * _inverse_sums(s) * odd)
    core = np.sum(gap, axis=-2) - np.sum(gap, axis=-1) + np.sum(total, axis=-2) + np.sum(total, axis=-1)
    outside = np.real(np.sum(np.conj(d @ _h(vh)) * below, axis=-2) + np.sum(np.conj(_h(u) @ d) * beside, axis=-1))
    return core + outside * _inverse(s)


# The derivative of singular_sum is its own transpose: it is the second derivative of Σ gᵢσᵢ.
define(
    singular_sum,
    (
        lambda g_bar, y, a, g, u, s, vh: _real_like(_singular_turn(g_bar, y, a, g, u, s, vh), a),
        lambda g_bar, y, a, g, u, s, vh: singular_diagonal(a, g_bar, u, s, vh),
    ),
    (_singular_turn, lambda d, y, a, g, u, s, vh: singular_sum(a, d, u, s, vh)),
)
define(
    singular_diagonal,
    (
        lambda g, y, a, d, u, s, vh: _real_like(_singular_turn(d, None, a, g, u, s, vh), a),
        lambda g, y, a, d, u, s, vh: _real_like(singular_sum(a, g, u, s, vh), d),
    ),
    (_singular_diagonal_turn, lambda e, y, a, d, u, s, vh: singular_diagonal(a, e, u, s, vh)),
)


def _thin(u: Any, s: Any, vh: Any) -> tuple[Any, Any]:
    k = np.shape(s)[-1]
    return u[..., :k], vh[..., :k, :]


def _without_complement(g: Any, q: Any, k: int, what: str) -> Any:
    """Cotangent of the first k columns of the orthonormal q, that of the others turned into theirs."""
    if np.shape(q)[-1] == k:
        return g
    first, rest, g_rest = q[..., :k], q[..., k:], g[..., k:]
    if not _negligible(_skew(_h(rest) @ g_rest), g):
        _refuse_choice(what, _SURPLUS)
    return g[..., :k] - rest @ (_h(g_rest) @ first)


def _with_complement(q_dot: Any, q: Any, k: int) -> Any:
    """Tangent of all columns of the orthonormal q from that of its first k."""
    if np.shape(q)[-1] == k:
        return q_dot
    return np.concatenate([q_dot, -q[..., :k] @ (_h(q_dot) @ q[..., k:])], axis=-1)


def _singular_vjp(g: Any, y: Any, a: Any, full: bool) -> Any:
    ((g_u, g_s, g_vh), used), (u, s, vh) = _cotangents(g, y), y
    k = np.shape(s)[-1]
    what = "the choice of singular vectors beyond the first min(m, n) (full_matrices=True)"
    g_u, g_v = _without_complement(g_u, u, k, what), _without_complement(_h(g_vh), _h(vh), k, what)
    u, vh = _thin(u, s, vh)
    x_bar = singular_sum(a, g_s, u, s, vh)
    if used[0] or used[2]:
        what = "singular vectors of a repeated singular value"
        _check_vectors(s, g_s, g_u, what)
        _check_vectors(s, g_s, g_v, what)
        x, z = _h(u) @ g_u, vh @ g_v
        below, beside = g_u - u @ x, _h(g_v - _h(vh) @ z)
        zero, size = s <= noise(s), np.abs(g_u).max(initial=0.0) + np.abs(g_v).max(initial=0.0)
        if not _negligible(np.where(repeated(s), x + z, 0.0), size):
            _refuse_choice("singular vectors of a repeated singular value")
        x, z = _skew(x), _skew(z)
        if np.iscomplexobj(x) and not _negligible(_diagonal(x + z), size):
            raise phase_refusal("singular vectors")
        lost = np.where(np.expand_dims(zero, -2), below, 0.0), np.where(np.expand_dims(zero, -1), beside, 0.0)
        if not all(_negligible(part, size) for part in lost):
            _refuse_choice("the singular vectors of a singular value that is 0")
        core = 0.5 * (_inverse_gaps(s) * (x + z) + _inverse_sums(s) * (x - z))
        inverse = _inverse(s)
        outside = (below * np.expand_dims(inverse, -2)) @ vh + u @ (np.expand_dims(inverse, -1) * beside)
        x_bar = x_bar + u @ core @ vh + outside
    return _like(x_bar, a)


def _singular_jvp(d: Any, y: Any, a: Any, full: bool) -> Any:
    all_u, s, all_vh = y
    k = np.shape(s)[-1]
    u, vh = _thin(all_u, s, all_vh)
    p = _h(u) @ d @ _h(vh)
    even, odd = 0.5 * (p + _h(p)), 0.5 * _skew(p)
    even, odd = _inverse_gaps(s) * even + _mixed(even, s), _inverse_sums(s) * odd
    inverse = np.expand_dims(_inverse(s), -2)
    right, left = d @ _h(vh), _h(d) @ u
    u_dot = u @ (even + odd) + (right - u @ (_h(u) @ right)) * inverse
    v_dot = _h(vh) @ (even - odd) + (left - _h(vh) @ (vh @ left)) * inverse
    u_dot, v_dot = _with_complement(u_dot, all_u, k), _with_complement(v_dot, _h(all_vh), k)
    return u_dot, singular_diagonal(a, d, u, s, vh), _h(v_dot)


define(singular, (_singular_vjp,), (_singular_jvp,))
for _function in (np.linalg.eigh, np.linalg.eig, singular):
    RULES[_function].partial = True
_SVDResult: Any = type(np.linalg.svd(np.eye(1)))


@composite(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not hermitian:
        u, s, vh = singular(a, bool(full_matrices and compute_uv))
        return _SVDResult(u, s, vh) if compute_uv else s
    w, v = np.linalg.eigh(a)
    order = np.argsort(np.abs(w), axis=-1)[..., ::-1]
    s = np.take_along_axis(np.abs(w), order, -1)
    if not compute_uv:
        return s
    sign = np.take_along_axis(np.sign(w), order, -1)
    u = np.take_along_axis(v, np.expand_dims(order, -2), -1)
    return _SVDResult(u, s, _h(u * np.expand_dims(sign, -2)))


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


# -- qr ----------------------------------------------------------------------------------------------------------------


@dispatched
def orthonormal(a: Any, mode: Any) -> Any:
    """``np.linalg.qr(a, mode)`` of a matrix with at least as many rows as columns (the primitive)."""
    return tuple(np.linalg.qr(a, mode))


def _over(x: Any, r: Any) -> Any:
    """x r⁻¹, for the triangular r of a matrix of full column rank."""
    sizes = np.abs(_diagonal(r))
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
    return (w + _h(w)) * (np.triu(np.ones((n, n))) - 0.5 * np.eye(n))


def _upper_transposed(g: Any) -> Any:
    n = np.shape(g)[-1]
    strict = g * np.triu(np.ones((n, n)), 1)
    return strict + _h(strict) + np.real(g) * np.eye(n)


def _orthonormal_vjp(g: Any, y: Any, a: Any, mode: str) -> Any:
    (g_q, g_r), (q, r) = g, y
    n = np.shape(a)[-1]
    g_q = _without_complement(g_q, q, n, "the choice of the columns of q beyond the rank (mode='complete')")
    q, r, g_r = q[..., :n], r[..., :n, :], g_r[..., :n, :]
    x_bar = g_q + q @ _upper_transposed(g_r @ _h(r) - _h(q) @ g_q)
    return _like(_over(x_bar, _h(r)), a)


def _orthonormal_jvp(d: Any, y: Any, a: Any, mode: str) -> Any:
    all_q, all_r = y
    m, n = np.shape(all_r)[-2], np.shape(a)[-1]
    q, r = all_q[..., :n], all_r[..., :n, :]
    x = _over(d, r)
    turn = _upper(_h(q) @ x)
    q_dot, r_dot = x - q @ turn, turn @ r
    if m > n:
        r_dot = np.concatenate([r_dot, np.zeros((*np.shape(r_dot)[:-2], m - n, n))], axis=-2)
    return _with_complement(q_dot, all_q, n), r_dot


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
        r = np.concatenate([r, _h(q) @ a[..., m:]], axis=-1)
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
    p, ph = y, _h(y)
    left, right = _h(g) - a @ (p @ _h(g)), _h(g) - (_h(g) @ p) @ a
    return _like(-ph @ g @ ph + left @ p @ ph + ph @ p @ right, a)


def _pinv_jvp(d: Any, y: Any, a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    p, ph, dh = y, _h(y), _h(d)
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
    return _like(singular_sum(a, g, u, s, vh), a)


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
    down = _h(p) @ g
    x_bar = -down @ _h(x) + (b - a @ x) @ (_h(down) @ _h(p)) + (_h(p) @ x) @ _h(g - p @ (a @ g))
    return _like(x_bar, a)


def _least_squares_matrix_tangent(d: Any, y: Any, a: Any, b: Any, rcond: Any) -> Any:
    p = _pinv_of(a, rcond)
    x = _columns(y)
    up = _h(d) @ (_h(p) @ x)
    x_dot = -p @ (d @ x) + p @ (_h(p) @ (_h(d) @ (_columns(b) - a @ x))) + up - p @ (a @ up)
    return np.reshape(x_dot, np.shape(y))


define(
    least_squares,
    (_least_squares_matrix, lambda g, y, a, b, rcond: _like(_h(_pinv_of(a, rcond)) @ g, b)),
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
