"""Functions that change the shape, join, split, pad, read and write."""

import numpy as np
import pytest
from witnesses import witness

import adselect as ad

RNG = np.random.default_rng(9)
X = RNG.standard_normal((2, 3, 4))
M = RNG.standard_normal((3, 4))
S = RNG.standard_normal((3, 3))
V = RNG.standard_normal(5)
Y = RNG.standard_normal((2, 3, 4))
PLACES = np.array([2, 0, 0, 1])

ROWS = {
    "reshape": (lambda x: np.reshape(x, (4, -1)), X),
    "reshape method": (lambda x: x.reshape(6, 4) + x.reshape((6, 4), order="F"), X),
    "reshape F": (lambda x: np.reshape(x, (4, 6), order="F"), X),
    "reshape shape=": (lambda x: np.reshape(x, shape=(3, -1)), X),
    "ravel": (lambda x: np.ravel(x) + x.ravel() + x.flatten(), X),
    "ravel F": (lambda x: np.ravel(x, "F") + x.ravel(order="F") + x.flatten("F"), X),
    "squeeze": (lambda x: np.squeeze(x[:, None, :, None], axis=1) + x[:, None].squeeze(1)[..., None, :], X),
    "squeeze all": (lambda x: np.squeeze(x[None, :1]), X),
    "squeeze axes": (lambda x: np.squeeze(x[None, :1], (0, -3)), X),
    "expand_dims": (lambda x: np.expand_dims(x, (0, -1)) + np.expand_dims(x, 0)[..., None], X),
    "broadcast_to": (lambda x: np.broadcast_to(x, (5, 2, 3, 4)), X),
    "broadcast_to ones": (lambda x: np.broadcast_to(x, (2, 3, 4)), X[:, :1]),
    "broadcast_arrays": (lambda x, y: np.multiply(*np.broadcast_arrays(x, y)), X, M[:1]),
    "transpose": (lambda x: np.transpose(x) + x.T + x.transpose(), X),
    "transpose axes": (lambda x: np.transpose(x, (1, -1, 0)) + x.transpose(1, 2, 0) + x.transpose((1, 2, 0)), X),
    "permute_dims": (lambda x: np.permute_dims(x, (2, 0, 1)), X),
    "matrix_transpose": (lambda x: np.matrix_transpose(x) + x.mT, X),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1) + x.swapaxes(0, 2), X),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), X),
    "moveaxis several": (lambda x: np.moveaxis(x, [0, 1], [-1, -2]), X),
    "rollaxis": (lambda x: np.rollaxis(x, 2), X),
    "atleast": (lambda x: np.atleast_1d(x) + np.atleast_2d(x) + np.atleast_3d(x)[0], 0.7),
    "atleast vectors": (lambda x: np.atleast_2d(x) + np.atleast_3d(x)[:, :, 0], V),
    "atleast matrices": (lambda x: np.atleast_3d(x)[..., 0] + np.atleast_2d(x), M),
    "concatenate": (lambda x, y: np.concatenate([x, y, x]), X, Y),
    "concatenate axis": (lambda x, y: np.concatenate((x, y[:, :2]), axis=-2), X, Y),
    "concatenate None": (lambda x, y: np.concatenate([x, y], axis=None), X, M),
    "concatenate constants": (lambda x: np.concatenate([[1.0, 2.0], x, np.zeros(2)]), V),
    "concatenate complex": (lambda x, y: np.concatenate([x, y]), X, Y + 1j),
    "concatenate dtype": (lambda x, y: np.concatenate([x, y], dtype=complex) ** 2, X, Y),
    "stack": (lambda x, y: np.stack([x, y, x * y], axis=1), X, Y),
    "stack last": (lambda x, y: np.stack((x, y), -1), X, Y + 2j),
    "stack scalars": (lambda a, b: np.stack([a, b, 1.0]), 0.3, 0.7),
    "array of scalars": (lambda a, b: np.array([a, b * a, 1.0]) * 2, 0.3, 0.7),
    "unstack": (lambda x: np.multiply(*np.unstack(x)), X),
    "unstack axis": (lambda x: sum(np.unstack(x, axis=-1)), X),
    "vstack": (lambda x, y: np.vstack([x, y]), V, V[::-1]),
    "hstack": (lambda x, y: np.hstack([x, y]), V, M[0]),
    "hstack matrices": (lambda x, y: np.hstack([x, y]), M, S),
    "dstack": (lambda x, y: np.dstack([x, y]), M, M[::-1]),
    "column_stack": (lambda x, y: np.column_stack([x, y]), M[:, 0], M),
    "append": (lambda x, y: np.append(x, y), M, V),
    "append axis": (lambda x, y: np.append(x, y, axis=1), M, S),
    "block": (lambda x, y: np.block([[x, y], [y, x]]), S, S.T),
    "block flat": (lambda x, y: np.block([x, y, 1.0]), V, M[0]),
    "block scalars": (lambda a, b: np.block([[a, 1.0], [b, a * b]]), 0.3, 0.4),
    "meshgrid": (lambda x, y: np.multiply(*np.meshgrid(x, y)), V, M[0]),
    "meshgrid ij": (lambda x, y: np.multiply(*np.meshgrid(x, y, indexing="ij", sparse=True)), V, M[0]),
    "split": (lambda x: np.split(x, 2, axis=2)[1] * np.split(x, 2, -1)[0], X),
    "split at": (lambda x: np.split(x, [1, 2], axis=1)[1] ** 2, X),
    "array_split": (lambda x: np.array_split(x, 3, axis=-1)[0] ** 2, X),
    "array_split by an array": (lambda x: np.array_split(x, np.array(3), axis=-1)[0] ** 2, X),
    "hsplit": (lambda x: np.hsplit(x, 3)[1] ** 2, X),
    "vsplit": (lambda x: np.vsplit(x, 2)[1] ** 2, X),
    "dsplit": (lambda x: np.dsplit(x, [1])[1] ** 2, X),
    "tile": (lambda x: np.tile(x, (2, 1, 3)), M),
    "repeat": (lambda x: np.repeat(x, 3), M),
    "repeat counts": (lambda x: np.repeat(x, [1, 0, 2], axis=0) ** 2, M),
    "resize": (lambda x: np.resize(x, (3, 7)), M),
    "pad": (lambda x: np.pad(x, 2), M),
    "pad widths": (lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=1.5) ** 2, M),
    "pad values": (lambda x, v: np.pad(x, 2, constant_values=v) ** 2, M, 0.7),
    "pad edge": (lambda x: np.pad(x, 2, "edge"), M),
    "pad reflect": (lambda x: np.pad(x, (1, 2), mode="reflect"), M),
    "pad symmetric": (lambda x: np.pad(x, 2, "symmetric"), M),
    "pad wrap": (lambda x: np.pad(x, 5, "wrap"), M),
    "pad mean": (lambda x: np.pad(x, ((1, 2), (0, 3)), "mean") ** 2, M),
    "pad mean length": (lambda x: np.pad(x, 2, "mean", stat_length=2) ** 2, M),
    "pad maximum": (lambda x: np.pad(x, 2, "maximum") ** 2, M),
    "pad minimum": (lambda x: np.pad(x, 1, "minimum", stat_length=((1, 2), (2, 1))) ** 2, M),
    "pad median": (lambda x: np.pad(x, 1, "median") ** 2, M),
    "pad linear_ramp": (lambda x: np.pad(x, ((1, 2), (3, 0)), "linear_ramp", end_values=0.5) ** 2, M),
    "pad reflect odd": (lambda x: np.pad(x, 2, "reflect", reflect_type="odd") ** 2, M),
    "pad symmetric odd": (lambda x: np.pad(x, (1, 2), "symmetric", reflect_type="odd") ** 2, M),
    "pad dict": (lambda x: np.pad(x, {-1: (1, 2)}) ** 2, M),
    "tril": (lambda x: np.tril(x, -1) + np.tril(x), X),
    "triu": (lambda x: np.triu(x, 1) + np.triu(x), X),
    "flip": (lambda x: np.flip(x) * x, X),
    "flip axes": (lambda x: np.flip(x, (0, -1)) * np.flip(x, 1), X),
    "fliplr": (lambda x: np.fliplr(x) * np.flipud(x), X),
    "rot90": (lambda x: np.rot90(x) ** 2, X),
    "rot90 twice": (lambda x: np.rot90(x, 2, axes=(1, 2)) * x, X),
    "roll": (lambda x: np.roll(x, 2) * x, X),
    "roll axes": (lambda x: np.roll(x, (1, -2), axis=(0, 2)) * x, X),
    "trim_zeros": (lambda x: np.trim_zeros(np.concatenate([[0.0], x, [0.0]])) ** 2, V),
    "sliding windows": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 3) ** 2, V),
    "diag": (lambda x: np.diag(x) ** 2, S),
    "diag of vector": (lambda x: np.diag(x, 1) + np.diag(x, -1), V),
    "diagflat": (lambda x: np.diagflat(x, -1), M),
    "diagonal": (lambda x: np.diagonal(x, 1, 1, 2) + x.diagonal(1, -2, -1), X),
    "trace": (lambda x: np.trace(x, -1, 1, 2) + x.trace(-1, 1, 2), X),
    "vander": (lambda x: np.vander(x, 3), V),
    "tri_indices": (lambda x: x[np.triu_indices_from(x)] * x[np.tril_indices(3)], S),
    # reading
    "item": (lambda x: x[1, -1, 2] * x[0][2][3], X),
    "slices": (lambda x: x[:, ::-2, 1:3] ** 2, X),
    "newaxis": (lambda x: x[None, ..., None, 1] ** 2, X),
    "fancy": (lambda x: x[:, PLACES % 3] ** 2, X),
    "fancy pair": (lambda x: x[[0, 1, 1], [2, 2, 2]] ** 2, X),
    "fancy apart": (lambda x: x[[0, 1, 1], :, [2, 2, 2]] ** 2, X),
    "mask": (lambda x: x[x > 0] ** 2, X),
    "mask rows": (lambda x: x[:, np.array([True, False, True])] ** 2, X),
    "traced index": (lambda x: x[np.argmax(x)] ** 2 + x[x.argmin()], V),
    "iteration": (lambda x: sum(row[0] * row[1] for row in x), M),
    "take": (lambda x: np.take(x, PLACES) + x.take(PLACES), X),
    "take axis": (lambda x: np.take(x, PLACES, axis=2, mode="wrap") * np.take(x, [5, -1, 0, 2], 2, mode="clip"), X),
    "take matrix": (lambda x: np.take(x, PLACES.reshape(2, 2), axis=1), X),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argsort(x, axis=1), 1) ** 2, X),
    "compress": (lambda x: np.compress([True, False, True], x, axis=1) ** 2, X),
    "extract": (lambda x: np.extract(x > 0, x) ** 2, X),
    "choose": (lambda x, y: np.choose([0, 1, 1, 0], [x, y]), M[0], M[1]),
    "choose broadcast": (lambda x, y: np.choose(np.array([[0], [1]]), [x, y], mode="wrap"), M[0], 0.7),
    "sort": (lambda x: np.sort(x) * np.sort(x, axis=0), X),
    "sort flat": (lambda x: np.sort(x, axis=None) ** 2, X),
    "sort_complex": (lambda x: np.sort_complex(x) ** 2, V),
    "partition": (lambda x: np.partition(x, 1, axis=1)[:, 1] ** 2, X),
    "argsort": (lambda x: x[np.argsort(x)] ** 2, V),
    "insert": (lambda x, v: np.insert(x, 1, v), V, 0.7),
    "insert several": (lambda x, v: np.insert(x, [1, 3, 3], v) ** 2, V, V[:3]),
    "insert axis": (lambda x, v: np.insert(x, 1, v, axis=1) ** 2, M, V[:3]),
    "insert constant": (lambda x: np.insert(x, slice(0, 3), 2.0, axis=0) ** 2, M),
    "delete": (lambda x: np.delete(x, [0, 2]) ** 2, M),
    "delete axis": (lambda x: np.delete(x, slice(0, 4, 2), axis=1) ** 2, M),
    "unique": (lambda x: np.unique(x) ** 2, M),
    "unique rows": (lambda x: np.unique(x, axis=0) ** 2, M),
    "unique rest": (lambda x: np.unique(x, return_inverse=True, return_counts=True)[0] ** 2, M),
    "unique_values": (lambda x: np.sort(np.unique_values(x)) ** 2 + np.unique_all(x).values, V),
    "unique_counts": (lambda x: np.unique_counts(x).values + np.unique_inverse(x).values ** 2, V),
    "union1d": (lambda x, y: np.union1d(x, y) ** 2, V, M),
    "intersect1d": (lambda x: np.intersect1d(x, x[1:3]) ** 2, V),
    "setdiff1d": (lambda x: np.setdiff1d(x, x[1:3]) ** 2, V),
    "setxor1d": (lambda x, y: np.setxor1d(x[:2], np.concatenate([x[1:], y])) ** 2, V, M[0]),
    "ix_": (lambda x: x[np.ix_([0, 1], [2, 0], [1, 3])] ** 2, X),
    "tolist": (lambda x: x.tolist()[1] * x.item(0), V),
    "astype": (lambda x: x.astype(complex) * 1j, X),
    "copy": (lambda x: x.copy() * np.copy(x), X),
    "apply_along_axis": (lambda x: np.apply_along_axis(lambda r: r * r.sum(), 1, x), X),
    "apply_along_axis scalar": (lambda x: np.apply_along_axis(lambda r: r[0] * r[1], -1, x), X),
    "apply_along_axis matrix": (lambda x: np.apply_along_axis(np.diag, 0, x), X),
    "apply_over_axes": (lambda x: np.apply_over_axes(np.sum, x**2, [0, -1]), X),
    "linspace": (lambda a, b: np.linspace(a, b, 5) ** 2, 0.3, 1.7),
    "linspace arrays": (lambda a, b: np.linspace(a, b, 4, endpoint=False, axis=-1) ** 2, M, 0.3),
    "linspace step": (lambda a, b: np.linspace(a, b, 4, retstep=True)[1] ** 2, 0.3, 1.7),
    "linspace one": (lambda a, b: np.linspace(a, b, 1) ** 2, 0.3, 1.7),
    "logspace": (lambda a, b: np.logspace(a, b, 4), 0.3, 0.7),
    "logspace base": (lambda a, b, c: np.logspace(a, b, 4, base=c), 0.3, 0.7, 2.5),
    "logspace bases": (lambda a, c: np.logspace(a, 1.0, 4, base=c), 0.3, np.array([2.0, 3.0])),
    "geomspace": (lambda a, b: np.geomspace(a, b, 5), 0.3, 1.7),
    "geomspace arrays": (lambda a, b: np.geomspace(a, b, 4, axis=1), np.abs(V) + 0.1, 2.0),
    "geomspace negative": (lambda a, b: np.geomspace(a, b, 4), -0.3, -1.7),
    "geomspace complex": (lambda a, b: np.geomspace(a, b, 4), 0.3 + 0.2j, 1.7 - 0.4j),
    "full_like": (lambda x, a: np.full_like(x, a) * x, M, 0.3),
    "full": (lambda a: np.full((2, 3), a) * np.ones((2, 3)), 0.3),
    # writing
    "set": (lambda x, y: written(x, (slice(None), 1), y), X, V[:4]),
    "set fancy": (lambda x, y: written(x, ([0, 1, 0], [2, 0, 2]), y), X, M),
    "set mask": (lambda x: written(x, x > 0, 0.5), X),
    "set scalar": (lambda x, a: written(x, (0, 1, 2), a), X, 0.3),
    "set slice of itself": (lambda x: written(x, slice(1, None), x[:-1] * 2), V),
    "set through view": (lambda x, a: through_view(x, a), X, V[:4]),
    "add.at": (lambda x, y: at(np.add, x, y), V, M[0]),
    "subtract.at": (lambda x, y: at(np.subtract, x, y), V, M[0]),
    "zeros_like": (lambda x: written(np.zeros_like(x), slice(1, 3), x[:2]), V),
    "zeros like=": (lambda x: written(np.zeros(7, like=x), slice(1, 6), x), V),
    "copyto": (lambda x, y: done(np.copyto, np.copy(x), y), X, M),
    "fill_diagonal": (lambda x, a: done(np.fill_diagonal, np.copy(x), a), S, 0.4),
    "put": (lambda x, y: done(np.put, np.copy(x), [1, 3], y), V, V[:2]),
    "put_along_axis": (lambda x, y: done(np.put_along_axis, np.copy(x), np.array([[0], [2], [1]]), y, 1), M, S[:, :1]),
    "place": (lambda x, y: done(np.place, np.copy(x), x > 0, y), X, V),
    "putmask": (lambda x, y: done(np.putmask, np.copy(x), X > 0, y), X, Y),
    "in place": (lambda x, y: in_place(x, y), X, M),
}


