"""The library's own rules inside the frameworks, against the frameworks' own derivatives."""

import pickle

import numpy as np
import pytest
import scipy.special as sp
from samples.elementwise import SMOOTH, SMOOTH_TWO

import adselect as ad
from adselect.primitives import own_rules as enforcement
from adselect.rules.registry import RULES
from adselect.rules.rule import Elementwise, Rule
from adselect.testing import check_scenario, compare, default_scenarios

FRAMEWORKS = [ad.AutoJax, ad.AutoTorch, ad.AutoAutograd]
every = pytest.mark.parametrize("choice", FRAMEWORKS, ids=lambda c: c.__name__)


@pytest.fixture(autouse=True)
def _needs(request):
    choice = getattr(getattr(request.node, "callspec", None), "params", {}).get("choice")
    if choice is not None:
        pytest.importorskip(choice.requires)


X = np.array([0.3, 0.85, 0.55])
Y = np.array([0.6, 0.2, 0.45])
M = np.array([[3.0, 1.0, 0.2], [0.5, 2.0, 0.1], [0.3, 0.4, 1.5]])
S = M @ M.T
W = np.array([[0.7, -0.2, 0.4], [0.1, 0.9, -0.3], [-0.5, 0.2, 0.8]])
_UNARY = (
    "sum mean prod max min var std cumsum cumprod sort median ravel flip diff nansum nanmean nanmax atleast_2d diag "
    "trapezoid ptp"
)
_BINARY = "dot inner outer kron"
_MATRIX = "det inv pinv eigvalsh svdvals cholesky norm cond"

CASES = {
    **{name: (getattr(np, name), (X + 1 if where == "above" else X,)) for name, where in SMOOTH.items()},
    **{name: (getattr(np, name), (X,)) for name in _UNARY.split()},
    **{name: (getattr(np, name), (X, Y)) for name in [*SMOOTH_TWO, *_BINARY.split()]},
    "sum along an axis": (lambda m: np.sum(m, axis=0, keepdims=True), (M,)),
    "mean along axes": (lambda m: np.mean(m, axis=(0, 1)), (M,)),
    "amax along an axis": (lambda m: np.max(m, axis=1), (M,)),
    "var, ddof": (lambda m: np.var(m, axis=0, ddof=1), (M,)),
    "cumsum along an axis": (lambda m: np.cumsum(m, axis=1), (M,)),
    "broadcasting": (lambda m, x: m * x + x / m, (M, X)),
    "matmul": (lambda a, b: a @ b, (M, W)),
    "matmul with a vector": (lambda a, x: a @ x, (M, X)),
    "einsum": (lambda a, b: np.einsum("ij,kj->ik", a, b), (M, W)),
    "tensordot": (lambda a, b: np.tensordot(a, b, 1), (M, W)),
    "trace": (np.trace, (M,)),
    "transpose": (lambda m: m.T * W, (M,)),
    "tril": (np.tril, (M,)),
    "triu": (np.triu, (M,)),
    "reshape": (lambda m: np.reshape(m, (9,)), (M,)),
    "swapaxes": (lambda m: np.swapaxes(m, 0, 1), (M,)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3)), (X,)),
    "squeeze": (lambda x: np.squeeze(x[None, :]), (X,)),
    "expand_dims": (lambda x: np.expand_dims(x, 1), (X,)),
    "concatenate": (lambda x, y: np.concatenate([x, y]), (X, Y)),
    "stack": (lambda x, y: np.stack([x, y], axis=1), (X, Y)),
    "hstack": (lambda x, y: np.hstack([x, y]), (X, Y)),
    "split": (lambda x: np.split(x, 3)[1], (X,)),
    "pad": (lambda x: np.pad(x, (1, 2)), (X,)),
    "tile": (lambda x: np.tile(x, 2), (X,)),
    "repeat": (lambda x: np.repeat(x, 2), (X,)),
    "roll": (lambda x: np.roll(x, 1), (X,)),
    "where": (lambda x, y: np.where(x > y, x * y, x), (X, Y)),
    "clip": (lambda x: np.clip(x, 0.4, 0.7), (X,)),
    "select": (lambda x: np.select([x < 0.4, x < 0.7], [x, x**2], 2 * x), (X,)),
    "quantile": (lambda x: np.quantile(x, 0.3), (X,)),
    "average": (lambda x, y: np.average(x, weights=y), (X, Y)),
    "cross": (np.cross, (X, Y)),
    "convolve": (np.convolve, (X, Y)),
    "interp": (lambda x: np.interp(0.5, np.array([0.0, 0.4, 1.0]), x), (X,)),
    "polyval": (lambda c: np.polyval(c, 2.0), (X,)),
    "gradient": (lambda x: np.gradient(x), (X,)),
    "cov": (np.cov, (M,)),
    "fft": (lambda x: np.abs(np.fft.fft(x)), (X,)),
    "rfft": (lambda x: np.abs(np.fft.rfft(x)), (X,)),
    "real": (lambda x: np.real(x * (1 + 2j)), (X,)),
    "imag": (lambda x: np.imag(x * (1 + 2j)), (X,)),
    "conj": (lambda x: np.abs(np.conj(x + 0.5j) * (x + 1j)), (X,)),
    "angle": (lambda x: np.angle(x + 0.5j), (X,)),
    "solve": (np.linalg.solve, (M, X)),
    "solve, several": (np.linalg.solve, (M, W)),
    "eigh": (lambda s: np.linalg.eigh(s + s.T)[0], (S,)),
    "eigh, vectors": (lambda s: np.linalg.eigh(s + s.T)[1] ** 2, (S,)),
    "svd": (lambda m: np.linalg.svd(m)[1], (M,)),
    "qr": (lambda m: np.abs(np.linalg.qr(m)[1]), (M,)),
    "matrix_power": (lambda m: np.linalg.matrix_power(m, 3), (M,)),
    "multi_dot": (lambda a, b: np.linalg.multi_dot([a, b, a]), (M, W)),
    **{name: (getattr(np.linalg, name), (S,)) for name in _MATRIX.split()},
    "slogdet": (lambda m: np.linalg.slogdet(m)[1], (M,)),
    "expit": (sp.expit, (X,)),
    "logit": (sp.logit, (X,)),
    "erf": (sp.erf, (X,)),
    "gammaln": (sp.gammaln, (X,)),
    "xlogy": (sp.xlogy, (X, Y)),
}


