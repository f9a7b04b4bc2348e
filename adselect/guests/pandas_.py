"""A pandas Series or DataFrame of which the numbers are traced: the same labels around a traced array.

pandas keeps any array that looks like NumPy's in its blocks and computes with it by NumPy's functions; compiled code of
its own refuses it. What has to turn the numbers into a plain array (``.to_numpy()``, ``@``) is done by two subclasses,
which are what f receives.
"""

from __future__ import annotations

import functools
import operator
import sys
from typing import Any

import numpy as np

from ..errors import UnsupportedError, user_line
from ..face.array import Array
from ..face.foreign import foreign_of, is_computed_by_numpy
from ..face.operators import BINARY_OPERATORS
from ..structure.leaves import is_leaf
from ..structure.nodes import Container
from ..values.kinds import isa
from .refused import refused_argument

__all__ = ["lifted", "pandas_node"]


def lifted(value: Any) -> Any:
    """A Series or DataFrame as one that can hold traced numbers; anything else as it is."""
    series, frame = classes()
    if isinstance(value, (series, frame)):
        return value
    pd = _pandas()
    if isinstance(value, pd.Series):
        return series(value)
    return frame(value) if isinstance(value, pd.DataFrame) else value


def _pandas() -> Any:
    import pandas  # where one of its values is met it has been imported

    return pandas


@functools.cache
def classes() -> tuple[type, type]:
    """The two subclasses, made when the first value of pandas's is met."""
    pd = _pandas()

    class TracedSeries(_Holder, pd.Series):
        """A Series whose numbers may be traced."""

        def __init__(self, data: Any = None, index: Any = None, dtype: Any = None, **kwargs: Any):
            if isinstance(data, Array):
                data, dtype, kwargs["copy"] = _own(data, dtype, kwargs.get("copy")), None, False
            super().__init__(data, index, dtype, **kwargs)  # type: ignore[call-arg]

        @property
        def _constructor(self) -> type:
            return TracedSeries

        @property
        def _constructor_expanddim(self) -> type:
            return TracedFrame

        @property
        def __pandas_priority__(self) -> int:
            # An operator of a plain DataFrame leaves its work to ours.
            other = sys._getframe(1).f_locals.get("self")
            return 5000 if isinstance(other, pd.DataFrame) and not isinstance(other, TracedFrame) else 3000

        def _held(self) -> Any:
            return self._values

    class TracedFrame(_Holder, pd.DataFrame):
        """A DataFrame whose numbers may be traced."""

        def __init__(
            self, data: Any = None, index: Any = None, columns: Any = None, dtype: Any = None, copy: Any = None
        ):
            if isinstance(data, Array):
                data = np.reshape(_own(data, dtype, copy), (data.shape[0], -1))
                n_rows, n_columns = data.shape
                index = pd.RangeIndex(n_rows) if index is None else index
                columns = pd.RangeIndex(n_columns) if columns is None else columns
                data = _of_blocks([(data, list(range(n_columns)))], index, columns)
                index = columns = dtype = copy = None
            super().__init__(data, index, columns, dtype, copy)  # type: ignore[call-arg]

        @property
        def _constructor(self) -> type:
            return TracedFrame

        @property
        def _constructor_sliced(self) -> type:
            return TracedSeries

        def _held(self) -> Any:
            columns = [self._mgr.iget_values(i) for i in range(self.shape[1])]
            if not any([isinstance(c, Array) for c in columns]):
                return None
            if any([c.dtype.kind not in "fiucb" for c in columns]):
                raise UnsupportedError(
                    f"a DataFrame with columns that are not numbers was turned into one array at {user_line()}. Pick "
                    "the columns of numbers first: df[['a', 'b']].to_numpy()"
                )
            blocks = self._mgr.blocks
            return blocks[0].values.T if len(blocks) == 1 else np.stack(columns, axis=1)

        def _maybe_align_series_as_frame(self, series: Any, axis: int) -> Any:
            held = series._values
            if not isinstance(held, Array):
                return super()._maybe_align_series_as_frame(series, axis)
            rows = np.broadcast_to(np.reshape(held, (-1, 1) if axis == 0 else (1, -1)), self.shape)
            return TracedFrame(rows, index=self.index, columns=self.columns, copy=False).__finalize__(series)

    for name in BINARY_OPERATORS:
        if name != "matmul":
            for kind in (TracedSeries, TracedFrame):
                setattr(kind, f"__r{name}__", _reflected(kind, name))
    return TracedSeries, TracedFrame


