"""numpy.fft: all transforms with lengths, axes and norms, truncating and padding."""

import itertools

import numpy as np
import pytest
from witnesses import witness

REAL = np.random.default_rng(1).standard_normal((3, 4, 5))
COMPLEX = REAL + 1j * np.random.default_rng(2).standard_normal((3, 4, 5))
ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
TWO = ["fft2", "ifft2", "rfft2", "irfft2"]
MANY = ["fftn", "ifftn", "rfftn", "irfftn"]
NORMS = [None, "ortho", "forward"]


def operand(name):
    return REAL if name in ("rfft", "ihfft", "rfft2", "rfftn") else COMPLEX


@pytest.mark.parametrize(("name", "n", "axis"), list(itertools.product(ONE, (None, 3, 4, 7, 8), (-1, 1))))
def test_one_axis(name, n, axis):
    for norm in NORMS:
        witness(
            lambda x, norm=norm: getattr(np.fft, name)(x, n, axis, norm), operand(name), order=2 if norm is None else 1
        )


@pytest.mark.parametrize("name", TWO + MANY)
def test_several_axes(name):
    function, x = getattr(np.fft, name), operand(name)
    for norm in NORMS:
        witness(lambda x, norm=norm: function(x, norm=norm), x, order=1)
    witness(lambda x: function(x, axes=(0, 2)), x)
    witness(lambda x: function(x, s=(4, 3), axes=(1, -1)), x, order=1)
    witness(lambda x: function(x, s=(6, -1), axes=(-1, 0)), x, order=1)


@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft", "fft2", "irfftn"])
def test_real_into_complex_transforms(name):
    witness(lambda x: getattr(np.fft, name)(x), REAL)


@pytest.mark.parametrize("shift", [np.fft.fftshift, np.fft.ifftshift])
def test_shifts(shift):
    witness(lambda x: shift(x) ** 2, REAL)
    witness(lambda x: shift(x, axes=(0, -1)) ** 2, COMPLEX)
    witness(lambda x: shift(x, 1) ** 2, REAL)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_single_precision(name):
    import adselect as ad

    x = operand(name)[0, 0].astype("f4" if operand(name) is REAL else "c8")
    (g,) = ad.gradient(lambda x: np.sum(np.abs(getattr(np.fft, name)(x)) ** 2), x)
    (expected,) = ad.gradient(lambda x: np.sum(np.abs(getattr(np.fft, name)(x)) ** 2), operand(name)[0, 0])
    assert g.dtype == x.dtype
    np.testing.assert_allclose(g, expected, rtol=1e-5)


def test_sample_spacing_is_differentiable_by_the_way():
    witness(lambda d: np.fft.fftfreq(5, d), 0.3)