def weights(shape):
    return np.cos(1.0 + np.arange(float(np.prod(shape)))).reshape(shape)


def weighted(name):
    f, args = CASES[name]

    def loss(*xs):
        y = f(*xs)
        parts = y if isinstance(y, (list, tuple)) else [y]
        return sum(np.sum(p * weights(np.shape(p))) for p in parts)

    return loss, args


def agree(choice, name):
    """Our rule in the framework, the framework's own derivative, and the tape: three of one opinion."""
    loss, args = weighted(name)
    own = ad.gradient(loss, choice(own_rules=True), *args)
    for adtype in (ad.AutoTape(), choice()):
        for mine, theirs in zip(own, ad.gradient(loss, adtype, *args), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def reacts(choice, name, monkeypatch):
    """A rule that is wrong shows: nothing but our rules gives the derivative."""
    loss, args = weighted(name)
    right = ad.gradient(loss, choice(own_rules=True), *args)
    pulled = enforcement._pulled  # private: where every rule of ours is pulled back, whatever asks for it
    monkeypatch.setattr(enforcement, "_pulled", lambda *a: 3.0 * pulled(*a))
    wrong = ad.gradient(loss, choice(own_rules=True), *args)
    return not all(np.allclose(a, b) for a, b in zip(right, wrong, strict=True))


@pytest.mark.parametrize("name", CASES)
@every
def test_our_rules_agree_with_the_frameworks(choice, name):
    agree(choice, name)


@pytest.mark.parametrize("name", CASES)
def test_every_case_takes_its_derivative_from_our_rules(name, monkeypatch):
    pytest.importorskip("torch")
    assert reacts(ad.AutoTorch, name, monkeypatch)


def test_every_case_takes_its_derivative_from_our_rules_in_jax(monkeypatch):
    pytest.importorskip("jax")
    assert reacts(ad.AutoJax, "slogdet", monkeypatch)


@pytest.mark.parametrize("choice", [ad.AutoTorch, ad.AutoAutograd], ids=lambda c: c.__name__)
def test_every_scenario_with_our_rules_only(choice):
    for scenario in default_scenarios():
        assert not check_scenario(choice(own_rules=True), scenario), scenario.name


@every
def test_a_wrong_rule_shows(choice, monkeypatch):
    right = RULES[np.tanh]
    ad.gradient(lambda x: np.sum(np.tanh(x)), choice(), X)  # whoever keeps a translation makes it from the right rule
    monkeypatch.setitem(RULES, np.tanh, Elementwise(np.tanh, (lambda g, y, x: 1.01 * g * (1 - y * y),), right.call))
    f = lambda x: np.sum(np.tanh(x))
    report = compare(f, X, adtypes=[choice(), choice(own_rules=(np.tanh,))])
    assert not report.agree
    assert compare(f, X, adtypes=[choice(), choice(own_rules=(np.sin,))]).agree


@every
def test_a_wrong_forward_rule_shows_where_tangents_are_pushed(choice, monkeypatch):
    rule = RULES[np.cumsum]
    wrong = Rule(np.cumsum, rule.vjps, (lambda d, y, *a, **k: 2 * np.cumsum(d),), rule.call, rule.lazy)
    f = lambda x: np.cumsum(x)
    right = ad.pushforward(f, choice(own_rules=(np.cumsum,)), (X,), (Y,))[1]
    np.testing.assert_allclose(right, np.cumsum(Y))
    monkeypatch.setitem(RULES, np.cumsum, wrong)
    pushed = ad.pushforward(f, choice(own_rules=(np.cumsum,)), (X,), (Y,))[1]
    # torch and autograd transpose the reverse rule; JAX pushes by the forward one.
    np.testing.assert_allclose(pushed, (2 if choice is ad.AutoJax else 1) * np.cumsum(Y))


@every
def test_second_order_and_prepared(choice):
    f = lambda x: np.sum(np.sin(x) * np.exp(x))
    expected = ad.hessian(f, X)
    np.testing.assert_allclose(ad.hessian(f, choice(own_rules=True), X), expected, atol=1e-12)
    np.testing.assert_allclose(ad.hessian_reverse(f, choice(own_rules=True), X), expected, atol=1e-12)
    prepared = ad.prepare(ad.gradient, f, choice(own_rules=True), X)
    np.testing.assert_allclose(prepared(Y)[0], ad.gradient(f, Y)[0], atol=1e-12)


@every
def test_operators_and_methods_count_as_calls(choice, monkeypatch):
    assert enforcement.ENFORCED == []
    used = []
    monkeypatch.setattr(
        enforcement,
        "_pulled",
        lambda rule, *a, pulled=enforcement._pulled: used.append(rule.function) or pulled(rule, *a),
    )
    f = lambda x: (-(x * 2.0 - 1.0) / (x + x)).sum() + (x**2).mean()
    np.testing.assert_allclose(ad.gradient(f, choice(own_rules=True), X)[0], ad.gradient(f, X)[0])
    assert {np.multiply, np.subtract, np.divide, np.add, np.negative, np.sum, np.mean} <= set(used)
    used.clear()
    ad.gradient(f, choice(own_rules=(np.mean,)), X)
    assert set(used) == {np.mean}
    assert enforcement.ENFORCED == []


def test_the_choice_is_data():
    a = ad.AutoJax(own_rules=(np.sin, np.linalg.slogdet))
    assert pickle.loads(pickle.dumps(a)) == a
    assert hash(a) == hash(ad.AutoJax(own_rules=[np.sin, np.linalg.slogdet]))
    assert ad.AutoJax(own_rules=False) == ad.AutoJax()
    assert repr(ad.AutoJax(own_rules=True)) == "AutoJax(own_rules=True)"
    with pytest.raises(TypeError, match="tuple of functions"):
        ad.AutoJax(own_rules=np.sin)


@every
def test_what_cannot_be_enforced_is_refused(choice):
    with pytest.raises(ValueError, match="no rule of its own for <lambda>"):
        ad.gradient(np.sum, choice(own_rules=(lambda x: x,)), X)
    with pytest.raises(ValueError, match="face"):
        ad.gradient(np.sum, choice(own_rules=True, face="native"), X)


def test_native_arguments_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(ad.UnsupportedError, match="own_rules"):
        ad.gradient(torch.sum, ad.AutoTorch(own_rules=True), torch.ones(2))
    with pytest.raises(ValueError, match="compile"):
        ad.gradient(np.sum, ad.AutoTorch(own_rules=True, compile=True), X)
