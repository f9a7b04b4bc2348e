"""Stencils: offsets and coefficients of finite differences, exact."""

from __future__ import annotations

import functools
from typing import Any

from ...errors import ADSelectValueError

__all__ = ["one_sided_stencil", "second_stencil", "stencil"]


@functools.cache
def stencil(order: int) -> tuple[tuple[int, float], ...]:
    """Offsets o > 0 and coefficients c of the central first derivative: f′ ≈ Σ c · (f(x + oh) − f(x − oh)) / h.

    The coefficients are exact: findiff computes them as rationals (its floating-point ones carry noise of 1e-16).

    >>> stencil(2)
    ((1, 0.5),)
    """
    return tuple([(o, c) for o, c in _coefficients(1, order, "center") if o > 0])


@functools.cache
def second_stencil(order: int) -> tuple[float, tuple[tuple[int, float], ...]]:
    """The central second derivative, ``(c₀, ((o, c), …))``: f″ ≈ (c₀ f(x) + Σ c · (f(x + oh) + f(x − oh))) / h².

    >>> second_stencil(2)
    (-2.0, ((1, 1.0),))
    """
    rows = _coefficients(2, order, "center")
    return dict(rows)[0], tuple([(o, c) for o, c in rows if o > 0])


@functools.cache
def one_sided_stencil(order: int, derivative: int = 1) -> tuple[tuple[int, float], ...]:
    """Offsets o ≥ 0 and coefficients c of the forward derivative: f′ ≈ Σ c · f(x + oh) / h, or f″ over h².

    >>> one_sided_stencil(2)
    ((0, -1.5), (1, 2.0), (2, -0.5))
    """
    return tuple([(o, c) for o, c in _coefficients(derivative, order, "forward") if c])


def _coefficients(derivative: int, order: int, kind: str) -> list[tuple[int, float]]:
    from findiff import coefficients

    try:
        rows: Any = coefficients(deriv=derivative, acc=order, symbolic=True)[kind]
    except Exception as error:
        raise ADSelectValueError(f"order={order!r}: a central stencil has an even order, as 2, 4 or 6") from error
    return [(int(o), float(c)) for o, c in zip(rows["offsets"], rows["coefficients"], strict=True)]
