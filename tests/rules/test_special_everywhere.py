"""scipy.special on every backend: what the built-in engine gives is what each framework gives, to second order.

The cases are those that the rules themselves are held against differences with. Most of these functions no framework
has: their value is computed by SciPy and their derivative by adselect's rule.
"""

import numpy as np
import pytest
from conftest import EXACT, present
from samples.special import COMPLEX, FIRST_ORDER, REAL, WITH_ORDER, X, Z, has
from witnesses import like

import adselect as ad
from adselect.rules.registry import COMPOSITES, RULES

sc = pytest.importorskip("scipy.special")

TAPE, FORWARD = ad.AutoTape(), ad.AutoForward()
FRAMEWORKS = [b for b in EXACT if b.name not in ("tape", "forward")]
CASES = {}
for _name, _args in REAL:
    CASES[_name] = (_name, [a for a in _args if np.ndim(a) == 0], [a for a in _args if np.ndim(a)])
for _name, _fixed, _args in WITH_ORDER:
    CASES[f"{_name} of order {_fixed[0]}"] = (_name, _fixed, _args)
for _name, _fixed in COMPLEX:
    CASES[f"complex {_name}"] = (_name, _fixed, [Z])
for _name, _fixed, _args in [
    ("elliprf", [], [X, X + 0.3, X[::-1]]),
    ("elliprc", [], [X, X + 0.3]),
    ("round", [], [X]),
    ("gammasgn", [], [np.array([-0.3, 0.8])]),
    ("lambertw", [], [X]),
]:
    CASES[_name] = (_name, _fixed, _args)
SEVERAL = {"sici": [X], "shichi": [X], "fresnel": [X], "airy": [X], "itj0y0": [X], "iti0k0": [X], "ellipj": [X, 0.6]}


@pytest.fixture(params=FRAMEWORKS, ids=lambda b: b.name)
def framework(request):
    return present(request.param).adtype


def close(got, expected, what, tol=1e-9):
    got, expected = (np.zeros(()) if v is None else np.asarray(v) for v in (got, expected))
    if not expected.shape and not got.shape and not expected.any() and not got.any():
        return
    assert got.shape == expected.shape, f"{what}: shape {got.shape} is not {expected.shape}"
    assert got.dtype == expected.dtype, f"{what}: {got.dtype} is not {expected.dtype}"
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    assert np.max(np.abs(got - expected), initial=0.0) <= tol * scale, f"{what}: {got} is not {expected}"


def agree(f, adtype, args, order=2, forward=True):
    """adtype gives f's value and its derivatives as the built-in engine does."""
    rng = np.random.default_rng(1)
    directions = tuple([like(a, rng) for a in args])
    y, y_dot = ad.pushforward(f, FORWARD, tuple(args), directions)
    close(ad.pullback(f, adtype, *args)[0], y, "value", 1e-11)
    if forward:
        close(ad.pushforward(f, adtype, tuple(args), directions)[1], y_dot, "forward")
    seed = like(np.asarray(y), rng)
    for bar, expected in zip(ad.pullback(f, adtype, *args)[1](seed), ad.pullback(f, TAPE, *args)[1](seed), strict=True):
        close(bar, expected, "reverse")
    if order < 2:
        return

    def along(*xs, adtype):
        bars = ad.gradient(lambda *xs: np.sum(np.real(np.conj(seed) * f(*xs))), adtype, *xs)
        return sum([np.sum(np.real(np.conj(d) * g)) for d, g in zip(directions, bars, strict=True)])

    curvatures = [ad.gradient(lambda *xs, a=a: along(*xs, adtype=a), a, *args) for a in (adtype, TAPE)]
    for got, expected in zip(*curvatures, strict=True):
        close(got, expected, "second order", 3e-8)


@pytest.mark.parametrize("case", CASES)
def test_function(framework, case):
    name, fixed, args = CASES[case]
    function = has(name)
    first = name in ONCE or (name in FIRST_ORDER and case.startswith("complex"))
    agree(lambda *xs: function(*fixed, *xs), framework, args, order=1 if first else 2)


ONCE = {"round", "gammasgn", "radian", "elliprf", "elliprc"}  # linear, or without a second derivative


@pytest.mark.parametrize("name", SEVERAL)
def test_several_results(framework, name):
    function, (x, *fixed) = has(name), SEVERAL[name]
    agree(lambda x: sum([(k + 1) * part for k, part in enumerate(function(x, *fixed))]), framework, [x])


