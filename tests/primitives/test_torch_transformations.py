"""Every kind of rule in torch's own code: what a function of torch gives, the primitive gives."""

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from samples.kinds import KINDS, is_first_order

import adselect as ad

torch = pytest.importorskip("torch")
from torch.autograd import forward_ad  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

X = torch.tensor([0.3, -0.7, 1.2], dtype=torch.float64)
V = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
TWO = torch.stack([X, 2 * X])
HALF = torch.tensor(0.5, dtype=torch.float64)
func = torch.func


def plain(x):
    return torch.sin(x) * x


def squared(f):
    return lambda x: (f(x) ** 2).sum()


def backward(loss, x=X):
    x = x.clone().requires_grad_()
    loss(x).backward()
    return x.grad


def twice(f):
    x = X.clone().requires_grad_()
    (g,) = torch.autograd.grad(squared(f)(x), x, create_graph=True)
    (g**2).sum().backward()
    return x.grad


def three_times(f):
    x = HALF.clone().requires_grad_()
    y = f(x)
    for _ in range(3):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
    return y.detach()


def dual(f):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(X, V))).tangent


def hooked(f):
    x = X.clone().requires_grad_()
    y, seen = f(x), []
    y.register_hook(lambda g: seen.append(g.clone()) or 2 * g)
    y.sum().backward()
    return x.grad, seen[0]


def retained(f):
    x = X.clone().requires_grad_()
    y = squared(f)(x)
    return torch.autograd.grad(y, x, retain_graph=True), torch.autograd.grad(y, x)


def without_grad(f):
    with torch.no_grad():
        y = f(X.clone().requires_grad_())
    assert not y.requires_grad
    return y


def threaded(f):
    found = {}
    run = lambda i: found.update({i: backward(squared(f), X * (i + 1))})
    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[i] for i in range(4)]


def saved_elsewhere(f):
    with torch.autograd.graph.save_on_cpu():
        x = X.clone().requires_grad_()
        y = squared(f)(x)
    y.backward()
    return x.grad


def with_anomaly_detection(f):
    with torch.autograd.detect_anomaly():
        return backward(squared(f))


def in_inference_mode(f):
    with torch.inference_mode():
        return f(X.clone()) + 0


class Layer(torch.nn.Module):
    def __init__(self, f):
        super().__init__()
        torch.manual_seed(0)
        self.f, self.linear = f, torch.nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, x):
        return self.f(self.linear(x))


def module(f):
    layer = Layer(f)
    layer(TWO).sum().backward()
    return [p.grad for p in layer.parameters()]


def functional_module(f):
    layer = Layer(f)
    parameters = dict(layer.named_parameters())
    return list(func.grad(lambda p: func.functional_call(layer, p, (TWO,)).sum())(parameters).values())


def compiled(loss, **options):
    torch._dynamo.reset()
    return torch.compile(loss, backend="aot_eager", **options)


