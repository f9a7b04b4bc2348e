"""Every rule of the registry: vjp against differences, against jvp, both at second order; shapes by hypothesis.

A sample is a function and its arguments. Running all samples on a tape tells which rules they reach: a rule that no
sample here or in ``samples/options.py`` reaches is a failure.
"""

from __future__ import annotations

import importlib
import operator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples.elementwise import HOLOMORPHIC, SMOOTH, SMOOTH_TWO, STEPS, STEPS_TWO
from samples.options import REFUSED, function_of
from samples.options import SAMPLES as OPTIONS

import adselect as ad
from adselect import AutoForward, AutoTape
from adselect.engine.trace import CONSTANT, ITEM, Trace
from adselect.face.array import Array
from adselect.face.atoms import clipped, scatter, select, set_item
from adselect.face.dispatch import dispatch
from adselect.rules import registry
from adselect.rules.eigenvalues import spectral_diagonal, spectral_sum
from adselect.rules.reductions import exactly
from adselect.rules.registry import COMPOSITES, NO_DERIVATIVE, RULES
from adselect.rules.rule import Linear, kink, unbroadcast, vanishing
from adselect.rules.singular_values import singular_diagonal, singular_sum
from adselect.rules.undetermined import inverse_gap

TAPE, FORWARD = AutoTape(), AutoForward()
RNG = np.random.default_rng(0)
A = np.array([[0.7, -1.3, 0.4], [1.1, 0.3, -0.6]])
B = np.array([[1.9, 0.8, -0.7], [-0.4, 1.2, 2.3]])
ROW = np.array([0.9, -0.5, 1.4])
POS = np.array([[0.7, 1.3, 0.4], [1.1, 0.3, 2.6]])
UNIT = np.array([0.3, -0.6, 0.1])
SQUARE = np.array([[2.0, 0.5, -0.3], [0.1, 1.5, 0.4], [-0.2, 0.3, 1.8]])
SPD = SQUARE @ SQUARE.T
Z = A + 1j * B
CUBE = RNG.normal(size=(2, 3, 4))

WHERE = {"any": A, "positive": POS, "unit": UNIT, "above": POS + 1}
UNARY = {name: WHERE[where] for name, where in SMOOTH.items()}
BINARY = {name: (WHERE[where], B) for name, where in SMOOTH_TWO.items()}
FLAT = {
    **{name: (getattr(np, name), (A,)) for name in STEPS if name != "around"},
    **{name: (getattr(np, name), (A, B)) for name in STEPS_TWO},
    "round": (np.round, (A,)),
}

