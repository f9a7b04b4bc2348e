"""What all tests share: the backends, and skipping or failing where a framework is missing.

``ADSELECT_REQUIRE=jax,torch,autograd,findiff,pandas,xarray,scipy`` names packages whose absence is a failure instead of
a skip.
"""

from __future__ import annotations

import importlib.util
import os
import sys

import numpy as np
import pytest

import adselect
from adselect.backends.registry import available_backends
from adselect.rules.registration import load_all

REQUIRED = {name.strip() for name in os.environ.get("ADSELECT_REQUIRE", "").split(",") if name.strip()}
BACKENDS = [b for b in available_backends() if type(b.adtype).__module__.startswith("adselect.")]
# Programs that tests run: importing one sets JAX up for itself.
collect_ignore = ["primitives/two_devices.py", "backends/eight_devices.py"]
GUESTS = {"pandas", "xarray", "scipy"}  # packages whose containers f may be given
EXACT = [b for b in BACKENDS if b.name != "finitedifferences"]

load_all()  # the tables are tested whole


def pytest_sessionstart(session):
    unknown = REQUIRED - {b.adtype.requires for b in BACKENDS if b.adtype.requires} - GUESTS
    if unknown:
        raise pytest.UsageError(f"ADSELECT_REQUIRE names {sorted(unknown)}, which no backend needs")


def present(backend):
    """The backend, if its package is there."""
    package = backend.adtype.requires
    if not backend.installed:
        message = f"{package} is not installed: {backend.install}"
        if package in REQUIRED:
            pytest.fail(f"{message} (ADSELECT_REQUIRE={os.environ['ADSELECT_REQUIRE']})")
        pytest.skip(message)
    return backend


def guest(package):
    """A package whose containers f may be given, if it is there."""
    if package in REQUIRED and importlib.util.find_spec(package) is None:
        pytest.fail(f"{package} is not installed (ADSELECT_REQUIRE={os.environ['ADSELECT_REQUIRE']})")
    return pytest.importorskip(package)


@pytest.fixture(params=BACKENDS, ids=lambda b: b.name)
def backend(request):
    """Every backend of adselect in turn."""
    return present(request.param)


@pytest.fixture(params=EXACT, ids=lambda b: b.name)
def exact_backend(request):
    """Every backend that differentiates exactly."""
    return present(request.param)


def numeric_jacobian(f, x, step=1e-5):
    """∂f/∂x by plain central differences with one extrapolation; x and f(x) are real arrays of any shape."""
    x = np.asarray(x, dtype=float)
    columns = []
    for i in range(x.size):
        slopes = []
        for h in (step, 2 * step):
            moved = [x.reshape(-1).copy() for _ in range(2)]
            moved[0][i] += h
            moved[1][i] -= h
            high, low = (np.array(f(m.reshape(x.shape)), dtype=float).reshape(-1) for m in moved)
            slopes.append((high - low) / (2 * h))
        columns.append((4 * slopes[0] - slopes[1]) / 3)
    return np.stack(columns, axis=1)


def held_against_plain(f, adtype, make, numbers, flat):
    """Value and gradient of f at ``make(numbers)`` against f itself called plainly, and its differences.

    make: the argument around a vector of numbers; flat: the vector of numbers in a gradient. The gradient comes back.
    """
    value, (grad,) = adselect.withgradient(f, adtype, make(numbers))
    plain = f(make(numbers))
    np.testing.assert_allclose(float(value), float(plain), rtol=1e-9)
    wanted = numeric_jacobian(lambda v: float(f(make(v))), numbers)[0]
    found = np.zeros_like(wanted) if grad is None else flat(grad)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    return grad


def pytest_configure(config):
    # JAX asks the system for accelerators once; nothing here needs them.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


def pytest_terminal_summary(terminalreporter):
    """How many operators each backend passed, when the sweep over PyTorch's operators was run."""
    counts: dict[str, dict[str, int]] = {}
    for outcome in ("passed", "failed", "xfailed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            _, found, case = report.nodeid.partition("::test_operator_samples[")
            if found:
                backend = case.removesuffix("]").rpartition("-")[2]
                counts.setdefault(backend, dict.fromkeys(("passed", "failed", "xfailed", "skipped"), 0))[outcome] += 1
    if counts:
        terminalreporter.section("PyTorch's operators")
    for backend, count in sorted(counts.items()):
        rest = ", ".join(f"{n} {outcome}" for outcome, n in count.items() if n and outcome != "passed")
        terminalreporter.line(f"{backend}: {count['passed']} of {sum(count.values())}" + (f" ({rest})" if rest else ""))


@pytest.fixture(autouse=True)
def _autograds_stack_is_restored():
    """autograd forgets to take an exception's traces off its stack; the next test must not find them there."""
    yield
    tracer = sys.modules.get("autograd.tracer")
    if tracer is not None:
        tracer.trace_stack.top = -1
