"""Every backend against every scenario, by three witnesses: exact values, finite differences, another backend.

The exact values are formulas; plain central differences check the formulas; ``compare`` checks backends against each
other; and forward and reverse mode of one backend must be each other's transpose.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conftest import BACKENDS, EXACT, numeric_jacobian
from limits import LIMITS, judge
from samples.habits import HABITS

import adselect as ad
from adselect.structure.flattening import flatten
from adselect.testing import check_scenario, compare, default_scenarios
from adselect.testing.checks import prepared_problems
from adselect.testing.results import mismatches

SCENARIOS = default_scenarios()
VARIANTS = default_scenarios(variants=True)[len(SCENARIOS) :]
NAMES = {s.name: s for s in SCENARIOS}


def scenario_id(scenario):
    return scenario.name.replace(" ", "_")


def applies(backend, scenario):
    return backend.name != "finitedifferences" or "kink" not in scenario.tags


def test_scenario_names_are_unique():
    assert len(NAMES) == len(SCENARIOS)


def test_limits_name_existing_cases():
    names = {b.name for b in BACKENDS}
    for backend, case in LIMITS:
        assert backend in names
        known = case in NAMES or case in HABITS or case.startswith("array: ")
        assert known, f"LIMITS names no case: {case!r}"


# -- first witness: exact values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
def test_exact(backend, scenario):
    if not applies(backend, scenario):
        pytest.skip("kinks are left out for finite differences")
    judge(backend.name, scenario.name, check_scenario(backend.adtype, scenario))


# Python branches on traced values: jax.jit cannot follow them, and says so.
NEED_VALUES = ("branch_taken", "branch_not_taken", "loop_until_converged")


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=lambda i: scenario_id(SCENARIOS[i]))
def test_prepared(exact_backend, number):
    """The same through ``prepare``, at another point than it is called at; under jax.jit only every fifth."""
    scenario = SCENARIOS[number]
    if exact_backend.name == "jax" and number % 5:
        pytest.skip("compiling takes long")
    if (exact_backend.name, scenario.name) in LIMITS:
        pytest.skip("in LIMITS")
    if exact_backend.name == "jax" and scenario.name.replace(" ", "_").startswith(NEED_VALUES):
        with pytest.raises(ad.UnsupportedError, match=r"np\.where"):
            prepared_problems(exact_backend.adtype, scenario)
        return
    assert prepared_problems(exact_backend.adtype, scenario) == []


@pytest.mark.parametrize("scenario", VARIANTS, ids=scenario_id)
@pytest.mark.parametrize("adtype", [b.adtype for b in EXACT if not b.adtype.requires], ids=repr)
def test_variants(adtype, scenario):
    """Closures that store what they see, and constant keyword arguments."""
    assert check_scenario(adtype, scenario) == []


@pytest.mark.parametrize(
    "name", ["vec_to_num gradient", "vec_to_mat jacobian", "num_to_vec derivative", "mat_to_num hvp"]
)
def test_variants_elsewhere(exact_backend, name):
    for scenario in VARIANTS:
        if scenario.name.startswith(f"{name}, "):
            assert check_scenario(exact_backend.adtype, scenario) == []


# -- second witness: finite differences of the formulas --------------------------------------------------------------


def real_leaf(scenario):
    """The scenario's one float64 argument, if that is what it has."""
    if len(scenario.args) != 1 or scenario.tags & {"kink", "complex", "float32"}:
        return None
    x = scenario.args[0]
    return x if isinstance(x, float) or (isinstance(x, np.ndarray) and x.dtype == float and x.size) else None


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if real_leaf(s) is not None], ids=scenario_id)
def test_expected_values_are_right(scenario):
    """The formulas themselves, by plain differences of f in NumPy."""
    x, shape = scenario.args[0], np.shape(scenario.args[0])
    f = lambda t: scenario.f(float(t) if isinstance(x, float) else t, **scenario.kwargs)
    y = f(x)
    if isinstance(y, dict):
        pytest.skip("structured results are checked by the backends against each other")
    J = numeric_jacobian(f, x)
    operator, expected = scenario.operator, scenario.expected
    if isinstance(expected, tuple) and expected[0] is None:
        assert not J.any()
        return
    second = lambda: numeric_jacobian(lambda t: numeric_jacobian(f, t, 1e-3), x, 1e-3)
    rtol = 1e-7
    if operator == "gradient":
        right = (J.reshape(shape),)
    elif operator == "jacobian":
        right = (J[:, 0] if isinstance(x, float) else J,)
    elif operator == "derivative":
        right = J.reshape(np.shape(y))
    elif operator == "pullback":
        right = ((np.reshape(scenario.seed, -1) @ J).reshape(shape),)
    elif operator == "pushforward":
        right = (J @ np.reshape(scenario.tangents[0], -1)).reshape(np.shape(y))
    else:
        H, rtol = second(), 1e-4
        right = {
            "second_derivative": lambda: H.reshape(np.shape(y)),
            "hessian": lambda: H.reshape(np.shape(expected)),
            "hessian_reverse": lambda: H.reshape(np.shape(expected)),
            "hvp": lambda: (H @ np.reshape(scenario.tangents[0], -1)).reshape(shape),
            "diaghessian": lambda: (np.diagonal(H).reshape(shape),),
        }[operator]()
    assert mismatches(right, expected, rtol, kinds=False) == []


