"""xarray's objects as arguments of f, as what f makes, and as results."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import guest, held_against_plain

import adselect as ad
from adselect import AutoTape, gradient, jacobian, prepare, pullback, withgradient

xr = guest("xarray")

POINT = np.array([0.3, -0.7, 1.1])
W = np.array([1.0, 2.0, 3.0])
OTHER = xr.DataArray([1.0, 5.0], dims="t", coords={"t": [2, 3]})
GAPS = xr.DataArray([1.0, np.nan, 2.0], dims="t", coords={"t": [1, 2, 3]})
SQUARE = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("s", "t"), coords={"t": [1, 2, 3]})


def array(numbers):
    return xr.DataArray(
        np.array(numbers),
        dims="t",
        coords={"t": [1, 2, 3], "g": ("t", ["a", "b", "a"])},
        name="q",
        attrs={"units": "m"},
    )


def _written(d):
    d[0] = d[1] * 2
    return (d * d).sum()


def _added(d):
    d += OTHER.reindex(t=[1, 2, 3], fill_value=0.0)
    return (d * d).sum()


ARRAYS = {
    "(d * d).sum()": lambda d: (d * d).sum(),
    "np.sum": lambda d: np.sum(np.exp(d) * W),
    "with arrays": lambda d: (d * W).sum() + (W * d).sum() + (d / 2 + 1).mean(),
    "broadcast": lambda d: (d * SQUARE).sum("t").max() + (SQUARE * d).std(),
    "aligned": lambda d: (d * OTHER).sum(),
    "missing values": lambda d: (d * GAPS).sum() + (d * GAPS).mean() + (d * GAPS).fillna(3.0).sum(),
    "sel": lambda d: d.sel(t=2) * d.isel(t=0) + d[2] + d.loc[1:2].sum(),
    "statistics": lambda d: d.std() + d.var() + d.max() - d.min() + d.median() + d.prod() + d.quantile(0.3),
    "where": lambda d: d.where(d > 0).sum() + xr.where(d > 0, d, 0.0).sum() + d.clip(0, 1).sum(),
    "shapes": lambda d: d.shift(t=1).sum() + d.roll(t=1).max() + d.diff("t").sum() + d.cumsum().sum(),
    "concat": lambda d: xr.concat([d, 2 * d], dim="s").sum() + d.expand_dims("s").transpose("t", "s").sum(),
    "groupby": lambda d: d.groupby("g").mean().max(),
    "dot": lambda d: d.dot(d) + xr.dot(d, SQUARE, dim="t").sum(),
    "weighted": lambda d: d.weighted(xr.DataArray(W, dims="t")).mean(),
    "reindex": lambda d: d.reindex(t=[1, 3, 9]).sum(),
    "integrate": lambda d: d.integrate("t") + d.differentiate("t").sum(),
    "apply_ufunc": lambda d: xr.apply_ufunc(np.sin, d).sum(),
    "data": lambda d: d.data @ W + np.sum(d.data),
    "a dataset": lambda d: d.to_dataset(name="a").assign(b=lambda v: v.a * 2).b.sum(),
    "rename": lambda d: d.rename("z").rename(t="u").sum(),
    "a branch": lambda d: d.sum() if d.max() > 0 and isinstance(d, xr.DataArray) and d.dtype == float else d[0],
    "a missing number": lambda d: ((d * GAPS).sum(skipna=False)).fillna(7.0) + d[0],
    "item": lambda d: d.sum().item(),
    "written": _written,
    "+=": _added,
}


@pytest.mark.parametrize("case", ARRAYS)
def test_an_array(exact_backend, case):
    grad = held_against_plain(ARRAYS[case], exact_backend.adtype, array, POINT, lambda g: g.data)
    assert type(grad) is xr.DataArray
    assert grad.dims == ("t",)
    assert grad.name == "q"
    assert grad.attrs == {"units": "m"}
    xr.testing.assert_equal(grad.coords.to_dataset(), array(POINT).coords.to_dataset())


def dataset(numbers):
    return xr.Dataset({"a": ("t", numbers[:3]), "b": numbers[3], "n": ("t", ["x", "y", "z"])}, coords={"t": [1, 2, 3]})


DATASETS = {
    "(d.a * d.b).sum()": lambda d: (d.a * d.b).sum(),
    "sel": lambda d: d.sel(t=2).a * d["b"],
    "mean": lambda d: (d[["a", "b"]] * 2).mean().a,
    "assign": lambda d: d.assign(c=d.a**2).c.sum(),
}


@pytest.mark.parametrize("case", DATASETS)
def test_a_dataset(exact_backend, case):
    def flat(g):
        return np.append(g.a.data, g.b.data)

    grad = held_against_plain(DATASETS[case], exact_backend.adtype, dataset, np.append(POINT, 2.0), flat)
    assert type(grad) is xr.Dataset
    assert list(grad.data_vars) == ["a", "b", "n"]
    assert grad.n.values.tolist() == [None] * 3
    assert grad.t.values.tolist() == [1, 2, 3]


def test_a_variable(exact_backend):
    (grad,) = gradient(lambda v: (v * v).sum(), exact_backend.adtype, xr.Variable("t", POINT))
    assert type(grad) is xr.Variable
    np.testing.assert_allclose(grad.data, 2 * POINT)


REFUSED = {
    "values": lambda d: d.values.sum(),
    "to_numpy": lambda d: d.to_numpy().sum(),
    "np.asarray": lambda d: np.asarray(d).sum(),
    "np.where": lambda d: np.where(d > 0, d, 0.0).sum(),
    "float": lambda d: float(d.sum()),
    "to_pandas": lambda d: d.to_pandas().sum(),
    "interp": lambda d: d.interp(t=1.5).sum(),
    "into a plain one": lambda d: _into(SQUARE.copy(), d),
}


def _into(plain, d):
    plain[0, 0] = d[0]
    return plain.sum()


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_followed_is_refused(exact_backend, case):
    with pytest.raises(ad.ADSelectError, match=r"test_xarray\.py:\d+.*a\.data"):
        gradient(REFUSED[case], exact_backend.adtype, array(POINT))


CONSTANTS = {
    "np.sum(w * a)": lambda x: np.sum(x * GAPS),
    "a * w": lambda x: (GAPS * x).mean(),
    "a new one": lambda x: (xr.DataArray(x, dims="t") ** 2).sum(),
    "a dataset": lambda x: (xr.Dataset({"a": ("t", W)}) * x[0])["a"].sum(),
    "NumPy's functions": lambda x: np.dot(x, SQUARE.T).sum() + np.where(OTHER.data[0] > 0, x, 0.0).sum(),
    "a mask": lambda x: x[(GAPS > 1).data].sum() + x[GAPS > 1].sum(),
}


@pytest.mark.parametrize("case", CONSTANTS)
def test_constants(exact_backend, case):
    held_against_plain(CONSTANTS[case], exact_backend.adtype, np.array, POINT, np.asarray)


def test_integers_count_as_floats(exact_backend):
    (grad,) = gradient(lambda d: (d * d).sum(), exact_backend.adtype, xr.DataArray([1, 2], dims="t"))
    assert grad.dtype == float
    assert grad.data.tolist() == [2.0, 4.0]


def test_results_and_seeds(exact_backend):
    y, back = pullback(lambda d: d**2, exact_backend.adtype, array(POINT))
    assert type(y) is xr.DataArray
    np.testing.assert_allclose(y.data, POINT**2)
    for seed in (y.copy(data=W), W):
        np.testing.assert_allclose(back(seed)[0].data, 2 * POINT * W)
    with pytest.raises(ad.ADSelectError, match="DataArray"):
        back(y.rename(t="u"))
    value, _ = withgradient(lambda d: (d * d).sum(), exact_backend.adtype, array(POINT))
    assert type(value) is xr.DataArray
    assert float(value) == pytest.approx(np.sum(POINT**2))


def test_what_was_given_is_not_changed(exact_backend):
    given = array(POINT)
    gradient(_written, exact_backend.adtype, given)
    xr.testing.assert_identical(given, array(POINT))


def test_not_numeric_or_not_used(exact_backend):
    for value in (xr.DataArray(["a"], dims="t"), array(POINT), xr.Dataset({"n": ("t", ["x"])})):
        found = gradient(lambda x, v: x * 2, exact_backend.adtype, 1.0, value)
        assert found == (2.0, None)


def test_jacobian_names_it(exact_backend):
    with pytest.raises(ad.ADSelectError, match=r"args\[0\] is an xarray DataArray.*args\[0\]\.to_numpy\(\)"):
        jacobian(lambda d: d.data, exact_backend.adtype, array(POINT))


def test_a_prepared_call_keeps_to_its_labels():
    prepared = prepare(gradient, lambda d: (d * OTHER).sum(), AutoTape(), array(POINT), check="always")
    np.testing.assert_allclose(prepared(array(POINT + 1))[0].data, [0.0, 1.0, 5.0])
    with pytest.raises(ad.ADSelectError, match="prepared for"):
        prepared(array(POINT).assign_coords(t=[2, 3, 4]))
