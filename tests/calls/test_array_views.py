"""A view of an array is found again as slices, transposition and shape, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from adselect.calls.array_views import Memory, view_of

BASES = {
    "C": np.arange(24.0).reshape(2, 3, 4),
    "Fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "strided": np.arange(96.0).reshape(4, 6, 4)[::2, ::2],
    "reversed": np.arange(24.0).reshape(2, 3, 4)[::-1],
}
VIEWS = {
    "itself": lambda W: W[:],
    "transposed": lambda W: W.T,
    "axes": lambda W: np.moveaxis(W, 0, -1)[::-1],
    "row": lambda W: W[1],
    "column": lambda W: W[:, 1],
    "entry": lambda W: W[1, 2, 3:4],
    "steps": lambda W: W[1, ::2, ::-2].T,
    "new axes": lambda W: W[:, None, 1, :, None],
    "one row": lambda W: W[1:, :1].swapaxes(0, 2),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("view", VIEWS)
def test_views(base, view):
    W = BASES[base]
    V = VIEWS[view](W)
    take = view_of(W, V)
    assert take is not None
    assert np.shares_memory(take(W), W)
    np.testing.assert_array_equal(take(W), V)
    other = np.random.default_rng(0).normal(size=W.shape)
    np.testing.assert_array_equal(take(other), VIEWS[view](other))


def test_other_shapes():
    W = BASES["C"]
    for V in (W.reshape(6, 4), W.reshape(-1), W.reshape(2, 12)):
        np.testing.assert_array_equal(view_of(W, V)(W + 1), V + 1)


def test_what_is_no_view_by_slices():
    W = BASES["C"]
    for V in (
        W.diagonal(),
        np.broadcast_to(W, (2, 2, 3, 4)),
        W.view(np.int64),
        np.lib.stride_tricks.sliding_window_view(W.reshape(-1), 3),
    ):
        assert view_of(W, V) is None
    flat = np.arange(6.0)
    assert view_of(flat[1:4], flat) is None


def test_which_arrays_meet():
    flat = np.arange(6.0)
    memory = Memory(flat[::2])
    bounds = np.lib.array_utils.byte_bounds(flat[1::2])
    assert not memory.meets(flat[1::2], *bounds)
    assert memory.meets(flat, *np.lib.array_utils.byte_bounds(flat))
