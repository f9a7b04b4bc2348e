"""``check=True``: f once more on plain values after the traced call, held against what the traced call computed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..calls.flat import flatten_output
from ..errors import ADSelectTypeError, ADSelectValueError, UnsupportedError, user_line
from ..face.array import Array
from ..structure.flattening import flatten
from ..structure.leaves import Const, is_value
from ..values.natives import is_native, natives_of

__all__ = ["PlainRun", "plain_run"]

# How far two values of f may be apart: frameworks add up in another order. Relative to the value; the second to f's
# arguments, for values that are what is left of larger ones.
_NEAR = {True: (1e-4, 1e-6), False: (1e-9, 1e-13)}


def plain_run(check: Any, operator: str, f: Callable, args: tuple, kwargs: dict, adtype: Any) -> PlainRun | None:
    """The run that ``check=`` asks for, to be made after the traced one; None for False."""
    if check is False:
        return None
    if check is not True:
        raise ADSelectTypeError(f"{operator}: check= is True or False, not {check!r}; it is no argument of f")
    return PlainRun(operator, f, args, kwargs, adtype)


class PlainRun:
    """f on plain values. Made before the traced run, which may write into the arguments; compared after it.

    The traced run comes first: a plain one would fill caches of f that the traced one would then answer from. Both
    draw the same numbers from NumPy's and Python's global random generators, and the plain one leaves no mark there.
    """

    def __init__(self, operator: str, f: Callable, args: tuple, kwargs: dict, adtype: Any):
        self.operator, self.f, self.adtype = operator, f, adtype
        self.given = _copied((tuple([a.value if isinstance(a, Const) else a for a in args]), kwargs))
        leaves = flatten(args)[0]
        self.integers = any(_numbers(leaf).dtype.kind in "iu" for leaf in leaves)
        self.size = max(map(_size, leaves), default=0.0)
        self.random = _random_state()

    def rewind(self) -> None:
        """Set the global random generators to where they stood before the first run."""
        _set_random_state(self.random)

    def value(self) -> Any:
        """The value of f, called plainly; to be asked for once, as f may write into its arguments."""
        after = _random_state()
        self.rewind()
        args, kwargs = self.given
        try:
            return self.f(*args, **kwargs)
        finally:
            _set_random_state(after)

    def compare(self, traced: Any) -> None:
        """Raise ADSelectValueError unless f on plain values gives the value that the traced run gave."""
        try:
            y = self.value()
        except Exception as error:
            raise self._error(f"raises {type(error).__name__}: {error}", f"gives {_shown(traced)}", "") from error
        ours, skeleton = flatten_values(y)
        theirs, other = flatten_values(traced)
        if skeleton.paths != other.paths or skeleton.settings() != other.settings():
            raise self._error(f"is {_shown(y)}", _shown(traced), "")
        for a, b, path in zip(ours, theirs, skeleton.paths, strict=True):
            path = path.replace("f(…)[0]", "", 1)
            x, z = _numbers(a), _numbers(b)
            if x.shape != z.shape:
                raise self._error(f"has shape {x.shape}", str(z.shape), path)
            if not self._same_dtype(x, z):
                raise self._error(f"has dtype {x.dtype}", str(z.dtype), path)
            if not self._near(x, z):
                raise self._error(f"is {_shown(a)}", _shown(b), path)

    def _same_dtype(self, x: np.ndarray, z: np.ndarray) -> bool:
        if x.dtype == z.dtype or "O" in (x.dtype.char, z.dtype.char):
            return True
        # Integers count as float64 under a derivative, and so does what is made of them.
        return self.integers and x.dtype.kind in "iub" and z.dtype == np.float64

    def _near(self, x: np.ndarray, z: np.ndarray) -> bool:
        if not x.size:
            return True
        if x.dtype == object or z.dtype == object:
            x, z = x.astype(float), z.astype(float)
        # float16, float32 and complex64: numbers of less than eight bytes
        single = any(a.dtype.kind in "fc" and a.real.dtype.itemsize < 8 for a in (x, z))
        relative, absolute = _NEAR[single]
        with np.errstate(all="ignore"):
            same = np.equal(x, z) | ((x != x) & (z != z))
            sizes = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in (x.astype(complex), z.astype(complex))]
            apart = np.abs(np.where(same, 0, x.astype(complex)) - np.where(same, 0, z.astype(complex)))
        return bool(np.all(apart <= relative * max(sizes) + absolute * self.size))

    def _error(self, plainly: str, traced: str, path: str) -> ADSelectValueError:
        code = getattr(self.f, "__code__", None)
        name = getattr(self.f, "__qualname__", None) or type(self.f).__name__
        place = f", {code.co_filename}:{code.co_firstlineno}" if code is not None else ""
        entry = f"{path} of what it returns " if path else ""
        return ADSelectValueError(
            f"{self.operator}(…, check=True) at {user_line()}: f(x) {entry}{plainly} when called plainly and {traced} "
            f"when traced by {self.adtype!r}; f ({name}{place}) branches on the type of its argument, is random or "
            "keeps state. A generator that f captures or makes anew (np.random.default_rng()), a counter, a clock or a "
            "buffer that f fills is such a state, and no wrong gradient by itself: hand it in as an argument, or leave "
            "check=True out."
        )


def flatten_values(y: Any) -> tuple[list, Any]:
    """Leaves, masks among them, and skeleton of a value of f."""
    leaves, skeleton = flatten_output(y)
    return flatten((skeleton.rebuild(leaves)[0],), root="f(…)", also=is_value)


def _copied(value: Any) -> Any:
    """Arguments as they are before f may write into them, values traced by an outer derivative as plain ones."""
    leaves, skeleton = flatten((value,), also=is_value)
    if not any(isinstance(leaf, Array) or is_native(leaf) for leaf in leaves):
        try:
            return copy.deepcopy(value)
        except Exception:  # something that cannot be copied, such as a lock: numbers are copied, it is shared
            pass
    return skeleton.rebuild([_leaf_copy(leaf) for leaf in leaves])[0]


def _leaf_copy(leaf: Any) -> Any:
    if isinstance(leaf, Array):
        array = _numbers(leaf)
        return array[()] if leaf._is_scalar() else array.copy()
    return leaf.copy() if type(leaf) is np.ndarray else leaf


def _numbers(value: Any) -> np.ndarray:
    """A leaf as a NumPy array, also of a value that an outer derivative traces."""
    value = value._shown() if isinstance(value, Array) else value
    natives = natives_of(value)
    try:
        return np.asarray(value if natives is None else natives.numbers(value))
    except (TypeError, RuntimeError) as error:
        raise UnsupportedError(
            f"check=True compares numbers, and there are none at {user_line()}: the call is itself being compiled or "
            "batched by its framework. Check outside of it."
        ) from error


def _size(leaf: Any) -> float:
    array = _numbers(leaf)
    if array.dtype == object:
        array = array.astype(float)
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def _shown(value: Any) -> str:
    leaves, skeleton = flatten_values(value)
    text = repr(skeleton.rebuild([_short(leaf) for leaf in leaves])[0])
    return text if len(text) < 200 else f"{text[:199]}…"


def _short(leaf: Any) -> Any:
    array = _numbers(leaf)
    return array if array.ndim else array.item()


def _random_state() -> tuple:
    import random  # here, as NumPy's generators are: together they take 14 ms to import

    return random.getstate(), np.random.get_state(legacy=False)


def _set_random_state(state: tuple) -> None:
    import random

    random.setstate(state[0])
    np.random.set_state(state[1])
