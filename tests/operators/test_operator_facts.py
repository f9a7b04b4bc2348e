"""What an operator says of itself, against what it does; what the library owes its users for each."""

import re
from pathlib import Path

import numpy as np
import pytest

import adselect as ad
from adselect.calls.operator_facts import OPERATORS, OperatorFacts, facts_of
from adselect.testing import default_scenarios

OURS = sorted(name for name, function in OPERATORS.items() if function.__module__.startswith("adselect."))
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "operators.md"


def test_the_operators_are_public():
    assert set(OURS) <= set(ad.__all__)
    assert {"gradient", "pushforward", "hessian", "hvp"} <= set(OURS)
    for name in OURS:
        assert getattr(ad, name) is OPERATORS[name]


@pytest.mark.parametrize("name", OURS)
def test_every_operator_is_in_the_reference(name):
    assert f"`{name}(f" in REFERENCE.read_text(encoding="utf-8")


# Their derivatives are those of another operator, which is held to scenarios; what they add to it is checked there too.
WITH_VALUE = {"withgradient": "gradient", "withjacobian": "jacobian", "withhessian": "hessian"}


@pytest.mark.parametrize("name", OURS)
def test_every_operator_has_scenarios(name):
    operators = {scenario.operator for scenario in default_scenarios()}
    assert WITH_VALUE.get(name, name) in operators
    assert (name in WITH_VALUE) == (name not in operators)


def f(x):
    return np.sum(np.sin(x) ** 2) if np.ndim(x) else np.sin(x) ** 2


@pytest.mark.parametrize("name", OURS)
def test_facts_are_what_the_operator_does(name):
    facts, x = facts_of(OPERATORS[name]), 0.7 if "derivative" in name else np.array([0.3, 0.9])
    operands = {"arguments": (x,), "points, directions": ((x,), (x,)), "point, direction": (x, x)}[facts.takes]
    result = OPERATORS[name](f, ad.AutoTape(), *operands)
    if facts.with_value:
        np.testing.assert_allclose(result[0], f(x))
    else:
        assert type(result) is not tuple or len(result) == 1
    derivative = result[-1] if facts.with_value else result
    assert facts.returns_function == callable(derivative)
    if facts.returns_function:
        derivative = derivative(1.0)
    if facts.projected:
        like = derivative[0] if isinstance(derivative, tuple) else derivative
        assert type(like) is type(x)
        assert np.shape(like) == np.shape(x)
    if facts.gradient:
        np.testing.assert_allclose((derivative[0]), np.sin(2 * x))
    once, twice = np.sin(2 * x), 2 * np.cos(2 * x)
    size = np.sum(np.abs(np.ravel(np.asarray(derivative, dtype=float))))
    wanted = {"pushforward": abs(np.sum(once * x)), "hvp": np.sum(np.abs(twice * x))}
    assert np.isclose(size, wanted.get(name, np.sum(np.abs(twice if facts.order == 2 else once))))
    if facts.without_out:
        with pytest.raises(ad.ADSelectError, match=f"{name} takes no out=.*{re.escape(facts.without_out)}"):
            OPERATORS[name](f, ad.AutoTape(), *operands, out=np.zeros(2))


def test_facts_stand_with_operators_only():
    assert facts_of(np.sum) is None
    assert facts_of(ad.prepare) is None
    assert OperatorFacts() == facts_of(ad.jacobian)