SAMPLES = {
    **{n: (getattr(np, n), (x,)) for n, x in UNARY.items()},
    **{n: (getattr(np, n), args) for n, args in BINARY.items()},
    **{
        f"{n} broadcast": (getattr(np, n), (args[0], np.abs(ROW) if "power" in n else ROW))
        for n, args in BINARY.items()
    },
    **{f"{n} of numbers": (getattr(np, n), (float(args[0][0, 0]), float(args[1][1, 1]))) for n, args in BINARY.items()},
    **{f"flat {n}": v for n, v in FLAT.items()},
    **{f"power {p}": (lambda x, p=p: x**p, (POS,)) for p in (0, 1, 2, 3, 0.5, -1, -2, 1.7, 0.0, 2.0)},
    "power of negative": (lambda x: x**3 + x**2.0, (A,)),
    "ldexp": (lambda x: np.ldexp(x, 3), (A,)),
    "nextafter": (lambda x: np.nextafter(x, 9.0), (A,)),
    "select": (lambda x, y: dispatch(select, (A > 0, x, y), {}), (A, B)),
    "clipped": (lambda x, lo, hi: dispatch(clipped, (x, lo, hi), {}), (A, -0.5, 0.9)),
    "real imag conj": (lambda z: np.real(z) * np.imag(z) + np.real(np.conj(z) * z), (Z,)),
    "absolute complex": (np.abs, (Z,)),
    "angle": (np.angle, (Z,)),
    "astype": (lambda x: (x * 1.0).astype(np.float64), (A,)),
    "copy": (np.copy, (A,)),
    "sum": (lambda x: np.sum(x * x, axis=1), (A,)),
    "sum where": (lambda x: np.sum(x * x, axis=0, where=A > 0), (A,)),
    "sum initial": (lambda x: np.sum(x, initial=5.0), (A,)),
    "mean": (lambda x: np.mean(x * x, axis=0), (A,)),
    "mean where": (lambda x: np.mean(x, axis=1, where=B > 0), (A,)),
    "prod": (lambda x: np.prod(x, axis=1), (A,)),
    "prod two axes": (lambda x: np.prod(x, axis=(0, 2), keepdims=True), (CUBE,)),
    "prod with zero": (lambda x: np.prod(x, axis=0), (A * (A > 0),)),
    "prod where": (lambda x: np.prod(x, where=A > 0), (A,)),
    "max": (lambda x: np.max(x, axis=1) ** 2, (A,)),
    "min": (lambda x: np.min(x, axis=(0, 1)) ** 2, (A,)),
    "amax amin": (lambda x: np.amax(x, axis=0) * np.amin(x, axis=0, keepdims=True), (A,)),
    "cumsum": (lambda x: np.cumsum(x * x, axis=1), (A,)),
    "cumsum flat": (np.cumsum, (A,)),
    "cumprod": (lambda x: np.cumprod(x, axis=1), (A,)),
    "cumprod flat with zero": (np.cumprod, (A * (A > 0),)),
    "var std": (lambda x: np.var(x, axis=0) + np.std(x, axis=0, ddof=1), (A,)),
    "matmul": (np.matmul, (A, B.T)),
    "matmul vectors": (np.matmul, (ROW, UNIT)),
    "matmul matrix vector": (np.matmul, (A, ROW)),
    "matmul vector matrix": (np.matmul, (ROW, A.T)),
    "matmul stack": (np.matmul, (CUBE, RNG.normal(size=(4, 2)))),
    "matmul stack vector": (np.matmul, (CUBE, RNG.normal(size=4))),
    "matmul vector stack": (np.matmul, (ROW, CUBE)),
    "matmul broadcast stacks": (np.matmul, (CUBE[:, None], RNG.normal(size=(5, 4, 2)))),
    "einsum": (lambda x, y: np.einsum("ij,kj->ik", x, y), (A, B)),
    "einsum three": (lambda x, y, z: np.einsum("ij,kj,j->", x, y, z), (A, B, ROW)),
    "einsum trace": (lambda x: np.einsum("ii->i", x * x), (SQUARE,)),
    "einsum sum letter": (lambda x, y: np.einsum("ij,k->i", x * x, y), (A, ROW)),
    "solve": (np.linalg.solve, (SQUARE, ROW)),
    "solve matrix": (np.linalg.solve, (SQUARE, A.T)),
    "inv": (np.linalg.inv, (SQUARE,)),
    "inv stack": (np.linalg.inv, (np.stack([SQUARE, SPD]),)),
    "det": (np.linalg.det, (SQUARE,)),
    "slogdet": (lambda x: np.linalg.slogdet(x)[1], (SQUARE,)),
    "cholesky": (lambda x: np.linalg.cholesky(x + x.T + 4 * np.eye(3)), (SQUARE,)),
    "norm": (np.linalg.norm, (A,)),
    "getitem": (lambda x: x[1, ::2] ** 2, (A,)),
    "getitem fancy": (lambda x: x[[0, 1, 1], [2, 0, 0]] ** 2, (A,)),
    "getitem mask": (lambda x: x[B > 0] ** 2, (A,)),
    "set_item": (lambda x, v: dispatch(set_item, (x, v, (slice(None), 1)), {}) ** 2, (A, np.array([0.5, -0.2]))),
    "set_item fancy": (lambda x, v: dispatch(set_item, (x, v, ([0, 0], [1, 1])), {}) ** 2, (A, np.array([0.5, -0.2]))),
    "set_item broadcast": (lambda x, v: dispatch(set_item, (x, v, slice(None)), {}) ** 2, (A, ROW)),
    "scatter": (lambda p, q: scatter([p * p, q], [0, ([1, 1], [0, 0])], (2, 3), float), (ROW, np.array([1.0, 2.0]))),
    "reshape": (lambda x: np.reshape(x * x, (3, 2)), (A,)),
    "reshape order": (lambda x: np.reshape(x, (3, 2), order="F") * B.T, (A,)),
    "squeeze": (lambda x: np.squeeze(x[:, :1], axis=1) ** 2, (A,)),
    "expand_dims": (lambda x: np.expand_dims(x, (0, 2)) ** 2, (A,)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (4, 2, 3)) ** 2, (A,)),
    "transpose": (lambda x: np.transpose(x, (1, 2, 0)) ** 2, (CUBE,)),
    "concatenate": (lambda x, y: np.concatenate([x, y, x * x], axis=1), (A, B)),
    "stack": (lambda x, y: np.stack([x, y, x * y], axis=-1), (A, B)),
    "sort": (lambda x: np.sort(x, axis=1) * B, (A,)),
    "flip roll tile repeat": (lambda x: np.flip(np.tile(np.roll(x, 1), 2), 0) * np.repeat(x, 2, axis=1), (A,)),
}


