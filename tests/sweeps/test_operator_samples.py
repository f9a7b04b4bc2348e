"""PyTorch's own operator samples, run through the NumPy counterparts of its operators on every backend.

For each operator and sample: the value agrees with PyTorch's, the pullback with ``torch.autograd.grad``, and the
pushforward with the same by adjointness, ⟨y_bar, J x_dot⟩ = ⟨Jᵀ y_bar, x_dot⟩, for random y_bar and x_dot.
"""

from __future__ import annotations

import functools
import itertools
import warnings
import zlib

import numpy as np
import pytest
from samples import operator_calls, operator_compositions
from samples.operator_compositions import UNIQUE, USABLE

import adselect as ad

from .limits import LIMITS, TIES

torch = pytest.importorskip("torch", reason="PyTorch's operator samples need PyTorch")
pytest.importorskip("expecttest", reason="PyTorch's operator samples need expecttest")
pytestmark = pytest.mark.sweep

BACKENDS = {
    "AutoTape": ad.AutoTape(),
    "AutoForward": ad.AutoForward(),
    "AutoJax": ad.AutoJax(),
    "AutoTorch": ad.AutoTorch(),
    "AutoAutograd": ad.AutoAutograd(),
}
SAMPLES = {"AutoJax": 1}  # per operator and dtype; JAX compiles every operation of every sample
USUAL = 3
OPERATORS = operator_calls.OPERATORS | operator_compositions.OPERATORS
ENTRIES = (3000, 10_000)  # of all arguments together: the second bound where nothing keeps the first


@functools.cache
def found():
    """The operators that have a counterpart, by variant: (PyTorch's entry, counterpart)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    variants = {}
    for op in op_db:
        variant = f"{op.name}({op.variant_test_name})" if op.variant_test_name else op.name
        name = variant if variant in OPERATORS else op.name
        if (
            name in OPERATORS
            and op.variant_test_name != "partial_views"
            and torch.float64 in op.supported_backward_dtypes("cpu")
        ):
            variants.setdefault(variant, (op, OPERATORS[name]))
    return variants


def pytest_generate_tests(metafunc):
    """One test a variant. PyTorch's table takes seconds to load: it is read where the sweep is selected."""
    if "variant" in metafunc.fixturenames:
        selected = "not sweep" not in metafunc.config.option.markexpr
        metafunc.parametrize("variant", sorted(found()) if selected else [])


# NumPy has no complex version of these.
REAL = {"logaddexp", "logcumsumexp", "masked.logaddexp", "masked.logsumexp"}


