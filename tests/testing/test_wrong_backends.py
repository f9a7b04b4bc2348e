"""Deliberately wrong backends, each of which check_backend and compare must reject; and a stranger's right one."""

from __future__ import annotations

import contextlib
import typing
from dataclasses import dataclass

import numpy as np
import pytest

import adselect as ad
from adselect.backends import backend, choice
from adselect.backends.choice import register_backend
from adselect.backends.registry import available_backends
from adselect.backends.tape.backend import TapeBackend
from adselect.testing import BackendCheckError, Scenario, check_backend, check_scenario, compare, default_scenarios

GRADIENTS = [s for s in default_scenarios() if s.name.startswith(("vec_to_num", "column against row", "num_to_num"))]


def loss(x, s):
    return np.sum(np.sin(x) * x) * s


POINT = (np.array([0.5, 1.5, -2.0]), 2.0)


def altered(change):
    """A tape whose cotangents are changed before they are given back."""

    class Wrong(TapeBackend):
        def pullback(self, call, leaves):
            outputs, aux, back = super().pullback(call, leaves)
            return outputs, aux, lambda y_bars: [change(x_bar) for x_bar in back(y_bars)]

    return Wrong


def only_arrays(change):
    return lambda x_bar: change(x_bar) if type(x_bar) is np.ndarray and x_bar.ndim else x_bar


def poisoned(x_bar):
    x_bar = np.array(x_bar, dtype=float)
    x_bar[..., -1] = np.nan
    return x_bar


class Twice(TapeBackend):
    """Right results, but f runs twice."""

    def pullback(self, call, leaves):
        super().pullback(call, leaves)
        return super().pullback(call, leaves)


class Stale(TapeBackend):
    """Returns the first result again, whatever the seed."""

    def pullback(self, call, leaves):
        outputs, aux, back = super().pullback(call, leaves)
        remembered = []

        def again(y_bars):
            if not remembered:
                remembered.append(back(y_bars))
            return [np.array(g) if type(g) is np.ndarray else g for g in remembered[0]]

        return outputs, aux, again


class Vandal(TapeBackend):
    """Overwrites its argument."""

    def pullback(self, call, leaves):
        result = super().pullback(call, leaves)
        for leaf in leaves:
            if type(leaf) is np.ndarray and leaf.size:
                leaf += 1e-3
        return result


class Borrower(TapeBackend):
    """Hands the argument's own memory out as its gradient."""

    def pullback(self, call, leaves):
        outputs, aux, back = super().pullback(call, leaves)

        def borrowed(y_bars):
            found = back(y_bars)
            for i, (g, leaf) in enumerate(zip(found, leaves, strict=True)):
                if type(leaf) is np.ndarray and type(g) is np.ndarray and np.array_equal(g, leaf):
                    found[i] = leaf
            return found

        return outputs, aux, borrowed


class Buffered(TapeBackend):
    """Writes every gradient into one buffer: the second call changes the first result."""

    buffers: typing.ClassVar[dict] = {}

    def pullback(self, call, leaves):
        outputs, aux, back = super().pullback(call, leaves)

        def reused(y_bars):
            found = back(y_bars)
            for i, g in enumerate(found):
                if type(g) is np.ndarray and g.ndim:
                    buffer = self.buffers.setdefault((i, g.shape, g.dtype), np.empty_like(g))
                    buffer[...] = g
                    found[i] = buffer
            return found

        return outputs, aux, reused


class WrongValue(TapeBackend):
    """Right derivatives, wrong value of f."""

    def pullback(self, call, leaves):
        outputs, aux, back = super().pullback(call, leaves)
        return [o + 1e-6 for o in outputs], aux, back


class Broken(TapeBackend):
    def pullback(self, call, leaves):
        raise RuntimeError("out of order")


# name: (backend class, what check_backend must say, whether compare can see it)
WRONG = {
    "sign": (altered(lambda g: None if g is None else -g), "difference", True),
    "factor two": (altered(lambda g: None if g is None else 2 * g), "difference", True),
    "a little": (altered(lambda g: None if g is None else g * (1 + 1e-7)), "difference", True),
    "shape": (altered(only_arrays(lambda g: np.sum(g, axis=-1, keepdims=True))), "raised|difference|shape", True),
    "dtype": (altered(only_arrays(lambda g: g.astype(np.float32))), "difference", True),
    "NaN": (altered(only_arrays(poisoned)), "nan", True),
    "always None": (altered(lambda g: None), "is None, expected", True),
    "zeros for None": (altered(lambda g: 0.0 if g is None else g), "expected None", False),
    "f evaluated twice": (Twice, "evaluated 2 times", False),
    "stale": (Stale, "seed negated|back called again", False),
    "overwrites its argument": (Vandal, "input changed|second call", True),
    "borrows memory": (Borrower, "shares memory", False),
    "reuses its results": (Buffered, "after the second call|seed negated|difference", False),
    "wrong value": (WrongValue, "value", True),
    "raises": (Broken, "raised RuntimeError: out of order", True),
}


