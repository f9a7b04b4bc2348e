"""numpy.fft: four one-dimensional transforms have a rule, the others are written with them.

A transform is linear, so the transform itself pushes tangents. The transpose of ``fft`` is ``ifft`` with the scaling
moved to the other side; a real transform keeps one half of a spectrum whose other half is its mirror image, which is
where the weights 1/2 and 2 come from. Padding and truncation transpose into each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .indexing import rearranged
from .registry import composite, linear

# The scaling that belongs to the transposed transform (and to the real transform that a Hermitian one is).
_TURNED: dict[Any, Any] = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _fit(x: Any, n: int, axis: int) -> Any:
    """x truncated or padded with zeros to length n along an axis."""
    shape = np.shape(x)
    axis = axis % len(shape)
    m = shape[axis]
    if m == n:
        return x
    if m > n:
        return x[(slice(None),) * axis + (slice(0, n),)]
    missing = [n - m if i == axis else s for i, s in enumerate(shape)]
    return np.concatenate([x, np.zeros(missing, x.dtype)], axis=axis)


def _along(weights: Any, axis: int, ndim: int) -> Any:
    """A vector shaped to multiply along an axis."""
    return np.reshape(weights, [-1 if i == axis % ndim else 1 for i in range(ndim)])


def _mirrored(n: int, dtype: Any) -> Any:
    """How often each entry of a half spectrum occurs in the whole one of length n."""
    weights = np.full(n // 2 + 1, 2.0, np.finfo(dtype).dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


def _onto(x_bar: Any, x: Any) -> Any:
    """The real part where x is real."""
    return x_bar if np.iscomplexobj(x) else np.real(x_bar)


def _fft_vjp(g: Any, y: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _onto(_fit(np.fft.ifft(g, axis=axis, norm=_TURNED[norm]), np.shape(a)[axis], axis), a)


def _ifft_vjp(g: Any, y: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _onto(_fit(np.fft.fft(g, axis=axis, norm=_TURNED[norm]), np.shape(a)[axis], axis), a)


def _rfft_vjp(g: Any, y: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    m = np.shape(a)[axis]
    n = m if n is None else n
    half = g / _along(_mirrored(n, g.dtype), axis, np.ndim(a))
    return _fit(np.fft.irfft(half, n, axis, _TURNED[norm]), m, axis)


def _irfft_vjp(g: Any, y: Any, a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    half = np.fft.rfft(np.real(g), axis=axis, norm=_TURNED[norm])
    half = half * _along(_mirrored(np.shape(y)[axis], half.dtype), axis, np.ndim(a))
    return _onto(_fit(half, np.shape(a)[axis], axis), a)


linear(np.fft.fft, _fft_vjp)
linear(np.fft.ifft, _ifft_vjp)
linear(np.fft.rfft, _rfft_vjp)
linear(np.fft.irfft, _irfft_vjp)


@composite(np.fft.hfft)
def _hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    n = (np.shape(a)[axis] - 1) * 2 if n is None else n
    return np.fft.irfft(np.conjugate(a), n, axis, _TURNED[norm])


@composite(np.fft.ihfft)
def _ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    n = np.shape(a)[axis] if n is None else n
    return np.conjugate(np.fft.rfft(a, n, axis, _TURNED[norm]))


# -- several axes ------------------------------------------------------------------------------------------------------


def _lengths(a: Any, s: Any, axes: Any) -> list[tuple[Any, int]]:
    """(length, axis) for every axis to transform; a length of -1 is the axis's own, None the transform's default."""
    if axes is None:
        axes = list(range(np.ndim(a))) if s is None else list(range(-len(s), 0))
    if s is None:
        return [(None, axis) for axis in axes]
    if len(s) != len(axes):
        raise ValueError("Shape and axes have different lengths.")
    return [(np.shape(a)[axis] if n == -1 else n, axis) for n, axis in zip(s, axes, strict=True)]


def _each(transform: Any, a: Any, pairs: list, norm: Any) -> Any:
    for n, axis in reversed(pairs):
        a = transform(a, n, axis, norm)
    return a


@composite(np.fft.fftn)
def _fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    return _each(np.fft.fft, a, _lengths(a, s, axes), norm)


@composite(np.fft.ifftn)
def _ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    return _each(np.fft.ifft, a, _lengths(a, s, axes), norm)


@composite(np.fft.rfftn)
def _rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    *rest, (n, axis) = _lengths(a, s, axes)
    a = np.fft.rfft(a, n, axis, norm)
    for n, axis in reversed(rest):
        a = np.fft.fft(a, n, axis, norm)
    return a


@composite(np.fft.irfftn)
def _irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    *rest, (n, axis) = _lengths(a, s, axes)
    for m, k in rest:
        a = np.fft.ifft(a, m, k, norm)
    return np.fft.irfft(a, n, axis, norm)


composite(np.fft.fft2)(lambda a, s=None, axes=(-2, -1), norm=None: _fftn(a, s, axes, norm))
composite(np.fft.ifft2)(lambda a, s=None, axes=(-2, -1), norm=None: _ifftn(a, s, axes, norm))
composite(np.fft.rfft2)(lambda a, s=None, axes=(-2, -1), norm=None: _rfftn(a, s, axes, norm))
composite(np.fft.irfft2)(lambda a, s=None, axes=(-2, -1), norm=None: _irfftn(a, s, axes, norm))
composite(np.fft.fftshift)(lambda x, axes=None: rearranged(np.fft.fftshift, x, axes))
composite(np.fft.ifftshift)(lambda x, axes=None: rearranged(np.fft.ifftshift, x, axes))