def _own(data: Any, dtype: Any, copy: Any) -> Any:
    """A traced array as a constructor takes it: cast and copied by our own means."""
    cast = data if dtype is None or np.dtype(dtype) == data.dtype else data.astype(dtype)
    return cast.copy() if copy is not False and cast is data else cast


def _of_blocks(blocks: list, index: Any, columns: Any) -> Any:
    """A DataFrame of ``(array of columns, their places)``."""
    pd = _pandas()
    make = getattr(getattr(pd.api, "internals", None), "create_dataframe_from_blocks", None)
    if make is None:
        raise UnsupportedError(
            f"a DataFrame of traced numbers needs pandas 3 or later; this is {pd.__version__} ({user_line()}). Compute "
            "with df.to_numpy()"
        )
    found = [(np.transpose(part) if len(part.shape) == 2 else part, np.array(places)) for part, places in blocks]
    return make(found, pd.Index(index), pd.Index(columns))


def _reflected(kind: type, name: str) -> Any:
    """``other OP self``: a plain Series or DataFrame on the left becomes one that holds traced numbers."""
    inherited = getattr(kind, f"__r{name}__", None)
    operate = getattr(operator, {"and": "and_", "or": "or_"}.get(name, name))

    def call(self: Any, other: Any) -> Any:
        pd = _pandas()
        if isinstance(other, (pd.Series, pd.DataFrame)) and not isinstance(other, _Holder):
            return operate(lifted(other), self)
        return inherited(self, other) if inherited is not None else NotImplemented

    return call


class _Holder:
    """What the two have in common."""

    _held: Any
    __array_priority__ = 2000

    @property
    def values(self) -> Any:
        """The numbers as an array."""
        held = self._held()
        return held if isinstance(held, Array) else super().values  # type: ignore[misc]

    def to_numpy(self, dtype: Any = None, copy: bool = False, na_value: Any = None) -> Any:
        """The numbers as an array."""
        held = self._held()
        if not isinstance(held, Array):
            options = {} if na_value is None else {"na_value": na_value}
            return super().to_numpy(dtype, copy, **options)  # type: ignore[misc]
        if na_value is not None:
            held = np.where(np.isnan(held), na_value, held)
        return held.astype(dtype) if dtype is not None else held.copy() if copy else held

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from ..face.dispatch import absorb
        from ..face.foreign import converted

        if is_computed_by_numpy(function, args, kwargs, absorb):
            return function(*converted(args, absorb), **{k: converted(v, absorb) for k, v in kwargs.items()})
        return function._implementation(*args, **kwargs)  # which calls a method of pandas's

    def plainly(self, plain: Any) -> Any:
        """The same with plain numbers, of pandas's own class."""
        pd = _pandas()
        if isinstance(self, pd.Series):
            held = self._held()
            return pd.Series(plain(held) if isinstance(held, Array) else held, self.index, name=self.name)  # type: ignore[attr-defined]
        columns = [self._mgr.iget_values(i) for i in range(self.shape[1])]  # type: ignore[attr-defined]
        data = {i: plain(c) if isinstance(c, Array) else c for i, c in enumerate(columns)}
        new = pd.DataFrame(data, index=self.index)  # type: ignore[attr-defined]
        new.columns = self.columns  # type: ignore[attr-defined]
        return new

    def dot(self, other: Any) -> Any:
        """The product, aligned by labels as pandas aligns it."""
        pd = _pandas()
        series, frame = classes()
        left: Any = self
        if isinstance(other, (pd.Series, pd.DataFrame)):
            labels = left.index if isinstance(left, pd.Series) else left.columns
            common = labels.union(other.index)
            if len(common) > len(labels) or len(common) > len(other.index):
                raise ValueError("matrices are not aligned")
            left = left.reindex(index=common) if isinstance(left, pd.Series) else left.reindex(columns=common)
            other = lifted(other.reindex(index=common))
            a, b = left.to_numpy(), other.to_numpy()
        else:
            a, b = left.to_numpy(), other if isinstance(other, Array) else np.asarray(other)
            if a.shape[-1] != b.shape[0]:
                raise ValueError(f"Dot product shape mismatch, {a.shape} vs {b.shape}")
        result = np.dot(a, b)
        columns = other.columns if isinstance(other, pd.DataFrame) else None
        if isinstance(left, pd.Series):
            return result if columns is None else series(result, index=columns)
        if len(result.shape) == 2:
            return frame(result, index=left.index, columns=columns, copy=False)
        return series(result, index=left.index)

    def argmax(self, *args: Any, **options: Any) -> int:
        """The position of the largest value."""
        return operator.index(super().argmax(*args, **options))  # type: ignore[misc]

    def argmin(self, *args: Any, **options: Any) -> int:
        """The position of the smallest value."""
        return operator.index(super().argmin(*args, **options))  # type: ignore[misc]

    def diff(self, periods: int = 1, **options: Any) -> Any:
        """The differences of rows, which pandas computes in compiled code."""
        return self - self.shift(periods, **options)  # type: ignore[attr-defined]

    def __matmul__(self, other: Any) -> Any:
        return self.dot(other)

    def __rmatmul__(self, other: Any) -> Any:
        pd = _pandas()
        if isinstance(other, (pd.Series, pd.DataFrame)):
            return lifted(other).dot(self)
        if isinstance(self, pd.Series):
            return np.dot(other, self.to_numpy())
        return self.T.dot(np.transpose(other)).T  # type: ignore[attr-defined]