@pytest.fixture
def register():
    """Registers backends for the time of a test."""
    made = []

    def make(backend_class, **attributes):
        @dataclass(frozen=True, repr=False)
        class AutoStranger(ad.ADType):
            label: str = "stranger"

        for name, value in attributes.items():
            setattr(AutoStranger, name, value)
        register_backend(AutoStranger, backend_class)
        made.append(AutoStranger)
        return AutoStranger()

    yield make
    for cls in made:
        with contextlib.suppress(KeyError):
            choice.unregister_backend(cls)


EXTRA = [
    Scenario("not used", "gradient", lambda p, q: np.sum(p), (np.ones(2), np.ones(3)), (np.ones(2), None)),
    Scenario("half a square", "gradient", lambda p: np.sum(p * p) / 2, (np.arange(3.0),), (np.arange(3.0),)),
]


@pytest.mark.parametrize("name", WRONG)
def test_check_backend_rejects(name, register):
    backend_class, says, _ = WRONG[name]
    adtype = register(backend_class)
    with pytest.raises(BackendCheckError, match="failed") as caught:
        check_backend(adtype, [*GRADIENTS, *EXTRA])
    assert caught.value.failures
    import re

    assert re.search(says, str(caught.value))


@pytest.mark.parametrize("name", [n for n in WRONG if WRONG[n][2]])
def test_compare_rejects(name, register):
    adtype = register(WRONG[name][0])
    x, s = POINT
    report = compare(loss, x.copy(), s, adtypes=[ad.AutoTape(), adtype, ad.AutoForward()])
    assert not report.agree
    bad = {row.name: row.status for row in report.rows}
    if name != "overwrites its argument":  # which also spoils the argument for the backends after it
        assert bad == {
            "AutoTape()": "ok",
            "AutoStranger()": "error" if name == "raises" else "differs",
            "AutoForward()": "ok",
        }
    if name == "raises":
        assert "out of order" in repr(report)


def test_every_failure_is_listed(register):
    adtype = register(WRONG["sign"][0])
    with pytest.raises(BackendCheckError) as caught:
        check_backend(adtype, GRADIENTS)
    text = str(caught.value)
    assert "vec_to_num gradient" in text
    assert f"of {len(GRADIENTS)} scenarios" in text
    assert "result[0]" in text


def test_wrong_scenarios_are_rejected():
    """The checks compare with the expected value, not with themselves."""
    for scenario in (s for s in GRADIENTS if s.operator == "gradient"):
        import dataclasses

        wrong = dataclasses.replace(scenario, expected=tuple([1.001 * e for e in scenario.expected]))
        assert check_scenario(ad.AutoTape(), scenario) == []
        assert check_scenario(ad.AutoTape(), wrong)


def test_expected_failures_are_strict(register):
    scenario = EXTRA[1]
    adtype = register(WRONG["sign"][0])
    check_backend(adtype, [scenario], expected_failures=[scenario.name])
    with pytest.raises(BackendCheckError, match="expected to fail"):
        check_backend(ad.AutoTape(), [scenario], expected_failures=[scenario.name])


def test_a_class_instead_of_an_object_is_refused():
    with pytest.raises(TypeError, match=r"check_backend\(AutoTape\(\)\)"):
        check_backend(ad.AutoTape)
    with pytest.raises(TypeError, match="adtypes are objects"):
        compare(loss, *POINT, adtypes=[ad.AutoTape])


# -- a stranger's backend --------------------------------------------------------------------------------------------


class ByHand(backend.Backend):
    """Forward mode by dual numbers of the built-in engine, as somebody else might write it: pushforwards, no more."""

    reverse = False
    forward = True

    def pushforwards(self, call, leaves, directions):
        from adselect.engine.recording import push_forward

        return push_forward(call, leaves, directions, None)


class OnlyPullback(backend.Backend):
    """A backend with nothing but a pullback: everything else is derived."""

    def pullback(self, call, leaves):
        return TapeBackend.pullback(self, call, leaves)


@pytest.mark.parametrize("backend_class", [ByHand, OnlyPullback, TapeBackend])
def test_strangers_backends_pass(register, backend_class):
    adtype = register(backend_class)
    skipped = ("empty", "collected in a loop")
    check_backend(adtype, [s for s in default_scenarios() if not s.name.startswith(skipped)])
    assert compare(loss, *POINT, adtypes=[ad.AutoTape(), adtype]).agree


