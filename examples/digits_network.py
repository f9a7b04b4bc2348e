"""A small neural network on scikit-learn's digits, trained by three optimisers with gradients from any backend.

    python examples/digits_network.py --adtype AutoTorch

The loss is plain NumPy over a dict of parameters. Its gradients from all installed backends are compared; then the
network is trained with scipy.optimize (L-BFGS), with optax (Adam) and with torch.optim (Adam). The optimiser and the
backend are independent: optax runs on gradients from torch, torch.optim on gradients from JAX.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_digits

import adselect as ad
from adselect.testing import compare

Parameters = dict[str, Any]
COMPARED_IMAGES = 100  # finite differences evaluate the loss a dozen times per parameter: a few images will do


def network(parameters: Parameters, images: np.ndarray) -> Any:
    """The scores of the ten digits for each image: one hidden layer with tanh."""
    hidden = np.tanh(images @ parameters["W1"] + parameters["b1"])
    return hidden @ parameters["W2"] + parameters["b2"]


def loss(parameters: Parameters, images: np.ndarray, digits: np.ndarray) -> Any:
    """Mean cross-entropy plus a small penalty on the weights."""
    scores = network(parameters, images)
    top = np.max(scores, axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(scores - top), axis=1)) + top[:, 0]
    right = scores[np.arange(len(digits)), digits]
    penalty = np.sum(parameters["W1"] ** 2) + np.sum(parameters["W2"] ** 2)
    return np.mean(log_total - right) + 1e-4 * penalty


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """1797 images of 8 × 8 pixels and their digits, every fourth one kept for testing."""
    data = load_digits()
    images, digits = data.data / 16.0, data.target
    test = np.arange(len(digits)) % 4 == 0
    return images[~test], digits[~test], images[test], digits[test]


def initial_parameters(hidden: int = 16) -> Parameters:
    """Random weights, zero biases."""
    random = np.random.default_rng(0)
    return {
        "W1": random.normal(size=(64, hidden)) / 8,
        "b1": np.zeros(hidden),
        "W2": random.normal(size=(hidden, 10)) / np.sqrt(hidden),
        "b2": np.zeros(10),
    }


def problem() -> tuple[Callable, Parameters]:
    """The loss of the first images as a function of the parameters alone, and parameters to compare gradients at."""
    images, digits, _, _ = load()
    images, digits = images[:COMPARED_IMAGES], digits[:COMPARED_IMAGES]
    return functools.partial(loss, images=images, digits=digits), initial_parameters(hidden=4)


def train_scipy(objective: Callable, adtype: ad.ADType, parameters: Parameters, steps: int) -> Parameters:
    """scipy.optimize.minimize works on one vector: the dict is laid out in it and read back."""
    shapes = {name: array.shape for name, array in parameters.items()}
    ends = np.cumsum([array.size for array in parameters.values()])

    def pack(arrays: Parameters) -> np.ndarray:
        return np.concatenate([array.ravel() for array in arrays.values()])

    def unpack(vector: np.ndarray) -> Parameters:
        pieces = np.split(vector, ends[:-1])
        return {name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, (gradient,) = ad.withgradient(objective, adtype, unpack(vector))
        return value, pack(gradient)

    result = minimize(value_and_gradient, pack(parameters), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return unpack(result.x)


def train_optax(objective: Callable, adtype: ad.ADType, parameters: Parameters, steps: int) -> Parameters:
    """optax takes a gradient structured like the parameters, which is what ``gradient`` returns."""
    optimiser = optax.adam(0.01)
    with jax.enable_x64(True):  # optax computes with jax.numpy, which would otherwise round to float32
        state, update = optimiser.init(parameters), jax.jit(optimiser.update)
        for _ in range(steps):
            (gradient,) = ad.gradient(objective, adtype, parameters)
            updates, state = update(gradient, state, parameters)
            parameters = {name: array + np.asarray(updates[name]) for name, array in parameters.items()}
    return parameters


def train_torch(objective: Callable, adtype: ad.ADType, parameters: Parameters, steps: int) -> Parameters:
    """torch.optim reads ``.grad`` and writes its tensors in place; they share their memory with the NumPy arrays."""
    parameters = {name: array.copy() for name, array in parameters.items()}
    tensors = {name: torch.from_numpy(array) for name, array in parameters.items()}
    optimiser = torch.optim.Adam(tensors.values(), lr=0.01)
    for _ in range(steps):
        (gradient,) = ad.gradient(objective, adtype, parameters)
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(gradient[name])
        optimiser.step()
    return parameters


TRAINERS = {"scipy L-BFGS": train_scipy, "optax Adam": train_optax, "torch.optim Adam": train_torch}


def main(argv: list[str] | None = None) -> int:
    """Compare, train three times, print the accuracies; 0 if all backends agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adtype", default="AutoTape", help="the choice that trains the network, such as AutoJax")
    parser.add_argument("--steps", type=int, default=200, help="steps of each optimiser")
    options = parser.parse_args(argv)
    adtype = getattr(ad, options.adtype)()

    report = compare(*problem())
    print(report)

    images, digits, test_images, test_digits = load()
    objective = functools.partial(loss, images=images, digits=digits)
    print(f"\ntrained with gradients from {adtype}, {options.steps} steps each:")
    for name, train in TRAINERS.items():
        trained = train(objective, adtype, initial_parameters(), options.steps)
        right = np.argmax(network(trained, test_images), axis=1) == test_digits
        print(f"{name:>18}: loss {objective(trained):.4f}, accuracy on {len(right)} test images {np.mean(right):.3f}")
    return 0 if report.agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
