"""NumPy's ufuncs and other elementwise functions: real, complex, broadcast, float32, scalars."""

import numpy as np
import pytest
from samples.elementwise import COMPLEX, COMPLEX_TWO, ONE, STEPS, TWO
from witnesses import witness

import adselect as ad
from adselect.rules.registry import RULES
from adselect.rules.rule import Elementwise, arguments_read

ANY = np.array([-1.7, -0.4, 0.3, 1.2, 2.6])
POSITIVE = np.array([0.3, 0.8, 1.2, 2.6])
UNIT = np.array([-0.7, -0.2, 0.4, 0.9])
ABOVE = np.array([1.1, 1.7, 3.2])
Z = np.array([0.6 + 0.3j, -1.2 - 0.7j, 0.4 + 1.5j])
U = np.array([[0.55], [-1.35]])

WHERE = {"any": ANY, "positive": POSITIVE, "unit": UNIT, "above": ABOVE}
ARGUMENT = {name: WHERE[where] for name, where in ONE.items()}
ARGUMENTS = {name: (WHERE[where], U) for name, where in TWO.items()}


def smooth(f):
    """f made curved, so that second order sees f's first derivative."""
    return lambda *args: f(*args) * (1 + f(*args))


@pytest.mark.parametrize("name", ONE)
def test_one_argument(name):
    function, x = getattr(np, name), ARGUMENT[name]
    witness(lambda x: function(x), x)
    witness(lambda x: function(x), x[0])
    witness(smooth(lambda x: function(x)), x.reshape(1, -1))


@pytest.mark.parametrize("name", COMPLEX)
def test_complex(name):
    function = getattr(np, name)
    witness(lambda z: function(z), Z)
    witness(smooth(lambda z: function(z)), Z[0])


@pytest.mark.parametrize("name", TWO)
def test_two_arguments(name):
    function, (a, b) = getattr(np, name), ARGUMENTS[name]
    witness(lambda a, b: function(a, b), a, b)
    witness(lambda a: function(a, 0.7), a)
    witness(lambda b: function(0.7, b), np.abs(b))
    witness(lambda a, b: function(a, b), a[0], np.abs(b))
    if name not in ("remainder", "floor_divide", "fmod"):
        witness(lambda a: function(a, np.array([1, 2])), a[-1])


@pytest.mark.parametrize("name", COMPLEX_TWO)
def test_two_complex_arguments(name):
    function = getattr(np, name)
    witness(lambda a, b: function(a, b), Z, Z[:, None] + 1)
    witness(lambda a, b: function(a, b), Z, POSITIVE[:3])
    witness(lambda a, b: function(a, b), POSITIVE[:3], Z)
    witness(lambda a: function(2.0 + 1j, a), POSITIVE[:3])


POWERS = [0, 1, 2, 3, -1, -2, 0.5, 1.5, -0.5, 0.0, 5, np.float64(2.0), np.int64(3), 1j]


@pytest.mark.parametrize("p", POWERS)
def test_powers(p):
    witness(lambda x: x**p, POSITIVE)
    witness(lambda x: x**p, 0.7)
    witness(lambda z: z**p, Z)
    if np.imag(p) == 0 and float(np.real(p)).is_integer():
        witness(lambda x: x**p, ANY)
    if p != 1j:
        witness(lambda x: p**x if p > 0 else x, ANY)


