"""Every kind of rule under every transformation of JAX: what a function of jax.numpy gives, the primitive gives."""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from samples.kinds import EVERY_DAY, KINDS, is_first_order

import adselect as ad

jax = pytest.importorskip("jax")
jnp = jax.numpy
lax = jax.lax
checkify = pytest.importorskip("jax.experimental.checkify")
EVERYTHING = jax.checkpoint_policies.everything_saveable

X = np.array([0.3, -0.7, 1.2])
V = np.array([1.0, 2.0, -1.0])
TWO = np.stack([X, 2 * X])


def plain(x):
    return jnp.sin(x) * x


def squared(f):
    return lambda x: jnp.sum(f(x) ** 2)


def scanned(f, length=3):
    return lambda x: jnp.sum(lax.scan(lambda c, _: (f(c) + x, c), x, None, length=length)[0])


def looped(f):
    return lambda x: jnp.sum(lax.cond(x[0] > 0, f, lambda x: x, x))


def inside_custom_vjp(f):
    @jax.custom_vjp
    def g(x):
        return f(x)

    g.defvjp(lambda x: (f(x), x), lambda x, y_bar: (y_bar * jax.grad(squared(f))(x),))
    return g


def without_leaks(f):
    with jax.checking_leaks():
        return jax.jit(jax.grad(squared(f)))(X + 0)


def with_checks(f):
    error, slopes = checkify.checkify(jax.jit(jax.grad(squared(f))), errors=checkify.all_checks)(X)
    error.throw()
    return slopes


def root_of(f):
    def solve(g, x):
        return lax.fori_loop(0, 60, lambda _, x: x - 0.4 * g(x), x)

    return lambda a: lax.custom_root(lambda x: f(x) - a, 1.0, solve, lambda g, y: y / g(1.0))


def solution_of(f, x):
    scale = 2 + jnp.sum(f(x) ** 2)
    return lax.custom_linear_solve(lambda v: scale * v, x, lambda _, b: b / scale, symmetric=True)


def without_jit(f):
    with jax.disable_jit():
        return jax.jit(jax.vmap(jax.grad(squared(f))))(TWO)