def _leaves(value, out):
    """Tensors that carry a derivative, in order."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            out.append(value)
    elif isinstance(value, (list, tuple)):
        for v in value:
            _leaves(v, out)
    elif isinstance(value, dict):
        for v in value.values():
            _leaves(v, out)
    return out


def _as_numpy(value, leaves):
    """The sample with plain arrays; the differentiable ones are taken from the iterator leaves."""
    if isinstance(value, torch.Tensor):
        return next(leaves) if value.requires_grad else _array(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_as_numpy(v, leaves) for v in value]) if not isinstance(value, torch.Size) else tuple(value)
    if isinstance(value, dict):
        return {k: _as_numpy(v, leaves) for k, v in value.items()}
    return np.dtype(str(value).removeprefix("torch.")) if isinstance(value, torch.dtype) else value


def _array(tensor):
    array = tensor.detach().resolve_conj().resolve_neg().numpy(force=True)
    return array.copy() if array.ndim else array[()]


def _hermitian(x, args, kwargs):
    return x + np.conj(np.swapaxes(x, -1, -2)), args


def _unit_diagonal(x, args, kwargs):
    eye = np.eye(x.shape[-1])
    return x - x * eye + eye, args


# PyTorch's own checks prepare the arguments of some operators first; so does the counterpart.
PREPARED = {
    "gradcheck_wrapper_hermitian_input": _hermitian,
    "gradcheck_wrapper_triangular_input_real_positive_diagonal": _unit_diagonal,
    "<lambda>": None,
}


def _outputs(value):
    """The numeric results that carry a derivative, flattened."""
    if isinstance(value, (list, tuple)):
        return [o for v in value for o in _outputs(v)]
    return [value]


def samples(op, dtype, number=USUAL):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(zlib.crc32(op.name.encode()))
        found = []
        for sample in itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=True), 150):
            leaves = _leaves([sample.input, sample.args, sample.kwargs], [])
            usable = op.name not in USABLE or USABLE[op.name](sample)
            if leaves and usable and not sample.kwargs.get("dropout_p"):
                found.append((sum(t.numel() for t in leaves), sample))
    for most in ENTRIES:
        chosen = [sample for size, sample in found if 0 < size <= most]
        if chosen:
            return chosen[:: max(1, -(-len(chosen) // number))][:number]
    return []


def check(op, counterpart, sample, adtype, rng, tied):
    """Compare one sample; raises AssertionError with what differs."""
    leaves = _leaves([sample.input, sample.args, sample.kwargs], [])
    if tied:  # the two subgradients differ where entries are equal: make them different
        with torch.no_grad():
            for t in leaves:
                t.add_(torch.from_numpy(np.asarray(rng.normal(size=tuple(t.shape)) * 1e-2)))
    wrapper = getattr(op.gradcheck_wrapper, "__name__", "")
    prepared = PREPARED.get(wrapper)
    call = (lambda *args, **kwargs: op.gradcheck_wrapper(op, *args, **kwargs)) if wrapper in PREPARED else op
    results = call(sample.input, *sample.args, **sample.kwargs)
    unique = UNIQUE.get(op.name, lambda results: results)
    expected = [o for o in _outputs(unique(results)) if o.requires_grad]
    if not expected:
        return False

    def f(*xs):
        it = iter(xs)
        x = _as_numpy(sample.input, it)
        args = _as_numpy(tuple(sample.args), it)
        kwargs = _as_numpy(dict(sample.kwargs), it)
        if prepared is not None:
            x, args = prepared(x, args, kwargs)
        ys = _outputs(unique(counterpart(x, *args, **kwargs)))
        return tuple([y for y in ys if np.result_type(y).kind in "fc"][: len(expected)])

    xs = tuple([_array(t) for t in leaves])
    y, back = ad.pullback(f, adtype, *xs)
    assert y, "no result"
    expected = expected[: len(y)]  # a counterpart may leave out side results
    for mine, theirs in zip(y, expected, strict=True):
        np.testing.assert_allclose(mine, _array(theirs), rtol=1e-6, atol=1e-8, err_msg="value")
    # What is not a number has no derivative to compare.
    partial = not all([np.isfinite(_array(o)).all() for o in expected])
    y_bars = [np.where(np.isfinite(_array(o)), _random(o, rng), 0.0)[()] for o in expected]
    # NumPy knows some results to be real that PyTorch has as complex.
    y_bars = [b if np.iscomplexobj(v) else b.real for b, v in zip(y_bars, y, strict=True)]
    seeds = [torch.as_tensor(np.asarray(b)).to(o.dtype) for b, o in zip(y_bars, expected, strict=True)]
    x_bars = torch.autograd.grad(expected, leaves, seeds, allow_unused=True, retain_graph=True)
    x_bars = [
        np.zeros(t.shape, _array(t).dtype) if b is None else _array(b) for b, t in zip(x_bars, leaves, strict=True)
    ]
    mine = back(tuple(y_bars))
    for i, (got, want) in enumerate(zip(mine, x_bars, strict=True)):
        got = np.zeros(np.shape(want)) if got is None else got
        if partial:
            want = x_bars[i] = np.where(np.isfinite(want), want, got)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7, err_msg=f"cotangent of argument {i}")
    if not all([np.isfinite(b).all() for b in x_bars]):
        return True
    x_dots = tuple([_random(t, rng) for t in leaves])
    _, y_dots = ad.pushforward(f, adtype, xs, x_dots)
    pushed = sum(np.sum((np.conj(b) * d)[b != 0]).real for b, d in zip(y_bars, y_dots, strict=True) if d is not None)
    pulled = sum(np.vdot(b, d).real for b, d in zip(x_bars, x_dots, strict=True))
    np.testing.assert_allclose(pushed, pulled, rtol=1e-5, atol=1e-6, err_msg="pushforward against pullback")
    return True


def _random(tensor, rng):
    shape = tuple(tensor.shape)
    value = rng.normal(size=shape)
    if tensor.is_complex():
        value = value + 1j * rng.normal(size=shape)
    return value if shape else np.asarray(value)[()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore")
def test_operator_samples(variant, backend):
    op, counterpart = found()[variant]
    rng = np.random.default_rng(zlib.crc32(variant.encode()))
    problem, compared = None, 0
    try:
        with np.errstate(all="ignore"):
            for dtype in (torch.float64, torch.complex128):
                if dtype in op.supported_backward_dtypes("cpu") and not (dtype.is_complex and op.name in REAL):
                    for sample in samples(op, dtype, SAMPLES.get(backend, USUAL)):
                        compared += check(op, counterpart, sample, BACKENDS[backend], rng, variant in TIES)
        assert compared, "no sample could be compared"
    except Exception as error:
        problem = error
    reason = LIMITS.get((backend, variant)) or LIMITS.get(("every backend", variant))
    if reason is not None:
        if problem is None:
            pytest.fail(f"({backend!r}, {variant!r}) is in LIMITS and does not fail: remove the entry")
        pytest.xfail(reason)
    if problem is not None:
        raise problem
