"""One call, spelled in every way that means the same to NumPy, means the same on traced values.

The defaults of a function written out by keyword, all options by position, ``out`` by keyword and by position; values
and what is written are held against plain NumPy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import adselect as ad
from adselect.errors import ADSelectError
from adselect.face.dispatch import plain

A = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
V = np.array([3.0, 1.0, 2.0])
S = np.array([[2.0, 0.5], [0.5, 3.0]])
MASK = np.array([True, False, True])

REDUCTIONS = (
    "sum prod mean std var max min ptp median average nansum nanprod nanmean nanstd nanvar nanmax nanmin nanmedian "
    "cumsum cumprod nancumsum nancumprod sort argsort argmax argmin nanargmax all any count_nonzero diff round around "
    "flip squeeze ravel transpose trace diagonal tril triu nan_to_num real imag angle fix zeros_like ones_like copy "
    "clip linalg.norm linalg.svd linalg.pinv linalg.matrix_norm linalg.vector_norm fft.fft2 fft.rfft2 "
    "fft.fftn fft.rfftn cov corrcoef unique nonzero"
)
CALLS: dict[str, tuple] = {
    **dict.fromkeys(REDUCTIONS.split(), (A,)),
    "quantile": (A, 0.3),
    "percentile": (A, 30.0),
    "nanquantile": (A, 0.3),
    "take": (A, [0, 1], 1),
    "take_along_axis": (A, np.array([[0], [1]]), 1),
    "repeat": (A, 2),
    "tile": (A, 2),
    "roll": (A, 1),
    "rot90": (A,),
    "reshape": (A, (3, 2)),
    "swapaxes": (A, 0, 1),
    "moveaxis": (A, 0, 1),
    "rollaxis": (A, 1),
    "expand_dims": (A, 0),
    "broadcast_to": (A, (2, 2, 3)),
    "concatenate": ((A, A),),
    "stack": ((A, A),),
    "vstack": ((A, A),),
    "hstack": ((A, A),),
    "split": (V, 3),
    "append": (V, V),
    "insert": (V, 1, 5.0),
    "delete": (V, 1),
    "pad": (A, 1),
    "where": (A > 0, A, -A),
    "select": ([A > 0], [A]),
    "choose": ([0, 1, 0], [V, V * 2]),
    "compress": (MASK, A, 1),
    "extract": (A > 0, A),
    "diag": (V,),
    "vander": (V,),
    "outer": (V, V),
    "inner": (V, V),
    "dot": (A, V),
    "vdot": (V, V),
    "vecdot": (V, V),
    "kron": (V, V),
    "cross": (V, V[::-1]),
    "tensordot": (A, V, 1),
    "einsum": ("ij,j->i", A, V),
    "convolve": (V, V),
    "correlate": (V, V),
    "interp": (V, np.array([0.0, 2.0, 4.0]), np.array([1.0, 5.0, 2.0])),
    "searchsorted": (np.sort(V), 1.5),
    "digitize": (V, np.array([0.0, 2.0])),
    "histogram": (V,),
    "polyval": (V, 2.0),
    "polyfit": (V, V**2, 1),
    "polyder": (V,),
    "polyint": (V,),
    "trapezoid": (V,),
    "gradient": (V,),
    "ediff1d": (V,),
    "unwrap": (V,),
    "linspace": (V, V * 2, 4),
    "logspace": (V, V * 2, 4),
    "full_like": (A, 2.0),
    "isclose": (A, A),
    "allclose": (A, A),
    "apply_along_axis": (np.sum, 0, A),
    "meshgrid": (V, V),
    "resize": (A, (3, 3)),
    "trim_zeros": (V,),
    "heaviside": (A, 0.5),
    "partition": (V, 1),
    "linalg.det": (S,),
    "linalg.inv": (S,),
    "linalg.solve": (S, V[:2]),
    "linalg.lstsq": (A.T, V),
    "linalg.eigh": (S,),
    "linalg.eigvalsh": (S,),
    "linalg.qr": (A.T,),
    "linalg.cholesky": (S,),
    "linalg.matrix_power": (S, 3),
    "linalg.cond": (S,),
    "linalg.slogdet": (S,),
    "linalg.multi_dot": ([S, S, S],),
    "linalg.tensorsolve": (S, V[:2]),
    "fft.fft": (V,),
    "fft.ifft": (V,),
    "fft.rfft": (V,),
    "fft.irfft": (V,),
    "fft.hfft": (V,),
    "fft.irfft2": (A,),
    "fft.fftshift": (V,),
}
# Order of the parameters of methods, whose signatures hide some of them.
METHODS: dict[str, tuple[tuple, dict[str, Any]]] = {
    **{name: ((), {"axis": None, "dtype": None, "out": None, "keepdims": False}) for name in ("sum", "prod", "mean")},
    **{name: ((), {"axis": None, "dtype": None, "out": None, "ddof": 0, "keepdims": False}) for name in ("std", "var")},
    **{name: ((), {"axis": None, "out": None, "keepdims": False}) for name in ("max", "min")},
    **{name: ((), {"axis": None, "dtype": None, "out": None}) for name in ("cumsum", "cumprod")},
    "argmax": ((), {"axis": None, "out": None}),
    "clip": ((-1.0, 2.0), {"out": None}),
    "round": ((), {"decimals": 0, "out": None}),
    "take": (([0, 1], 1), {"out": None}),
    "dot": ((V,), {"out": None}),
    "trace": ((), {"offset": 0, "axis1": 0, "axis2": 1, "dtype": None, "out": None}),
    "compress": (([True, False], 0), {"out": None}),
}
# Given as they are in every spelling: NumPy reads another meaning into their defaults, or takes them as keywords only.
_LEFT_OUT = frozenset({"like", "device", "subok", "mean", "correction"})


def function_of(name: str) -> Callable:
    function: Any = np
    for part in name.split("."):
        function = getattr(function, part)
    return function


def buffer(result: Any, like: Any) -> Any:
    """What ``out=`` may be for this result: made in f, so that it can take traced values."""
    return np.zeros(np.shape(result), np.asarray(result).dtype, like=like)


def spellings(name: str) -> Iterator[tuple[str, Callable]]:
    """The ways to write a call, each as a function of its arguments, returning all that it gives and writes."""
    function, args = function_of(name), CALLS[name]
    yield "as written", lambda *a: (function(*a),)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return
    rest = [p for p in parameters[len(args) :] if p.name not in _LEFT_OUT and p.default is not p.empty]
    named = {p.name: p.default for p in rest if p.kind != p.POSITIONAL_ONLY and p.default is not np._NoValue}
    if named:
        yield "defaults by keyword", lambda *a: (function(*a, **named),)
    for key, value in named.items():
        yield f"{key}={value!r}", lambda *a, key=key, value=value: (function(*a, **{key: value}),)
    by_position = [p.default for p in parameters[len(args) :] if p.kind == p.POSITIONAL_OR_KEYWORD]
    if by_position and all(d is not inspect.Parameter.empty for d in by_position):
        yield "all by position", lambda *a: (function(*a, *by_position),)
    names = [p.name for p in parameters]
    with np.errstate(all="ignore"):
        result = function(*args)
    if "out" in names and not isinstance(result, (tuple, list)):
        place = names.index("out")
        between = [p.default for p in parameters[len(args) : place]]

        def writes(write: Callable) -> Callable:
            def call(*a: Any) -> tuple:
                out = buffer(result, next(v for v in leaves_of(a)))
                return write(out, *a), out

            return call

        yield "out=", writes(lambda out, *a: function(*a, out=out))
        if all(p.kind == p.POSITIONAL_OR_KEYWORD for p in parameters[: place + 1]):
            yield "out by position", writes(lambda out, *a: function(*a, *between, out))


def leaves_of(args: Any) -> Iterator[Any]:
    """The arrays of floats among arguments."""
    for a in args:
        if isinstance(a, (tuple, list)):
            yield from leaves_of(a)
        elif isinstance(a, np.ndarray) and a.dtype == float:
            yield a


def with_leaves(args: Any, leaves: Iterator[Any]) -> Any:
    """args with the arrays of floats replaced."""
    if isinstance(args, (tuple, list)):
        return type(args)([with_leaves(a, leaves) for a in args])
    return next(leaves) if isinstance(args, np.ndarray) and args.dtype == float else args


def flat(value: Any) -> list:
    return [v for part in value for v in flat(part)] if isinstance(value, (tuple, list)) else [value]


def problems(call: Callable, args: tuple, adtype: ad.ADType, wanted: Any) -> str:
    """How a call on traced values differs from the plain one; a refusal of ours is no difference."""
    kept: list = []

    def f(*leaves: Any) -> Any:
        kept.append(call(*with_leaves(args, iter(leaves))))
        return 0.0 * np.sum(leaves[0])

    try:
        ad.pullback(f, adtype, *leaves_of(args))
    except ADSelectError:
        return ""
    except Exception as error:
        return f"raised {error!r}"
    found = [plain(v) for v in flat(kept[0])]
    expected = flat(wanted)
    if len(found) != len(expected):
        return f"{len(found)} results instead of {len(expected)}"
    for v, w in zip(found, expected, strict=True):
        if np.shape(v) != np.shape(w):
            return f"shape {np.shape(v)} instead of {np.shape(w)}"
        if np.asarray(w).dtype.kind in "fciub" and not np.allclose(v, w, equal_nan=True):
            return f"{v!r} instead of {w!r}"
    return ""


def compare_all(name: str, adtype: ad.ADType) -> None:
    if adtype == ad.AutoTorch() and name == "linalg.svd":
        return  # the signs of singular vectors are free, and torch's differ
    args = CALLS[name]
    found = {}
    with np.errstate(all="ignore"):
        for how, call in spellings(name):
            try:
                wanted = call(*args)
            except (TypeError, ValueError, AttributeError):
                continue  # NumPy itself does not take it
            found[how] = problems(call, args, adtype, wanted)
    assert found
    assert {how: problem for how, problem in found.items() if problem} == {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "adtype", [ad.AutoTape(), ad.AutoTorch(), ad.AutoAutograd()], ids=["tape", "torch", "autograd"]
)
def test_functions(name, adtype):
    pytest.importorskip(adtype.requires or "numpy")
    compare_all(name, adtype)


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("adtype", [ad.AutoForward(), ad.AutoJax()], ids=["forward", "jax"])
def test_functions_on_the_slower_backends(name, adtype):
    pytest.importorskip(adtype.requires or "numpy")
    compare_all(name, adtype)


@pytest.mark.parametrize("name", METHODS)
def test_methods(exact_backend, name):
    given, options = METHODS[name]
    result = getattr(A, name)(*given)
    by_position = list(options.values())
    place = list(options).index("out")

    def with_out(write: Callable) -> Callable:
        def call(x: Any) -> tuple:
            out = buffer(result, x)
            return write(x, out), out

        return call

    ways = {
        "as written": lambda x: (getattr(x, name)(*given),),
        "by keyword": lambda x: (getattr(x, name)(*given, **options),),
        "by position": lambda x: (getattr(x, name)(*given, *by_position),),
        "out=": with_out(lambda x, out: getattr(x, name)(*given, out=out)),
        "out by position": with_out(lambda x, out: getattr(x, name)(*given, *by_position[:place], out)),
    }
    found = {how: problems(call, (A,), exact_backend.adtype, call(A)) for how, call in ways.items()}
    assert {how: problem for how, problem in found.items() if problem} == {}


REFUSED = {
    "axis of diff": lambda x: np.diff(x, axis=7),
    "axis of quantile": lambda x: np.quantile(x, 0.5, axis=2),
    "axis of nanmedian": lambda x: np.nanmedian(x, axis=-3),
    "axis of sum": lambda x: np.sum(x, axis=2),
    "axis of a method": lambda x: x.cumsum(5),
    "axis of flip": lambda x: np.flip(x, 2),
    "axis of swapaxes": lambda x: x.swapaxes(0, 2),
    "axis of concatenate": lambda x: np.concatenate([x, x], axis=2),
    "axis twice": lambda x: np.sum(x, axis=(0, 0)),
    "axes of transpose": lambda x: x.transpose(0, 0),
    "casting of concatenate": lambda x: np.concatenate([x, x], dtype=np.float32, casting="no"),
    "casting of a ufunc": lambda x: np.add(x, x, dtype=int, casting="safe"),
    "casting of a method": lambda x: x.astype(int, casting="safe"),
    "unknown option of a method": lambda x: x.sum(axes=0),
    "too many arguments": lambda x: x.mean(0, None, None, False, 1, 2),
    "twice": lambda x: x.sum(0, axis=0),
    "matrix_power of a rectangle": lambda x: np.linalg.matrix_power(x, 2),
    "weights of cov": lambda x: np.cov(x, aweights=[-1.0, 1.0, 1.0]),
    "multi_dot of one": lambda x: np.linalg.multi_dot([x]),
    "complex quantile": lambda x: np.quantile(x + 1j, 0.5),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_numpy_refuses(exact_backend, name):
    call = REFUSED[name]
    with pytest.raises((ValueError, TypeError, np.linalg.LinAlgError)) as wanted:
        call(A)

    def f(x):
        call(x)
        return np.sum(x)

    with pytest.raises(wanted.type.__mro__[1] if wanted.type.__module__ == "numpy._core._exceptions" else wanted.type):
        ad.pullback(f, exact_backend.adtype, A)


def test_options_by_position_reach_the_derivative(exact_backend):
    def f(x):
        y = np.zeros_like(x)
        x.clip(-1.5, 2.5, out=y)
        total = np.zeros(2, like=x)
        np.dot(x, V, total)
        return np.sum(np.mean(x, 0, None, None, True)) + np.sum(y * y) + np.sum(total)

    value, (g,) = ad.withgradient(f, exact_backend.adtype, A)

    def plainly(x):
        return np.sum(x.mean(0)) + np.sum(x.clip(-1.5, 2.5) ** 2) + np.sum(x @ V)

    assert value == pytest.approx(plainly(A))
    inside = (A > -1.5) & (A < 2.5)
    assert g == pytest.approx(0.5 + 2.0 * A * inside + V)