FIRST = {
    "backward": lambda f: backward(squared(f)),
    "hooks": hooked,
    "anomaly detection": with_anomaly_detection,
    "no_grad": without_grad,
    "inference_mode": in_inference_mode,
    "retain_graph": retained,
    "threads": threaded,
    "save_on_cpu": saved_elsewhere,
    "module": module,
    "functional_call": functional_module,
    "checkpoint": lambda f: backward(lambda x: checkpoint(squared(f), x, use_reentrant=False)),
    "checkpoint, reentrant": lambda f: backward(lambda x: checkpoint(squared(f), x, use_reentrant=True)),
    "dual numbers": dual,
    "grad": lambda f: func.grad(squared(f))(X),
    "vjp": lambda f: func.vjp(f, X)[1](V),
    "jvp": lambda f: func.jvp(f, (X,), (V,)),
    "jacrev": lambda f: func.jacrev(f)(X),
    "jacfwd": lambda f: func.jacfwd(f)(X),
    "vmap": lambda f: func.vmap(f)(TWO),
    "vmap of grad": lambda f: func.vmap(func.grad(squared(f)))(TWO),
    "vmap over columns": lambda f: func.vmap(f, in_dims=1, out_dims=1)(TWO),
    "vmap of vmap": lambda f: func.vmap(func.vmap(f))(TWO),
    "grad of vmap": lambda f: func.grad(lambda x: (func.vmap(f)(x) ** 2).sum())(TWO),
    "vmap of grad beside": lambda f: func.vmap(func.grad(lambda x, a: (a * f(x)).sum()), in_dims=(None, 0))(X, TWO),
    "backward through vmap": lambda f: backward(lambda x: (func.vmap(f)(x) ** 2).sum(), TWO),
    "vmap of jvp": lambda f: func.vmap(lambda v: func.jvp(f, (X,), (v,))[1])(TWO),
    "linearize": lambda f: func.linearize(f, X)[1](V),
    "linearize at another tangent": lambda f: func.linearize(f, X)[1](3 * V),
    "make_fx": lambda f: make_fx(func.grad(squared(f)))(2 * X)(X),
    "make_fx, fake": lambda f: make_fx(func.grad(squared(f)), tracing_mode="fake")(2 * X)(X),
    "export": lambda f: torch.export.export(Layer(f), (TWO,)).module()(2 * TWO).detach(),
    "jit.trace": lambda f: torch.jit.trace(f, (X,))(2 * X),
    "auxiliary value": lambda f: func.grad(lambda x: (squared(f)(x), f(x)), has_aux=True)(X),
    "single precision": lambda f: backward(squared(f), X.float()),
    "number": lambda f: backward(f, HALF),
    "strided": lambda f: backward(squared(f), torch.arange(6.0, dtype=torch.float64)[::2]),
    "expanded": lambda f: backward(lambda x: f(x.expand(2, 3)).sum()),
    "used twice": lambda f: backward(lambda x: (f(f(x)) * f(x)).sum()),
    "functional.jacobian": lambda f: torch.autograd.functional.jacobian(f, X),
    "detach": lambda f: backward(lambda x: (x * f(x).detach()).sum()),
    "written to afterwards": lambda f: backward(lambda x: f(x).mul_(2).sum()),
    "compile": lambda f: backward(compiled(squared(f))),
    "compile, one graph": lambda f: backward(compiled(squared(f), fullgraph=True)),
    "compile of grad": lambda f: compiled(func.grad(squared(f)), fullgraph=True)(X),
    "compile of vmap of grad": lambda f: compiled(func.vmap(func.grad(squared(f))), fullgraph=True)(TWO),
    "compile of jacrev": lambda f: compiled(func.jacrev(f), fullgraph=True)(X),
    "compile, any shape": lambda f: backward(compiled(squared(f), fullgraph=True, dynamic=True), TWO[0]),
}
SECOND = {
    "backward of backward": twice,
    "third order": three_times,
    "hessian": lambda f: func.hessian(squared(f))(X),
    "reverse over reverse": lambda f: func.jacrev(func.jacrev(squared(f)))(X),
    "reverse over forward": lambda f: func.jacrev(func.jacfwd(squared(f)))(X),
    "functional.hessian": lambda f: torch.autograd.functional.hessian(squared(f), X),
    "functional.hvp": lambda f: torch.autograd.functional.hvp(squared(f), X, V),
    "functional.vhp": lambda f: torch.autograd.functional.vhp(squared(f), X, V),
    "vmap of hessian": lambda f: func.vmap(func.hessian(squared(f)))(TWO),
    "grad of grad": lambda f: func.grad(lambda x: (func.grad(squared(f))(x) * V).sum())(X),
    "third order by grad": lambda f: func.grad(func.grad(func.grad(f)))(HALF),
    "jvp of grad": lambda f: func.jvp(func.grad(squared(f)), (X,), (V,)),
    "gradient penalty": lambda f: func.vmap(func.grad(lambda x: (func.grad(squared(f))(x) ** 2).sum()))(TWO),
    "checkpoint": lambda f: twice(lambda x: checkpoint(f, x, use_reentrant=False)),
    "backward of grad": lambda f: backward(lambda x: (func.grad(squared(f))(x) ** 2).sum()),
}


def leaves(value):
    return [value] if isinstance(value, torch.Tensor) else [leaf for part in value for leaf in leaves(part)]


