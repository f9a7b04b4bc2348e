"""What a decomposition leaves open: phases, the order of equal values, gaps that vanish; refused where it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..face.atoms import dispatched
from .linalg import adjoint
from .registry import elementwise, no_derivative

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


def negligible(part: Any, whole: Any) -> bool:
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
SURPLUS = "the projector onto all of them, which is 1 minus that onto the first"
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


def turn_of(w: np.ndarray, *vectors: np.ndarray) -> list[np.ndarray]:
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


def refuse_choice(what: str, instead: str = _REPEATED) -> None:
    raise refusal(what, instead=instead)


def refuse_second(what: str) -> None:
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
        refuse_second("repeated eigenvalues, or repeated or zero singular values,")
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


def inverse_gaps(w: Any) -> Any:
    return inverse_gap(_gaps(w), np.expand_dims(noise(w), -1))


def real_like(x_bar: Any, x: Any) -> Any:
    return np.real(x_bar) if np.iscomplexobj(x_bar) and not np.iscomplexobj(x) else x_bar


def diagonal_of(x: Any) -> Any:
    return np.diagonal(x, 0, -2, -1)


def hermitian_part(x: Any) -> Any:
    return 0.5 * (x + adjoint(x))


def skew(x: Any) -> Any:
    return x - adjoint(x)


def mixed(s: Any, w: Any) -> Any:
    """NaN in the columns of a repeated value that the tangent s splits, and 0 elsewhere: those have no derivative then.

    They stay only where s is a multiple of 1 among them.
    """
    size = np.abs(s)
    n = np.shape(w)[-1]
    diagonal = np.expand_dims(diagonal_of(s), -1)
    apart = np.abs(diagonal - np.swapaxes(diagonal, -1, -2)) + size * (1 - np.eye(n))
    split = repeated(w) & (apart > np.sqrt(np.finfo(s.dtype).eps) * np.max(size, initial=0.0))
    if np.any(split):
        CHOICE.met = user_line()
    return np.where(np.any(split, axis=-2, keepdims=True), np.nan, np.zeros((n, n)))