def direction(x, seed=1):
    rng = np.random.default_rng(seed)
    d = rng.normal(size=np.shape(x))
    if np.iscomplexobj(x):
        d = d + 1j * rng.normal(size=np.shape(x))
    return d if np.ndim(x) else d.item() if isinstance(d, np.ndarray) else d


def along(f, args, dots, h=1e-4):
    """d/dt f(args + t dots) by central differences of order 4."""
    at = lambda t: np.asarray(f(*[a + t * d for a, d in zip(args, dots, strict=True)]))
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def inner(a, b):
    return 0.0 if a is None or b is None else float(np.real(np.sum(np.conj(a) * b)))


def near(a, b, tol, what=""):
    b = np.asarray(b)
    scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
    np.testing.assert_allclose(np.asarray(a), b, rtol=0, atol=tol * scale, err_msg=what)


def check_first_order(f, args, tol=1e-8):
    """Forward and reverse mode against differences, and against each other."""
    with np.errstate(all="ignore"):
        value = np.asarray(f(*args))
        dots = tuple([direction(a, i) for i, a in enumerate(args)])
        numeric = along(f, args, dots)
        y, y_dot = ad.pushforward(f, FORWARD, args, dots)
        near(y, value, 1e-13, "value (forward)")
        near(y_dot, numeric, tol, "jvp against differences")
        y, back = ad.pullback(f, TAPE, *args)
        near(y, value, 1e-13, "value (reverse)")
        y_bar = direction(value, 9)
        bars = back(y_bar)
    for a, bar in zip(args, bars, strict=True):
        assert bar is None or np.shape(bar) == np.shape(a)
        assert bar is None or np.iscomplexobj(bar) == np.iscomplexobj(a)
    left, right = sum(inner(b, d) for b, d in zip(bars, dots, strict=True)), inner(y_bar, np.asarray(y_dot))
    assert left == pytest.approx(right, rel=1e-11, abs=1e-11), "vjp against jvp"
    return y_bar


def check_second_order(f, args, y_bar, tol=1e-5):
    """The derivative of the gradient of ⟨ȳ, f⟩: by differences, forward over reverse and reverse over reverse."""
    if any(np.iscomplexobj(a) for a in args):
        return
    loss = lambda *xs: np.sum(np.real(np.conj(y_bar) * f(*xs)))
    dots = tuple([direction(a, 20 + i) for i, a in enumerate(args)])

    def flat(grads):
        return np.concatenate(
            [np.zeros(np.size(a)) if g is None else np.reshape(g, -1) for g, a in zip(grads, args, strict=True)]
        )

    others = tuple([direction(a, 40 + i) for i, a in enumerate(args)])
    slope = lambda *xs: ad.gradient(loss, TAPE, *xs, missing="zeros")
    moved = lambda *xs: along(loss, xs, others, 3e-3)
    with np.errstate(all="ignore"):
        numeric = along(moved, args, dots, 3e-3)
        _, forward = ad.pushforward(slope, FORWARD, args, dots)
        directed = lambda *xs: sum(np.sum(g * d) for g, d in zip(slope(*xs), dots, strict=True))
        reverse = ad.gradient(directed, TAPE, *args, missing="zeros")
    near(inner(flat(forward), flat(others)), numeric, tol, "forward over reverse against differences")
    near(flat(reverse), flat(forward), 1e-10, "reverse over reverse against forward over reverse")