# -- third witness: the other backends -------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.operator == "gradient"], ids=scenario_id)
def test_backends_agree(scenario):
    adtypes = [b.adtype for b in EXACT if b.installed and (b.name, scenario.name) not in LIMITS]
    with np.errstate(all="ignore"):
        report = compare(scenario.f, *scenario.args, adtypes=adtypes, rtol=scenario.rtol, **scenario.kwargs)
    assert report.agree, f"\n{report!r}"


# -- adjointness -----------------------------------------------------------------------------------------------------


def inner(a, b):
    """Re⟨a, b⟩ over all numbers of two trees; None counts as zero."""
    left, right = flatten((a,))[0], flatten((b,))[0]
    assert len(left) == len(right)
    return sum(float(np.real(np.sum(np.conj(x) * y))) for x, y in zip(left, right, strict=True))


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.operator == "pullback"], ids=scenario_id)
def test_adjointness(exact_backend, scenario):
    """⟨ȳ, J ẋ⟩ = ⟨Jᵀ ȳ, ẋ⟩ at a second point."""
    name = scenario.name
    if (exact_backend.name, name) in LIMITS:
        pytest.skip("in LIMITS")
    rng = np.random.default_rng(1)
    x = scenario.args[0]
    shape = np.shape(x)
    noise = rng.normal(size=shape)
    x_dot = noise.astype(x.dtype) if isinstance(x, np.ndarray) else float(noise)
    if np.iscomplexobj(x):
        x_dot = x_dot * (0.5 - 1.5j)
    # A step along 2 ẋ leaves neither the branch taken nor the order of the entries.
    adtype = exact_backend.adtype
    y, back = ad.pullback(scenario.f, adtype, x, **scenario.kwargs)
    _, y_dot = ad.pushforward(scenario.f, adtype, (x,), (x_dot,), **scenario.kwargs)
    seed = scenario.seed
    if isinstance(y, dict):
        seed, y_dot = seed["s"], y_dot["s"]
        (x_bar,) = back({"s": seed, "p": None})
    else:
        (x_bar,) = back(seed)
    left, right = inner(seed, y_dot), inner(x_bar, x_dot)
    tolerance = 2e-5 if "float32" in scenario.tags else 1e-10
    assert abs(left - right) <= tolerance * max(abs(left), abs(right), 1.0)


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.operator == "hessian"], ids=scenario_id)
def test_hessian_is_symmetric_and_hvp_is_its_product(exact_backend, scenario):
    adtype, x = exact_backend.adtype, scenario.args[0]
    if (exact_backend.name, scenario.name) in LIMITS:
        pytest.skip("in LIMITS")
    H = ad.hessian(scenario.f, adtype, x)
    v = np.random.default_rng(2).normal(size=x.shape).astype(x.dtype)
    tolerance = 1e-4 if x.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(H, H.T, rtol=0, atol=tolerance * np.abs(H).max())
    product = ad.hvp(scenario.f, adtype, x, v)
    np.testing.assert_allclose(
        product, (H @ v.reshape(-1)).reshape(x.shape), rtol=0, atol=10 * tolerance * np.abs(H).max()
    )


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCENARIOS[0].name = "other"
