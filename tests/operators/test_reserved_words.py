"""adtype=, missing=, out= and check= belong to the operators: they never reach f, and None is the default adtype."""

from __future__ import annotations

import numpy as np
import pytest

import adselect as ad
from adselect.errors import ADSelectTypeError, ADSelectValueError

X = np.array([1.0, 2.0])


def seen(x, **others):
    """A function that takes anything: a word that reached it would be swallowed in silence."""
    assert not others, others
    return np.sum(x**3)


def cube(t, **others):
    assert not others, others
    return t**3


CALLS = {
    "gradient": lambda *a, **k: ad.gradient(seen, *a, X, **k)[0],
    "withgradient": lambda *a, **k: ad.withgradient(seen, *a, X, **k).grad[0],
    "pullback": lambda *a, **k: ad.pullback(seen, *a, X, **k)[1](1.0)[0],
    "pushforward": lambda *a, **k: ad.pushforward(seen, *a, (X,), (X,), **k)[1],
    "derivative": lambda *a, **k: ad.derivative(cube, *a, 2.0, **k),
    "second_derivative": lambda *a, **k: ad.second_derivative(cube, *a, 2.0, **k),
    "jacobian": lambda *a, **k: ad.jacobian(seen, *a, X, **k)[0],
    "withjacobian": lambda *a, **k: ad.withjacobian(seen, *a, X, **k).grad[0],
    "hessian": lambda *a, **k: ad.hessian(seen, *a, X, **k),
    "withhessian": lambda *a, **k: ad.withhessian(seen, *a, X, **k).hess,
    "hessian_reverse": lambda *a, **k: ad.hessian_reverse(seen, *a, X, **k),
    "diaghessian": lambda *a, **k: ad.diaghessian(seen, *a, X, **k)[0],
    "hvp": lambda *a, **k: ad.hvp(seen, *a, X, X, **k),
}
every_operator = pytest.mark.parametrize("name", CALLS)


@pytest.fixture
def chosen(monkeypatch):
    """Which adtypes were asked for their backend."""
    asked = []
    from adselect.operators import choosing, pushforward

    def note(adtype):
        asked.append(adtype)
        return original(adtype)

    original = choosing.backend_of
    monkeypatch.setattr(choosing, "backend_of", note)
    monkeypatch.setattr(pushforward, "backend_of", note)
    return asked


@every_operator
def test_as_a_keyword_in_second_place_and_as_none(name, chosen):
    call = CALLS[name]
    expected = call()
    for args, options, adtype in (
        ((), {"adtype": ad.AutoForward(chunk_size=3)}, ad.AutoForward(chunk_size=3)),
        ((ad.AutoForward(chunk_size=3),), {}, ad.AutoForward(chunk_size=3)),
        ((None,), {}, ad.AutoTape()),
        ((), {"adtype": None}, ad.AutoTape()),
        ((None,), {"adtype": None}, ad.AutoTape()),
        ((ad.AutoForward(),), {"adtype": None}, ad.AutoForward()),
    ):
        chosen.clear()
        np.testing.assert_allclose(call(*args, **options), expected, rtol=1e-12)
        assert chosen[0] == adtype


@every_operator
@pytest.mark.parametrize(
    ("args", "options", "says"),
    [
        ((ad.AutoTape(),), {"adtype": ad.AutoForward()}, r"two adtypes, AutoTape\(\) and AutoForward\(\)"),
        ((None,), {"adtype": ad.AutoForward()}, r"two adtypes, None and AutoForward\(\)"),
        ((None, ad.AutoForward()), {}, r"two adtypes, None and AutoForward\(\)"),
        ((ad.AutoTape(), ad.AutoForward()), {}, "two adtypes"),
        ((), {"adtype": ad.AutoJax}, r"the class AutoJax; .*adtype=adselect.AutoJax\(\)"),
        ((), {"adtype": "jax"}, r"the string 'jax' .*adtype=adselect.AutoJax\(\)"),
        ((), {"adtype": 3}, "adtype=3; an adtype is an object"),
        ((), {"adtype": "fast"}, "adtype='fast'; an adtype is an object"),
    ],
)
def test_what_is_no_choice_is_refused(name, args, options, says):
    with pytest.raises(ADSelectTypeError, match=f"^{name} was given .*{says}"):
        CALLS[name](*args, **options)