@pytest.mark.parametrize("name", SAMPLES)
def test_rule(name):
    f, args = SAMPLES[name]
    y_bar = check_first_order(f, args)
    check_second_order(f, args, y_bar)


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_rule_of_complex_numbers(name):
    f = getattr(np, name)
    z = 0.4 * Z + 0.1
    check_first_order(f, (z,))
    # Holomorphic: the direction i gives i times the derivative.
    d = direction(z)
    with np.errstate(all="ignore"):
        one, turned = (ad.pushforward(f, FORWARD, (z,), (k * d,))[1] for k in (1, 1j))
    near(turned, 1j * np.asarray(one), 1e-12)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power"])
@pytest.mark.parametrize("kinds", ["cc", "cr", "rc"])
def test_binary_rules_of_complex_numbers(name, kinds):
    points = {"c": Z + 2, "r": POS}
    check_first_order(getattr(np, name), tuple([points[k] for k in kinds]))


COMPLEX_SAMPLES = {
    "sum": lambda z: np.sum(z * z, axis=1),
    "mean": lambda z: np.mean(z, axis=0) ** 2,
    "prod": lambda z: np.prod(z, axis=1),
    "cumprod": lambda z: np.cumprod(z, axis=1),
    "matmul": lambda z: z @ z.T,
    "matmul real": lambda z: B @ z.T,
    "einsum": lambda z: np.einsum("ij,kj->ik", z, np.conj(z)),
    "solve": lambda z: np.linalg.solve(z @ z.T + np.eye(2) * 3, z),
    "inv": lambda z: np.linalg.inv(z @ z.T + np.eye(2) * 3),
    "det": lambda z: np.linalg.det(z @ z.T + np.eye(2) * 3),
    "slogdet": lambda z: np.linalg.slogdet(z @ z.T + np.eye(2) * 3)[1],
    "cholesky": lambda z: np.linalg.cholesky(z @ np.conj(z).T + np.eye(2)),
    "norm": lambda z: np.linalg.norm(z),
    "getitem": lambda z: z[[0, 0], 1] ** 2,
    "where": lambda z: np.where(A > 0, z, np.conj(z)),
    "reshape transpose": lambda z: z.reshape(3, 2).T * z,
    "var": lambda z: np.var(z, axis=0),
    "abs2 and phase": lambda z: np.abs(z) ** 2 * np.exp(1j * np.angle(z)),
}


@pytest.mark.parametrize("name", COMPLEX_SAMPLES)
def test_rules_in_complex_programs(name):
    check_first_order(COMPLEX_SAMPLES[name], (Z,), 1e-7)


# -- coverage --------------------------------------------------------------------------------------------------------


def rules_used(f, args):
    trace = Trace()
    with np.errstate(all="ignore"):
        f(*[trace.leaf(np.asarray(a) if np.ndim(a) else np.float64(a) if not np.iscomplexobj(a) else a) for a in args])
    trace.close()
    return {record[0].function for record in trace.records.values()}


def test_every_rule_is_sampled():
    seen = set().union(*[rules_used(f, args) for f, args in SAMPLES.values()])
    seen |= set().union(*[rules_used(f, (Z,)) for f in COMPLEX_SAMPLES.values()])
    seen |= set().union(*[rules_used(*function_of(s)) for samples in OPTIONS.values() for s in {*samples} - REFUSED])
    # What only rules call, for derivatives of derivatives: test_strong_zeros.py, test_conventions.py,
    # test_decompositions.py and test_higher_order_rules.py hold those.
    internal = {ITEM.function, CONSTANT.function, vanishing, kink, exactly, inverse_gap}
    internal |= {spectral_sum, spectral_diagonal, singular_sum, singular_diagonal}
    missed = {f: rule for f, rule in RULES.items() if f not in seen | internal and not _is_special(f, rule)}
    assert not missed


