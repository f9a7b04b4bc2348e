"""torch for numpy.fft."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .operands import TABLE, inexact


def _fft_1d(operate: Callable) -> Callable:
    return lambda a, n=None, axis=-1, norm=None: operate(inexact(a), n, axis, norm)


for _name in ("fft", "ifft", "rfft", "irfft"):
    TABLE[getattr(np.fft, _name)] = _fft_1d(getattr(torch.fft, _name))