def check(name, way, f):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about functorch and about what it compiles
        got, expected = leaves(way(f)), leaves(way(plain))
    for mine, theirs in zip(got, expected, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        tolerance = 1e-5 if mine.dtype == torch.float32 else 1e-10
        np.testing.assert_allclose(mine.detach(), theirs.detach(), rtol=tolerance, atol=1e-12)


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("kind", KINDS)
def test_first_order(kind, name):
    check(name, FIRST[name], KINDS[kind])


def test_the_first_use_may_be_inside_a_transform():
    code = """
import torch
from samples.kinds import KINDS
x = torch.tensor([0.3, -0.7])
torch.compile(torch.func.grad(lambda x: (KINDS["frule"](x) ** 2).sum()), backend="aot_eager", fullgraph=True)(x)
for f in KINDS.values():
    torch.func.vmap(torch.func.grad(lambda x: (f(x) ** 2).sum()))(torch.stack([x, x]))
    torch.func.grad(lambda x: (f(x) ** 2).sum())(x)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("name", SECOND)
@pytest.mark.parametrize("kind", KINDS)
def test_second_order(kind, name):
    if is_first_order(kind):
        with pytest.raises(ad.UnsupportedError, match="a first derivative only"):
            check(name, SECOND[name], KINDS[kind])
    else:
        check(name, SECOND[name], KINDS[kind])


def test_calls_with_other_constants_are_other_calls():
    scaled = ad.primitive(lambda x, a: x * a, host=True, result=lambda x, a: x)
    ad.define_rrule(scaled)(lambda x, a: (scaled(x, a), lambda y_bar: (ad.NoTangent(), y_bar * a, ad.NoTangent())))
    first, second = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    for one, other in ((first, second), (2.0, 3.0), (0.0, -0.0)):
        graph = make_fx(lambda x: (scaled(x, one), scaled(x, other), func.grad(lambda x: scaled(x, other).sum())(x)))  # noqa: B023
        got = graph(X)(V)
        for mine, constant in zip(got, (one, other), strict=False):
            np.testing.assert_array_equal(mine.numpy(), V.numpy() * constant)
            np.testing.assert_array_equal(np.signbit(mine.numpy()), np.signbit(V.numpy() * constant))
        np.testing.assert_array_equal(got[2].numpy(), np.full(3, other))


def written_without_grad(f):
    def loss(x):
        y = f(x)
        with torch.no_grad():
            y.mul_(5)
        return y.sum() / 5

    return backward(loss)


def through_a_view(f):
    def loss(x):
        y = f(x).view(3, 1)
        y[0] = 0.0
        return y.sum()

    return backward(loss)


# Each writes to a result that the rule of exp needs, and gives the slopes of x -> sum(c * exp(x)) for these c.
WRITTEN = {
    "in place": (lambda f: backward(lambda x: f(x).mul_(2).sum()), [2, 2, 2]),
    "without grad": (written_without_grad, [0.2, 0.2, 0.2]),
    "through a view": (through_a_view, [0, 1, 1]),
    "compiled": (lambda f: backward(compiled(lambda x: f(x).mul_(2).sum())), [2, 2, 2]),
    "grad": (lambda f: func.grad(lambda x: f(x).mul_(2).sum())(X), [2, 2, 2]),
    "jvp": (lambda f: func.jvp(lambda x: f(x).mul_(2), (X,), (torch.ones_like(X),))[1], [2, 2, 2]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("host", [False, True], ids=["traceable", "host"])
@pytest.mark.parametrize("rule", ["closure", "own call", "frule", "scalar_rule"])
@pytest.mark.parametrize("way", WRITTEN)
def test_a_result_that_the_rule_relies_on_may_be_written_to(way, rule, host):
    grow = ad.primitive(lambda x: np.exp(x), host=host)
    if rule == "frule":
        ad.define_frule(grow)(lambda dots, x: (np.exp(x), dots[1] * np.exp(x)))
    elif rule == "scalar_rule":
        ad.scalar_rule(grow, lambda y, x: y)
    else:
        value = grow if rule == "own call" else np.exp
        ad.define_rrule(grow)(lambda x: (lambda y: (y, lambda y_bar: (ad.NoTangent(), y_bar * y)))(value(x)))
    found, c = WRITTEN[way][0](grow), WRITTEN[way][1]
    np.testing.assert_allclose(found.numpy(), c * np.exp(X.numpy()), rtol=1e-12)


@pytest.mark.parametrize("host", [False, True], ids=["traceable", "host"])
def test_an_argument_that_was_written_to_is_torchs_error(host):
    grow = ad.primitive(lambda x: np.exp(x), host=host)
    ad.define_rrule(grow)(lambda x: (np.exp(x), lambda y_bar: (ad.NoTangent(), y_bar * np.exp(x))))
    x = X.clone().requires_grad_()
    z = 1 * x
    y = grow(z)
    z.mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_many_cotangents_without_numbers_are_refused_by_a_black_box():
    f = KINDS["first order, rrule"]
    with pytest.raises(ad.UnsupportedError, match=r"vectorize=True.*torch\.func\.jacrev"):
        torch.autograd.functional.jacobian(f, X, vectorize=True)
    expected = torch.autograd.functional.jacobian(plain, X)
    torch.testing.assert_close(torch.autograd.functional.jacobian(KINDS["rrule"], X, vectorize=True), expected)
    torch.testing.assert_close(func.jacrev(f)(X), expected)
