"""Values that hold numbers and are no plain arrays: what they are called, how they are met, what to write instead.

Looked at by the class of a value and remembered: a class that has been seen costs one look into a set. Nothing is
imported; a class is recognised by its name and the package it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..errors import TracedValueError
from ..places import user_place
from ..values.kinds import TracedValue
from ..values.natives import is_of_framework
from .mistakes import Seen, UnknownError

__all__ = [
    "FAMILIAR",
    "GUESTS",
    "HOLDER",
    "LABELLED",
    "REFUSED",
    "SEQUENCE",
    "Foreign",
    "advice",
    "as_array",
    "as_index",
    "converted",
    "first_refused",
    "foreign_class",
    "foreign_of",
    "is_computed_by_numpy",
    "is_holding",
    "is_pandas",
    "refused_by_pandas",
    "refused_class",
    "refused_foreign",
]

# How a kind is met: refused by name; turned into an array, as NumPy does; left to the library it comes from, whose
# containers can hold traced arrays.
REFUSED = "refused"
SEQUENCE = "sequence"
LABELLED = "labelled"
HOLDER = "holder"


# What is done with the containers of other libraries by the room of guests, which stands above and fills this in:
# "node", the skeleton's node of one; "lifted", one with labels around traced numbers; "product" with a sparse matrix.
GUESTS: dict[str, Callable] = {}


class Foreign(NamedTuple):
    """A kind of value that is no plain array.

    why: what would go wrong; instead: what to write, ``{}`` standing for the value.
    """

    name: str
    way: str
    why: str
    instead: str


_MATRIX = Foreign(
    "an np.matrix",
    REFUSED,
    "its * is a matrix product and its rows are matrices; derivatives are those of arrays",
    "np.asarray({}) in its place, and @ for products of matrices",
)
_MASKED = Foreign(
    "a masked array",
    REFUSED,
    "derivatives would ignore its mask",
    "np.ma.filled({}, 0.0) in its place, or its data and its mask as two arrays with np.where(mask, 0.0, …)",
)
_RECORDS = Foreign(
    "a structured array",
    REFUSED,
    "its entries are records and no numbers",
    "its fields as arrays of their own, {}['name']",
)
_SPARSE = Foreign(
    "a SciPy sparse array",
    REFUSED,
    "SciPy's compiled code computes with it, where no derivative can follow",
    "x @ {}.T for {} @ x, which can be followed (X.T @ {}.T, transposed, for a matrix X), or {}.toarray() in its place",
)
_OPERATOR = Foreign(
    "a SciPy LinearOperator",
    REFUSED,
    "SciPy's own code computes with it, where no derivative can follow",
    "the matrix itself, {} @ np.eye({}.shape[1]), in its place",
)
_BUFFER = "the conversion to an array"

# By package and name of the class, or of a class that it inherits from.
_ROWS: dict[tuple[str, str], Foreign] = {
    ("numpy", "matrix"): _MATRIX,
    ("numpy", "MaskedArray"): _MASKED,
    ("numpy", "mvoid"): _RECORDS,
    ("numpy", "recarray"): _RECORDS._replace(name="a record array"),
    ("numpy", "record"): _RECORDS._replace(name="a record"),
    ("numpy", "void"): _RECORDS._replace(name="a record"),
    ("scipy", "_spbase"): _SPARSE,
    ("scipy", "LinearOperator"): _OPERATOR,
    ("pandas", "Series"): Foreign("a pandas Series", LABELLED, "its labels would be lost", "{}.to_numpy()"),
    ("pandas", "DataFrame"): Foreign("a pandas DataFrame", LABELLED, "its labels would be lost", "{}.to_numpy()"),
    ("pandas", "Index"): Foreign("a pandas Index", LABELLED, "a derivative has no labels", "{}.to_numpy()"),
    ("pandas", "ExtensionArray"): Foreign("an array of pandas", LABELLED, "NumPy has none like it", "{}.to_numpy()"),
    ("adselect", "TracedSparse"): _SPARSE._replace(way=HOLDER, instead="A @ x, A.multiply(x) or A.toarray()"),
    ("adselect", "TracedSeries"): Foreign("a pandas Series", HOLDER, "its labels would be lost", "{}.to_numpy()"),
    ("adselect", "TracedFrame"): Foreign("a pandas DataFrame", HOLDER, "its labels would be lost", "{}.to_numpy()"),
    ("xarray", "DataArray"): Foreign("an xarray DataArray", HOLDER, "its dimensions would be lost", "{}.to_numpy()"),
    ("xarray", "Variable"): Foreign("an xarray Variable", HOLDER, "its dimensions would be lost", "{}.to_numpy()"),
    ("xarray", "Dataset"): Foreign("an xarray Dataset", HOLDER, "it is several arrays", "{}['name'].to_numpy()"),
    ("collections", "deque"): Foreign("a deque", SEQUENCE, _BUFFER, "np.stack(list({}))"),
    ("collections", "UserList"): Foreign("a UserList", SEQUENCE, _BUFFER, "np.stack(list({}))"),
    ("array", "array"): Foreign("an array.array", SEQUENCE, _BUFFER, "np.asarray({})"),
    ("builtins", "range"): Foreign("a range", SEQUENCE, _BUFFER, "np.array({})"),
    ("builtins", "memoryview"): Foreign("a memoryview", SEQUENCE, _BUFFER, "np.asarray({})"),
}

# Classes of values that need no look: not foreign.
FAMILIAR: set[type] = {
    *(float, int, complex, bool, str, bytes, type(None), type, slice, Fraction, np.dtype, np.ndarray),
    *(np.float64, np.float32, np.float16, np.complex128, np.complex64, np.longdouble, np.bool_),
    *(np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8, type(np._NoValue)),  # type: ignore[attr-defined]
}
_MET: dict[type, Foreign | None] = {}
_MOST = 4096  # classes remembered; programs that make classes as they go are not to keep them all alive

# What an ndarray subclass with an algebra of its own replaces.
_ALGEBRA = ("__array_ufunc__", "__array_function__", "__mul__", "__rmul__", "__add__", "__matmul__", "__getitem__")


def foreign_of(value: Any) -> Foreign | None:
    """The kind of value that is no plain array, None for all others."""
    kind = type(value)
    if kind is np.ndarray:
        return _RECORDS if value.dtype.names is not None else None
    if kind in FAMILIAR:
        return None
    try:
        return _MET[kind]
    except KeyError:
        pass
    found = foreign_class(kind)
    if len(_MET) > _MOST:
        _MET.clear()
    _MET[kind] = found
    if found is None and kind.__module__.partition(".")[0] in ("adselect", "numpy"):
        FAMILIAR.add(kind)
    return found


def foreign_class(kind: type) -> Foreign | None:
    """The same for a class."""
    for base in type.__dict__["__mro__"].__get__(kind):
        row = _ROWS.get((base.__module__.partition(".")[0].lstrip("_"), base.__name__))
        if row is not None:
            return row
    if kind.__module__.partition(".")[0] in ("adselect", "numpy") or is_of_framework(kind):
        return None
    own = issubclass(kind, np.ndarray) and any(
        [getattr(kind, name, None) is not getattr(np.ndarray, name) for name in _ALGEBRA]
    )
    if own or (not issubclass(kind, np.ndarray) and callable(getattr(kind, "__array_ufunc__", None))):
        name = f"a {kind.__module__.partition('.')[0]}.{kind.__name__}"
        return Foreign(name, REFUSED, "its operators are its own; derivatives are those of arrays", "np.asarray({})")
    return None


# -- conversions -------------------------------------------------------------------------------------------------------


def as_array(value: Any, absorb: Callable) -> Any:
    """A sequence, or another library's container, as the array that NumPy makes of it."""
    found = foreign_of(value)
    if found is None:
        return value
    if found.way == HOLDER:
        return value.data if is_holding(value) else value.to_numpy()  # also of a traced Series
    if type(value) is range:
        return np.arange(value.start, value.stop, value.step)
    if found.way == SEQUENCE and hasattr(value, "__iter__"):
        items = list(value)
        stacked = absorb(items)
        return np.asarray(value if hasattr(value, "tobytes") else items) if stacked is items else stacked
    return np.asarray(value)