SPELLINGS = {
    "AutoTape": ["tape", "AutoTape", "autotape()", "AutoTape()", "adselect.AutoTape()", "numpy", "NumPy", "auto-tape"],
    "AutoForward": ["forward", "AutoForward(chunk_size=2)", "forward mode"],
    "AutoJax": ["jax", "AutoJax()", "AutoJax", "JAX", "jax.numpy", "jnp", "ad.AutoJax()"],
    "AutoTorch": ["torch", "PyTorch", "auto_torch"],
    "AutoAutograd": ["autograd", "AutoAutograd()", "auto-grad", "HIPS autograd", "autograd.numpy"],
    "AutoFiniteDifferences": ["fd", "findiff", "finite_differences", "finite differences", "FiniteDifference"],
}


@pytest.mark.parametrize(("cls", "text"), [(c, t) for c, texts in SPELLINGS.items() for t in texts])
def test_a_text_that_names_a_backend_is_refused(cls, text):
    for operator in (ad.gradient, ad.hessian, ad.derivative, ad.prepare):
        arguments = (ad.gradient, cube, text, 1.0) if operator is ad.prepare else (cube, text, 1.0)
        with pytest.raises(ADSelectTypeError, match=rf"adselect\.{cls}\(\)"):
            operator(*arguments)


def test_other_texts_are_arguments():
    f = lambda mode, x: x * len(mode)
    for text in ("mode", "grad", "", "reverse", "a text with (brackets)"):
        assert ad.gradient(f, text, 2.0) == (None, float(len(text)))
    assert ad.gradient(f, ad.AutoTape(), "jax", 2.0) == (None, 3.0)  # behind an adtype every text is one
    assert ad.gradient(lambda n, x: x, ad.AutoTape(), None, 2.0) == (None, 1.0)


@pytest.mark.parametrize("name", [n for n in CALLS if "derivative" not in n])
def test_a_call_without_an_argument_says_so(name):
    operator = getattr(ad, name)
    for args, options in (((), {}), ((ad.AutoForward(),), {}), ((None,), {}), ((), {"x": X}), ((), {"adtype": None})):
        with pytest.raises(
            ADSelectTypeError, match=f"^{name} was called without a positional argument .*test_reserved"
        ):
            operator(seen, *args, **options)


def test_the_derivative_as_a_function_keeps_its_options():
    for f in (ad.derivative(cube, adtype=ad.AutoForward()), ad.derivative(cube, None), ad.derivative(cube, check=True)):
        assert f(2.0) == 12.0
    with pytest.raises(ADSelectTypeError, match="first argument is the function"):
        ad.derivative(2.0)


@every_operator
def test_missing_and_check_are_held_to_their_values(name):
    with pytest.raises(ADSelectValueError, match="missing must be"):
        CALLS[name](missing="maybe")
    with pytest.raises(ADSelectTypeError, match="check= is True or False"):
        CALLS[name](check="always")
    np.testing.assert_allclose(CALLS[name](missing="zeros", check=True), CALLS[name](), rtol=1e-12)
    if name not in ("gradient", "withgradient", "pullback"):
        with pytest.raises(ADSelectValueError, match="gives zeros where f does not depend"):
            CALLS[name](missing="error")


@pytest.mark.parametrize("name", ["pullback", "pushforward", "withhessian"])
def test_no_out_where_the_result_has_several_parts(name):
    with pytest.raises(ADSelectTypeError, match=f"{name} takes no out="):
        CALLS[name](out=np.zeros(2))


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("pullback", "pushforward", "withhessian")])
def test_out_is_written(name):
    expected = np.asarray(CALLS[name]())
    buffer = np.full(expected.shape, 7.0)
    single = name in ("derivative", "second_derivative", "hessian", "hessian_reverse", "hvp")
    got = CALLS[name](out=buffer if single else (buffer,))
    assert got is buffer
    np.testing.assert_array_equal(buffer, expected)


@pytest.mark.parametrize("f", [lambda x: 1.0, lambda x: 2.0 * x[0]], ids=["constant", "linear"])
def test_hvp_of_what_does_not_bend_is_zeros(f, exact_backend):
    np.testing.assert_array_equal(ad.hvp(f, exact_backend.adtype, X, X), np.zeros(2))
    np.testing.assert_array_equal(
        ad.hvp(lambda d: f(d["a"]), exact_backend.adtype, {"a": X}, {"a": X})["a"], np.zeros(2)
    )