# -- arguments and results ---------------------------------------------------------------------------------------------


class _Series(Container):
    """A Series: one leaf."""

    __slots__ = ()

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        new = memo[id(self)] = self._of(self.children[0].rebuild(leaves, memo))
        return new

    def _of(self, data: Any) -> Any:
        kind = classes()[0] if isinstance(data, Array) else _pandas().Series
        return kind(data, index=self.value.index, name=self.value.name, copy=False)

    def _result(self, grads: list, memo: dict) -> Any:
        grad = self.children[0].result(grads, memo)
        if grad is not None and tuple(np.shape(grad)) == self.value.shape:  # not a matrix of derivatives
            grad = self._of(grad)
        memo[id(self)] = grad
        return grad

    def labels(self) -> Any:
        """What a program that was prepared for this Series relies on."""
        return tuple(self.value.index.tolist()), self.value.name

    def parts(self, bar: Any) -> list | None:
        """The numbers of a seed, which may be an array or a Series with the same labels."""
        if hasattr(bar, "index") and hasattr(bar, "to_numpy"):
            return [bar.to_numpy()] if bar.index.equals(self.value.index) else None
        return [bar]


class _Frame(Container):
    """A DataFrame: a leaf for all columns of one dtype; ``keys`` holds the columns of each."""

    __slots__ = ()

    def _rebuild(self, leaves: list, memo: dict) -> Any:
        parts = [c.rebuild(leaves, memo) for c in self.children]
        new = memo[id(self)] = self._of(parts, any([isinstance(p, Array) for p in parts]), None)
        return new

    def _of(self, parts: list, traced: bool, fill: Any) -> Any:
        """The frame around one array per group of columns; other columns as they are, or filled."""
        value, blocks, places = self.value, [], set()
        for part, columns in zip(parts, self.keys, strict=True):
            blocks.append((part, columns))
            places.update(columns)
        for i in set(range(value.shape[1])) - places:
            column = value._mgr.iget_values(i) if fill is None else fill((len(value), 1))
            blocks.append((np.reshape(column, (-1, 1)) if isa(column, np.ndarray) else column, [i]))
        frame = _of_blocks(blocks, value.index, value.columns)
        return classes()[1](frame) if traced else frame

    def _result(self, grads: list, memo: dict) -> Any:
        found = [c.result(grads, memo) for c in self.children]
        shapes = [(len(self.value), len(columns)) for columns in self.keys]
        if all([g is None for g in found]):
            new = None
        elif any([g is not None and tuple(np.shape(g)) != s for g, s in zip(found, shapes, strict=True)]):
            new = found[0] if len(found) == 1 else found  # matrices of derivatives
        else:
            found = [np.zeros(s) if g is None else g for g, s in zip(found, shapes, strict=True)]
            new = self._of(found, any([isinstance(g, Array) for g in found]), lambda s: np.full(s, None, object))
        memo[id(self)] = new
        return new

    def labels(self) -> Any:
        """What a program that was prepared for this DataFrame relies on, columns that are no numbers included."""
        value, numbers = self.value, {i for columns in self.keys for i in columns}
        others = value.iloc[:, [i for i in range(value.shape[1]) if i not in numbers]]
        rest = tuple([tuple(column.tolist()) for _, column in others.items()])
        return tuple(value.index.tolist()), tuple(value.columns.tolist()), tuple(map(str, value.dtypes)), rest

    def parts(self, bar: Any) -> list | None:
        """The numbers of a seed, by groups of columns."""
        if hasattr(bar, "columns"):
            if not (bar.columns.equals(self.value.columns) and bar.index.equals(self.value.index)):
                return None
            return [bar.iloc[:, columns].to_numpy() for columns in self.keys]
        return [bar] if len(self.keys) == 1 else None