def is_holding(value: Any) -> bool:
    """Whether another library's container holds a traced array."""
    return isinstance(getattr(value, "data", None), TracedValue)


def converted(value: Any, absorb: Callable) -> Any:
    """The same with every foreign value as an array, also in lists and tuples."""
    kind = type(value)
    if kind in (list, tuple):
        return kind([converted(v, absorb) for v in value])
    if kind is range:  # of numbers, or of axes
        return list(value)
    return value if kind in FAMILIAR else as_array(value, absorb)


def first_refused(values: Iterable, ways: Any = (REFUSED,)) -> Any:
    """The first value that is met in one of these ways, also in lists and tuples; None where there is none."""
    for value in values:
        kind = type(value)
        if kind in (list, tuple):
            inner = first_refused(value, ways)
            if inner is not None:
                return inner
        elif kind not in FAMILIAR and (found := foreign_of(value)) is not None and found.way in ways:
            return value
    return None


def as_index(index: Any, absorb: Callable) -> Any:
    """An index as NumPy takes it; refused by name where a mask or another algebra would be ignored."""
    found = foreign_of(index)
    if found is None:
        return index
    if found.way == REFUSED:
        raise refused_foreign(index, "an index")
    return as_array(index, absorb)


def is_computed_by_numpy(function: Any, args: tuple, kwargs: dict, absorb: Callable) -> bool:
    """Whether NumPy's function makes plain arrays of these arguments, the same as of their converted ones.

    NumPy says so itself: the call is made with the plain values behind the traced ones, both ways.
    """
    seen = Seen()
    kwargs = {k: v for k, v in kwargs.items() if k != "out"}
    try:
        values, options = _seen(seen, args), {k: _seen(seen, v) for k, v in kwargs.items()}
    except UnknownError:
        return False
    with np.errstate(all="ignore"):
        try:
            as_given = function(*values, **options)
        except Exception:
            if seen.made_up:
                return False
            raise
        if not _is_plain(as_given):
            return False
        options = {k: converted(v, absorb) for k, v in options.items()}
        return _are_same(as_given, function(*converted(values, absorb), **options))


