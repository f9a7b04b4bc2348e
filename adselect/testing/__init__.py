"""Checking backends: scenarios with exact derivatives, ``check_backend``, ``compare``, ``benchmark``; pytest plugin.

Everything here works for third-party backends too.

>>> import adselect as ad
>>> ad.testing.compare(lambda x: x**2, 3.0, adtypes=[ad.AutoTape(), ad.AutoForward()]).agree
True
"""

from .benchmark import benchmark, benchmark_scenarios
from .checks import BackendCheckError, check_backend, check_scenario
from .compare import Report, Row, compare
from .scenario import Scenario, closurify, constantify
from .scenarios import default_scenarios

__all__ = [
    "BackendCheckError",
    "Report",
    "Row",
    "Scenario",
    "benchmark",
    "benchmark_scenarios",
    "check_backend",
    "check_scenario",
    "closurify",
    "compare",
    "constantify",
    "default_scenarios",
]
