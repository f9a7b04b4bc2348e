"""pandas Series and DataFrames as arguments of f, and as what f makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import guest, held_against_plain

import adselect as ad
from adselect import AutoTape, Const, gradient, hvp, jacobian, prepare, pullback, pushforward, withgradient

pd = guest("pandas")

LABELS = list("abcd")
POINT = np.array([0.3, -0.7, 1.1, 0.6])
W = np.array([1.0, 2.0, 3.0, 4.0])
PAIR = np.array([1.5, -2.0])
OTHER = pd.Series([1.0, 2.0, 3.0], index=list("bcd"))
GAPS = pd.Series([1.0, np.nan, 2.0, 3.0], index=LABELS)
CONSTANT = pd.DataFrame(np.arange(8.0).reshape(4, 2), index=LABELS, columns=["u", "v"])


def _iloc(s):
    s.iloc[0] = 5.0
    return (s * s).sum()


def _loc(s):
    s.loc["b"] = s["a"] * s["b"]
    return (s * s).sum()


def _augmented(s):
    s += W
    return (s * s).sum()


def _column(d):
    d["z"] = d["u"] * d["v"]
    return (d["z"] ** 2).sum()


def _entry(d):
    d.loc["a", "u"] = d.loc["b", "v"] ** 2
    return (d * d).sum().sum()


SERIES = {
    "(s * s).sum()": lambda s: (s * s).sum(),
    "s.mean()": lambda s: s.mean(),
    "w * s": lambda s: (W * s).sum(),
    "s * w": lambda s: (s * W).sum(),
    "operators": lambda s: (2**s).sum() + (1 / s).sum() + (-s).sum() + abs(s).sum() + (s // 1 + s % 1).sum(),
    "aligned": lambda s: (s + OTHER).sum(),
    "aligned, plain first": lambda s: (OTHER * s).sum(),
    "a column of a plain frame": lambda s: (CONSTANT["u"] * s).sum() + (s * CONSTANT["u"]).mean(),
    "ddof 1": lambda s: s.std() + s.var() + s.sem(),
    "ddof 0": lambda s: s.var(ddof=0) + np.std(s),
    "np.std(ddof=1)": lambda s: np.std(s, ddof=1),
    "max - min": lambda s: s.max() - s.min(),
    "s['b']": lambda s: s["b"] ** 2 + s.a * s.loc["c"] * s.iloc[3] + s.get("a"),
    "slices": lambda s: s.loc["b":"c"].sum() + s.iloc[1:3].prod() + s.head(2).sum(),
    "a mask": lambda s: (s[s > 0] ** 2).sum(),
    "labels": lambda s: s[["a", "c"]].sum() * s.iloc[[0, 1]].sum() * s.drop("a").sum(),
    "np.exp": lambda s: np.sum(np.exp(s)) + np.exp(s).sum() + s.apply(np.exp).sum(),
    "to_numpy": lambda s: s.to_numpy() @ W + s.values @ W,
    "@": lambda s: s @ W + W @ s + s.dot(s) + s @ CONSTANT["u"],
    "NumPy's functions": lambda s: (
        np.dot(s, W) + np.linalg.norm(s) + np.outer(s, s).sum() + np.concatenate([s, s]).sum()
    ),
    "np.where": lambda s: np.where(s > 0, s, 0.0).sum() + np.interp(0.5, np.arange(4), s),
    "where and mask": lambda s: s.where(s > 0, 0.0).sum() + s.mask(s > 0, 2.0).sum(),
    "clip": lambda s: s.clip(0, 1).sum() + s.clip(lower=0.0).sum() + s.abs().sum() + s.round(1).sum(),
    "cumsum": lambda s: s.cumsum().sum() + (s**2).cumsum().iloc[-1],
    "shift and diff": lambda s: (s.shift(1) * s).sum() + (s.diff() ** 2).sum(),
    "median": lambda s: s.median(),
    "reindex": lambda s: s.reindex(list("abcx")).sum(),
    "sorted": lambda s: s.sort_values().iloc[0] + s.loc[s.idxmax()],
    "loops": lambda s: sum(v * v for v in s) + sum(v * len(k) for k, v in s.items()),
    "missing values": lambda s: (s * GAPS).sum() + (s * GAPS).mean() + (s * GAPS).std(),
    "fillna": lambda s: (s * GAPS).fillna(2.0).sum(),
    "a number that is missing": lambda s: s.sum() if pd.isna(s.sum() * np.nan) else 0.0,
    "counting": lambda s: (s > 0).sum() * s.sum() + s.isna().sum() + s.notna().sum() * s.sum(),
    "methods of operators": lambda s: (
        s.sub(s.mean()).pow(2).sum() + s.mul(W).sum() + s.add(OTHER, fill_value=0.0).sum()
    ),
    "to_frame": lambda s: s.to_frame().sum().sum() + s.reset_index(drop=True).iloc[0],
    "pd.concat": lambda s: pd.concat([s, s * 2]).sum(),
    "cov": lambda s: s.cov(s) + s.corr(s**2),
    "what it is": lambda s: s.sum() if isinstance(s, pd.Series) and s.dtype == float and s.dtype.kind == "f" else 0.0,
    "iloc": _iloc,
    "loc": _loc,
    "+=": _augmented,
}
FRAMES = {
    "sums": lambda d: d.sum().sum() + (d * d).mean().sum() + d.sum(axis=1).max() + d.mean(axis=1).sum(),
    "@": lambda d: (d @ PAIR).sum() + d["u"] @ d["v"] + (d.T @ d).sum().sum() + d.dot(d.T).sum().sum(),
    "to_numpy": lambda d: d.to_numpy() @ PAIR @ W + d.values.sum(),
    "standardized": lambda d: ((d - d.mean()) / d.std()).iloc[0].sum() + (d - d.mean()).pow(2).sum().sum(),
    "loc": lambda d: d.loc["a", "u"] * d.loc["b", "v"] + d.loc[d["u"] > 0, "v"].sum() + d.iat[0, 0] * d.at["b", "v"],
    "masks": lambda d: d[d["u"] > 0].sum().sum() + d.query("u > 0")["v"].sum() + d.where(d > 0, 0.0).sum().sum(),
    "with arrays": lambda d: (d * PAIR).sum().sum() + (PAIR * d).sum().sum() + d.mul(W, axis=0).sum().sum(),
    "with frames": lambda d: (d * CONSTANT).sum().sum() + (CONSTANT * d).sum().sum(),
    "with series": lambda d: (CONSTANT * d["u"].rename("u").iloc[:2].set_axis(["u", "v"])).sum().sum(),
    "np.exp": lambda d: np.exp(d).sum().sum() + d.apply(np.exp).sum().sum() + np.linalg.norm(d),
    "columns": lambda d: (
        d.assign(z=d["u"] * d["v"])["z"].sum() + d.u.sum() * d.v.sum() + d[["v", "u"]].iloc[:, 0].sum()
    ),
    "statistics": lambda d: (
        d.cov().sum().sum() + d.std().sum() + d.var(axis=1).sum() + d.median().sum() + d.prod().sum()
    ),
    "rows": lambda d: sum(r["u"] * r["v"] for _, r in d.iterrows()) + sum(r.u * r.v for r in d.itertuples()),
    "numeric columns": lambda d: d.mean(numeric_only=True).sum() + d.select_dtypes("number").sum().sum(),
    "order": lambda d: d.sort_values("u")["v"].iloc[0] + d.cumsum().iloc[-1].sum() + d.shift(1).sum().sum(),
    "shares": lambda d: d.div(d.sum(axis=1), axis=0).iloc[0, 0] + d.sub(d["u"], axis=0).pow(2).sum().sum(),
    "reindex": lambda d: d.reindex(list("abx")).sum().sum() + pd.concat([d, d]).sum().sum() + d.stack().sum(),
    "a new column": _column,
    "a new entry": _entry,
}
MIXED = {
    "columns": lambda d: (d["u"] * d["v"]).sum(),
    "numeric_only": lambda d: d.sum(numeric_only=True).sum() + d.mean(numeric_only=True).sum(),
    "select_dtypes": lambda d: d.select_dtypes("number").sum().sum() * d.select_dtypes(float).shape[1],
    "a mask of labels": lambda d: d.loc[d["k"] == "p", "u"].sum() + d[d.k == "q"][["u", "v"]].sum().sum(),
    "rows": lambda d: sum(r.u * len(r.k) for r in d.itertuples()),
    "index": lambda d: d.set_index("k")["u"].loc["p"].sum() + d.drop(columns="k").sum().sum(),
}


def series(numbers):
    return pd.Series(np.array(numbers), index=LABELS, name="s")


def frame(numbers):
    return pd.DataFrame({"u": numbers[:4], "v": numbers[4:]}, index=LABELS)


def mixed(numbers):
    return pd.DataFrame({"u": numbers[:4], "k": ["p", "q", "p", "q"], "v": numbers[4:]}, index=LABELS)


def columns(grad):
    return np.concatenate([grad["u"].to_numpy(float), grad["v"].to_numpy(float)])


NUMBERS = np.concatenate([POINT, [0.2, -0.9, 0.4, 1.3]])


@pytest.mark.parametrize("case", SERIES)
def test_a_series(exact_backend, case):
    grad = held_against_plain(SERIES[case], exact_backend.adtype, series, POINT, lambda g: g.to_numpy())
    assert type(grad) is pd.Series
    assert grad.name == "s"
    assert grad.index.equals(series(POINT).index)


@pytest.mark.parametrize("case", FRAMES)
def test_a_frame(exact_backend, case):
    grad = held_against_plain(FRAMES[case], exact_backend.adtype, frame, NUMBERS, columns)
    assert type(grad) is pd.DataFrame
    assert grad.index.equals(frame(NUMBERS).index)
    assert grad.columns.tolist() == ["u", "v"]


@pytest.mark.parametrize("case", MIXED)
def test_a_frame_with_other_columns(exact_backend, case):
    grad = held_against_plain(MIXED[case], exact_backend.adtype, mixed, NUMBERS, columns)
    assert grad.columns.tolist() == ["u", "k", "v"]
    assert grad["k"].tolist() == [None] * 4


REFUSED = {
    "rolling": lambda s: s.rolling(2).mean().sum(),
    "map": lambda s: s.map(lambda t: t * t).sum(),
    "groupby": lambda s: s.groupby([0, 0, 1, 1]).sum().max(),
    "interpolate": lambda s: s.interpolate().sum(),
    "nlargest": lambda s: s.nlargest(2).sum(),
    "ewm": lambda s: s.ewm(span=2).mean().sum(),
    "rank": lambda s: s.rank().sum() * s.sum(),
    "unique": lambda s: s.unique().sum(),
    "quantile": lambda s: s.quantile(0.3),
    "np.asarray": lambda s: np.asarray(s).sum(),
    "pd.DataFrame of it": lambda s: pd.DataFrame({"a": s, "b": s * 2}).sum().sum(),
    "float": lambda s: float(s.sum()),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_pandas_computes_in_compiled_code_is_refused(exact_backend, case):
    with pytest.raises(ad.ADSelectError, match=r"test_pandas\.py:\d+"):
        gradient(REFUSED[case], exact_backend.adtype, series(POINT))


BUILT = {
    "a list": lambda x: pd.Series([x[0], x[1], 1.0]).sum(),
    "a dict": lambda x: pd.DataFrame({"a": [x[0], x[1]], "b": [1.0, 2.0]}).sum(numeric_only=True).sum(),
    "rows": lambda x: pd.DataFrame([[x[0], 1.0]]).sum().sum(),
    "one number": lambda x: pd.Series(x[0], index=[1, 2]).sum(),
    "an array in a frame": lambda x: pd.DataFrame({"a": x, "b": W}).sum().sum(),
    "apply": lambda x: OTHER.apply(lambda t: t * x[0]).sum(),
    "written": lambda x: _iloc(pd.Series(W) * 1.0) + _written(pd.Series(W) * 1.0, x),
    "plain frame @ x": lambda x: (CONSTANT.T @ x).sum(),
}


def _written(s, x):
    s.iloc[0] = x[0]
    return s.sum()


@pytest.mark.parametrize("case", BUILT)
def test_a_traced_number_does_not_become_an_object(exact_backend, case):
    with pytest.raises(ad.ADSelectError, match=r"test_pandas\.py:\d+.*to_numpy\(\)"):
        gradient(BUILT[case], exact_backend.adtype, POINT)


CONSTANTS = {
    "s * x": lambda x: (GAPS * x).sum(),
    "x * s": lambda x: (x * GAPS).mean(),
    "s + x[0]": lambda x: (OTHER + x[0]).std(),
    "np.multiply": lambda x: np.multiply(x, GAPS).sum() + np.multiply(GAPS, x).sum(),
    "a frame": lambda x: (CONSTANT.T * x).sum().sum() + (x[:2] * CONSTANT).to_numpy()[0, 1],
    "NumPy's functions": lambda x: np.dot(x, CONSTANT).sum() + np.where(CONSTANT["u"] > 1, x, 0.0).sum(),
    "a mask": lambda x: x[CONSTANT["u"] > 1].sum(),
    "pd.Series(x)": lambda x: pd.Series(x, index=LABELS)["b"] ** 2,
}


@pytest.mark.parametrize("case", CONSTANTS)
def test_constants_keep_their_labels(exact_backend, case):
    held_against_plain(CONSTANTS[case], exact_backend.adtype, np.array, POINT, np.asarray)


def test_dtypes_of_gradients(exact_backend):
    for values, dtype in (([1, 2], float), (np.array([1, 2], np.float32), np.float32), ([1.0 + 1j, 2], complex)):
        (grad,) = gradient(lambda s: np.sum(np.abs(s.to_numpy()) ** 2), exact_backend.adtype, pd.Series(values))
        assert grad.dtype == dtype
        np.testing.assert_allclose(grad, 2 * np.asarray(values))


def test_frames_of_several_dtypes(exact_backend):
    d = pd.DataFrame(
        {"a": [1.0, 2.0], "n": [3, 4], "k": ["p", "q"], "f": np.array([1, 2], np.float32), "m": [True, False]}
    )
    (grad,) = gradient(lambda d: (d["a"] * d["n"]).sum() + d["f"].sum(), exact_backend.adtype, d)
    assert grad.columns.tolist() == list("ankfm")
    assert [str(t) for t in grad.dtypes] == ["float64", "float64", "object", "float32", "object"]
    assert grad["a"].tolist() == [3.0, 4.0]
    assert grad["n"].tolist() == [1.0, 2.0]
    assert grad["m"].tolist() == [None, None]


def test_what_is_not_numeric_or_not_used_has_none(exact_backend):
    adtype = exact_backend.adtype
    for value in (pd.Series(["a", "b"]), pd.DataFrame({"k": ["a"]}), pd.Index(["a"]), pd.Series(POINT)):
        assert gradient(lambda x, v: x * 2, adtype, 1.0, value) == (2.0, None)
    (_, zeros) = gradient(lambda x, v: x * 2, adtype, 1.0, pd.Series(POINT), missing="zeros")
    assert zeros.tolist() == [0.0] * 4


@pytest.mark.parametrize("dtype", ["Float64", object])
def test_numbers_that_pandas_holds_otherwise_are_refused(backend, dtype):
    for value in (pd.Series([1.0, 2.0], dtype=dtype), pd.DataFrame({"a": pd.Series([1.0, 2.0], dtype=dtype)})):
        with pytest.raises(ad.ADSelectError, match=r"args\[0\].*astype\(float\)|args\[0\].*to_numpy\(\)"):
            gradient(lambda v: v.sum(), backend.adtype, value)


def test_results_and_seeds(exact_backend):
    y, back = pullback(lambda s: (s**2).rename("y"), exact_backend.adtype, series(POINT))
    assert type(y) is pd.Series
    assert y.name == "y"
    np.testing.assert_allclose(y, POINT**2)
    seed = pd.Series([1.0, 0.0, 0.0, 2.0], index=LABELS)
    for given in (seed, seed.to_numpy()):
        np.testing.assert_allclose(back(given)[0], 2 * POINT * seed)
    with pytest.raises(ad.ADSelectError, match="Series"):
        back(seed.reindex(list("abcx")))
    y, back = pullback(lambda s: s.to_frame() * 2, exact_backend.adtype, series(POINT))
    assert type(y) is pd.DataFrame
    np.testing.assert_allclose(back(y)[0], 4 * POINT)


def test_other_operators(exact_backend):
    adtype, s = exact_backend.adtype, series(POINT)
    product = hvp(lambda s: (s**3).sum(), adtype, s, s)
    np.testing.assert_allclose(product, 6 * POINT**2)
    assert product.index.equals(s.index)
    _, dot = pushforward(lambda s: s**2, adtype, (s,), (s,))
    np.testing.assert_allclose(dot, 2 * POINT**2)
    with pytest.raises(ad.ADSelectError, match=r"args\[0\] is a pandas Series.*args\[0\]\.to_numpy\(\)"):
        jacobian(lambda s: s.to_numpy(), adtype, s)
    assert jacobian(lambda x, s: x * s.to_numpy(), adtype, POINT, Const(s))[0].shape == (4, 4)


def test_what_was_given_is_not_changed(exact_backend):
    s, d = series(POINT), frame(NUMBERS)
    gradient(_loc, exact_backend.adtype, s)
    gradient(_column, exact_backend.adtype, d)
    pd.testing.assert_series_equal(s, series(POINT))
    pd.testing.assert_frame_equal(d, frame(NUMBERS))


def test_inside_other_structures(exact_backend):
    class Model:
        def __init__(self):
            self.weights, self.name = series(POINT), "linear"

    (grad, table) = gradient(
        lambda m, t: (m.weights * t["w"]).sum(), exact_backend.adtype, Model(), {"w": pd.Series(W, LABELS)}
    )
    np.testing.assert_allclose(grad.weights, W)
    np.testing.assert_allclose(table["w"], POINT)


def test_finite_differences_see_pandas_itself():
    adtype = guest("findiff") and ad.AutoFiniteDifferences()
    (grad,) = gradient(lambda s: s.rolling(2).mean().sum(), adtype, series(POINT))
    np.testing.assert_allclose(grad, [0.5, 1.0, 1.0, 0.5], rtol=1e-6)
    assert grad.index.tolist() == LABELS


def test_a_prepared_call_keeps_to_its_labels():
    prepared = prepare(gradient, lambda s: (s * OTHER).sum(), AutoTape(), series(POINT), check="always")
    np.testing.assert_allclose(prepared(series(POINT + 1))[0], [0.0, 1.0, 2.0, 3.0])
    with pytest.raises(ad.ADSelectError, match="prepared for"):
        prepared(pd.Series(POINT, index=list("wxyz")))


def test_the_value_is_that_of_plain_code(exact_backend):
    value, (grad,) = withgradient(lambda s: {"loss": s.sum(), "table": s * 2}, exact_backend.adtype, series(POINT))
    assert type(value["table"]) is pd.Series
    np.testing.assert_allclose(value["table"], 2 * POINT)
    assert grad.tolist() == [1.0] * 4