def _is_special(function, rule):
    """Whether a rule is one of scipy.special's functions, which test_special.py goes through by itself."""
    functions = [function, *([rule.vjps] if callable(rule.vjps) else rule.vjps)]
    return any((getattr(f, "__module__", "") or "").startswith("adselect.rules.special") for f in functions)


# -- the registry ----------------------------------------------------------------------------------------------------


def test_every_rule_has_a_vjp_and_a_jvp_per_argument():
    for function, rule in RULES.items():
        if rule.variadic:
            assert callable(rule.vjps), function
            assert callable(rule.jvps), function
        elif not isinstance(rule, Linear):
            assert len(rule.vjps) == len(rule.jvps), function
            for vjp, jvp in zip(rule.vjps, rule.jvps, strict=True):
                assert (vjp is None) == (jvp is None), function
        assert repr(rule).startswith("<rule of ")


def test_no_function_is_registered_twice():
    assert not set(RULES) & set(COMPOSITES)
    assert not set(RULES) & NO_DERIVATIVE
    # Created like a traced array: no derivative, and traced all the same so that it can be written into.
    assert set(COMPOSITES) & NO_DERIVATIVE <= {np.zeros_like, np.ones_like, np.empty_like}
    with pytest.raises(ValueError, match="has a rule already"):
        registry.elementwise(np.sin, lambda g, y, x: g)


