"""The problems that are timed: each a function ``make(xp) → f`` written once, in NumPy style, for a namespace ``xp``.

``xp`` is ``numpy`` (plain evaluation and adselect), ``autograd.numpy``, ``jax.numpy``, or a NumPy face for torch (see
``contestants.py``). f takes the differentiated arguments only; data are captured, passed through ``xp.asarray`` once.
Where an adjoint written by hand is given, ``hand(*args)`` returns the value and a tuple of gradients; it is what
somebody careful would write in NumPy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["CLASSES", "QUICK", "Problem", "problems"]

# small: at most 1,000 numbers and some 60 operations; medium: 10,000 to 100,000; large: a million numbers or that much
# arithmetic; long: hundreds to thousands of operations on few numbers, where the cost of one operation is everything.
CLASSES = ("small", "medium", "large", "long")

UNROLLED = "a Python loop is unrolled, and compiling it takes minutes"
COMPILED = "compiling thousands of operations with numba takes minutes"


@dataclass
class Problem:
    """One function at one size.

    family and size: what a growth curve joins; kind: one of CLASSES; make: namespace → f; args: the point; hand:
    value and gradients by hand, or None; absent: contestants that cannot take part, each with the reason.
    """

    family: str
    size: int
    kind: str
    make: Callable[[Any], Callable]
    args: tuple
    hand: Callable | None = None
    rolled: Callable | None = None
    label: str = ""
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique name: the family and what tells its members apart."""
        return f"{self.family} {self.label or f'{self.size:,}'}"

    @property
    def numbers(self) -> int:
        """How many numbers are differentiated with respect to."""
        return sum(np.size(a) for a in self.args)


# -- vectors ---------------------------------------------------------------------------------------------------------


def rosenbrock(xp: Any) -> Callable:
    """Neighbours coupled through slices."""
    return lambda x: xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_by_hand(x: np.ndarray) -> tuple:
    """Value and gradient of the Rosenbrock function."""
    head = x[:-1]
    bend = x[1:] - head * head
    slack = 1.0 - head
    value = 100.0 * np.dot(bend, bend) + np.dot(slack, slack)
    gradient = np.zeros_like(x)
    gradient[1:] = 200.0 * bend
    bend *= head
    bend *= 400.0
    slack *= 2.0
    gradient[:-1] -= bend
    gradient[:-1] -= slack
    return value, (gradient,)


def logsumexp(xp: Any) -> Callable:
    """The stable form; the shift is differentiated like everything else."""

    def f(x: Any) -> Any:
        top = xp.max(x)
        return top + xp.log(xp.sum(xp.exp(x - top)))

    return f


def logsumexp_by_hand(x: np.ndarray) -> tuple:
    """Value and softmax."""
    top = x.max()
    weights = np.exp(x - top)
    total = weights.sum()
    weights /= total
    return top + np.log(total), (weights,)


def chain(xp: Any) -> Callable:
    """Twenty elementwise operations and a sum."""

    def f(x: Any) -> Any:
        for _ in range(4):
            x = xp.exp(-x * x) + 0.5 * x
        return xp.sum(x)

    return f


def chain_by_hand(x: np.ndarray) -> tuple:
    """The derivative of every stage is kept on the way forward and multiplied on the way back."""
    slopes = []
    for _ in range(4):
        bell = np.exp(-x * x)
        slope = x * bell
        slope *= -2.0
        slope += 0.5
        slopes.append(slope)
        x = 0.5 * x
        x += bell
    gradient = slopes.pop()
    while slopes:
        gradient *= slopes.pop()
    return x.sum(), (gradient,)


# -- statistics and learning -----------------------------------------------------------------------------------------