def written(x, index, value):
    y = np.copy(x) if isinstance(x, np.ndarray) else x.copy()
    y[index] = value
    return y * y


def through_view(x, a):
    y = x.copy()
    view = y[1].T
    view[:, 0] = a
    view[...] *= 2.0
    return y * y


def at(ufunc, x, y):
    z = x.copy()
    ufunc.at(z, PLACES, y)
    return z * z


def done(function, target, *args):
    function(target, *args)
    return target * target


def in_place(x, y):
    z = x.copy()
    z += y
    z *= z
    z[0] /= 2.0
    z -= 1.0
    return z


@pytest.mark.parametrize("name", ROWS)
def test_rows(name):
    f, *args = ROWS[name]
    witness(f, *args)


COMPLEX = [
    *(
        "reshape",
        "transpose",
        "concatenate",
        "stack",
        "broadcast_to",
        "pad",
        "tril",
        "roll",
        "sort",
        "fancy",
        "mask rows",
    ),
    *(
        "diag of vector",
        "take",
        "set fancy",
        "add.at",
        "in place",
        "insert",
        "repeat",
        "tile",
        "flip",
        "put",
        "linspace",
    ),
]


@pytest.mark.parametrize("name", COMPLEX)
def test_complex(name):
    f, *args = ROWS[name]
    if name == "set fancy":
        f = lambda x, y: written(x, ([0, 1], [2, 0]), y[:2])
    witness(f, *[np.asarray(a) + 1j * np.cos(np.arange(np.size(a)).reshape(np.shape(a))) for a in args])


def test_single_precision():
    for name in ("reshape", "stack", "pad", "sort", "fancy", "diag", "set fancy", "roll", "tril", "unique", "linspace"):
        f, *args = ROWS[name]
        args = [np.asarray(a, "f4") for a in args]
        for adtype in (ad.AutoTape(), ad.AutoForward()):
            value, grads = ad.withgradient(lambda *xs, f=f: np.sum(f(*xs)), adtype, *args)
            assert value.dtype == np.float32, name
            assert all(g.dtype == np.float32 for g in grads), name


EMPTY = ["reshape", "concatenate", "stack", "transpose", "flip", "sort", "ravel", "repeat", "broadcast_to", "set fancy"]


def test_empty_arrays():
    assert ad.gradient(lambda x: np.sum(np.concatenate([x, np.ones(2)])), np.zeros(0))[0].shape == (0,)
    for f in (np.sort, np.flip, np.ravel, lambda x: np.repeat(x, 2), lambda x: x[x > 0], lambda x: np.stack([x, x])):
        assert ad.gradient(lambda x, f=f: np.sum(f(x)), np.zeros((0, 3)))[0].shape == (0, 3)
