"""Every kind of rule in HIPS autograd's own code: what a function of autograd.numpy gives, the primitive gives."""

import threading

import numpy as np
import pytest
from samples.kinds import KINDS, is_first_order
from samples.options import SAMPLES, function_of

import adselect as ad

autograd = pytest.importorskip("autograd")
import autograd.numpy as anp  # noqa: E402
from autograd.builtins import tuple as boxed_tuple  # noqa: E402
from autograd.misc.fixed_points import fixed_point  # noqa: E402

X = np.array([0.3, -0.7, 1.2])
V = np.array([1.0, 2.0, -1.0])


def plain(x):
    return anp.sin(x) * x


def squared(f):
    return lambda x: anp.sum(f(x) ** 2)


def looped(f):
    def loss(x):
        total = 0.0
        for xi in x:
            total = total + f(xi) if xi > 0 else total - f(xi)
        return total

    return loss


def threaded(f):
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: autograd.grad(squared(f))(X * (i + 1))})) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[i] for i in range(4)]


FIRST = {
    "grad": lambda f: autograd.grad(squared(f))(X),
    "value_and_grad": lambda f: autograd.value_and_grad(squared(f))(X),
    "jacobian": lambda f: autograd.jacobian(f)(X),
    "elementwise_grad": lambda f: autograd.elementwise_grad(f)(X),
    "make_vjp": lambda f: autograd.make_vjp(f)(X)[0](V),
    "make_vjp called twice": lambda f: [back(V) for back in [autograd.make_vjp(f)(X)[0]] * 2],
    "make_jvp": lambda f: autograd.make_jvp(f)(X)(V),
    "deriv": lambda f: autograd.deriv(f)(0.5),
    "make_jvp of a product": lambda f: autograd.make_jvp(lambda x: anp.sum(x * f(x)))(X)(V),
    "checkpoint": lambda f: autograd.grad(squared(autograd.checkpoint(f)))(X),
    "tensor_jacobian_product": lambda f: autograd.tensor_jacobian_product(f)(X, V),
    "number": lambda f: autograd.grad(f)(0.5),
    "loop and branch": lambda f: autograd.grad(looped(f))(X),
    "list argument": lambda f: autograd.grad(lambda xs: f(xs[0]) * f(xs[1]))([0.3, 0.7]),
    "dict argument": lambda f: sorted(autograd.grad(lambda d: f(d["a"]) * f(d["b"]))({"a": 0.3, "b": 0.7}).items()),
    "tuple": lambda f: autograd.grad(lambda x: anp.sum(boxed_tuple((f(x), x))[0]))(X),
    "single precision": lambda f: np.asarray(autograd.grad(squared(f))(X.astype(np.float32)), np.float32),
    "used twice": lambda f: autograd.grad(lambda x: anp.sum(f(f(x)) * f(x)))(X),
    "threads": threaded,
    "rows": lambda f: autograd.jacobian(lambda m: anp.array([anp.sum(f(row)) for row in m]))(np.stack([X, V])),
}
SECOND = {
    "hessian": lambda f: autograd.hessian(squared(f))(X),
    "hessian_vector_product": lambda f: autograd.hessian_vector_product(squared(f))(X, V),
    "hessian_tensor_product": lambda f: autograd.hessian_tensor_product(squared(f))(X, V),
    "make_hvp": lambda f: autograd.make_hvp(squared(f))(X)[0](V),
    "make_ggnvp": lambda f: autograd.make_ggnvp(f)(X)(V),
    "make_jvp of grad": lambda f: autograd.make_jvp(autograd.grad(squared(f)))(X)(V),
    "grad of make_jvp": lambda f: autograd.grad(lambda x: autograd.make_jvp(squared(f))(x)(V)[1])(X),
    "deriv of deriv": lambda f: autograd.deriv(autograd.deriv(f))(0.5),
    "third order": lambda f: autograd.grad(autograd.grad(autograd.grad(f)))(0.5),
    "gradient penalty": lambda f: autograd.grad(lambda x: anp.sum(autograd.grad(squared(f))(x) ** 2))(X),
    "fixed point": lambda f: autograd.grad(
        lambda a: fixed_point(lambda a: lambda x: 0.1 * f(x) + a, a, 0.0, lambda x, y: abs(x - y), 1e-14)
    )(0.4),
}


def check(name, way, f):
    got, expected = (
        [np.asarray(leaf) for leaf in _leaves(way(f))],
        [np.asarray(leaf) for leaf in _leaves(way(plain))],
    )
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape, name
        np.testing.assert_allclose(mine, theirs, rtol=1e-5 if mine.dtype == np.float32 else 1e-10, atol=1e-12)


def _leaves(value):
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [] if isinstance(value, str) else [value]


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("kind", KINDS)
def test_first_order(kind, name):
    check(name, FIRST[name], KINDS[kind])


@pytest.mark.parametrize("name", SECOND)
@pytest.mark.parametrize("kind", KINDS)
def test_second_order(kind, name):
    if is_first_order(kind) and name not in ("make_ggnvp", "fixed point"):
        with pytest.raises(ad.UnsupportedError, match="a first derivative only"):
            check(name, SECOND[name], KINDS[kind])
    else:
        check(name, SECOND[name], KINDS[kind])


@pytest.mark.filterwarnings("ignore::UserWarning")  # autograd's own, about constant results
def test_forward_mode_through_numpy_functions():
    """What a primitive does is differentiated by the library's rules in autograd's forward mode, too."""
    checked = 0
    for sample in [sample for samples in SAMPLES.values() for sample in samples]:
        f, args = function_of(sample)
        dots = tuple([np.cos(1.3 * np.arange(np.size(x))).reshape(np.shape(x))[()] * (1 + 0.5j) for x in args])
        dots = tuple([d if np.iscomplexobj(x) else d.real for d, x in zip(dots, args, strict=True)])
        try:
            y, expected = ad.pushforward(f, ad.AutoForward(), tuple(args), dots)
        except ad.ADSelectError:
            continue
        if isinstance(y, (tuple, list)):
            continue
        p = ad.primitive(f)
        jvp = autograd.make_jvp(lambda values: p(*[values[i] for i in range(len(args))]))(tuple(args))  # noqa: B023
        found = jvp(dots)[1]
        np.testing.assert_allclose(found, 0.0 if expected is None else expected, rtol=1e-9, atol=1e-12, err_msg=sample)
        checked += 1
    assert checked > 900
