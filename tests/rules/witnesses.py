"""Three witnesses of a rule: central differences, forward against reverse mode, and both at second order."""

import numpy as np

import adselect as ad

TAPE, FORWARD = ad.AutoTape(), ad.AutoForward()


def inner(a, b):
    """Re⟨a, b⟩, None being zero."""
    return 0.0 if a is None or b is None else np.real(np.sum(np.conj(a) * b))


def like(x, rng):
    """A random direction in the space x lives in."""
    d = rng.standard_normal(np.shape(x))
    if np.iscomplexobj(x):
        d = d + 1j * rng.standard_normal(np.shape(x))
    return d.astype(np.result_type(x)) if np.ndim(x) else d[()] if isinstance(d, np.ndarray) else d


def central(f, args, directions, h):
    """Directional derivative of f by the central difference of order 4."""

    def at(t):
        return np.asarray(f(*[a + t * d for a, d in zip(args, directions, strict=True)]))

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def close(a, b, tol, what):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"{what}: shape {a.shape} is not {b.shape}"
    if a.size:
        scale = max(1.0, np.max(np.abs(b)))
        error = np.max(np.abs(a - b)) / scale
        assert error <= tol, f"{what}: {a} is not {b} (relative error {error:.1e})"


def witness(f, *args, order=2, tol=1e-7, h=1e-3, seed=0):
    """Hold f's rules, at args, against the three witnesses; f returns one array of floats."""
    rng = np.random.default_rng(seed)
    args = [np.asarray(a, float) if isinstance(a, (list, int)) else a for a in args]
    value = np.asarray(f(*args))
    directions = [like(a, rng) for a in args]
    expected = central(f, args, directions, h)
    seed_bar = like(value, rng) if value.ndim else like(value[()], rng)

    y, y_dot = ad.pushforward(f, FORWARD, tuple(args), tuple(directions))
    close(y, value, 1e-12, "forward value")
    assert np.asarray(y).dtype == value.dtype, f"forward dtype {np.asarray(y).dtype}, not {value.dtype}"
    close(np.zeros(value.shape) if y_dot is None else y_dot, expected, tol, "forward mode against differences")

    y, back = ad.pullback(f, TAPE, *args)
    close(y, value, 1e-12, "tape value")
    assert np.asarray(y).dtype == value.dtype, f"tape dtype {np.asarray(y).dtype}, not {value.dtype}"
    bars = back(seed_bar)
    for bar, a in zip(bars, args, strict=True):
        assert bar is None or np.shape(bar) == np.shape(a), f"cotangent of shape {np.shape(bar)} for {np.shape(a)}"
        assert bar is None or np.iscomplexobj(a) or not np.iscomplexobj(bar)
    along = sum(inner(bar, d) for bar, d in zip(bars, directions, strict=True))
    close(along, inner(seed_bar, expected), tol * max(1, value.size), "reverse mode against differences")
    again = back(seed_bar)
    for bar, other in zip(bars, again, strict=True):
        assert bar is None or np.array_equal(bar, other, equal_nan=True), "the pullback is not repeatable"
    if order < 2:
        return

    def loss(*xs):
        return np.sum(np.real(np.conj(seed_bar) * f(*xs)))

    def slope(adtype):
        def along(*xs):
            grads = ad.gradient(loss, adtype, *xs)
            parts = [np.sum(np.real(np.conj(d) * g)) for d, g in zip(directions, grads, strict=True) if g is not None]
            return sum(parts, np.zeros(()))

        return along

    others = [like(a, rng) for a in args]
    expected = central(slope(TAPE), args, others, h)
    for name, adtype in (("forward over reverse", TAPE), ("forward over forward", FORWARD)):
        _, curvature = ad.pushforward(slope(adtype), FORWARD, tuple(args), tuple(others))
        close(0.0 if curvature is None else curvature, expected, 30 * tol * max(1, value.size), name)
    for name, adtype in (("reverse over reverse", TAPE), ("reverse over forward", FORWARD)):
        grads = ad.pullback(slope(adtype), TAPE, *args)[1](1.0)
        curvature = sum(inner(g, d) for g, d in zip(grads, others, strict=True))
        close(curvature, expected, 30 * tol * max(1, value.size), name)
