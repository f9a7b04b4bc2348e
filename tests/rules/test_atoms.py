"""The atoms carry everything: a face whose table has them and nothing else runs every function there is."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
from options import SAMPLES, function_of

from adselect.backends.framework_array import FrameworkArray
from adselect.errors import MissingRuleError
from adselect.rules.atoms import atoms, may_stay_with_numpy
from adselect.rules.registry import COMPOSITES, NO_DERIVATIVE, RULES

ATOMS = atoms()


class Opaque:
    """A framework's array, of which NumPy understands nothing."""

    def __init__(self, numbers: Any):
        self.numbers = np.asarray(numbers)


def _opened(value: Any) -> Any:
    if isinstance(value, Opaque):
        return value.numbers if value.numbers.ndim else value.numbers[()]
    return type(value)([_opened(v) for v in value]) if type(value) in (list, tuple) else value


def _closed(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return Opaque(value)
    if isinstance(value, (list, tuple)):
        items = [_closed(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


class ToyArray(FrameworkArray):
    """A face over Opaque with a row for every atom, and no other."""

    __slots__ = ()
    framework = "toy"
    table: Any = ATOMS
    asked: Any = set()

    @classmethod
    def _target(cls, function: Any) -> Any:
        if function not in cls.table:
            return None
        cls.asked.add(function)
        return functools.partial(cls._row, function)

    @staticmethod
    def _row(function: Any, *args: Any, **kwargs: Any) -> Any:
        return _closed(function(*[_opened(a) for a in args], **{k: _opened(v) for k, v in kwargs.items()}))

    @classmethod
    def _native(cls, value: Any) -> Any:
        return Opaque(value) if isinstance(value, np.ndarray) else value

    @classmethod
    def _is_native(cls, value: Any) -> bool:
        return isinstance(value, Opaque)

    @property
    def shape(self) -> tuple:
        return self._primal.numbers.shape

    @property
    def dtype(self) -> Any:
        return self._primal.numbers.dtype

    @property
    def _inside(self) -> Any:
        return _opened(self._primal)

    def __bool__(self) -> bool:
        return bool(self._primal.numbers)

    def _as_index(self) -> Any:
        return self._inside

    def _getitem(self, index: Any) -> Any:
        return ToyArray(Opaque(self._primal.numbers[index]), self.deps)

    def _setitem(self, index: Any, value: Any) -> Any:
        mask = [self.deps]
        new = self._primal.numbers.copy()
        new[index] = _opened(self._unwrap(value, mask))
        return ToyArray(Opaque(new), mask[0])


def _values(result: Any) -> list:
    if isinstance(result, (list, tuple)):
        return [leaf for part in result for leaf in _values(part)]
    return [_opened(result._primal) if isinstance(result, ToyArray) else result]


def run(sample: str, face: Any = ToyArray) -> None:
    f, args = function_of(sample)
    expected = _values(f(*args))
    got = _values(f(*[face(Opaque(np.copy(x)), 1) for x in args]))
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=sample)
        assert np.result_type(a) == np.result_type(b), sample


# No framework has these, and no composite either: a named error on every backend.
REFUSED = {"np.histogram2d", "np.histogramdd"}


@pytest.mark.parametrize("name", SAMPLES)
def test_everything_runs_on_the_atoms(name):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for sample in SAMPLES[name]:
            run(sample)