def pandas_node(value: Any, path: str, flattener: Any) -> Any:
    """The node of a pandas object."""
    pd = _pandas()
    if isinstance(value, pd.Series):
        numbers = _numbers(value, path)
        if numbers is None:
            return flattener.opaque(value)
        return flattener.fill(_Series(value), [(path, numbers)], ["values"])
    if isinstance(value, pd.DataFrame):
        groups: dict[str, list[int]] = {}
        for i in range(value.shape[1]):
            column = value._mgr.iget_values(i)
            if getattr(column.dtype, "kind", "O") in "fiuc" and not hasattr(column.dtype, "construct_array_type"):
                groups.setdefault(column.dtype.str, []).append(i)
            else:
                _numbers(value.iloc[:, i], f"{path}.iloc[:, {i}]")  # an error for numbers in another form
        if not groups:
            return flattener.opaque(value)
        items = [(path if len(groups) == 1 else f"{path}.iloc[:, {g}]", _block(value, g)) for g in groups.values()]
        node = flattener.fill(_Frame(value), items, list(groups.values()))
        return node
    if getattr(value.dtype, "kind", "O") in "fiuc" and value.dtype.kind != "O":
        raise refused_argument(foreign_of(value), path, value)  # type: ignore[arg-type]
    return flattener.opaque(value)


def _block(frame: Any, columns: list[int]) -> Any:
    picked = lifted(frame.iloc[:, columns])
    return picked.to_numpy() if isinstance(picked.values, Array) else np.ascontiguousarray(picked.to_numpy())


def _numbers(series: Any, path: str) -> Any:
    """The numbers of a Series; None for one of something else. Refused: numbers in an array of pandas's own."""
    values = series._values
    if isinstance(values, Array):
        return values
    if hasattr(values.dtype, "construct_array_type"):
        if getattr(values.dtype, "_is_numeric", False) and values.dtype.kind in "fiuc":
            raise refused_argument(
                foreign_of(values)._replace(  # type: ignore[union-attr]
                    name=f"a pandas Series of dtype {values.dtype}",
                    why="its missing values are no numbers",
                    instead="{}.astype(float)",
                ),
                path,
            )
        return None
    if values.dtype == object and any([is_leaf(v) for v in values]):
        raise refused_argument(
            foreign_of(series)._replace(  # type: ignore[union-attr]
                name="a pandas Series of dtype object",
                why="it holds its numbers as objects",
                instead="{}.astype(float)",
            ),
            path,
        )
    return values if values.dtype.kind in "fiuc" else None