def _seen(seen: Seen, value: Any) -> Any:
    """An argument for NumPy, containers as they are but with plain values."""
    if type(value) in (list, tuple):
        return type(value)([_seen(seen, v) for v in value])
    if type(value) in FAMILIAR or (found := foreign_of(value)) is None:
        return seen.plain(value)
    if hasattr(value, "plainly"):
        return value.plainly(seen.plain)
    return value.copy(data=seen.plain(value.data)) if found.way == HOLDER and is_holding(value) else value


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all([_is_plain(v) for v in value])
    return type(value) is np.ndarray or type(value) in FAMILIAR


def _are_same(a: Any, b: Any) -> bool:
    if type(a) in (list, tuple):
        return type(a) is type(b) and len(a) == len(b) and all([_are_same(u, v) for u, v in zip(a, b, strict=True)])
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc")


# -- errors ------------------------------------------------------------------------------------------------------------


def refused_foreign(value: Any, role: str = "", path: str = "") -> TracedValueError:
    """The error for a foreign value that met a traced one; role: as what, where it was no operand."""
    found = foreign_of(value)
    assert found is not None
    fields = getattr(getattr(value, "dtype", None), "names", None)
    shape = getattr(value, "shape", None)
    of_shape = f" of shape {tuple(shape)}" if isinstance(shape, tuple) and shape else ""
    return _refusal(found, f"{found.name}{of_shape}", fields[0] if fields else "", role)


def refused_class(kind: type) -> TracedValueError | None:
    """The error for a traced array that is to become one of a class; None where that is not foreign."""
    found = foreign_class(kind)
    return None if found is None else _refusal(found, found.name, "", "")


def _refusal(found: Foreign, what: str, field: str, role: str) -> TracedValueError:
    place = user_place()
    where = "" if place is None else f" at {place}" + (f" ({place.expression})" if place.expression else "")
    return TracedValueError(
        f"{what} met a traced value{f' as {role}' if role else ''}{where}: {found.why}. "
        f"Write {advice(found, 'A', field)}."
    )


def is_pandas(frame: Any) -> bool:
    """Whether a frame runs code of pandas."""
    return (frame.f_globals.get("__name__") or "").startswith("pandas.")


def refused_by_pandas() -> TracedValueError:
    """The error for a traced value that pandas was given to hold."""
    place = user_place()
    where = "" if place is None else f" at {place}" + (f" ({place.expression})" if place.expression else "")
    called = place.library if place is not None and place.library else "pandas"
    return TracedValueError(
        f"{called} was given a traced value to hold{where}; it would be an object there and no number, and dtypes, "
        "numeric_only= and missing values would be others than in plain code. Compute with arrays and NumPy's "
        "functions, df['a'].to_numpy() instead of df['a']. A Series or DataFrame that f has as an argument can be "
        "followed, and so can what is made of it: s * x, df.assign(b=x)."
    )


def advice(found: Foreign, name: str, field: str = "") -> str:
    """What to write instead of a foreign value called name."""
    text = found.instead.replace("{}", name)
    return text.replace("'name'", repr(field)) if field else text
