"""Checking backends and gradients: scenarios with exact derivatives, ``check_backend``, ``compare``; pytest plugin.

Everything here works for third-party backends too.

>>> import adselect as ad
>>> ad.testing.compare(lambda x: x**2, 3.0, adtypes=[ad.AutoTape(), ad.AutoForward()]).agree
True
"""

from .checks import BackendCheckError, check_backend, check_scenario
from .compare import Report, Row, compare
from .scenarios import Scenario, closurify, constantify, default_scenarios

__all__ = [
    "BackendCheckError",
    "Report",
    "Row",
    "Scenario",
    "check_backend",
    "check_scenario",
    "closurify",
    "compare",
    "constantify",
    "default_scenarios",
]