OTHERS = {
    "clip": (lambda x: np.clip(x, -0.5, 1.0) ** 2, ANY),
    "clip traced": (lambda x, a, b: np.clip(x, a, b) ** 2, ANY, -0.5, 1.0),
    "clip one side": (lambda x: np.clip(x, None, 0.5) ** 2 + np.clip(x, 0.1, None) ** 2, ANY),
    "clip min=": (lambda x: np.clip(x, min=0.5) ** 2 + x.clip(max=0.1) ** 2, ANY),
    "clip of ndarray": (lambda a: ANY.clip(a, 2.0) ** 2, -0.5),
    "where": (lambda x, y: np.where(x > 0, x, y) ** 2, ANY, U),
    "where scalar": (lambda x: np.where(x > 0, x, 0.0) ** 2, ANY),
    "where complex": (lambda x, z: np.where(x > 0, x, z) ** 2, ANY[:3], Z),
    "select": (lambda x: np.select([x > 1, x > 0], [x**2, x], x**3), ANY),
    "select broadcast": (lambda x: np.select([x > 1, x < 0], [x**2, 3.0], 1.0), ANY),
    "piecewise": (lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda t: -t, lambda t: t**2]), ANY),
    "piecewise otherwise": (lambda x: np.piecewise(x, [x < -1, x > 1], [0.0, lambda t: t**2, lambda t: t**3]), ANY),
    "divmod": (lambda x, y: divmod(x, y)[0] + divmod(x, y)[1] ** 2, ANY, U),
    "modf": (lambda x: np.modf(x)[0] ** 2 + np.modf(x)[1], ANY),
    "frexp": (lambda x: np.frexp(x)[0] ** 2, ANY),
    "ldexp": (lambda x: np.ldexp(x, np.array([2])) ** 2, ANY),
    "round": (lambda x: np.round(x, 1) + x.round(2), ANY),
    "angle degrees": (lambda z: np.angle(z, deg=True), Z),
    "astype": (lambda x: x.astype(complex) ** 2, ANY),
    "emath.sqrt": (lambda x: np.emath.sqrt(x), ANY),
    "emath.log": (lambda x: np.emath.log(x) + np.emath.log2(x) + np.emath.log10(x), ANY),
    "emath.logn": (lambda x: np.emath.logn(3, x), POSITIVE),
    "emath.power": (lambda x: np.emath.power(x, 1.5), ANY),
    "emath.arccos": (lambda x: np.emath.arccos(x) + np.emath.arcsin(x) + np.emath.arctanh(x), np.array([0.3, 1.7])),
    "out": (lambda x: (lambda y: np.multiply(x, x, out=y))(np.zeros_like(x)) * x, ANY),
    "where= with out": (lambda x: np.multiply(x, x, out=np.ones_like(x), where=ANY > 0) * x, ANY),
    "where= traced mask": (lambda x: np.exp(x, out=np.zeros_like(x), where=x > 0) * x, ANY),
    "outer": (lambda x, y: np.multiply.outer(x, y), ANY, U),
    "subtract.outer": (lambda x, y: np.subtract.outer(x, y) ** 2, ANY, U),
    "dtype=": (lambda x: np.add(x, x, dtype=complex) ** 2, ANY),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others(name):
    f, *args = OTHERS[name]
    witness(f, *args)


def test_nan_to_num_options():
    x = np.array([1.0, np.nan, np.inf, -np.inf])
    value, (g,) = ad.withgradient(lambda x: np.sum(np.nan_to_num(x, nan=2.0, posinf=5.0, neginf=-1.0) ** 2), x)
    assert value == 1 + 4 + 25 + 1
    assert g.tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize("adtype", [ad.AutoTape(), ad.AutoForward()])
def test_single_precision(adtype):
    for name, x in ARGUMENT.items():
        function, x = getattr(np, name), x.astype("f4")
        for point in (x, x[0]):
            value, (g,) = ad.withgradient(lambda x, f=function: np.sum(f(x)), adtype, point)
            assert g is None or g.dtype == np.float32, name
            assert value.dtype == np.float32, name
    for name, (a, b) in ARGUMENTS.items():
        if name == "float_power":
            continue
        function = getattr(np, name)
        value, grads = ad.withgradient(lambda a, b, f=function: np.sum(f(a, b)), adtype, a.astype("f4"), b.astype("f4"))
        assert value.dtype == np.float32, name
        assert all(g.dtype == np.float32 for g in grads), name


