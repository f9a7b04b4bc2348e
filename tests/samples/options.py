"""Calls of NumPy's differentiable functions, by function: expressions over the points below, covering their options.

A sample is an expression; it is differentiated with respect to every point that it names. ``test_options.py`` runs
them, and says what they are held against.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .elementwise import COMPLEX, HOLOMORPHIC, ONE

_rng = np.random.default_rng(7)

# No ties, no kinks, no zeros, so that differences can be taken everywhere.
POINTS: dict[str, Any] = {
    "r": 0.7,
    "x": np.array([-1.7, -0.4, 0.3, 1.2]),
    "v": np.array([0.9, -2.1, 1.4, 0.6]),
    "p": np.array([0.3, 0.8, 1.4, 2.6]),
    "u": np.array([-0.7, -0.2, 0.4, 0.9]),
    "g": np.array([1.4, 1.7, 2.4, 3.2]),
    "a": _rng.permutation(12).reshape(3, 4) / 4 - 1.3 + 0.01 * _rng.normal(size=(3, 4)),
    "b": _rng.permutation(12).reshape(3, 4) / 5 - 0.9 + 0.01 * _rng.normal(size=(3, 4)),
    "t": _rng.permutation(24).reshape(2, 3, 4) / 7 - 1.6 + 0.01 * _rng.normal(size=(2, 3, 4)),
    "s": np.array([[1.9, 0.3, -0.4], [0.2, 1.4, 0.5], [-0.6, 0.1, 0.8]]),
    "k": np.array([[[1.9, 0.3], [-0.4, 1.2]], [[0.7, -1.1], [1.4, 0.5]]]),
    "nan": np.array([[1.2, np.nan, -0.4, 2.1], [0.3, 0.9, np.nan, -1.5], [0.7, 1.6, 0.4, 1.1]]),
    "z": np.array([0.6 + 0.3j, -1.2 - 0.7j, 0.4 + 1.5j, 1.1 - 0.2j]),
    "w": np.array([1.3 - 0.4j, 0.2 + 0.9j, -0.8 + 0.5j, 0.7 + 1.1j]),
    "c": np.array([[1.9 + 0.2j, 0.3j, -0.4], [0.2, 1.4 - 0.3j, 0.5 + 0.1j], [-0.6j, 0.1, 0.8]]),
}


def written(writer: Callable, target: Any, *args: Any, **options: Any) -> Any:
    """What a function that writes into its first argument makes of a copy of it."""
    target = np.copy(target)
    writer(target, *args, **options)
    return target


def assigned(target: Any, index: Any, value: Any) -> Any:
    """``target[index] = value`` on a copy."""
    target = np.copy(target)
    target[index] = value
    return target


NAMESPACE: dict[str, Any] = {
    "np": np,
    "sliding_window_view": sliding_window_view,
    "written": written,
    "assigned": assigned,
    "MASK": np.array([[True, False, True, True], [False, True, True, False], [True, True, False, True]]),
    "PICK": np.array([True, False, True, True]),
    "J": np.array([[2, 0, 1, 1], [0, 2, 2, 1]]),
    "WEIGHTS": np.array([0.2, 0.5, 1.1, 0.7]),
}


def function_of(sample: str) -> tuple[Callable, list[Any]]:
    """The sample as a function, and the points it is taken at."""
    used = {node.id for node in ast.walk(ast.parse(sample)) if isinstance(node, ast.Name)}
    names = [name for name in POINTS if name in used]
    return eval(f"lambda {', '.join(names)}: {sample}", dict(NAMESPACE)), [POINTS[name] for name in names]


def _each(template: str, names: str) -> dict[str, list[str]]:
    return {f"np.{name}": [line.replace("F", f"np.{name}") for line in template.split("; ")] for name in names.split()}


def _of_one_number(without: set[str]) -> dict[str, list[str]]:
    """Arrays, a number and complex numbers; of ufuncs also what they write into."""
    found: dict[str, list[str]] = {}
    for name, where in ONE.items():
        if name in without:
            continue
        x = {"any": "x", "positive": "p", "unit": "u", "above": "g"}[where]
        calls = [f"F({x})", *(["F(r)"] if where != "above" else []), *(["F(z)"] if name in (*COMPLEX, "sign") else [])]
        if name in HOLOMORPHIC and isinstance(getattr(np, name), np.ufunc):
            calls += [f"F({x}, out=np.zeros_like({x}))", f"F({x}, where=PICK, out=np.ones_like({x}))"]
        found |= _each("; ".join(calls), name)
    return found


_ARITHMETIC = _each(
    "F(a, x); F(r, x); F(a, 2.5); F(z, w); F(z, x); F(a, b, out=np.zeros_like(a)); "
    "F(a, b, where=MASK, out=np.ones_like(a)); F.outer(x, v)",
    "add subtract multiply divide",
)
_REDUCED = "F(a); F(a, axis=0); F(t, axis=(0, -1)); F(t, axis=-2, keepdims=True); F(r)"

SAMPLES: dict[str, list[str]] = {
    # -- elementwise -------------------------------------------------------------------------------------------------
    **_of_one_number({"around", "nan_to_num", "real_if_close"}),
    **_each("F(x); F(x, 1); F(z, 1)", "round around"),
    **_each("F(p, x); F(p, 2); F(p, -1.5); F(2.0, x); F(r, x); F(z, w); F.outer(p, x)", "power"),
    **_each("F(p, x); F(z, w)", "float_power"),
    **_each("F(a, p); F(r, p); F(a, 1.1)", "remainder fmod floor_divide"),
    **_each(
        "F(a, b); F(r, x); F(a, 0.25); F.outer(x, v); F.reduce(a, axis=1); F.accumulate(a, axis=-1)",
        "maximum minimum fmax fmin",
    ),
    **_each("F(a, b); F(r, x); F(x, 0.4); F.reduce(a, axis=0)", "hypot logaddexp logaddexp2"),
    **_each("F(a, b); F(r, x)", "arctan2 copysign nextafter"),
    "np.add": [
        *_ARITHMETIC["np.add"],
        "np.add.reduce(a)",
        "np.add.reduce(t, axis=(0, 2), keepdims=True)",
        "np.add.reduce(a, where=MASK, initial=2.0)",
        "np.add.accumulate(a, axis=1)",
        "np.add.reduceat(x, [0, 2, 1])",
        "written(np.add.at, x, [0, 0, 2], v[:3])",
    ],
    "np.subtract": [
        *_ARITHMETIC["np.subtract"],
        "np.subtract(2.0, z)",
        "written(np.subtract.at, x, [1, 1], r)",
        "np.subtract.accumulate(x)",
    ],
    "np.multiply": [
        *_ARITHMETIC["np.multiply"],
        "np.multiply.reduce(a, axis=1)",
        "np.multiply.accumulate(a, axis=0)",
        "np.multiply.reduceat(x, [0, 2])",
        "written(np.multiply.at, x, [0, 0], v[:2])",
    ],
    "np.divide": [
        *_ARITHMETIC["np.divide"],
        "np.divide(a, p)",
        "np.divide(1.0, z)",
        "np.divide.outer(x, p)",
        "np.divide(r, p)",
    ],
    "np.heaviside": ["np.heaviside(x, 0.5)", "np.heaviside(x, v)"],
    "np.ldexp": ["np.ldexp(x, 2)", "np.ldexp(x, np.array([1, 0, -1, 2]))"],
    "np.frexp": ["np.frexp(x)[0]"],
    "np.modf": ["np.modf(x)", "np.modf(r)"],
    "np.divmod": ["np.divmod(a, p)", "divmod(x, 0.7)"],
    "np.clip": [
        "np.clip(x, -0.5, 1.0)",
        "np.clip(a, u, g)",
        "np.clip(x, None, r)",
        "np.clip(x, min=-0.5)",
        "np.clip(x, -0.5, 1.0, out=np.zeros_like(x))",
        "x.clip(max=0.5)",
    ],
    "np.nan_to_num": ["np.nan_to_num(x)", "np.nan_to_num(nan, nan=2.0)", "np.nan_to_num(z, copy=False)"],
    "np.real_if_close": ["np.real_if_close(x)", "np.real_if_close(z)"],
    "np.astype": [
        "np.astype(x, np.float64)",
        "np.astype(x, complex)",
        "x.astype(complex)",
        "x.astype(float, copy=False)",
    ],
    "np.copy": ["np.copy(a)", "a.copy()", "np.copy(a, order='F')"],
    "np.where": [
        "np.where(PICK, a, x)",
        "np.where(a > 0, a, b)",
        "np.where(x > 0, x, 0.0)",
        "np.where(x > 0, x, z)",
        "np.where(MASK, r, a)",
    ],
    "np.select": ["np.select([x > 1, x < 0], [x**2, v], 1.0)", "np.select([MASK], [a], b)"],
    "np.piecewise": [
        "np.piecewise(x, [x < 0, x > 1], [lambda e: -e, lambda e: e**2, 3.0])",
        "np.piecewise(x, [x > 0], [1.5])",
    ],
    "np.choose": ["np.choose(J[0], [x, v, p])", "np.choose(J, a)", "np.choose([0, 3, -1, 1], [x, v], mode='wrap')"],
    "np.emath.sqrt": ["np.emath.sqrt(x)", "np.emath.sqrt(p)"],
    "np.emath.log": ["np.emath.log(x)"],
    "np.emath.log2": ["np.emath.log2(x)"],
    "np.emath.log10": ["np.emath.log10(x)"],
    "np.emath.logn": ["np.emath.logn(3.0, x)", "np.emath.logn(g, p)"],
    "np.emath.power": ["np.emath.power(x, 1.5)", "np.emath.power(p, x)"],
    "np.emath.arccos": ["np.emath.arccos(u)", "np.emath.arccos(g)"],
    "np.emath.arcsin": ["np.emath.arcsin(u)", "np.emath.arcsin(g)"],
    "np.emath.arctanh": ["np.emath.arctanh(u)", "np.emath.arctanh(g)"],
    "np.unwrap": [
        "np.unwrap(3 * x)",
        "np.unwrap(4 * a, axis=0)",
        "np.unwrap(4 * x, period=2.0)",
        "np.unwrap(5 * x, discont=4.0)",
    ],
    "np.interp": [
        "np.interp(x, [-2.0, 0.0, 2.0], v[:3])",
        "np.interp(u, x, v)",
        "np.interp(3 * x, x, v, left=-1.0, right=r)",
        "np.interp(x, [0.1, 0.9, 2.2], v[:3], period=3.0)",
    ],
    # -- reductions --------------------------------------------------------------------------------------------------
    **_each(
        _REDUCED
        + "; F(z); F(a, where=MASK); F(a, axis=1, where=MASK, initial=2.0); F(a, axis=0, out=np.zeros_like(x)); "
        "F(a, axis=())",
        "sum prod",
    ),
    **_each(
        _REDUCED + "; F(z); F(a, where=MASK); F(a, axis=0, out=np.zeros_like(x)); F(np.stack([z, w]), axis=1)", "mean"
    ),
    **_each(
        _REDUCED + "; F(a, where=MASK, initial=-9.0); F(a, axis=1, where=MASK, initial=0.1); "
        "F(a, axis=0, out=np.zeros_like(x))",
        "max",
    ),
    **_each(_REDUCED + "; F(a, where=MASK, initial=9.0); F(a, axis=1, where=MASK, initial=-0.1)", "min"),
    **_each("F(a); F(t, axis=(0, -1))", "amax amin"),
    **_each(
        "F(a); F(a, axis=0); F(t, axis=(0, -1), ddof=1); F(a, axis=1, keepdims=True); F(z); F(a, where=MASK); "
        "F(a, axis=1, mean=np.mean(a, axis=1, keepdims=True)); F(a, correction=1); F(a, axis=0, out=np.zeros_like(x))",
        "std var",
    ),
    **_each(
        "F(a); F(a, axis=0); F(t, axis=(0, 2)); F(a, axis=-1, keepdims=True); F(a, axis=0, out=np.zeros_like(x))", "ptp"
    ),
    **_each("F(a); F(a, axis=0); F(a, axis=-1); F(z); F(a, axis=1, out=np.zeros_like(a))", "cumsum cumprod"),
    "np.cumulative_sum": ["np.cumulative_sum(x)", "np.cumulative_sum(a, axis=1, include_initial=True)"],
    "np.cumulative_prod": ["np.cumulative_prod(x)", "np.cumulative_prod(a, axis=0, include_initial=True)"],
    "np.average": [
        "np.average(a)",
        "np.average(a, axis=1)",
        "np.average(a, axis=1, weights=p)",
        "np.average(a, weights=b + 3)",
        "np.average(a, axis=0, keepdims=True)",
        "np.average(x, weights=p, returned=True)",
    ],
    **_each(
        "F(nan); F(nan, axis=0); F(nan, axis=-1, keepdims=True); F(a, axis=(0, 1)); F(nan, where=MASK)",
        "nansum nanmean nanprod",
    ),
    **_each(
        "F(nan); F(nan, axis=0); F(nan, axis=-1, keepdims=True); F(a, axis=(0, 1)); F(nan, axis=1, initial=0.5)",
        "nanmax nanmin",
    ),
    **_each("F(nan); F(nan, axis=0, ddof=1); F(nan, axis=-1, keepdims=True); F(nan, where=MASK)", "nanstd nanvar"),
    **_each("F(nan); F(nan, axis=0); F(nan, axis=-1)", "nancumsum nancumprod"),
    **_each("F(a); F(x); F(a, axis=0); F(t, axis=(0, -1)); F(a, axis=1, keepdims=True)", "median"),
    **_each("F(nan); F(nan, axis=0); F(nan, axis=1, keepdims=True)", "nanmedian"),
    **_each(
        "F(a, 0.3); F(a, [0.1, 0.6], axis=0); F(t, 0.8, axis=(0, -1)); F(a, 0.3, axis=1, keepdims=True); "
        "F(x, 0.3, method='lower'); F(x, 0.3, method='midpoint'); F(x, 0.3, method='hazen'); "
        "F(x, 0.4, method='inverted_cdf'); F(x, 0.3, method='median_unbiased'); "
        "F(x, 0.4, method='inverted_cdf', weights=WEIGHTS); F(x, np.mean(u) + 0.2)",
        "quantile",
    ),
    **_each(
        "F(a, 30); F(a, [10, 60], axis=0); F(a, 80.0, axis=-1, keepdims=True); F(x, 30, method='nearest')", "percentile"
    ),
    **_each("F(nan, 0.3); F(nan, [0.1, 0.6], axis=0); F(nan, 0.3, axis=1, keepdims=True)", "nanquantile"),
    **_each("F(nan, 30); F(nan, [10, 60], axis=1)", "nanpercentile"),
    "np.cov": [
        "np.cov(a)",
        "np.cov(a, b)",
        "np.cov(a, rowvar=False)",
        "np.cov(a, bias=True)",
        "np.cov(x, v, ddof=0)",
        "np.cov(a, aweights=WEIGHTS)",
        "np.cov(a, fweights=[1, 2, 1, 3])",
    ],
    "np.corrcoef": ["np.corrcoef(a)", "np.corrcoef(x, v)", "np.corrcoef(a, rowvar=False)"],
    "np.trapezoid": [
        "np.trapezoid(x)",
        "np.trapezoid(a, dx=0.5)",
        "np.trapezoid(a, x=g)",
        "np.trapezoid(a, g[:3], axis=0)",
        "np.trapezoid(x, dx=r)",
    ],
    "np.diff": [
        "np.diff(x)",
        "np.diff(a, 2)",
        "np.diff(a, axis=0)",
        "np.diff(x, prepend=r)",
        "np.diff(a, append=b, axis=0)",
        "np.diff(x, n=0)",
    ],
    "np.ediff1d": ["np.ediff1d(x)", "np.ediff1d(a)", "np.ediff1d(x, to_begin=r, to_end=v)"],
    "np.gradient": [
        "np.gradient(x)",
        "np.gradient(a)",
        "np.gradient(a, axis=0)",
        "np.gradient(x, 0.5)",
        "np.gradient(x, g)",
        "np.gradient(a, 0.5, 0.2 * g + np.arange(4.0))",
        "np.gradient(x, edge_order=2)",
        "np.gradient(x, r)",
        "np.gradient(a, axis=(0, 1))",
    ],
    "np.histogram": [
        "np.histogram(x, bins=3, weights=v)[0]",
        "np.histogram(x, bins=[-2.0, 0.0, 2.0], weights=p, density=True)[0]",
    ],
    "np.histogram2d": ["np.histogram2d(x, v, bins=2, weights=p)[0]"],
    "np.histogramdd": ["np.histogramdd(np.stack([x, v], axis=1), bins=2, weights=p)[0]"],
    "np.bincount": ["np.bincount([0, 2, 1, 2], weights=x)", "np.bincount([0, 2, 1, 2], x, minlength=5)"],
    # -- shaping -----------------------------------------------------------------------------------------------------
    "np.reshape": [
        "np.reshape(a, (2, 6))",
        "np.reshape(a, -1, order='F')",
        "a.reshape(4, 3)",
        "a.reshape((2, -1), order='F')",
        "np.reshape(r, (1, 1))",
    ],
    "np.ravel": ["np.ravel(a)", "np.ravel(a, order='F')", "a.ravel()", "a.flatten()", "a.flatten('F')", "a.flat[2:5]"],
    "np.transpose": [
        "np.transpose(t)",
        "np.transpose(t, (1, 2, 0))",
        "t.T",
        "t.transpose(2, 0, 1)",
        "t.mT",
        "np.transpose(t, (-1, 0, 1))",
    ],
    "np.swapaxes": ["np.swapaxes(t, 0, -1)", "t.swapaxes(1, 2)"],
    "np.moveaxis": ["np.moveaxis(t, 0, -1)", "np.moveaxis(t, (0, 1), (-1, 0))"],
    "np.rollaxis": ["np.rollaxis(t, 2)", "np.rollaxis(t, 0, 3)"],
    "np.matrix_transpose": ["np.matrix_transpose(t)", "np.linalg.matrix_transpose(t)"],
    "np.permute_dims": ["np.permute_dims(t, (2, 0, 1))"],
    "np.squeeze": ["np.squeeze(x[None, :, None])", "np.squeeze(x[None, :, None], axis=-1)", "x[None].squeeze(0)"],
    "np.expand_dims": ["np.expand_dims(a, 0)", "np.expand_dims(a, (0, -1))", "a[:, None, :]", "a[..., np.newaxis]"],
    "np.broadcast_to": [
        "np.broadcast_to(x, (3, 4))",
        "np.broadcast_to(r, (2,))",
        "np.broadcast_to(a[:, :1], (2, 3, 4))",
    ],
    "np.broadcast_arrays": ["np.broadcast_arrays(a, x, r)"],
    **_each("F(r); F(x); F(a, x)", "atleast_1d atleast_2d atleast_3d"),
    "np.concatenate": [
        "np.concatenate([a, b])",
        "np.concatenate([a, b], axis=1)",
        "np.concatenate([a, t[0]], axis=None)",
        "np.concatenate([x, z])",
        "np.concatenate([a, b], axis=-1, out=np.zeros((3, 8), like=a))",
    ],
    "np.stack": ["np.stack([x, v])", "np.stack([a, b], axis=-1)", "np.stack([r, 2.0, r])"],
    **_each("F([a, b]); F([x, v])", "vstack hstack dstack column_stack"),
    "np.block": ["np.block([[a, b], [b, a]])", "np.block([x, r])", "np.block([[s, np.zeros((3, 1))]])"],
    "np.append": ["np.append(x, v)", "np.append(a, b, axis=0)", "np.append(a, r)"],
    "np.insert": [
        "np.insert(x, 1, r)",
        "np.insert(a, [0, 2], b[:, :2], axis=1)",
        "np.insert(a, 1, x, axis=0)",
        "np.insert(x, slice(0, 2), v[:2])",
    ],
    "np.delete": [
        "np.delete(x, 1)",
        "np.delete(a, [0, -1], axis=1)",
        "np.delete(a, slice(0, 2), axis=0)",
        "np.delete(a, 3)",
    ],
    "np.split": ["np.split(x, 2)", "np.split(a, [1, 3], axis=1)", "np.split(a, 3, axis=0)"],
    "np.array_split": ["np.array_split(x, 3)", "np.array_split(a, [1], axis=-1)"],
    "np.hsplit": ["np.hsplit(a, 2)", "np.hsplit(x, [1])"],
    "np.vsplit": ["np.vsplit(a, 3)"],
    "np.dsplit": ["np.dsplit(t, 2)"],
    "np.unstack": ["np.unstack(a)", "np.unstack(t, axis=-1)"],
    "np.tile": ["np.tile(x, 3)", "np.tile(a, (2, 1))", "np.tile(x, (2, 1, 2))", "np.tile(r, 3)"],
    "np.repeat": [
        "np.repeat(x, 2)",
        "np.repeat(a, [1, 0, 2], axis=0)",
        "np.repeat(a, 2)",
        "a.repeat(2, axis=-1)",
        "np.repeat(r, 3)",
    ],
    "np.resize": ["np.resize(x, 7)", "np.resize(a, (2, 3))"],
    "np.roll": ["np.roll(x, 1)", "np.roll(a, (1, -1), axis=(0, 1))", "np.roll(a, 2)", "np.roll(a, -1, axis=-1)"],
    **_each("F(a)", "fliplr flipud"),
    "np.flip": ["np.flip(x)", "np.flip(t, axis=(0, -1))", "a[::-1, ::-2]"],
    "np.rot90": ["np.rot90(a)", "np.rot90(t, 3, axes=(1, 2))", "np.rot90(a, -1)"],
    "np.pad": [
        "np.pad(x, 2)",
        "np.pad(a, ((1, 0), (2, 1)), constant_values=1.5)",
        "np.pad(a, 1, mode='edge')",
        "np.pad(x, 3, mode='reflect')",
        "np.pad(x, (2, 3), mode='symmetric')",
        "np.pad(a, 2, mode='wrap')",
        "np.pad(x, 2, mode='linear_ramp', end_values=1.0)",
        "np.pad(a, 1, mode='mean')",
        "np.pad(a, 1, mode='maximum')",
        "np.pad(x, 2, mode='minimum', stat_length=2)",
        "np.pad(x, 1, mode='median')",
        "np.pad(x, 2, constant_values=r)",
        "np.pad(x, 3, mode='reflect', reflect_type='odd')",
        "np.pad(a, {-1: (1, 2)})",
    ],
    "np.tril": ["np.tril(a)", "np.tril(t, -1)"],
    "np.triu": ["np.triu(a)", "np.triu(t, 1)"],
    "np.diag": ["np.diag(x)", "np.diag(a)", "np.diag(x, -1)", "np.diag(a, 1)"],
    "np.diagflat": ["np.diagflat(x)", "np.diagflat(a, 1)"],
    "np.diagonal": [
        "np.diagonal(a)",
        "np.diagonal(t, 1, 0, -1)",
        "t.diagonal(axis1=1, axis2=2)",
        "np.linalg.diagonal(t)",
        "np.linalg.diagonal(t, offset=-1)",
    ],
    "np.trace": [
        "np.trace(a)",
        "np.trace(t, 1, 1, 2)",
        "t.trace(axis1=0, axis2=-1)",
        "np.linalg.trace(t)",
        "np.linalg.trace(a, offset=1)",
    ],
    "np.vander": ["np.vander(x)", "np.vander(x, 3)", "np.vander(x, 3, increasing=True)"],
    "np.meshgrid": ["np.meshgrid(x, v)", "np.meshgrid(x, v[:2], indexing='ij')", "np.meshgrid(x, v[:3], sparse=True)"],
    "np.ix_": ["np.ix_(x, v)"],
    "np.lib.stride_tricks.sliding_window_view": [
        "sliding_window_view(x, 3)",
        "sliding_window_view(a, (2, 2))",
        "sliding_window_view(a, 2, axis=1)",
    ],
    "np.apply_along_axis": ["np.apply_along_axis(lambda e: e * e[0], 0, a)", "np.apply_along_axis(np.sum, 1, a)"],
    "np.apply_over_axes": ["np.apply_over_axes(np.sum, t, [0, 2])"],
    "np.trim_zeros": [
        "np.trim_zeros(np.concatenate([[0.0], x, [0.0, 0.0]]))",
        "np.trim_zeros(np.concatenate([[0.0], x]), 'f')",
    ],
    # -- indexing, sorting and sets ----------------------------------------------------------------------------------
    "ndarray.__getitem__": [
        "a[1]",
        "a[1, -2]",
        "a[:, 1:3]",
        "a[..., ::2]",
        "a[[0, 2, 0]]",
        "a[J[:, :3] % 3, [0, 1, 1]]",
        "a[MASK]",
        "a[a > 0]",
        "t[:, [0, 2], :, None]",
        "x[J]",
        "a[np.ix_([0, 2], [1, 3])]",
        "t[0, :, [0, 1]]",
    ],
    "ndarray.__setitem__": [
        "assigned(a, 1, x)",
        "assigned(a, (slice(None), 1), r)",
        "assigned(a, MASK, 0.5)",
        "assigned(a, [0, 2], b[:2])",
        "assigned(a, (..., slice(None, None, 2)), b[:, :2])",
        "assigned(x, x > 0, v[:2])",
    ],
    "np.take": [
        "np.take(a, [0, 5, 0])",
        "np.take(a, J % 3, axis=0)",
        "a.take([1, -1], axis=1)",
        "np.take(x, [5, -7], mode='wrap')",
        "np.take(x, [9, -1], mode='clip')",
        "np.take(x, 2)",
    ],
    "np.take_along_axis": [
        "np.take_along_axis(a, np.argsort(b, axis=1), 1)",
        "np.take_along_axis(a, J % 3, axis=0)",
        "np.take_along_axis(a, np.array([3, 0, 0]), axis=None)",
    ],
    "np.compress": ["np.compress([True, False, True], a, axis=0)", "np.compress([False, True, True], a)"],
    "np.extract": ["np.extract(MASK, a)", "np.extract(a > 0, a)"],
    "np.put": [
        "written(np.put, a, [0, 5], x[:2])",
        "written(np.put, x, [1, 6], v[:2], mode='wrap')",
        "written(np.put, x, [0, 2], r)",
    ],
    "np.put_along_axis": ["written(np.put_along_axis, a, np.array([[0], [2], [1]]), b[:, :1], 1)"],
    "np.place": ["written(np.place, a, MASK, x)"],
    "np.putmask": ["written(np.putmask, a, MASK, b)", "written(np.putmask, a, MASK, x[:3])"],
    "np.copyto": ["written(np.copyto, a, x)", "written(np.copyto, a, b, where=MASK)"],
    "np.fill_diagonal": [
        "written(np.fill_diagonal, s, r)",
        "written(np.fill_diagonal, s, x[:3])",
        "written(np.fill_diagonal, t[0], r)",
    ],
    "np.sort": ["np.sort(x)", "np.sort(a, axis=0)", "np.sort(a, axis=None)", "np.sort(a, kind='stable')", "np.sort(z)"],
    "np.sort_complex": ["np.sort_complex(z)", "np.sort_complex(x)"],
    "np.partition": ["np.partition(x, 1)[1]", "np.sort(np.partition(a, 2, axis=0)[:2], axis=0)"],
    "np.unique": ["np.unique(x)", "np.unique(a, return_index=True, return_counts=True)[0]", "np.unique(a, axis=0)"],
    **_each("F(x)[0]; F(a)[0]", "unique_all unique_counts unique_inverse"),
    "np.unique_values": ["np.unique_values(a)"],
    **_each("F(x, v); F(x, np.concatenate([v, x[:2]]))", "union1d setxor1d"),
    "np.setdiff1d": ["np.setdiff1d(x, [5.0])"],
    "np.intersect1d": ["np.intersect1d(x, np.concatenate([v, x[:2]]))"],
    # -- products and linear algebra ---------------------------------------------------------------------------------
    "np.matmul": [
        "a @ x",
        "x @ a.T",
        "x @ v",
        "np.matmul(t, b.T)",
        "np.matmul(k, k)",
        "c @ z[:3]",
        "np.linalg.matmul(s, b)",
        "np.matmul(s, b, out=np.zeros_like(b))",
    ],
    "np.dot": [
        "np.dot(x, v)",
        "np.dot(a, x)",
        "np.dot(a, b.T)",
        "np.dot(t, x)",
        "np.dot(r, x)",
        "a.dot(v)",
        "np.dot(t, a.T)",
        "np.dot(z, w)",
    ],
    "np.vdot": ["np.vdot(x, v)", "np.vdot(z, w)", "np.vdot(a, b)"],
    "np.vecdot": [
        "np.vecdot(a, b)",
        "np.vecdot(z, w)",
        "np.vecdot(a, b, axis=0)",
        "np.linalg.vecdot(a, x)",
        "np.linalg.vecdot(a, b, axis=0)",
    ],
    "np.matvec": ["np.matvec(a, x)", "np.matvec(t, x)", "np.matvec(c, z[:3])"],
    "np.vecmat": ["np.vecmat(x[:3], a)", "np.vecmat(z[:3], c)"],
    "np.inner": ["np.inner(x, v)", "np.inner(a, b)", "np.inner(t, x)", "np.inner(r, x)", "np.inner(z, w)"],
    "np.outer": ["np.outer(x, v)", "np.outer(a, x)", "np.linalg.outer(x, v)", "np.outer(z, x)"],
    "np.kron": ["np.kron(x, v)", "np.kron(a, s)", "np.kron(x, a)"],
    "np.tensordot": [
        "np.tensordot(a, b)",
        "np.tensordot(t, a, axes=([1, 2], [0, 1]))",
        "np.tensordot(t, x, axes=1)",
        "np.tensordot(x, v, axes=0)",
        "np.linalg.tensordot(t, a, axes=((2,), (1,)))",
    ],
    "np.einsum": [
        "np.einsum('ij,j->i', a, x)",
        "np.einsum('ij,kj', a, b)",
        "np.einsum('ii', s)",
        "np.einsum('ij->ji', a)",
        "np.einsum('...j,j', t, x)",
        "np.einsum(a, [0, 1], x, [1], [0])",
        "np.einsum('ij,ij,j->', a, b, x)",
        "np.einsum('i,i', z, w)",
        "np.einsum('ij,jk,kl->il', s, a, b.T, optimize=True)",
        "np.einsum('ii->i', s)",
    ],
    "np.cross": [
        "np.cross(s, b[:, :3])",
        "np.cross(x[:3], v[:3])",
        "np.cross(s, b[:, :3], axis=0)",
        "np.linalg.cross(s, x[:3])",
        "np.cross(s, x[:3], axisa=0, axisc=0)",
    ],
    "np.convolve": [
        "np.convolve(x, v)",
        "np.convolve(x, v[:2], 'same')",
        "np.convolve(x, v[:3], mode='valid')",
        "np.convolve(z, x)",
    ],
    "np.correlate": [
        "np.correlate(x, v)",
        "np.correlate(x, v[:2], 'full')",
        "np.correlate(x, v[:3], 'same')",
        "np.correlate(z, w, 'full')",
    ],
    "np.linalg.det": ["np.linalg.det(s)", "np.linalg.det(k)", "np.linalg.det(c)"],
    "np.linalg.slogdet": ["np.linalg.slogdet(s)[1]", "np.linalg.slogdet(k)", "np.linalg.slogdet(c)"],
    "np.linalg.inv": ["np.linalg.inv(s)", "np.linalg.inv(k)", "np.linalg.inv(c)"],
    "np.linalg.solve": [
        "np.linalg.solve(s, x[:3])",
        "np.linalg.solve(s, a)",
        "np.linalg.solve(k, k)",
        "np.linalg.solve(c, z[:3])",
        "np.linalg.solve(s, z[:3])",
    ],
    "np.linalg.lstsq": ["np.linalg.lstsq(a.T, x)[0]", "np.linalg.lstsq(a.T, b.T)[0]", "np.linalg.lstsq(a.T, b.T)[1]"],
    "np.linalg.pinv": [
        "np.linalg.pinv(a)",
        "np.linalg.pinv(k)",
        "np.linalg.pinv(c)",
        "np.linalg.pinv(s + s.T, hermitian=True)",
    ],
    "np.linalg.cholesky": [
        "np.linalg.cholesky(s @ s.T)",
        "np.linalg.cholesky(k @ np.swapaxes(k, -1, -2))",
        "np.linalg.cholesky(c @ np.conj(c.T))",
        "np.linalg.cholesky(s @ s.T, upper=True)",
    ],
    "np.linalg.qr": [
        "np.linalg.qr(s)",
        "np.linalg.qr(a.T)",
        "np.linalg.qr(a.T, mode='r')",
        "np.linalg.qr(k)",
        "np.linalg.qr(a)",
    ],
    "np.linalg.svd": [
        "np.linalg.svd(a, compute_uv=False)",
        "np.abs(np.linalg.svd(a, full_matrices=False)[0])",
        "np.linalg.svd(k)[1]",
        "np.abs(np.linalg.svd(c)[2])",
    ],
    "np.linalg.svdvals": ["np.linalg.svdvals(a)", "np.linalg.svdvals(c)"],
    "np.linalg.eigh": [
        "np.linalg.eigh(s + s.T)[0]",
        "np.linalg.eigh(s + s.T)[1] ** 2",
        "np.abs(np.linalg.eigh(c + np.conj(c.T))[1])",
        "np.linalg.eigh(s + s.T, UPLO='U')[0]",
    ],
    "np.linalg.eigvalsh": [
        "np.linalg.eigvalsh(s + s.T)",
        "np.linalg.eigvalsh(k + np.swapaxes(k, -1, -2))",
        "np.linalg.eigvalsh(s + s.T, UPLO='U')",
    ],
    "np.linalg.eig": ["np.linalg.eig(s)[0]", "np.abs(np.linalg.eig(s)[1])", "np.linalg.eig(c)[0]"],
    "np.linalg.eigvals": ["np.linalg.eigvals(s)", "np.linalg.eigvals(c)"],
    "np.linalg.norm": [
        "np.linalg.norm(x)",
        "np.linalg.norm(a)",
        "np.linalg.norm(a, axis=1)",
        "np.linalg.norm(a, axis=0, keepdims=True)",
        "np.linalg.norm(x, 1)",
        "np.linalg.norm(x, 3)",
        "np.linalg.norm(x, np.inf)",
        "np.linalg.norm(x, -np.inf)",
        "np.linalg.norm(x, 0.5)",
        "np.linalg.norm(a, 1)",
        "np.linalg.norm(a, -1)",
        "np.linalg.norm(a, np.inf)",
        "np.linalg.norm(a, 2)",
        "np.linalg.norm(a, -2)",
        "np.linalg.norm(a, 'nuc')",
        "np.linalg.norm(a, 'fro')",
        "np.linalg.norm(t, axis=(0, 2))",
        "np.linalg.norm(t, 'nuc', axis=(-2, -1), keepdims=True)",
        "np.linalg.norm(z)",
        "np.linalg.norm(z, 1)",
        "np.linalg.norm(x, 0)",
        "np.linalg.norm(x, -2)",
    ],
    "np.linalg.vector_norm": [
        "np.linalg.vector_norm(a)",
        "np.linalg.vector_norm(a, axis=1, ord=3)",
        "np.linalg.vector_norm(a, axis=(0, 1), keepdims=True)",
    ],
    "np.linalg.matrix_norm": [
        "np.linalg.matrix_norm(a)",
        "np.linalg.matrix_norm(t, ord=1)",
        "np.linalg.matrix_norm(t, keepdims=True, ord=2)",
    ],
    "np.linalg.cond": [
        "np.linalg.cond(s)",
        "np.linalg.cond(k)",
        "np.linalg.cond(s, 1)",
        "np.linalg.cond(s, 'fro')",
        "np.linalg.cond(s, -2)",
    ],
    "np.linalg.matrix_power": [
        "np.linalg.matrix_power(s, 3)",
        "np.linalg.matrix_power(k, -2)",
        "np.linalg.matrix_power(s, 0)",
        "np.linalg.matrix_power(s, 1)",
    ],
    "np.linalg.multi_dot": [
        "np.linalg.multi_dot([s, a, x])",
        "np.linalg.multi_dot([x, b.T, a, v])",
        "np.linalg.multi_dot([s, a])",
    ],
    "np.linalg.tensorinv": ["np.linalg.tensorinv(np.reshape(k[0], (2, 1, 2)), ind=1)"],
    "np.linalg.tensorsolve": [
        "np.linalg.tensorsolve(np.reshape(s, (3, 3, 1)), x[:3])",
        "np.linalg.tensorsolve(np.reshape(s, (3, 1, 3)), x[:3])",
    ],
    # -- Fourier transforms ------------------------------------------------------------------------------------------
    **_each("F(x); F(z); F(a, axis=0); F(z, n=3); F(z, 6, norm='ortho'); F(z, norm='forward')", "fft.fft fft.ifft"),
    **_each("F(x); F(a, axis=0); F(x, n=3); F(x, 6, norm='ortho'); F(x, norm='forward')", "fft.rfft fft.ihfft"),
    **_each("F(z); F(z, n=5); F(c, axis=0); F(z, norm='ortho'); F(x)", "fft.irfft fft.hfft"),
    **_each(
        "F(a); F(c); F(t, axes=(0, 2)); F(a, s=(2, 5), axes=(0, 1)); F(a, norm='ortho')",
        "fft.fft2 fft.ifft2 fft.fftn fft.ifftn",
    ),
    **_each("F(a); F(t, axes=(0, 2)); F(a, s=(2, 5), axes=(0, 1)); F(a, norm='forward')", "fft.rfft2 fft.rfftn"),
    **_each("F(c); F(c, s=(2, 5), axes=(0, 1)); F(c, norm='ortho'); F(c, axes=(1, 0))", "fft.irfft2 fft.irfftn"),
    **_each("F(x); F(a); F(a, axes=0)", "fft.fftshift fft.ifftshift"),
    # -- polynomials and creation ------------------------------------------------------------------------------------
    "np.poly": ["np.poly(x)", "np.poly(s)"],
    "np.polyval": ["np.polyval(x, v)", "np.polyval(x, a)", "np.polyval(z, w)", "np.polyval(x, r)"],
    **_each("F(x, v); F(x, v[:2])", "polyadd polysub polymul"),
    "np.polydiv": ["np.polydiv(x, v[:2])"],
    "np.polyder": ["np.polyder(x)", "np.polyder(x, 2)"],
    "np.polyint": ["np.polyint(x)", "np.polyint(x, 2)", "np.polyint(x, 1, r)"],
    "np.polyfit": ["np.polyfit(g, x, 2)", "np.polyfit(g, a.T, 1)", "np.polyfit(g, x, 1, w=p)"],
    "np.roots": ["np.roots([1.0, -3.2, r])", "np.roots(x)"],
    "np.linspace": [
        "np.linspace(r, 3.0, 5)",
        "np.linspace(x, v, 3, axis=-1)",
        "np.linspace(0.0, r, 4, endpoint=False)",
        "np.linspace(r, 3.0, 5, retstep=True)",
    ],
    "np.logspace": ["np.logspace(r, 2.0, 4)", "np.logspace(0.1, r, 4, base=2.0)"],
    "np.geomspace": ["np.geomspace(r, 3.0, 4)", "np.geomspace(p, g, 3)"],
    "np.full_like": ["np.full_like(a, r)", "np.full_like(a, x)"],
    **_each("F(a) + a", "zeros_like ones_like"),
    "np.empty_like": ["written(np.copyto, np.empty_like(a), x)"],
    **_each("F(x, like=x); F(a, like=a)", "array asarray asanyarray ascontiguousarray asfortranarray"),
    "np.full": ["np.full(3, r, like=x)"],
    **_each("F((3, 4), like=a) + a", "zeros ones"),
    "np.fromfunction": ["np.fromfunction(lambda i: i * 2.0, (4,), like=x) * x"],
}

# What has no derivative rule on any backend: a named error, never a number.
REFUSED = {
    "np.histogram2d(x, v, bins=2, weights=p)[0]",
    "np.histogramdd(np.stack([x, v], axis=1), bins=2, weights=p)[0]",
}
