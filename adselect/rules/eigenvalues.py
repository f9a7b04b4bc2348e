"""numpy.linalg.eigh, eigvalsh, eig and eigvals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..face.atoms import written_out
from .linalg import adjoint, like_argument
from .registry import composite, define
from .rule import Given
from .undetermined import (
    CHOICE,
    diagonal_of,
    hermitian_part,
    in_blocks,
    inverse_gaps,
    mixed,
    negligible,
    phase_refusal,
    real_like,
    refuse_choice,
    refuse_second,
    repeated,
    skew,
    turn_of,
)


@written_out
def spectral_sum(a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    """``Σ g[i] v[:, i] v_inv[i, :]``, as a function of a and g; w, v, v_inv are a's eigenvalues and vectors."""
    return (v * np.expand_dims(g, -2)) @ v_inv


@written_out
def spectral_diagonal(a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    """``diagonal(v_inv @ d @ v)``, as a function of a and d: the derivative of a's eigenvalues in the direction d."""
    return diagonal_of(v_inv @ d @ v)


def _coupling(d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    """d between the eigenvectors; refused where it mixes those of a repeated value."""
    s = v_inv @ d @ v
    if not negligible(np.where(repeated(w), s, 0.0), s):
        refuse_second("repeated eigenvalues")
    return s


def _spectral_turn(d: Any, y: Any, a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    weights = (np.expand_dims(g, -2) - np.expand_dims(g, -1)) * inverse_gaps(w)
    return v @ (weights * _coupling(d, w, v, v_inv)) @ v_inv


def _spectral_sum_matrix(g_bar: Any, y: Any, a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return real_like(adjoint(_spectral_turn(adjoint(g_bar), y, a, g, w, v, v_inv)), a)


def _spectral_sum_weights(g_bar: Any, y: Any, a: Any, g: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return real_like(np.conj(spectral_diagonal(a, adjoint(g_bar), w, v, v_inv)), g)


def _spectral_diagonal_turn(e: Any, y: Any, a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    s, t = v_inv @ d @ v, _coupling(e, w, v, v_inv)
    products = np.swapaxes(inverse_gaps(w), -1, -2) * (s * np.swapaxes(t, -1, -2) + t * np.swapaxes(s, -1, -2))
    return np.sum(products, axis=-1)


def _spectral_diagonal_matrix(g: Any, y: Any, a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return real_like(adjoint(_spectral_turn(d, None, a, np.conj(g), w, v, v_inv)), a)


def _spectral_diagonal_direction(g: Any, y: Any, a: Any, d: Any, w: Any, v: Any, v_inv: Any) -> Any:
    return real_like(adjoint(spectral_sum(a, np.conj(g), w, v, v_inv)), d)


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


def cotangents(g: Any, y: Any) -> tuple[list, list]:
    """The cotangents of all results, and which results something depends on.

    Where that is not known, a cotangent of 0 counts as that of a result that nothing depends on.
    """
    used = [bar is not None and (type(g) is Given or bool(np.any(np.not_equal(bar, 0)))) for bar in g]
    return [np.zeros_like(item) if bar is None else bar for bar, item in zip(g, y, strict=True)], used


def check_vectors(w: Any, g_w: Any, g_v: Any, what: str) -> None:
    """Refuse cotangents of vectors, one set a column, that belong to a repeated value."""
    if CHOICE.trusting:
        return
    blocks = in_blocks(w)
    if np.any(blocks) and np.any(np.expand_dims(blocks, -2) & np.not_equal(g_v, 0)):
        refuse_choice(what)
    if np.any(blocks & np.not_equal(g_w, 0)):  # v diag(w) vᴴ where w is 0: what v does is weighted with 0
        refuse_choice(what)


def _eigh_vjp(g: Any, y: Any, a: Any, UPLO: str = "L") -> Any:
    ((g_w, g_v), (_, used)), (w, v) = cotangents(g, y), y
    x_bar = spectral_sum(hermitian_part(a), g_w, w, v, adjoint(v))
    if used:
        check_vectors(w, g_w, g_v, "eigenvectors of a repeated eigenvalue")
        m = adjoint(v) @ g_v
        if not negligible(np.where(repeated(w), m, 0.0), g_v):
            refuse_choice("eigenvectors of a repeated eigenvalue")
        m = skew(m)
        if np.iscomplexobj(m) and not negligible(diagonal_of(m), g_v):
            raise phase_refusal("eigenvectors")
        x_bar = x_bar + v @ (0.5 * inverse_gaps(w) * m) @ adjoint(v)
    return like_argument(x_bar, a)


def _eigh_jvp(d: Any, y: Any, a: Any, UPLO: str = "L") -> Any:
    w, v = y
    d = hermitian_part(d)
    w_dot = np.real(spectral_diagonal(hermitian_part(a), d, w, v, adjoint(v)))
    s = adjoint(v) @ d @ v
    return w_dot, v @ (inverse_gaps(w) * s + mixed(s, w))


# The gradient is Hermitian although only one triangle is read: that of a function of Hermitian matrices.
def _eigh_call(a: Any, UPLO: Any = "L") -> Any:
    w, v = result = np.linalg.eigh(a, UPLO)
    return type(result)(w, *turn_of(w, v)) if CHOICE.turned else result


define(np.linalg.eigh, (_eigh_vjp,), (_eigh_jvp,), call=_eigh_call, partial=True)


@composite(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: Any = "L") -> Any:
    return np.linalg.eigh(a, UPLO)[0]


def _eig_vjp(g: Any, y: Any, a: Any) -> Any:
    ((g_w, g_v), (_, used)), (w, v) = cotangents(g, y), y
    v_inv = np.linalg.inv(v)
    x_bar = adjoint(spectral_sum(a, np.conj(g_w), w, v, v_inv))
    if used:
        check_vectors(w, g_w, g_v, "eigenvectors of a repeated eigenvalue")
        m = adjoint(v) @ g_v
        if np.iscomplexobj(m) and not negligible(np.imag(diagonal_of(m)), g_v):
            raise phase_refusal("eigenvectors")
        m = m - (adjoint(v) @ v) * np.expand_dims(np.real(diagonal_of(m)), -2)  # unit length
        if not negligible(np.where(repeated(w), m, 0.0), g_v):
            refuse_choice("eigenvectors of a repeated eigenvalue")
        x_bar = x_bar + adjoint(v_inv) @ (np.conj(inverse_gaps(w)) * m) @ adjoint(v)
    return like_argument(x_bar, a)


def _eig_jvp(d: Any, y: Any, a: Any) -> Any:
    w, v = y
    v_inv = np.linalg.inv(v)
    s = v_inv @ d @ v
    turn = v @ (inverse_gaps(w) * s + mixed(s, w))
    v_dot = turn - v * np.expand_dims(np.real(np.sum(np.conj(v) * turn, axis=-2)), -2)
    return spectral_diagonal(a, d, w, v, v_inv), v_dot


def _eig_call(a: Any) -> Any:
    w, v = result = np.linalg.eig(a)
    return type(result)(w, *turn_of(w, v)) if CHOICE.turned else result


define(np.linalg.eig, (_eig_vjp,), (_eig_jvp,), call=_eig_call, partial=True)
composite(np.linalg.eigvals)(lambda a: np.linalg.eig(a)[0])
