"""A derivative inside a derivative, of any two backends: right, or refused with a sentence."""

import numpy as np
import pytest

import adselect as ad

BACKENDS = [ad.AutoTape(), ad.AutoForward(), ad.AutoJax(), ad.AutoTorch(), ad.AutoAutograd()]


def captured(x, inner):
    return ad.gradient(lambda y: x * y**2, inner, 3.0)[0]


def argument(x, inner):
    return ad.gradient(lambda y: x * y**2, inner, x)[0]


def through_a_function(x, inner):
    return ad.gradient(lambda y: np.sin(x) * y * y, inner, 3.0)[0]


def kept(x, inner):
    box = []

    def f(y):
        box.append(x * y)
        return x * y**2

    return ad.gradient(f, inner, 3.0)[0] + box[0]


def kept_of_the_argument(x, inner):
    box = []

    def f(y):
        box.extend([x * x, y * x])
        return y**2 * x

    return ad.gradient(f, inner, x)[0] * box[0] + box[1]


def auxiliary(x, inner):
    return ad.withgradient(lambda y: (y**2 * 3, x * 5.0), inner, 3.0).val[1] * x


def beside(x, inner):
    return ad.gradient(lambda y: y**2, inner, 3.0)[0] * x


PROGRAMS = {
    captured: 6.0,
    argument: 8.0,
    through_a_function: 6 * np.cos(2.0),
    kept: 9.0,
    kept_of_the_argument: 68.0,
    auxiliary: 20.0,
    beside: 6.0,
}


@pytest.mark.parametrize("inner", BACKENDS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("outer", BACKENDS, ids=lambda a: type(a).__name__)
def test_right_or_refused(outer, inner):
    for f, want in PROGRAMS.items():
        refused = None
        try:
            (g,) = ad.gradient(lambda x, f=f: f(x, inner), outer, 2.0)
        except ad.UnsupportedError as error:
            refused = str(error)
        if refused is None:
            np.testing.assert_allclose(g, want, err_msg=f.__name__)
            continue
        assert "backend" in refused or "adtype" in refused, f.__name__
        assert type(inner) is not type(outer), f.__name__
        assert not isinstance(inner, (ad.AutoTape, ad.AutoForward)), f.__name__