def test_positional_moves_arrays_to_their_places():
    args, _ = registry.positional(np.sum, (), {"a": A, "axis": 1})
    assert args[0] is A
    args, _ = registry.positional(np.dot, (A,), {"b": B})
    assert [id(a) for a in args] in ([id(A), id(B)], [id(A)])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_unbroadcast(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    kept = tuple([data.draw(st.sampled_from([1, n])) for n in shape])[data.draw(st.integers(0, len(shape))) :]
    g = RNG.normal(size=shape)
    full = np.broadcast_to(unbroadcast(g, shape, kept), kept)
    x = RNG.normal(size=kept)
    assert np.sum(full * x) == pytest.approx(np.sum(g * np.broadcast_to(x, shape)))
    lazy = unbroadcast(np.float64(2.0), shape, kept)
    assert np.sum(np.broadcast_to(lazy, kept) * x) == pytest.approx(2.0 * np.sum(np.broadcast_to(x, shape)))


# -- shapes by hypothesis --------------------------------------------------------------------------------------------

small = st.integers(1, 3)
shapes = st.lists(small, min_size=0, max_size=3).map(tuple)


def array(shape, seed=0):
    return np.random.default_rng(seed + 7).uniform(0.4, 1.6, size=shape) * np.where(
        np.arange(int(np.prod(shape))).reshape(shape) % 2, -1, 1
    )


@given(shapes, st.data(), st.sampled_from(["add", "multiply", "divide", "arctan2", "maximum", "hypot"]))
@settings(max_examples=60, deadline=None)
def test_broadcasting(shape, data, name):
    first = tuple([data.draw(st.sampled_from([1, n])) for n in shape])
    second = tuple([n if m == 1 else data.draw(st.sampled_from([1, n])) for n, m in zip(shape, first, strict=True)])
    first = first[data.draw(st.integers(0, len(first))) :] if data.draw(st.booleans()) else first
    check_first_order(getattr(np, name), (array(first), array(second, 1)))


@given(
    st.lists(small, min_size=1, max_size=3).map(tuple),
    st.data(),
    st.sampled_from(["sum", "mean", "prod", "max", "min", "var", "std", "nansum", "ptp"]),
)
@settings(max_examples=80, deadline=None)
def test_reductions(shape, data, name):
    axes = st.integers(-len(shape), len(shape) - 1)
    axis = data.draw(st.one_of(st.none(), axes, st.lists(axes, min_size=1, max_size=2).map(tuple)))
    if isinstance(axis, tuple):
        assume(len({a % len(shape) for a in axis}) == len(axis))
    keepdims = data.draw(st.booleans())
    x = array(shape)
    f = lambda t: getattr(np, name)(t, axis=axis, keepdims=keepdims)
    if name in ("std", "ptp", "max", "min"):
        assume(np.all(np.var(x, axis=axis) > 1e-6))
    check_first_order(f, (x,), 1e-7)


@given(st.lists(small, min_size=1, max_size=3).map(tuple), st.data(), st.sampled_from(["cumsum", "cumprod"]))
@settings(max_examples=30, deadline=None)
def test_scans(shape, data, name):
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    check_first_order(lambda t: getattr(np, name)(t, axis=axis), (array(shape),))


@given(st.permutations(range(3)), st.tuples(small, small, small))
@settings(max_examples=20, deadline=None)
def test_transposes(axes, shape):
    weights = array(tuple([shape[a] for a in axes]), 3)
    check_first_order(lambda t: np.transpose(t, axes) * weights, (array(shape),))
    check_first_order(lambda t: np.moveaxis(t, axes[0], axes[1]), (array(shape),))


basic = st.one_of(
    st.integers(-2, 1),
    st.builds(
        slice,
        st.one_of(st.none(), st.integers(-3, 2)),
        st.one_of(st.none(), st.integers(-2, 3)),
        st.sampled_from([None, 1, 2, -1]),
    ),
    st.just(Ellipsis),
    st.none(),
)
advanced = st.one_of(
    st.lists(st.integers(-2, 1), min_size=1, max_size=4),
    st.just(np.array([[0, 1], [1, 1]])),
    st.just(np.array([True, False])),
    st.integers(-2, 1),
    st.just(slice(None)),
)


def legal(x, index):
    try:
        x[index]
    except IndexError:
        return False
    return True


@given(st.lists(basic, min_size=1, max_size=4).map(tuple))
@settings(max_examples=80, deadline=None)
def test_basic_indexing(index):
    x = array((2, 2, 3))
    assume(legal(x, index))
    check_first_order(lambda t: t[index] ** 2, (x,))


@given(st.lists(advanced, min_size=1, max_size=3).map(tuple))
@settings(max_examples=60, deadline=None)
def test_advanced_indexing(index):
    x = array((2, 2, 3))
    assume(legal(x, index))
    check_first_order(lambda t: t[index] ** 2, (x,))


@given(
    st.one_of(st.lists(basic, min_size=1, max_size=4), st.lists(advanced, min_size=1, max_size=3)).map(tuple),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_writing_at_an_index(index, scalar, augmented):
    x = array((2, 2, 3))
    assume(legal(x, index))
    assume(x[index].size)
    value = 0.8 if scalar else array(np.shape(x[index]), 5)

    def f(t, v):
        y = t * 1.0
        if augmented:
            y[index] += v * v
        else:
            y[index] = v * v
        return y * y

    check_first_order(f, (x, value))


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([(), (2,), (1,), (2, 1)]),
    st.sampled_from([(), (2,), (3, 1)]),
)
@settings(max_examples=40, deadline=None)
def test_matrix_products(m, k, n, left, right):
    try:
        np.broadcast_shapes(left, right)
    except ValueError:
        assume(False)
    check_first_order(np.matmul, (array((*left, m, k)), array((*right, k, n), 1)))
    check_first_order(np.dot, (array((m, k)), array((k, n), 1)))


@given(
    st.sampled_from(
        [
            "ij,jk->ik",
            "ij,jk",
            "ij,ij->",
            "ij,ij->ij",
            "ij,kj->jik",
            "i,j->ij",
            "ij->ji",
            "ij->",
            "ii->i",
            "ii",
            "i,i,i->i",
            "ij,j,k->ki",
            "...i,i->...",
            "bij,bjk->bik",
            "i...,i...->...",
        ]
    )
)
@settings(max_examples=30, deadline=None)
def test_einsum(subscripts):
    sizes = {"i": 2, "j": 3, "k": 2, "b": 2}
    operands = []
    for position, term in enumerate(subscripts.split("->")[0].split(",")):
        letters = term.replace("...", "")
        shape = tuple([sizes[c] for c in letters])
        if "..." in term:
            shape = (2, *shape) if term.startswith("...") else (*shape, 2)
        operands.append(array(shape, position))
    check_first_order(lambda *xs: np.einsum(subscripts, *xs), tuple(operands))


@given(st.integers(0, 2), st.lists(small, min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_joining(axis, lengths):
    pieces = tuple([array(tuple([n if a == axis else 2 for a in range(3)]), i) for i, n in enumerate(lengths)])
    check_first_order(lambda *xs: np.concatenate([x * x for x in xs], axis=axis), pieces)
    same = tuple([array((2, 3), i) for i in range(len(lengths))])
    check_first_order(lambda *xs: np.stack([x * x for x in xs], axis=axis), same)


@given(st.sampled_from([(2, 3), (1, 3), (3,), (1, 1), ()]))
@settings(max_examples=10, deadline=None)
def test_broadcast_to(shape):
    check_first_order(lambda x: np.broadcast_to(x, (2, 2, 3)) ** 2, (array(shape),))


# -- rules are linear and repeatable ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in SAMPLES if not n.startswith("flat")][::3])
def test_pullbacks_are_linear_and_leave_their_seed(name):
    f, args = SAMPLES[name]
    y, back = ad.pullback(f, TAPE, *args)
    g, h = direction(y, 3), direction(y, 4)
    kept = np.array(g)
    one, two, both = back(g), back(h), back(2 * np.asarray(g) - np.asarray(h))
    for a, b, c in zip(one, two, both, strict=True):
        if a is not None:
            near(c, 2 * np.asarray(a) - np.asarray(b), 1e-12)
    np.testing.assert_array_equal(g, kept)
    for a, b in zip(one, back(g), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_rules_run_on_traced_values():
    """Rules are NumPy code over the face: third order through a sample of them."""
    for name in ("sin", "tanh", "power", "divide", "matmul", "solve", "prod", "getitem", "concatenate"):
        f, args = SAMPLES[name]
        g = lambda t, f=f, args=args: np.sum(f(*[a * t for a in args]))
        third = ad.derivative(ad.second_derivative(g))(0.9)
        h = 1e-3
        second = ad.second_derivative(g)
        numeric = (8 * (second(0.9 + h) - second(0.9 - h)) - (second(0.9 + 2 * h) - second(0.9 - 2 * h))) / (12 * h)
        assert third == pytest.approx(numeric, rel=1e-6, abs=1e-6), name


def test_modules_of_rules_import():
    for module in ("choosing", "elementwise", "indexing", "linalg", "reductions", "shaping"):
        importlib.import_module(f"adselect.rules.{module}")
    assert operator.getitem in RULES
    assert not isinstance(np.sin(1.0), Array)


# -- the checks can fail ---------------------------------------------------------------------------------------------

WRONG_FORMS = {
    "sign": (lambda g, y, x: -g * np.cos(x), lambda g, y, x: -g * np.cos(x)),
    "factor two": (lambda g, y, x: 2 * g * np.cos(x), lambda g, y, x: 2 * g * np.cos(x)),
    "vjp only": (lambda g, y, x: 1.001 * g * np.cos(x), lambda g, y, x: g * np.cos(x)),
    "jvp only": (lambda g, y, x: g * np.cos(x), lambda g, y, x: 1.001 * g * np.cos(x)),
    "shape": (lambda g, y, x: np.sum(g * np.cos(x), axis=0), lambda g, y, x: g * np.cos(x)),
    "NaN": (lambda g, y, x: g * np.nan, lambda g, y, x: g * np.nan),
    "not linear": (lambda g, y, x: g * g * np.cos(x), lambda g, y, x: g * np.cos(x)),
}


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_a_wrong_rule_is_rejected(name):
    def strange(x):
        return np.sin(x)

    vjp, jvp = WRONG_FORMS[name]
    registry.define(strange, (vjp,), (jvp,))
    try:
        with pytest.raises((AssertionError, ValueError)):
            check_first_order(lambda x: dispatch(strange, (x,), {}), (A,))
    finally:
        del RULES[strange]


def test_a_rule_wrong_at_second_order_is_rejected():
    def strange(x):
        return np.sin(x)

    frozen = np.cos(A)  # right at A, but a constant: its own derivative is lost
    registry.define(strange, (lambda g, y, x: g * frozen,), (lambda d, y, x: d * frozen,))
    try:
        f = lambda x: dispatch(strange, (x,), {})
        y_bar = check_first_order(f, (A,))
        with pytest.raises(AssertionError):
            check_second_order(lambda x: f(x) * f(x), (A,), y_bar)
    finally:
        del RULES[strange]
