"""What shows the numbers behind a traced value as text works; what hands them out is refused, at the user's line."""

from __future__ import annotations

import decimal
import fractions

import numpy as np
import pytest

import adselect as ad

X = np.array([1.5, 2.5])

TEXTS = {
    "%f": lambda x: "%.3f %g %e" % (x[0], x[1], np.sum(x)),  # noqa: UP031
    "%d": lambda x: "%d %i" % (x[0], x[1] * 3),  # noqa: UP031
    "%s": lambda x: "%s" % x,  # noqa: UP031
    "%=": lambda x: _augmented("%5.2f", x[1]),
    "format": lambda x: f"{x[0]:.3f} {x}",
}
REFUSED = {
    "tobytes": lambda x: x.tobytes(),
    "tofile": lambda x: x.tofile("never_written"),
    "dumps": lambda x: x.dumps(),
    "data": lambda x: x.data,
    "ctypes": lambda x: x[0].ctypes if hasattr(np.float64(1), "ctypes") else x.ctypes,
    "byteswap": lambda x: x.byteswap(),
    "setflags": lambda x: x.setflags(write=False),
    "as_integer_ratio": lambda x: x[0].as_integer_ratio(),
    "hex": lambda x: x[0].hex(),
    "Fraction": lambda x: fractions.Fraction(x[0]),
    "Decimal": lambda x: decimal.Decimal(x[0]),
    "memoryview": memoryview,
    "frombuffer": lambda x: np.frombuffer(x),
    "math": lambda x: 7.5 % float(x[0]),
    "np.testing": lambda x: np.testing.assert_allclose(x, x),
}


def _augmented(text, number):
    text %= number
    return text


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_those_of_the_numbers(exact_backend, name):
    seen = []

    def f(x):
        seen.append(TEXTS[name](x))
        return np.sum(x * len(seen[-1]))

    ad.gradient(f, exact_backend.adtype, X)
    assert seen == [TEXTS[name](X)]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(exact_backend, name):
    with pytest.raises(ad.TracedValueError, match=r"test_plain_numbers_behind\.py"):
        ad.gradient(lambda x: (REFUSED[name](x), np.sum(x))[1], exact_backend.adtype, X)


def test_plain_values_keep_their_memory(exact_backend):
    def f(x):
        inside = ad.ignore_derivatives(x)
        return np.sum(x * len(np.asarray(inside).tobytes()))

    assert ad.gradient(f, exact_backend.adtype, X)[0].tolist() == [16.0, 16.0]


def test_what_unwraps_quantities_leaves_traced_values_alone(backend):
    """Code for quantities and parameters asks for ``value``; arrays and numbers of NumPy have none."""

    def f(x):
        bare = [getattr(v, "value", v) for v in (x, x[0], 2 * x)]
        return sum(np.sum(v**2) for v in bare)

    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(ad.gradient(f, backend.adtype, x)[0], 10 * x + [2.0, 0.0], rtol=1e-6)
