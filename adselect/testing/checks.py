"""check_backend: hold a backend to scenarios with exact results, and say readably what it gets wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..adtypes import ADType
from ..backends.choice import backend_of
from ..calls.operator_facts import OPERATORS
from ..errors import ADSelectError, ADSelectTypeError
from ..operators.gradient import pullback, withgradient
from ..operators.hessian import withhessian
from ..operators.jacobian import withjacobian
from ..structure.flattening import flatten
from ..structure.leaves import Const
from ..values.kinds import isa
from ..values.natives import is_native, to_numpy
from .results import entries, mismatches
from .scenario import Scenario
from .scenarios import default_scenarios

__all__ = ["BackendCheckError", "check_backend", "check_scenario", "tolerance"]


class BackendCheckError(ADSelectError, AssertionError):
    """A backend failed scenarios. ``failures`` maps each scenario's name to what was wrong.

    >>> issubclass(BackendCheckError, AssertionError)
    True
    """

    def __init__(self, adtype: ADType, failures: dict[str, list[str]], total: int):
        self.adtype, self.failures, self.total = adtype, failures, total
        lines = [f"{adtype!r} failed {len(failures)} of {total} scenarios:"]
        for name, problems in failures.items():
            lines.append(f"  {name}")
            lines += [f"    {problem}" for problem in problems]
        super().__init__("\n".join(lines))


def is_exact(adtype: ADType) -> bool:
    """Whether a backend is exact to rounding. One that only sees values of f, like finite differences, is not."""
    return backend_of(adtype).detects_independence


def tolerance(adtype: ADType, order: int = 1, dtype: Any = float) -> float:
    """The relative tolerance a result of this adtype is held to.

    1e-10 for automatic differentiation in float64, 1e-5 in float32; finite differences 1e-5 in first and 1e-3 in second
    order (float32: 1e-2).

    >>> from adselect import AutoTape
    >>> tolerance(AutoTape()), tolerance(AutoTape(), dtype=np.float32)
    (1e-10, 1e-05)
    """
    single = np.dtype(dtype).itemsize // (2 if np.dtype(dtype).kind == "c" else 1) < 8
    if is_exact(adtype):
        return 1e-5 if single else 1e-10
    if single:
        return 1e-2
    return 1e-5 if order == 1 else 1e-3


def check_backend(
    adtype: ADType,
    scenarios: Iterable[Scenario] | None = None,
    *,
    rtol: float | None = None,
    prepared: bool = False,
    expected_failures: Iterable[str] = (),
) -> None:
    """Run a backend through scenarios (default: ``default_scenarios()``) and raise if any result is not exact.

    Every scenario is run twice; structure, shape, dtype and numbers of the results are compared with the exact ones,
    the value of f with NumPy's, the arguments with copies made beforehand, and a backend with reverse mode must
    evaluate f once. Scenarios tagged ``"kink"`` are left out for backends that only see values of f.

    rtol: instead of the tolerance that fits the backend and the dtype. prepared: also run every scenario prepared, at
    another point than it is then called at. expected_failures: names of scenarios known to
    fail; one of them that does not fail is a failure.

    Raises BackendCheckError (an AssertionError) that lists what failed; BackendNotInstalledError. Works for any
    third-party backend. Cost: a few seconds for a quick backend and the default scenarios.

    >>> import adselect as ad
    >>> check_backend(ad.AutoForward(), [s for s in default_scenarios() if s.name.startswith("vec_to_mat")])
    >>> wrong = Scenario("cube", "gradient", lambda t: t**3, (2.0,), (13.0,))
    >>> check_backend(ad.AutoTape(), [wrong])
    Traceback (most recent call last):
    ...
    adselect.testing.checks.BackendCheckError: AutoTape() failed 1 of 1 scenarios:
      cube
        result[0] is 12.0, expected 13.0 (difference 1.0e+00, tolerance 1.3e-09)
        ...
    """
    if not isinstance(adtype, ADType):
        written = adtype.__name__ if isinstance(adtype, type) else "AutoTape"
        raise ADSelectTypeError(
            f"check_backend needs an adtype object, got {adtype!r}: write check_backend({written}())"
        )
    known, failures, total = set(expected_failures), {}, 0
    exact = is_exact(adtype)
    for scenario in default_scenarios() if scenarios is None else scenarios:
        if not exact and "kink" in scenario.tags:
            continue
        total += 1
        problems = check_scenario(adtype, scenario, rtol=rtol, prepared=prepared)
        if scenario.name in known:
            problems = [] if problems else ["was expected to fail and does not: take it off expected_failures"]
        if problems:
            failures[scenario.name] = problems
    if failures:
        raise BackendCheckError(adtype, failures, total)


def check_scenario(
    adtype: ADType, scenario: Scenario, *, rtol: float | None = None, prepared: bool = False
) -> list[str]:
    """What a backend gets wrong in one scenario, a sentence each; empty if nothing. Options as for check_backend.

    >>> import adselect as ad
    >>> check_scenario(ad.AutoTape(), Scenario("cube", "derivative", lambda t: t**3, (2.0,), 12.0))
    []
    """
    # Copies: a backend that overwrites its arguments must not spoil the scenario for the next one.
    args, tangents, seed = copy.deepcopy((scenario.args, scenario.tangents, scenario.seed))
    scenario = replace(scenario, args=args, tangents=tangents, seed=seed)
    counted = _Counted(scenario.f)
    trial = replace(scenario, f=counted)
    held = _inputs(scenario)
    before = copy.deepcopy(held)
    rtol = rtol or scenario.rtol or tolerance(adtype, scenario.order, _precision(scenario))
    options: dict[str, Any] = {"zero_for_none": not is_exact(adtype)}
    # At a kink NumPy may warn of the very infinity that is asked for.
    with np.errstate(all="ignore"):
        try:
            first = trial.run(adtype)
            once = counted.calls
            kept = copy.deepcopy(first)
            second = trial.run(adtype)
            problems = mismatches(first, scenario.expected, rtol, kinds=False, **options)
            if not problems:
                problems = [
                    p for p in mismatches(first, scenario.expected, rtol, **options) if _counts(p, scenario.operator)
                ]
            problems += [
                f"{p} (second call)" for p in mismatches(second, scenario.expected, rtol, kinds=False, **options)
            ]
            problems += [f"{p} after the second call" for p in mismatches(first, kept, 0.0) if not problems]
            problems += _value_problems(adtype, scenario, rtol)
            if scenario.operator == "pullback":
                problems += _pullback_problems(adtype, scenario, rtol, options)
            if prepared:
                problems += prepared_problems(adtype, scenario, rtol=rtol)
        except Exception as error:
            text = str(error).strip().split("\n")[0]
            return [f"raised {type(error).__name__}: {text}"]
    problems += [f"input changed: {p}" for p in mismatches(held, before, 0.0, path="inputs")]
    if backend_of(adtype).reverse and scenario.operator in ("gradient", "pullback") and once != 1:
        problems.append(f"f was evaluated {once} times, a {scenario.operator} may evaluate it once")
    problems += _shared(first, held)
    return problems


def _inputs(scenario: Scenario) -> dict[str, Any]:
    """The numbers and arrays handed to the operator, by path; objects are looked into."""
    args = tuple([a.value if isinstance(a, Const) else a for a in scenario.args])
    leaves, skeleton = flatten((args, scenario.tangents, scenario.seed), root="inputs")
    return dict(zip(skeleton.paths, leaves, strict=True))


class _Counted:
    """f, counting its evaluations."""

    def __init__(self, f: Callable):
        self.f, self.calls = f, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.f(*args, **kwargs)


def _precision(scenario: Scenario) -> Any:
    """The coarsest floating dtype among the arguments."""
    found = [
        np.dtype(float) if isa(v, (int, float, complex)) and not isa(v, np.generic) else np.asarray(to_numpy(v)).dtype
        for v in (*_inputs(scenario).values(), *entries(scenario.expected).values())
        if isa(v, (int, float, complex, np.generic, np.ndarray)) or is_native(v)
    ]
    found = [d for d in found if d.kind in "fc"]
    return min(found, key=lambda d: d.itemsize // (2 if d.kind == "c" else 1), default=np.dtype(float))


def _counts(problem: str, operator: str) -> bool:
    """Whether a difference of kind matters: NumPy scalar or Python number only where results are projected."""
    return OPERATORS[operator].facts.projected or "Python number" not in problem  # type: ignore[attr-defined]


def _value_problems(adtype: ADType, scenario: Scenario, rtol: float) -> list[str]:
    """What is wrong with the value of f that comes along with the derivative."""
    f, args, kwargs = scenario.f, scenario.args, scenario.kwargs
    rtol = min(rtol, 1e-5)
    if scenario.operator == "gradient":
        got: Any = withgradient(f, adtype, *args, **kwargs)
    elif scenario.operator == "jacobian":
        got = withjacobian(f, adtype, *args, **kwargs)
    elif scenario.operator == "hessian":
        got = withhessian(f, adtype, *args, **kwargs)
        return mismatches(got.val, f(*args, **kwargs), rtol, path="value", kinds=False)
    else:
        return []
    wanted = f(*[a.value if isinstance(a, Const) else a for a in args], **kwargs)
    problems = mismatches(got.val, wanted, rtol, path="value", kinds=False)
    zero = not is_exact(adtype)
    return problems + mismatches(
        got.grad, scenario.expected, _loose(rtol, adtype, scenario), path="with value", zero_for_none=zero, kinds=False
    )


def _loose(rtol: float, adtype: ADType, scenario: Scenario) -> float:
    return max(rtol, scenario.rtol or tolerance(adtype, scenario.order, _precision(scenario)))


def _pullback_problems(adtype: ADType, scenario: Scenario, rtol: float, options: dict) -> list[str]:
    """back may be called again, is linear, and answers None for the seed None."""
    _, back = pullback(scenario.f, adtype, *scenario.args, **scenario.kwargs)
    back(_negated(scenario.seed))
    problems = [
        f"{p} (back called again)"
        for p in mismatches(back(scenario.seed), scenario.expected, rtol, kinds=False, **options)
    ]
    opposite = mismatches(back(_negated(scenario.seed)), _negated(scenario.expected), rtol, kinds=False, **options)
    return problems + [f"{p} (seed negated)" for p in opposite]


def prepared_problems(adtype: ADType, scenario: Scenario, *, rtol: float | None = None) -> list[str]:
    """What is wrong with calls of the prepared operator: they give the same again and again, each in its own memory.

    >>> import adselect as ad
    >>> prepared_problems(ad.AutoTape(), Scenario("cube", "gradient", lambda t: t**3, (2.0,), (12.0,)))
    []
    """
    rtol = rtol or scenario.rtol or tolerance(adtype, scenario.order, _precision(scenario))
    options: dict[str, Any] = {"zero_for_none": not is_exact(adtype), "kinds": False}
    with np.errstate(all="ignore"):
        ready = scenario.prepare(adtype)
        first = ready()
        kept = copy.deepcopy(first)
        problems = [f"{p} (prepared)" for p in mismatches(first, scenario.expected, rtol, **options)]
        for call in ("second", "third"):
            wrong = mismatches(ready(), scenario.expected, rtol, **options)
            problems += [f"{p} (prepared, {call} call)" for p in wrong]
    return problems + [f"{p} after the next prepared call" for p in mismatches(first, kept, 0.0) if not problems]


def _negated(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _negated(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        items = [_negated(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return None if value is None else -value


def _shared(result: Any, inputs: Any) -> list[str]:
    """Results that are an argument's own memory: writing into one would change the other."""
    arrays = [v for v in entries(inputs).values() if isa(v, np.ndarray)]
    return [
        f"{name} shares memory with an input"
        for name, value in entries(result).items()
        if isa(value, np.ndarray) and any(np.may_share_memory(value, a) for a in arrays)
    ]