def least_squares(rows: int, columns: int) -> tuple[Callable, tuple, Callable]:
    """½‖Ax − b‖²."""
    rng = np.random.default_rng(1)
    A, b = rng.normal(size=(rows, columns)), rng.normal(size=rows)

    def make(xp: Any) -> Callable:
        matrix, right = xp.asarray(A), xp.asarray(b)

        def f(x: Any) -> Any:
            residual = matrix @ x - right
            return 0.5 * xp.sum(residual * residual)

        return f

    def hand(x: np.ndarray) -> tuple:
        residual = A @ x
        residual -= b
        return 0.5 * np.dot(residual, residual), (residual @ A,)

    return make, (rng.normal(size=columns),), hand


def network(width: int, batch: int = 32, kinds: int = 10) -> tuple[Callable, tuple, Callable]:
    """A hidden tanh layer and the cross entropy of a softmax."""
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=(batch, width)), np.eye(kinds)[rng.integers(0, kinds, batch)]

    def make(xp: Any) -> Callable:
        data, targets = xp.asarray(X), xp.asarray(Y)

        def f(W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
            hidden = xp.tanh(data @ W1 + b1)
            scores = hidden @ W2 + b2
            scores = scores - xp.max(scores, axis=1, keepdims=True)
            logs = scores - xp.log(xp.sum(xp.exp(scores), axis=1, keepdims=True))
            return -xp.sum(targets * logs) / batch

        return f

    def hand(W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray) -> tuple:
        hidden = X @ W1
        hidden += b1
        np.tanh(hidden, out=hidden)
        scores = hidden @ W2
        scores += b2
        scores -= scores.max(axis=1, keepdims=True)
        weights = np.exp(scores)
        totals = weights.sum(axis=1, keepdims=True)
        value = (np.log(totals).sum() - np.vdot(Y, scores)) / batch
        weights /= totals
        weights -= Y
        weights /= batch
        hidden_bar = weights @ W2.T
        W2_bar, b2_bar = hidden.T @ weights, weights.sum(axis=0)
        hidden *= hidden
        np.subtract(1.0, hidden, out=hidden)
        hidden_bar *= hidden
        return value, (X.T @ hidden_bar, hidden_bar.sum(axis=0), W2_bar, b2_bar)

    args = (
        rng.normal(size=(width, width)) / np.sqrt(width),
        np.zeros(width),
        rng.normal(size=(width, kinds)) / np.sqrt(width),
        np.zeros(kinds),
    )
    return make, args, hand


def mixture(d: int, k: int, n: int = 1000) -> tuple[Callable, tuple, Callable]:
    """ADBench's Gaussian mixture: full covariances through triangular factors, a Wishart prior."""
    rng = np.random.default_rng(3)
    data = rng.normal(size=(n, d))
    lower = np.tril_indices(d, -1)
    spread = np.zeros((len(lower[0]), d * d))  # places the packed entries below the diagonals
    spread[np.arange(len(lower[0])), lower[0] * d + lower[1]] = 1.0
    constant = -0.5 * n * d * np.log(2 * np.pi)

    def make(xp: Any) -> Callable:
        points, places = xp.asarray(data[None]), xp.asarray(spread)

        def lse(t: Any) -> Any:
            top = xp.max(t, axis=0, keepdims=True)
            return top[0] + xp.log(xp.sum(xp.exp(t - top), axis=0))

        def f(alpha: Any, mu: Any, logs: Any, packed: Any) -> Any:
            factors = xp.reshape(packed @ places, (k, d, d))
            scale = xp.exp(logs)
            centred = points - mu[:, None, :]
            white = scale[:, None, :] * centred + xp.matmul(centred, xp.swapaxes(factors, 1, 2))
            inner = (alpha + xp.sum(logs, axis=1))[:, None] - 0.5 * xp.sum(white * white, axis=2)
            prior = 0.5 * (xp.sum(scale * scale) + xp.sum(packed * packed))
            return constant + xp.sum(lse(inner)) - n * lse(alpha) - prior

        return f

    def hand(alpha: np.ndarray, mu: np.ndarray, logs: np.ndarray, packed: np.ndarray) -> tuple:
        factors = np.zeros((k, d, d))
        factors[:, lower[0], lower[1]] = packed
        scale = np.exp(logs)
        centred = data[None] - mu[:, None, :]
        white = centred @ factors.swapaxes(1, 2)
        white += scale[:, None, :] * centred
        inner = (alpha + logs.sum(axis=1))[:, None] - 0.5 * np.einsum("kni,kni->kn", white, white)
        top = inner.max(axis=0)
        inner -= top
        np.exp(inner, out=inner)
        total = inner.sum(axis=0)
        inner /= total
        alphas = np.exp(alpha - alpha.max())
        value = constant + top.sum() + np.log(total).sum() - n * (alpha.max() + np.log(alphas.sum()))
        value -= 0.5 * (np.vdot(scale, scale) + np.vdot(packed, packed))
        share = inner.sum(axis=1)
        white *= -inner[:, :, None]
        logs_bar = np.einsum("kni,kni->ki", white, centred)
        logs_bar *= scale
        logs_bar += share[:, None]
        logs_bar -= scale * scale
        totals = white.sum(axis=1)  # the sum over points commutes with the factor
        mu_bar = -(totals * scale + (totals[:, None, :] @ factors)[:, 0, :])
        factors_bar = white.swapaxes(1, 2) @ centred
        return value, (
            share - n * alphas / alphas.sum(),
            mu_bar,
            logs_bar,
            factors_bar[:, lower[0], lower[1]] - packed,
        )

    args = (
        rng.normal(size=k),
        rng.normal(size=(k, d)),
        0.1 * rng.normal(size=(k, d)),
        0.1 * rng.normal(size=(k, d * (d - 1) // 2)),
    )
    return make, args, hand


def clusters(n: int, k: int, d: int) -> tuple[Callable, tuple, Callable]:
    """k-means: every point's squared distance to its nearest centre."""
    rng = np.random.default_rng(4)
    data = rng.normal(size=(n, d))
    squares = np.sum(data * data, axis=1)

    def make(xp: Any) -> Callable:
        points, lengths = xp.asarray(data), xp.asarray(squares[:, None])

        def f(centres: Any) -> Any:
            distances = lengths + xp.sum(centres * centres, axis=1) - 2.0 * (points @ centres.T)
            return xp.sum(xp.min(distances, axis=1))

        return f

    def hand(centres: np.ndarray) -> tuple:
        distances = data @ centres.T
        distances *= -2.0
        distances += np.einsum("ij,ij->i", centres, centres)
        nearest = distances.argmin(axis=1)
        value = squares.sum() + distances[np.arange(n), nearest].sum()
        belongs = np.zeros((k, n))
        belongs[nearest, np.arange(n)] = 2.0
        gradient = centres * belongs.sum(axis=1)[:, None]
        gradient -= belongs @ data
        return value, (gradient,)

    return make, (rng.normal(size=(k, d)),), hand


def bundle(cameras: int, points: int, observations: int) -> tuple[Callable, tuple, None]:
    """Bundle adjustment as in ADBench: rotation by Rodrigues' formula, radial distortion, weighted reprojection errors.

    A camera is rotation (3), centre (3), focal length, principal point (2), radial distortion (2).
    """
    rng = np.random.default_rng(5)
    camera, point = rng.integers(0, cameras, observations), rng.integers(0, points, observations)
    pictures = rng.normal(size=(observations, 2))

    def make(xp: Any) -> Callable:
        which_camera, which_point, seen = xp.asarray(camera), xp.asarray(point), xp.asarray(pictures)

        def cross(a: Any, b: Any) -> Any:
            x = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
            y = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
            z = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
            return xp.stack([x, y, z], axis=1)

        def f(poses: Any, places: Any, weights: Any) -> Any:
            pose, place = poses[which_camera], places[which_point] - poses[which_camera, 3:6]
            turn = pose[:, 0:3]
            angle = xp.sqrt(xp.sum(turn * turn, axis=1, keepdims=True))
            axis = turn / angle
            along = xp.sum(axis * place, axis=1, keepdims=True)
            cosine, sine = xp.cos(angle), xp.sin(angle)
            turned = place * cosine + cross(axis, place) * sine + axis * along * (1.0 - cosine)
            flat = turned[:, 0:2] / turned[:, 2:3]
            square = xp.sum(flat * flat, axis=1, keepdims=True)
            bent = flat * (1.0 + pose[:, 9:10] * square + pose[:, 10:11] * square * square)
            error = weights[:, None] * (bent * pose[:, 6:7] + pose[:, 7:9] - seen)
            return 0.5 * xp.sum(error * error) + 0.5 * xp.sum((1.0 - weights * weights) ** 2)

        return f

    poses = np.concatenate(
        [
            0.1 * rng.normal(size=(cameras, 3)),
            10.0 + rng.uniform(size=(cameras, 3)),
            1.0 + rng.uniform(size=(cameras, 1)),
            rng.normal(size=(cameras, 2)),
            0.01 * rng.normal(size=(cameras, 2)),
        ],
        axis=1,
    )
    # Cameras turn little and stand far from every point, so that no depth comes close to 0.
    return make, (poses, rng.uniform(size=(points, 3)), 0.5 + rng.uniform(size=observations)), None


# -- loops -----------------------------------------------------------------------------------------------------------


def recurrent(steps: int, d: int = 14) -> tuple[Callable, tuple, None, Callable]:
    """ADBench's LSTM: two layers with elementwise weights, the log probability of a sequence of bit patterns."""
    rng = np.random.default_rng(6)
    bits = (rng.uniform(size=(steps + 1, d)) > 0.5).astype(float)

    def stages(xp: Any, weights: Any, biases: Any, ends: Any) -> Callable:
        def sigmoid(z: Any) -> Any:
            return 1.0 / (1.0 + xp.exp(-z))

        def layer(w: Any, b: Any, h: Any, c: Any, x: Any) -> tuple:
            forget, let_in = sigmoid(x * w[0] + b[0]), sigmoid(h * w[1] + b[1])
            let_out, change = sigmoid(x * w[2] + b[2]), xp.tanh(h * w[3] + b[3])
            c = c * forget + let_in * change
            return let_out * xp.tanh(c), c

        def advance(states: tuple, now: Any, following: Any) -> tuple:
            x, after = now * ends[0], []
            for i in range(2):
                h, c = layer(weights[i], biases[i], *states[i], x)
                after.append((h, c))
                x = h
            scores = x * ends[1] + ends[2]
            return tuple(after), xp.sum(following * (scores - xp.log(xp.sum(xp.exp(scores)) + 2.0)))

        return advance

    def make(xp: Any) -> Callable:
        sequence = [xp.asarray(row) for row in bits]
        zeros = xp.asarray(np.zeros(d))

        def f(weights: Any, biases: Any, ends: Any) -> Any:
            advance, states, total = stages(xp, weights, biases, ends), ((zeros, zeros), (zeros, zeros)), 0.0
            for now, following in itertools.pairwise(sequence):
                states, score = advance(states, now, following)
                total = total + score
            return -total / steps

        return f

    def rolled(jax: Any, xp: Any) -> Callable:
        sequence, zeros = xp.asarray(bits), xp.zeros(d)

        def f(weights: Any, biases: Any, ends: Any) -> Any:
            advance = stages(xp, weights, biases, ends)
            start = ((zeros, zeros), (zeros, zeros))
            scores = jax.lax.scan(lambda states, pair: advance(states, *pair), start, (sequence[:-1], sequence[1:]))[1]
            return -xp.sum(scores) / steps

        return f

    args = (0.3 * rng.normal(size=(2, 4, d)), 0.3 * rng.normal(size=(2, 4, d)), 0.3 * rng.normal(size=(3, d)))
    return make, args, None, rolled


def oscillator(steps: int) -> tuple[Callable, tuple, Callable, Callable]:
    """A damped oscillator by the classical Runge–Kutta method, on numbers instead of arrays."""
    h = 0.05

    def advance(x: Any, v: Any, stiffness: Any, damping: Any) -> tuple:
        k1x, k1v = v, -stiffness * x - damping * v
        k2x = v + h / 2 * k1v
        k2v = -stiffness * (x + h / 2 * k1x) - damping * k2x
        k3x = v + h / 2 * k2v
        k3v = -stiffness * (x + h / 2 * k2x) - damping * k3x
        k4x = v + h * k3v
        k4v = -stiffness * (x + h * k3x) - damping * k4x
        return x + h / 6 * (k1x + 2 * k2x + 2 * k3x + k4x), v + h / 6 * (k1v + 2 * k2v + 2 * k3v + k4v)

    def make(xp: Any) -> Callable:
        def f(stiffness: Any, damping: Any) -> Any:
            x, v = 1.0 * stiffness, 0.0 * stiffness
            for _ in range(steps):
                x, v = advance(x, v, stiffness, damping)
            return x * x + v * v

        return f

    def rolled(jax: Any, xp: Any) -> Callable:
        def f(stiffness: Any, damping: Any) -> Any:
            step = lambda state, _: (advance(*state, stiffness, damping), None)
            x, v = jax.lax.scan(step, (1.0 * stiffness, 0.0 * stiffness), None, length=steps)[0]
            return x * x + v * v

        return f

    def hand(a: float, b: float) -> tuple:
        x, v, kept = a, 0.0, []
        for _ in range(steps):
            k1v = -a * x - b * v
            x2, v2 = x + h / 2 * v, v + h / 2 * k1v
            k2v = -a * x2 - b * v2
            x3, v3 = x + h / 2 * v2, v + h / 2 * k2v
            k3v = -a * x3 - b * v3
            x4, v4 = x + h * v3, v + h * k3v
            k4v = -a * x4 - b * v4
            kept.append((x, v, x2, v2, x3, v3, x4, v4))
            x, v = x + h / 6 * (v + 2 * v2 + 2 * v3 + v4), v + h / 6 * (k1v + 2 * k2v + 2 * k3v + k4v)
        value, x_bar, v_bar, a_bar, b_bar = x * x + v * v, 2 * x, 2 * v, 0.0, 0.0
        for x1, v1, x2, v2, x3, v3, x4, v4 in reversed(kept):
            k_bar, slope_bar = h / 6 * v_bar, h / 6 * x_bar
            x4_bar, v4_bar = -a * k_bar, slope_bar - b * k_bar
            a_bar, b_bar = a_bar - k_bar * x4, b_bar - k_bar * v4
            k_bar = 2 * h / 6 * v_bar + h * v4_bar
            x3_bar, v3_bar = -a * k_bar, 2 * slope_bar + h * x4_bar - b * k_bar
            a_bar, b_bar = a_bar - k_bar * x3, b_bar - k_bar * v3
            k_bar = 2 * h / 6 * v_bar + h / 2 * v3_bar
            x2_bar, v2_bar = -a * k_bar, 2 * slope_bar + h / 2 * x3_bar - b * k_bar
            a_bar, b_bar = a_bar - k_bar * x2, b_bar - k_bar * v2
            k_bar = h / 6 * v_bar + h / 2 * v2_bar
            a_bar, b_bar = a_bar - k_bar * x1, b_bar - k_bar * v1
            v_bar = v_bar + v2_bar + v3_bar + v4_bar + slope_bar + h / 2 * x2_bar - b * k_bar
            x_bar = x_bar + x2_bar + x3_bar + x4_bar - a * k_bar
        return value, (a_bar + x_bar, b_bar)

    return make, (1.3, 0.2), hand, rolled


def reaction(n: int, steps: int) -> tuple[Callable, tuple, Callable, Callable]:
    """Reaction and diffusion on a ring of n cells by explicit steps; differentiated by the initial state."""
    rate, growth = 0.2, 0.1

    def advance(xp: Any, u: Any) -> Any:
        return u + rate * (xp.roll(u, 1) + xp.roll(u, -1) - 2.0 * u) + growth * u * (1.0 - u)

    def make(xp: Any) -> Callable:
        def f(u: Any) -> Any:
            for _ in range(steps):
                u = advance(xp, u)
            return xp.sum(u * u)

        return f

    def rolled(jax: Any, xp: Any) -> Callable:
        def f(u: Any) -> Any:
            u = jax.lax.scan(lambda u, _: (advance(xp, u), None), u, None, length=steps)[0]
            return xp.sum(u * u)

        return f

    def hand(u: np.ndarray) -> tuple:
        kept = []
        for _ in range(steps):
            kept.append(u)
            change = np.roll(u, 1)
            change += np.roll(u, -1)
            change *= rate
            change += (1.0 - 2.0 * rate + growth) * u
            change -= growth * u * u
            u = change
        value, u_bar = np.dot(u, u), 2.0 * u
        for u in reversed(kept):
            spread = np.roll(u_bar, 1)
            spread += np.roll(u_bar, -1)
            spread *= rate
            u_bar *= (1.0 - 2.0 * rate + growth) - 2.0 * growth * u
            u_bar += spread
        return value, (u_bar,)

    return make, (np.random.default_rng(7).uniform(size=n),), hand, rolled


# -- the list --------------------------------------------------------------------------------------------------------

QUICK = ("rosenbrock 100", "logsumexp 1,000", "least squares 100×10", "network 32", "chain 1,000", "mixture 2×5")


def problems() -> list[Problem]:
    """Every problem, small ones first within a family."""
    rng = np.random.default_rng(0)
    found = []

    def add(family: str, size: int, kind: str, parts: tuple, label: str = "", **absent: str) -> None:
        make, args, hand, *rolled = parts
        found.append(Problem(family, size, kind, make, args, hand, rolled[0] if rolled else None, label, absent))

    for n, kind in ((10, "small"), (100, "small"), (1_000, "small"), (10_000, "medium"), (100_000, "medium")):
        add("rosenbrock", n, kind, (rosenbrock, (rng.normal(size=n),), rosenbrock_by_hand))
    add("rosenbrock", 10**6, "large", (rosenbrock, (rng.normal(size=10**6),), rosenbrock_by_hand))
    for n, kind in ((1_000, "small"), (100_000, "medium"), (10**6, "large")):
        add("logsumexp", n, kind, (logsumexp, (rng.normal(size=n),), logsumexp_by_hand))
    for n, kind in ((1_000, "small"), (100_000, "medium"), (10**6, "large")):
        add("chain", n, kind, (chain, (rng.uniform(size=n),), chain_by_hand))
    for (m, n), kind in (((100, 10), "small"), ((1000, 100), "medium"), ((10_000, 200), "large")):
        add("least squares", m * n, kind, least_squares(m, n), f"{m}×{n}")
    for width, kind in ((32, "small"), (256, "medium"), (1024, "large")):
        add("network", width, kind, network(width))
    for (d, k), kind in (((2, 5), "small"), ((10, 10), "medium"), ((32, 25), "large")):
        add("mixture", 1000 * d * k, kind, mixture(d, k), f"{d}×{k}")
    for n, kind in ((1_000, "small"), (10_000, "medium"), (100_000, "large")):
        add("k-means", n, kind, clusters(n, 10, 8))
    for sizes, kind in (((10, 50, 200), "small"), ((50, 2_000, 10_000), "medium")):
        add("bundle", sizes[2], kind, bundle(*sizes))
    for n, kind in ((1_000, "long"), (100_000, "large")):
        add("reaction", n, kind, reaction(n, 20), f"{n:,}, 20 steps")
    for steps in (10, 100):
        slow = {} if steps == 10 else {"jax": UNROLLED, "autojax": UNROLLED, "native": COMPILED}
        add("lstm", steps, "long", recurrent(steps), f"{steps} steps", **slow)
    for steps in (2, 20, 200):
        slow = {} if steps == 2 else {"jax": UNROLLED, "autojax": UNROLLED}
        add("runge-kutta", steps, "long", oscillator(steps), f"{steps} steps", **slow)
    return found
