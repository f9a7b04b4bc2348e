"""Seeds, tangents and out= that do not fit: an error that names the place, and nothing written."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect.errors import ADSelectError, ADSelectTypeError, ADSelectValueError

X = np.array([1.0, 2.0])
MASKED = np.array([1.0, 2.0], dtype=object)

SEEDS = {
    "another key": ({"los": 1.0}, r"f\(…\) has the key 'los', the value does not; it has 'loss', 'aux'"),
    "one key too many": ({"loss": 1.0, "more": 1.0}, r"f\(…\) has the key 'more'"),
    "a number for a tuple": ({"loss": 1.0, "aux": 3.0}, r"f\(…\)\['aux'\] is 3.0.*tuple of 2 entries"),
    "a short tuple": ({"aux": (X,)}, r"f\(…\)\['aux'\] is a tuple of 1 entries"),
    "another shape": ({"aux": (X, np.ones(3))}, r"f\(…\)\['aux'\]\[1\] has shape \(3,\), the output has shape \(2,\)"),
    "objects": ({"aux": (X, MASKED)}, r"f\(…\)\['aux'\]\[1\] must be numeric or None, got an array of dtype object"),
    "text": ({"loss": "one"}, r"f\(…\)\['loss'\] must be numeric or None, got str"),
    "an array of texts": ({"loss": np.array("one")}, r"f\(…\)\['loss'\] must be numeric"),
    "an array for a number": ({"loss": X}, r"f\(…\)\['loss'\] has shape \(2,\)"),
    "ragged": ({"aux": (X, [[1.0], 2.0])}, r"f\(…\)\['aux'\]\[1\] is no array of numbers"),
    "a dict for an array": ({"aux": (X, {"a": 1.0})}, r"f\(…\)\['aux'\]\[1\] is dict"),
    "a dict for a tuple": ({"aux": {"a": 1.0}}, r"f\(…\)\['aux'\] is dict"),
    "a number for all": (1.0, r"f\(…\) is 1.0; the value is a dict, whose seed is a dict"),
    "complex": ({"loss": 1j}, r"f\(…\)\['loss'\] is complex"),
}


@pytest.mark.parametrize("name", SEEDS)
def test_seeds(name, exact_backend):
    seed, says = SEEDS[name]
    _, back = ad.pullback(lambda x: {"loss": np.sum(x * x), "aux": (x, 2 * x)}, exact_backend.adtype, X)
    with pytest.raises(ADSelectError, match=f"the seed for {says}.*test_seeds_and_out.py"):
        back(seed)
    np.testing.assert_allclose(back({"loss": 1.0, "aux": (None, [1.0, None])})[0], [4.0, 4.0])  # it goes on working


def test_seeds_of_one_array():
    _, back = ad.pullback(lambda x: x * 2, X)
    for seed in (MASKED, {"a": 1.0}, np.ones(3), [[1.0], [2.0, 3.0]], "a", np.array(["a", "b"]), object()):
        with pytest.raises(ADSelectError, match=r"the seed for f\(…\)"):
            back(seed)
    # An object array of traced numbers is an array under construction.
    slope = lambda t: back(np.array([t, 2.0 * t], dtype=object))[0][1]
    assert ad.derivative(slope, 1.0) == 4.0


POINT = {"w": X, "b": (1.0, 2.0)}
TANGENTS = {
    "another key": ({"w": X, "c": 1.0}, r"args\[0\] has the key 'c'"),
    "a number for a tuple": ({"w": X, "b": 1.0}, r"args\[0\]\['b'\] is 1.0"),
    "a short tuple": ({"w": X, "b": (1.0,)}, r"args\[0\]\['b'\] is a tuple of 1 entries"),
    "another shape": ({"w": np.ones(3)}, r"args\[0\]\['w'\] has shape \(3,\), the argument has shape \(2,\)"),
    "a number for an array": ({"w": 1.0}, r"args\[0\]\['w'\] has shape \(\)"),
    "objects": ({"w": MASKED}, r"args\[0\]\['w'\] is an array of shape \(2,\) and dtype object"),
    "text": ({"b": ("one", 1.0)}, r"args\[0\]\['b'\]\[0\] is str; it must be numeric"),
    "an array for a dict": (X, r"args\[0\] is an array of shape \(2,\).*tangent is a dict"),
    "complex": ({"b": (1j, 1.0)}, r"args\[0\]\['b'\]\[0\] is complex, the argument is real"),
    "ragged": ({"w": [[1.0], 2.0]}, r"args\[0\]\['w'\] is no array of numbers"),
}


@pytest.mark.parametrize("name", TANGENTS)
def test_tangents_and_directions(name):
    tangent, says = TANGENTS[name]
    f = lambda d: np.sum(d["w"] ** 2) * d["b"][0] * d["b"][1]
    for call in (lambda: ad.pushforward(f, (POINT,), (tangent,)), lambda: ad.hvp(f, POINT, tangent)):
        with pytest.raises(ADSelectValueError, match=f"the tangent of {says}.*test_seeds_and_out.py"):
            call()


def test_a_rule_that_returns_another_key():
    @ad.primitive
    def total(d):
        return np.sum(d["a"])

    ad.define_rrule(total)(lambda d: (total(d), lambda y_bar: (ad.NoTangent(), {"A": y_bar * np.ones(2)})))
    with pytest.raises(ad.RuleError, match=r"the key 'A', the value does not; it has 'a'"):
        ad.gradient(total, {"a": X})


# -- out= ------------------------------------------------------------------------------------------------------------

PRODUCT = lambda a, b: np.sum(a * b)
WRONG_OUT = {
    "integers": (lambda: (np.full(2, 7.0), np.full(2, 7)), ADSelectTypeError, r"out\[1\] is float64.*dtype int64"),
    "booleans": (lambda: (np.full(2, 7.0), np.ones(2, bool)), ADSelectTypeError, "dtype bool"),
    "another shape": (lambda: (np.full(2, 7.0), np.full(3, 7.0)), ADSelectValueError, r"out\[1\] has shape \(3,\)"),
    "read-only": (lambda: (np.full(2, 7.0), np.broadcast_to(7.0, (2,))), ADSelectValueError, r"out\[1\] is read-only"),
    "no array": (lambda: (np.full(2, 7.0), 7.0), ADSelectTypeError, r"out\[1\] is float"),
    "one too few": (lambda: (np.full(2, 7.0),), ADSelectTypeError, "tuple of 1 entries"),
    "the same twice": (lambda: (np.full(2, 7.0),) * 2, ADSelectValueError, "same array twice"),
    "a dict": (lambda: {"a": np.full(2, 7.0)}, ADSelectTypeError, "a dict with the keys"),
}


@pytest.mark.parametrize("name", WRONG_OUT)
@pytest.mark.parametrize("operator", [ad.gradient, ad.withgradient])
def test_out_that_does_not_fit_stays_as_it_was(name, operator):
    make, error, says = WRONG_OUT[name]
    out = make()
    with pytest.raises(error, match=says):
        operator(PRODUCT, X, X, out=out)
    as_made = make()
    for key in out if isinstance(out, dict) else range(len(out)):
        np.testing.assert_array_equal(out[key], as_made[key])


def test_out_casts_as_numpy_does(exact_backend):
    adtype, z = exact_backend.adtype, np.array([1 + 2j, 3.0])
    single = np.zeros(2, np.float32)
    assert ad.gradient(lambda x: np.sum(x**2), adtype, X, out=single) is single
    np.testing.assert_array_equal(single, [2.0, 4.0])
    wide = np.zeros(2, complex)
    ad.gradient(lambda x: np.sum(x**2), adtype, X, out=wide)
    np.testing.assert_array_equal(wide, [2.0, 4.0])
    real = np.full(2, 7.0)
    with pytest.raises(ADSelectTypeError, match="complex128 and cannot be written into an array of dtype float64"):
        ad.gradient(lambda z: np.sum(np.abs(z) ** 2), adtype, z, out=real)
    np.testing.assert_array_equal(real, 7.0)


def test_nested_out_is_written_as_a_whole_or_not_at_all():
    f = lambda d: np.sum(d["w"] ** 2) * d["b"][0]
    out = ({"w": np.full(2, 7.0), "b": [np.full((), 7.0), np.full((), 7)]},)
    with pytest.raises(ADSelectTypeError):
        ad.gradient(f, {"w": X, "b": [1.0, 2.0]}, out=out, missing="zeros")
    np.testing.assert_array_equal(out[0]["w"], 7.0)
    assert float(out[0]["b"][0]) == 7.0
