"""jax.numpy for numpy.fft."""

from __future__ import annotations

from .operands import same_name

same_name("fft.fft fft.ifft fft.rfft fft.irfft")