FIRST = {
    "value": lambda f: f(jnp.array(X)),
    "jit": lambda f: jax.jit(f)(X),
    "grad": lambda f: jax.grad(squared(f))(X),
    "jit of grad": lambda f: jax.jit(jax.grad(squared(f)))(X),
    "grad of jit": lambda f: jax.grad(jax.jit(squared(f)))(X),
    "grad with jit inside": lambda f: jax.grad(squared(jax.jit(f)))(X),
    "vmap of grad": lambda f: jax.vmap(jax.grad(squared(f)))(TWO),
    "jit of vmap of grad": lambda f: jax.jit(jax.vmap(jax.grad(squared(f))))(TWO),
    "grad of vmap": lambda f: jax.grad(lambda x: jnp.sum(jax.vmap(f)(x) ** 2))(TWO),
    "vmap of vmap": lambda f: jax.vmap(jax.vmap(f))(TWO),
    "vmap over columns": lambda f: jax.vmap(f, in_axes=1, out_axes=1)(TWO),
    "vmap beside": lambda f: jax.vmap(lambda a, x: jnp.sum(a * f(x)), in_axes=(0, None))(TWO, X),
    "vmap of grad beside": lambda f: jax.vmap(jax.grad(lambda x, a: jnp.sum(a * f(x))), in_axes=(None, 0))(X, TWO),
    "jvp": lambda f: jax.jvp(f, (X,), (V,)),
    "jit of jvp": lambda f: jax.jit(lambda x, v: jax.jvp(f, (x,), (v,)))(X, V),
    "jvp of jit": lambda f: jax.jvp(jax.jit(f), (X,), (V,)),
    "vmap of jvp": lambda f: jax.vmap(lambda v: jax.jvp(f, (X,), (v,))[1])(TWO),
    "jacfwd": lambda f: jax.jacfwd(f)(X),
    "jacrev": lambda f: jax.jacrev(f)(X),
    "linearize": lambda f: jax.linearize(f, X)[1](V),
    "vjp called twice": lambda f: [back(V) for back in [jax.vjp(f, X)[1]] * 2],
    "grad of scan": lambda f: jax.grad(scanned(f))(X),
    "grad inside scan": lambda f: lax.scan(lambda c, _: (c - 0.1 * jax.grad(squared(f))(c), c), X, None, length=3)[0],
    "fori_loop": lambda f: lax.fori_loop(0, 3, lambda i, c: f(c), X),
    "while_loop": lambda f: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, f(c[1])), (0, X))[1],
    "grad of cond": lambda f: jax.grad(looped(f))(X),
    "grad of checkpoint": lambda f: jax.grad(jax.checkpoint(squared(f)))(X),
    "jit of grad of checkpoint": lambda f: jax.jit(jax.grad(jax.checkpoint(squared(f))))(X),
    "grad of scan of checkpoint": lambda f: jax.grad(scanned(jax.checkpoint(f)))(X),
    "eval_shape": lambda f: jnp.zeros(jax.eval_shape(jax.grad(squared(f)), X).shape),
    "compiled ahead": lambda f: jax.jit(jax.grad(squared(f))).lower(X).compile()(X),
    "map": lambda f: lax.map(f, TWO),
    "inside a custom_vjp": lambda f: jax.grad(lambda x: jnp.sum(inside_custom_vjp(f)(x)))(X),
    "auxiliary value": lambda f: jax.value_and_grad(lambda x: (squared(f)(x), f(x)), has_aux=True)(X),
    "stop_gradient": lambda f: jax.grad(lambda x: jnp.sum(x * lax.stop_gradient(f(x))))(X),
    "single precision": lambda f: jax.grad(squared(f))(X.astype(np.float32)),
    "number": lambda f: jax.grad(f)(0.5),
    "jit of number": lambda f: jax.jit(jax.grad(f))(0.5),
    "used twice": lambda f: jax.grad(lambda x: jnp.sum(f(f(x)) * f(x)))(X),
    "nothing leaks": without_leaks,
    "checkify": with_checks,
    "custom_root": lambda f: jax.grad(root_of(f))(1.5),
    "custom_linear_solve": lambda f: jax.grad(lambda x: jnp.sum(solution_of(f, x)))(X),
    "policy of checkpoint": lambda f: jax.grad(jax.checkpoint(squared(f), policy=EVERYTHING))(X),
    "associative_scan": lambda f: lax.associative_scan(lambda a, b: f(a) + b, jnp.array(TWO)),
    "named axis": lambda f: jax.vmap(lambda x: lax.psum(f(x), "i"), axis_name="i")(TWO),
    "grad of vmap of cond": lambda f: jax.grad(lambda x: jnp.sum(jax.vmap(lambda v: looped(f)(v[None]))(x)))(X),
    "forward through while_loop": lambda f: jax.jacfwd(
        lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, f(c[1])), (0, x))[1]
    )(X),
    "without jit": without_jit,
}
SECOND = {
    "hessian": lambda f: jax.hessian(squared(f))(X),
    "jit of hessian": lambda f: jax.jit(jax.hessian(squared(f)))(X),
    "hessian of jit": lambda f: jax.hessian(jax.jit(squared(f)))(X),
    "reverse over reverse": lambda f: jax.jacrev(jax.jacrev(squared(f)))(X),
    "reverse over reverse of jit": lambda f: jax.jacrev(jax.jacrev(jax.jit(squared(f))))(X),
    "forward over forward": lambda f: jax.jacfwd(jax.jacfwd(squared(f)))(X),
    "reverse over forward": lambda f: jax.jacrev(jax.jacfwd(squared(f)))(X),
    "product": lambda f: jax.jvp(jax.grad(squared(f)), (X,), (V,))[1],
    "product by grad": lambda f: jax.grad(lambda x: jnp.vdot(jax.grad(squared(f))(x), V))(X),
    "vmap of hessian": lambda f: jax.vmap(jax.hessian(squared(f)))(TWO),
    "third order": lambda f: jax.grad(jax.grad(jax.grad(f)))(0.5),
    "jit of third order": lambda f: jax.jit(jax.grad(jax.grad(jax.grad(f))))(0.5),
    "hessian of scan": lambda f: jax.hessian(scanned(f, 2))(X),
    "reverse over reverse of scan": lambda f: jax.jacrev(jax.jacrev(scanned(f, 2)))(X),
    "hessian of checkpoint": lambda f: jax.hessian(jax.checkpoint(squared(f)))(X),
    "reverse over reverse of checkpoint": lambda f: jax.jacrev(jax.jacrev(jax.checkpoint(squared(f))))(X),
    "hessian of cond": lambda f: jax.hessian(looped(f))(X),
    "gradient penalty": lambda f: jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(jax.grad(squared(f))(x) ** 2))))(TWO),
}
everyday = [pytest.param(kind, marks=[] if kind in EVERY_DAY else pytest.mark.sweep) for kind in KINDS]


@functools.cache
def expected(name):
    with jax.enable_x64(True):
        return jax.tree.leaves((FIRST | SECOND)[name](plain))