def test_empty_arrays():
    for name in ONE:
        function = getattr(np, name)
        (g,) = ad.gradient(lambda x, f=function: np.sum(f(x)), np.zeros((0, 3)))
        assert g.shape == (0, 3), name


@pytest.mark.parametrize("name", STEPS)
def test_zero_slopes_are_zeros_not_none(name):
    for adtype in (ad.AutoTape(), ad.AutoForward()):
        assert ad.gradient(lambda x: np.sum(getattr(np, name)(x)), adtype, ANY)[0].tolist() == [0.0] * 5


def test_zero_times_infinity_keeps_second_derivatives():
    # log's argument has slope 0 at 0, but its slope has a slope.
    x, d = np.array([0.0, 1.0]), np.array([1.0, 2.0])
    f = lambda x: np.sum(np.log(1 + x * x))
    for inner in (ad.AutoTape(), ad.AutoForward()):
        slope = lambda x, inner=inner: np.sum(d * ad.gradient(f, inner, x)[0])
        for outer in (ad.AutoTape(), ad.AutoForward()):
            np.testing.assert_allclose(ad.gradient(slope, outer, x)[0], [2.0, 0.0])


class Forgotten:
    """Stands for a value that was not kept: any use of it is an error."""

    def __getattribute__(self, name):
        raise AssertionError(f"a form reads .{name} of a value that is not kept")

    def _used(self, *_):
        raise AssertionError("a form computes with a value that is not kept")

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __neg__ = _used
    __pow__ = __rpow__ = __eq__ = __array__ = _used
    __hash__ = None


FORGETFUL = sorted(
    [u for u, rule in RULES.items() if isinstance(rule, Elementwise) and u in vars(np).values()],
    key=lambda u: u.__name__,
)
FORGETFUL = [u for u in FORGETFUL if isinstance(u, np.ufunc) and not (RULES[u].needs_y and RULES[u].needs_args)]


@pytest.mark.parametrize("ufunc", FORGETFUL, ids=lambda u: u.__name__)
def test_forms_do_not_read_what_the_tape_forgets(ufunc):
    rule = RULES[ufunc]
    args = [np.array([1.25, 1.5]), np.array([0.75, 2.5])][: ufunc.nin]
    if ufunc in (np.arcsin, np.arccos, np.arctanh):
        args = [np.array([0.25, -0.5])]
    if ufunc is np.ldexp:
        args[1] = np.array([2, -1])
    y = ufunc(*args)
    kept_y = y if rule.needs_y else Forgotten()
    kept = args if rule.needs_args else [Forgotten() for _ in args]
    g = np.array([2.0, -1.0])
    with np.errstate(all="ignore"):
        for i in range(ufunc.nin):
            if i >= len(rule.vjps) or rule.vjps[i] is None:
                continue
            expected = rule.vjps[i](g, y, *args)
            np.testing.assert_array_equal(rule.uniform.vjps[i](g, kept_y, *kept), expected)
            if rule.uniform.into is not None:
                np.testing.assert_array_equal(rule.uniform.into[i](g.copy(), kept_y, *kept), expected)


def test_a_form_that_reads_a_forgotten_value_is_caught():
    with pytest.raises(AssertionError, match="not kept"):
        RULES[np.exp].uniform.vjps[0](np.ones(2), Forgotten(), np.ones(2))


def test_what_a_form_reads_is_seen_on_every_way_through_it():
    assert arguments_read(lambda g, y, x: g) == {0}
    assert arguments_read(lambda g, y, x: g * y if x is None else g) == {0, 1, 2}
    assert arguments_read(lambda g, y, a, b: [g * v for v in a]) == {0, 2}
    assert arguments_read(lambda g, y, a, b: (lambda: b)()) == {3}
    assert arguments_read(lambda g, y, a, b: g + y + a + b) == {0, 1, 2, 3}
