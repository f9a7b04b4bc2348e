"""The support table of the documentation says what is so, and nothing in it is wrong."""

import numpy as np
import pytest

import adselect as ad
from adselect.backends.choice import installed

from .support import BACKENDS, WRONG, recorded, row, samples

pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(not all([installed(b) for b in BACKENDS.values()]), reason="the table covers all backends"),
]
SAMPLES = samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_table_says_what_is_so(name):
    found = row(name, SAMPLES[name], BACKENDS)
    assert not any(WRONG in cell for cell in found), dict(zip(BACKENDS, found, strict=True))
    assert found == recorded()[name], "run python tests/sweeps/support.py"


def test_the_table_is_whole():
    assert set(recorded()) == set(SAMPLES)


def test_a_wrong_derivative_shows():
    """A function whose rule is half of what it should be."""

    @ad.primitive
    def halved(x):
        return np.sin(x)

    @ad.define_rrule(halved)
    def halved_rrule(x):
        return halved(x), lambda y_bar: (ad.NoTangent(), 0.5 * y_bar * np.cos(x))

    assert row("halved", [(halved, (np.array([0.3, 0.8]),))], {"AutoTape": ad.AutoTape()})[0].startswith(WRONG)
