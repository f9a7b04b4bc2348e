"""Derivatives with respect to complex numbers, by their real and imaginary parts; where f is holomorphic."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.matrices import is_complex
from ..calls.flat import ArrayCall
from ..errors import ADSelectValueError, user_line
from ..face.dispatch import is_traced
from ..structure.leaves import is_tracer

__all__ = ["CallOfParts", "cauchy_riemann", "matrices_of_parts", "parts_of"]

# How far the two sides of the Cauchy-Riemann equations may be apart, relative to the largest of the derivatives: for
# exact derivatives in double precision, and for differences or single precision.
_NEAR, _ROUGH = 1e-9, 1e-3


def parts_of(leaves: list) -> tuple[list, list[tuple]]:
    """``(real leaves, which of them make up each leaf)``: a complex leaf is taken apart into its two parts."""
    parts: list = []
    places: list[tuple] = []
    for leaf in leaves:
        if is_complex(leaf):
            places.append((len(parts), len(parts) + 1))
            own = type(leaf) is np.ndarray
            parts += [leaf.real.copy(), leaf.imag.copy()] if own else [leaf.real, leaf.imag]
        else:
            places.append((len(parts),))
            parts.append(leaf)
    return parts, places


class CallOfParts(ArrayCall):
    """f of leaves that are given by their parts."""

    __slots__ = ("places",)

    places: list[tuple]

    def __call__(self, lifted: list) -> tuple[list, list]:
        joined = [lifted[p[0]] if len(p) == 1 else lifted[p[0]] + 1j * lifted[p[1]] for p in self.places]
        return super().__call__(joined)

    def __reduce__(self) -> tuple:
        return _again, (super().__reduce__(), self.places)


def _again(made: tuple, places: list[tuple]) -> CallOfParts:
    """A CallOfParts that comes from another process."""
    call = made[0](*made[1])
    call.places = places
    return call


def matrices_of_parts(blocks: list, places: list[tuple], y: Any, operator: str, paths: list[str], exact: bool) -> list:
    """The Jacobian of y per leaf, from those of its parts.

    A row for a real result is its gradient, ∂y/∂a + i ∂y/∂b for a leaf a + ib; for a complex one it is ∂y/∂z.
    """
    matrices = []
    for place, path in zip(places, paths, strict=True):
        if len(place) == 1:
            matrices.append(blocks[place[0]])
            continue
        along_real, along_imaginary = blocks[place[0]], blocks[place[1]]
        if is_complex(y):
            matrices.append(cauchy_riemann(along_real, along_imaginary, operator, path, exact))
        else:
            matrices.append(along_real + 1j * along_imaginary)
    return matrices


def cauchy_riemann(along_real: Any, along_imaginary: Any, operator: str, path: str, exact: bool) -> Any:
    """∂y/∂z from the derivatives along 1 and along i, of which the second is i times the first where f is holomorphic.

    Raises ADSelectValueError where it is not. Where the numbers cannot be looked at, since a derivative is being traced
    around this one, such an entry is NaN.
    """
    turned = 1j * along_real
    single = any("64" in str(getattr(a, "dtype", "")) for a in (along_real, along_imaginary) if is_complex(a))
    near = _NEAR if exact and not single else _ROUGH
    apart, size = np.abs(along_imaginary - turned), np.maximum(np.abs(turned), np.abs(along_imaginary))
    if any(is_traced(a) or is_tracer(a) for a in (along_real, along_imaginary)):
        return np.where(apart <= near * np.max(size, initial=0.0), along_real, np.nan)
    lost = apart > near * np.max(size, initial=0.0)
    if np.any(lost):
        at = np.argwhere(np.atleast_1d(lost))[0].tolist()
        raise ADSelectValueError(
            f"{operator}: f is not holomorphic in {path} ({user_line()}): its derivative along i is not i times that "
            f"along 1 (entry {at}: {np.atleast_1d(along_imaginary)[tuple(at)]:.6g}, not "
            f"{np.atleast_1d(turned)[tuple(at)]:.6g}), so there is no complex derivative. Use pullback with the seeds "
            "1 and 1j, or differentiate with respect to the real and the imaginary part"
        )
    return along_real