def test_a_backend_with_neither_is_refused(register):
    with pytest.raises(TypeError, match="neither pullback nor pushforwards"):
        register(type("Nothing", (backend.Backend,), {}))


def test_a_pullback_with_options_of_its_own(register):
    class Scaled(TapeBackend):
        def pullback(self, call, leaves):
            outputs, aux, back = super().pullback(call, leaves)
            return outputs, aux, lambda y_bars, *, scale=1.0: [None if g is None else scale * g for g in back(y_bars)]

    np.testing.assert_allclose(ad.gradient(lambda x: np.sum(x**2), register(Scaled), np.ones(2))[0], [2.0, 2.0])


def test_a_registered_backend_is_available(register):
    register(TapeBackend)
    assert "stranger" in [b.name for b in available_backends()]
    assert "AutoStranger()" in [row.name for row in compare(loss, *POINT).rows]


def test_a_backend_named_by_its_adtype(register):
    adtype = register(TapeBackend)
    choice.unregister_backend(type(adtype))
    type(adtype).backend = "adselect.backends.tape.backend:TapeBackend"
    assert ad.gradient(lambda x: x**2, adtype, 3.0) == (6.0,)
    type(adtype).backend = ""


# -- reports ---------------------------------------------------------------------------------------------------------


def test_missing_packages_are_skipped_rows(register):
    adtype = register(TapeBackend, requires="a_package_nobody_has", extra="nobody")
    choice.unregister_backend(type(adtype))
    type(adtype).backend = "a_package_nobody_has:Backend"
    report = compare(loss, *POINT, adtypes=[ad.AutoTape(), ad.AutoForward(), adtype])
    assert report.agree
    assert [r.status for r in report.rows] == ["ok", "ok", "skipped"]
    assert "a_package_nobody_has is not installed" in report.rows[2].reason
    info = next(b for b in available_backends() if b.name == "stranger")
    assert not info.installed
    assert info.version is None
    assert info.to_dict()["reverse"] is None
    with pytest.raises(ad.BackendNotInstalledError, match="pip install"):
        check_backend(adtype, EXTRA)
    type(adtype).backend = ""


def test_one_backend_alone_agrees_with_nobody():
    report = compare(loss, *POINT, adtypes=[ad.AutoTape()])
    assert not report.agree
    assert "nothing to compare" in repr(report)


def test_report():
    import json

    report = compare(loss, *POINT, adtypes=[ad.AutoTape(), ad.AutoForward()], memory=True)
    assert report.agree
    assert set(report.differences["AutoTape()", "AutoForward()"]) == {"value", "args[0]", "args[1]"}
    assert report.rows[0].seconds > 0
    assert report.rows[0].peak > 0
    text = repr(report)
    assert "AutoForward()" in text
    assert "2 backends agree" in text
    assert len({line.index("ok") for line in text.splitlines() if line.endswith("ok")}) == 1  # aligned
    assert "<table>" in report._repr_html_()
    assert json.loads(json.dumps(report.to_dict()))["rows"][0]["gradient"]["args[1]"] == pytest.approx(loss(*POINT) / 2)


def test_compare_sees_structure_and_auxiliary_output():
    f = lambda p: (p["w"] @ p["w"], "aux")
    report = compare(f, {"w": np.arange(3.0), "n": None}, adtypes=[ad.AutoTape(), ad.AutoForward()])
    assert report.agree
    assert list(report.rows[0].gradient) == ["args[0]['w']", "args[0]['n']"]


def test_finite_differences_are_held_to_their_own_tolerance():
    pytest.importorskip("findiff")
    report = compare(
        lambda x, y: np.sum(np.exp(x)), np.linspace(0, 5, 4), 1.0, adtypes=[ad.AutoTape(), ad.AutoFiniteDifferences()]
    )
    assert report.agree
    assert report.rows[1].gradient["args[1]"] == 0.0  # where the tape says None
    assert not compare(
        lambda x: np.sum(np.exp(x)),
        np.linspace(0, 5, 4),
        adtypes=[ad.AutoTape(), ad.AutoFiniteDifferences()],
        rtol=1e-16,
    ).agree


def test_keyword_arguments_go_to_f():
    assert compare(lambda x, *, n: x**n, 2.0, n=3, adtypes=[ad.AutoTape(), ad.AutoForward()]).rows[0].value == 8.0


def test_complex_gradients_are_compared():
    report = compare(lambda z: np.sum(np.abs(z) ** 2), np.array([1 + 2j]), adtypes=[ad.AutoTape(), ad.AutoForward()])
    assert report.agree
    assert report.to_dict()["rows"][0]["gradient"]["args[0]"] == {"real": [2.0], "imag": [4.0]}