def check(name, f):
    with jax.enable_x64(True):
        got = jax.tree.leaves((FIRST | SECOND)[name](f))
        assert [y.dtype for y in got] == [y.dtype for y in expected(name)]
        for mine, theirs in zip(got, expected(name), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5 if mine.dtype == np.float32 else 1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("kind", everyday)
def test_first_order(kind, name):
    check(name, KINDS[kind])


@pytest.mark.parametrize("name", SECOND)
@pytest.mark.parametrize("kind", everyday)
def test_second_order(kind, name):
    if is_first_order(kind):
        with pytest.raises(ad.UnsupportedError, match="a first derivative only"):
            check(name, KINDS[kind])
    else:
        check(name, KINDS[kind])


@ad.primitive
def tenfold(x):
    return 1.0 * x


@ad.define_rrule(tenfold)
def tenfold_rrule(x):
    return tenfold(x), lambda y_bar: (ad.NoTangent(), 10 * y_bar * x)


def test_a_loop_that_is_differentiated_twice_keeps_the_rule():
    # The rule's derivative is not the function's: that of a custom_jvp would be lost in the second scan.
    f = lambda x: lax.scan(lambda c, _: (tenfold(c), c), x, None, length=2)[0]
    by_hand = lambda x: tenfold(tenfold(x))
    with jax.enable_x64(True):
        for twice in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))):
            np.testing.assert_allclose(twice(f)(2.0), twice(by_hand)(2.0))


def test_shapes_that_depend_on_settings_are_found_anew():
    @ad.primitive(host=True)
    def repeated(x, n, mode="all"):
        return np.repeat(x, n) if mode == "all" else x

    @ad.define_rrule(repeated)
    def repeated_rrule(x, n, mode="all"):
        y = repeated(x, n, mode)
        return y, lambda y_bar: (ad.NoTangent(), y_bar.reshape(len(x), -1).sum(axis=1), ad.NoTangent(), ad.NoTangent())

    counts = np.array([1, 2, 3])
    for n, mode, slope in [(2, "all", 4.0), (5, "all", 10.0), (5, "none", 2.0)]:
        g = jax.jit(jax.grad(lambda x: jnp.sum(repeated(x, n, mode=mode) ** 2)))  # noqa: B023
        np.testing.assert_allclose(g(jnp.ones(3)), np.full(3, slope))
    for more in (counts, 2 * counts):
        assert jax.jit(lambda x: repeated(x, more))(jnp.ones(3)).shape == (np.sum(more),)  # noqa: B023


@pytest.mark.parametrize("host", [False, True])
def test_masks_are_arguments(host):
    @ad.primitive(host=host)
    def masked(x, mask):
        return np.where(mask, x * x, 0.0), mask

    @ad.define_rrule(masked)
    def masked_rrule(x, mask):
        return masked(x, mask), lambda y_bar: (ad.NoTangent(), np.where(mask, 2 * x * y_bar[0], 0.0), ad.NoTangent())

    def loss(x):
        y, mask = masked(x, x > 0)
        return jnp.sum(jnp.where(mask, y, x))

    slopes = np.where(X > 0, 2 * X, 1.0)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.grad(loss)(X), slopes)
        np.testing.assert_allclose(jax.jit(jax.grad(loss))(X), slopes)
        np.testing.assert_allclose(jax.vmap(jax.grad(loss))(np.stack([X, X])), [slopes, slopes])
        scanned = lambda x: lax.scan(lambda c, row: (c + loss(row), None), 0.0, x)[0]
        np.testing.assert_allclose(jax.grad(scanned)(np.stack([X, X])), [slopes, slopes])


def test_the_first_use_may_be_inside_a_transformation():
    code = """
import jax, jax.numpy as jnp
from samples.kinds import KINDS
x = jnp.array([0.3, -0.7])
for f in KINDS.values():
    jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(f(x) ** 2))))(jnp.stack([x, x]))
    jax.lax.scan(lambda c, _: (f(c), 0), x, None, length=2)
    jax.grad(lambda x: jnp.sum(f(x) ** 2))(x)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("kinds", [EVERY_DAY, pytest.param(tuple(KINDS), marks=pytest.mark.sweep)], ids=["some", "all"])
def test_on_a_mesh_of_two_devices(kinds):
    code = [sys.executable, "primitives/two_devices.py", *kinds]
    done = subprocess.run(code, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=250)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 10 * len(kinds)


def test_structures_do_not_keep_tracers():
    @ad.primitive
    def part(tree, k):
        return {"a": tree["w"] * k, "b": (tree["b"],)}

    ad.define_rrule(part)(
        lambda tree, k: (part(tree, k), lambda g: (ad.NoTangent(), {"w": g["a"] * k, "b": g["b"][0]}, ad.NoTangent()))
    )
    with jax.checking_leaks():
        g = jax.jit(jax.grad(lambda x: jnp.sum(part({"w": x, "b": 2 * x}, 3)["a"])))(X + 0)
    np.testing.assert_allclose(g, [3.0, 3.0, 3.0])
