"""torch for numpy.fft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .operands import TABLE, axes_of, inexact

# -- Fourier transforms ------------------------------------------------------------------------------------------------


def _fft_1d(operate: Callable) -> Callable:
    return lambda a, n=None, axis=-1, norm=None, out=None: operate(inexact(a), n, axis, norm)


def _fft_nd(operate: Callable, default: Any) -> Callable:
    def call(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Tensor:
        a = inexact(a)
        axes = axes_of(axes, a.ndim) if axes is not None or s is None else tuple(range(a.ndim - len(s), a.ndim))
        s = None if s is None else [a.shape[k] if n == -1 else n for n, k in zip(s, axes, strict=True)]
        return operate(a, s, axes, norm)

    return call


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    TABLE[getattr(np.fft, _name)] = _fft_1d(getattr(torch.fft, _name))
for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    TABLE[getattr(np.fft, _name)] = _fft_nd(getattr(torch.fft, _name.replace("2", "n")), (-2, -1))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    TABLE[getattr(np.fft, _name)] = _fft_nd(getattr(torch.fft, _name), None)