@pytest.mark.parametrize("name", ["spherical_jn", "spherical_yn", "spherical_in", "spherical_kn"])
def test_spherical_bessel_functions(framework, name):
    function = getattr(ad.special, name)
    for derivative in (False, True):
        agree(lambda z, derivative=derivative: function(2, z, derivative), framework, [X])
    agree(lambda z: function(2, z), framework, [Z], order=1)


def test_every_rule_has_a_case():
    import adselect.rules.special  # noqa: F401 - registers them

    sampled = {name for name, _, _ in CASES.values()} | set(SEVERAL) | {"gdtr", "gdtrc"}
    ufuncs = [f for f in {*RULES, *COMPOSITES} if isinstance(f, np.ufunc) and getattr(sc, f.__name__, None) is f]
    assert {f.__name__ for f in ufuncs} - sampled <= WITHOUT_DERIVATIVE


WITHOUT_DERIVATIVE = {"zetac", "elliprd"}  # refused by name in every argument


def test_gamma_distribution_functions(framework):
    agree(lambda a, x: sc.gdtr(a, 2.3, x) - sc.gdtrc(a, 1.3, x), framework, [X, X[::-1]])


def test_arguments_of_different_ranks(framework):
    table = np.array([[0.3, 0.7], [1.1, 1.9]])
    agree(sc.agm, framework, [np.array([0.4, 0.8]), table])
    agree(lambda x, y: sc.ellipkinc(x, y), framework, [0.6, np.array([0.2, 0.5])])
    agree(lambda x: sc.jv(np.arange(2.0)[:, None], x), framework, [X])


def test_orders_are_refused_by_name(framework):
    with pytest.raises(ad.UnsupportedError, match=r"scipy\.special\.jv has no derivative in its argument the order"):
        ad.gradient(lambda v: sc.jv(v, 1.0), framework, 1.5)


def test_orders_that_do_not_depend_on_the_argument_are_none_of_that(framework):
    (g,) = ad.gradient(lambda x: np.sum(sc.jv(np.ones_like(x), x)), framework, X)
    close(g, ad.gradient(lambda x: np.sum(sc.jv(1.0, x)), X)[0], "gradient")


def test_single_precision(framework):
    for function in (sc.erf, sc.ellipk, sc.j0):
        y, (g,) = ad.withgradient(lambda x, function=function: np.sum(function(x)), framework, np.array([0.5], "f4"))
        assert g.dtype == np.float32
        np.testing.assert_allclose(y, function(0.5), rtol=1e-6)


def test_factorials_refuse_what_scipy_refuses(exact_backend):
    adtype = exact_backend.adtype
    for x in (1.0, 2.5, 3.0):
        for function in (sc.factorial2, lambda x: sc.factorialk(x, 3)):
            with pytest.raises(ValueError, match="non-integer arguments"):
                ad.gradient(function, adtype, x)
    (g,) = ad.gradient(lambda x: sc.factorial(x) + sc.perm(x, 2.0), adtype, 2.5)
    np.testing.assert_allclose(g, sc.gamma(3.5) * sc.psi(3.5) + 4, rtol=1e-9)


JITTED = ["ellipk", "jv", "agm", "fresnel", "xlogy", "rgamma", "exprel", "ellipkm1"]


@pytest.mark.parametrize("name", JITTED)
def test_compiled_and_batched_by_jax(name):
    jax = pytest.importorskip("jax")
    function, adtype = has(name), ad.AutoJax()

    def f(x, y):
        result = function(1.5, x) if name == "jv" else function(x, y) if function.nin == 2 else function(x)
        return np.sum(np.cos(result[1] if isinstance(result, tuple) else result) * y)

    def in_rows(xs, y):
        return np.sum(
            jax.vmap(lambda x: f(x, y))(xs) if getattr(xs, "_framework", "") else np.stack([f(x, y) for x in xs])
        )

    x, y = X / 3, X + 0.1
    for g, args in ((f, (x, y)), (in_rows, (np.stack([x, x + 0.1]), y)), (in_rows, (np.stack([x[0], x[1]]), y[0]))):
        prepared = ad.prepare(ad.gradient, g, adtype, *args)
        for got, wanted in zip(prepared(*args), ad.gradient(g, *args), strict=True):
            close(got, wanted, name)


def test_a_wrong_derivative_is_noticed(framework):
    wrong = ad.primitive(lambda x: sc.j0(x), host=True)
    ad.define_rrule(wrong, host=False)(lambda x: (sc.j0(x), lambda g: (ad.NoTangent(), g * sc.j1(x))))
    with pytest.raises(AssertionError, match="reverse: "):
        agree(lambda x: wrong(x) if getattr(x, "_framework", "") else sc.j0(x), framework, [X], forward=False)
