"""The atoms carry everything: a face whose table has them and nothing else runs every function there is."""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

import numpy as np
import pytest
from samples.options import SAMPLES, function_of

import adselect as ad
from adselect.backends.framework_array import FrameworkArray
from adselect.errors import MissingRuleError
from adselect.face.atoms import contract, join, pile, rolled
from adselect.face.creating import CREATORS
from adselect.face.functions import partitioned
from adselect.rules.atoms import atoms, may_stay_with_numpy
from adselect.rules.least_squares import least_squares, orthonormal
from adselect.rules.reductions import spread
from adselect.rules.registry import COMPOSITES, NO_DERIVATIVE, RULES
from adselect.rules.signals import full_convolution
from adselect.rules.singular_values import singular

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
    _framework = "toy"
    table: Any = ATOMS

    @classmethod
    def _target(cls, function: Any) -> Any:
        if function not in cls.table:
            return None
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
        return type(self)(Opaque(self._primal.numbers[index]), self._deps)

    def _setitem(self, index: Any, value: Any) -> Any:
        mask = [self._deps]
        new = self._primal.numbers.copy()
        new[index] = _opened(self._unwrap(value, mask))
        return type(self)(Opaque(new), mask[0])


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


# What has no derivative on any backend.
REFUSED = {
    "np.histogram2d(x, v, bins=2, weights=p)[0]",
    "np.histogramdd(np.stack([x, v], axis=1), bins=2, weights=p)[0]",
}
# Composites that NumPy's own names do not reach: the face answers those itself, or rules call them.
X, M = ToyArray(Opaque(np.array([0.3, -0.2, 0.7])), 1), ToyArray(Opaque(np.array([[0.3, -0.2], [0.7, 0.1]])), 1)
DIRECT = {
    np.ravel: (M,),
    np.swapaxes: (M, 0, 1),
    np.broadcast_arrays: (M, 1.0),
    np._core.umath.clip: (X, 0.0, 0.5),
    partitioned: (X, 1, -1),
    spread: (np.float64(1.0), np.float64(0.7), X, None, False),
    np.histogram_bin_edges: (X, 3),
}


@pytest.fixture(scope="module")
def carried():
    """Every sample run on the atoms; the functions that were written with others, and the samples that failed."""
    met, failed = set(), {}

    class Watched(ToyArray):
        __slots__ = ()

        def _by_rules(self, function: Any, args: tuple, kwargs: dict, option: str = "") -> Any:
            met.add(function)
            return super()._by_rules(function, args, kwargs, option)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for sample in {s for samples in SAMPLES.values() for s in samples} - REFUSED:
            try:
                run(sample, Watched)
            except Exception as error:
                failed[sample] = repr(error)
        for sample in REFUSED:
            with pytest.raises(MissingRuleError, match="no derivative rule"):
                run(sample, Watched)
    return met, failed


def test_everything_runs_on_the_atoms(carried):
    assert not carried[1]


@pytest.mark.parametrize("function", DIRECT)
def test_what_no_sample_reaches_runs_on_the_atoms(function):
    COMPOSITES[function](*DIRECT[function])


def test_no_composite_is_left_out(carried):
    assert carried[0] | DIRECT.keys() >= {f for f in COMPOSITES if not is_of_scipy(f)}


def is_of_scipy(function: Any) -> bool:
    return getattr(COMPOSITES[function], "__module__", "").startswith("adselect.rules.special")


@pytest.mark.parametrize("atom", [join, pile, contract, full_convolution, singular, orthonormal, least_squares])
def test_a_table_without_an_atom_says_which(atom, monkeypatch):
    """And does not call itself for ever: NumPy's function of the same meaning is written with the atom."""
    monkeypatch.setattr(ToyArray, "table", ATOMS - {atom})
    calls = {
        join: lambda: np.concatenate([X, X]),
        pile: lambda: np.stack([X, X]),
        contract: lambda: np.einsum("i,i->", X, X),
        full_convolution: lambda: np.convolve(X, X),
        singular: lambda: np.linalg.svd(M),
        orthonormal: lambda: np.linalg.qr(M),
        least_squares: lambda: np.linalg.lstsq(M, np.ones(2)),
    }
    with pytest.raises(MissingRuleError, match=rf"{atom.__name__}, one of the functions.*has no toy translation"):
        calls[atom]()


# -- the frameworks' tables --------------------------------------------------------------------------------------------


def face_of(adtype: Any) -> Any:
    """The class of what f is given in place of an array."""
    met: list = []
    ad.gradient(lambda x: met.append(type(x)) or np.sum(x), adtype, np.ones(2))
    return met[0]


def test_a_table_has_the_atoms_or_leaves_them_to_numpy(exact_backend):
    face = face_of(exact_backend.adtype)
    if not issubclass(face, FrameworkArray):
        pytest.skip("NumPy's own functions, recorded")
    missing = {a for a in ATOMS - NO_DERIVATIVE if face._target(a) is None}
    assert missing == face._by_numpy
    assert all(may_stay_with_numpy(a) for a in missing), [a for a in missing if not may_stay_with_numpy(a)]


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_what_is_no_atom_is_a_shortcut(framework):
    """In ``shortcuts.py``, where it says what it gains; constructors make arrays, they are no functions of arrays."""
    pytest.importorskip(framework)
    operands = importlib.import_module(f"adselect.backends.{framework}.operands")
    table = importlib.import_module(f"adselect.backends.{framework}.table")
    assert set(operands.SHORTCUTS) <= {*COMPOSITES, rolled}
    rows = {f for f in table.TABLE if f not in operands.SHORTCUTS}
    special = {f for f in rows if f in RULES and f not in ATOMS}
    assert all(isinstance(f, np.ufunc) for f in special), special  # those of scipy.special, met before
    rows -= special
    assert rows <= ATOMS | CREATORS, rows - ATOMS - CREATORS


@pytest.mark.sweep
@pytest.mark.parametrize("name", SAMPLES)
def test_shortcuts_are_optional(name, exact_backend, monkeypatch):
    """Every sample, differentiated on a table of the atoms alone."""
    from test_options import check

    if exact_backend.name not in ("jax", "torch"):
        pytest.skip("has no shortcuts")
    operands = importlib.import_module(f"adselect.backends.{exact_backend.name}.operands")
    for function in operands.SHORTCUTS:
        monkeypatch.delitem(operands.TABLE, function)
    samples = SAMPLES[name][:1] if exact_backend.name == "jax" else SAMPLES[name]  # which compiles for every shape
    check(name, exact_backend.adtype, samples, ["reverse"])
