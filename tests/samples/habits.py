"""What every backend does and ``limits.py`` may list exceptions to: name → function of a choice that lists problems."""

import numpy as np

import adselect as ad


def unused_argument(adtype):
    return [] if ad.gradient(lambda x, y: x * x, adtype, 2.0, 3.0)[1] is None else ["a cotangent for y"]


def unused_part(adtype):
    grad = ad.gradient(lambda m: np.sum(m["w"] ** 2), adtype, {"w": np.ones(2), "b": 1.0})[0]
    return [] if grad["b"] is None else ["a cotangent for b"]


def only_the_shape(adtype):
    return [] if ad.gradient(lambda x: np.sum(np.ones_like(x)), adtype, np.ones(2))[0] is None else ["a cotangent"]


def integer_index(adtype):
    grads = ad.gradient(lambda x, i: np.sum(x[i]), adtype, np.ones(3), np.array([0, 2, 2]))
    return [] if grads[1] is None else ["a cotangent for the index"]


def comparison(adtype):
    return [] if ad.gradient(lambda x: np.sum(x == 0.0), adtype, np.ones(3))[0] is None else ["a cotangent"]


def runs_once(adtype):
    calls = []
    ad.withgradient(lambda x: calls.append(1) or x * x, adtype, 1.5)
    return [] if len(calls) == 1 else [f"{len(calls)} runs"]


def written_elsewhere(adtype):
    notes = {}

    def f(x):
        notes["x"] = x * 1.0
        return x * x

    ad.gradient(f, adtype, 1.5)
    return [] if float(notes["x"]) == 1.5 else [f"{notes['x']} was written"]


def rule_used(adtype):
    @ad.primitive
    def marked(x):
        return x * x

    @ad.define_rrule(marked)
    def marked_rrule(x):
        return x * x, lambda y_bar: (ad.NoTangent(), 100.0 * y_bar)

    return [] if ad.gradient(lambda x: marked(x), adtype, 1.5) == (100.0,) else ["the rule was not used"]


def _tried(call):
    """The problem of a call that may be refused; None where it returned True."""
    try:
        return [] if call() else ["another result"]
    except ad.UnsupportedError as error:
        return [f"refused: {error}"]


def hooked(adtype):
    return _tried(lambda: ad.gradient(lambda a, b: ad.hook(lambda g: -g, a) * b, adtype, 2.0, 3.0) == (-3.0, 2.0))


def updated_eagerly(adtype):
    def updated():
        model = {"w": np.array([3.0])}

        def update(state, model, grad):
            model["w"] -= state * grad["w"]

        ad.gradient(lambda m: np.sum(ad.eager_update(0.1, m, update)["w"] * 2.0), adtype, model)
        return np.allclose(model["w"], 2.8)

    return _tried(updated)


def runs_again(adtype):
    calls = []
    _, back = ad.pullback(lambda x: ad.checkpointed(lambda x: calls.append(1) or x**2, x), adtype, 4.0)
    before = len(calls)
    assert np.allclose(back(1.0)[0], 8.0)
    return [] if (before, len(calls)) == (1, 2) else [f"{before} runs, then {len(calls) - before}"]


def a_constant(adtype):
    grads = ad.gradient(lambda x, w: ad.ignore_derivatives(x) * w, adtype, 1.5, 2.5)
    return [] if grads[0] is None and np.isclose(grads[1], 1.5) else [f"{grads}"]


HABITS = {
    "a hook changes the gradient": hooked,
    "eager_update updates": updated_eagerly,
    "checkpointed runs f again for the reverse pass": runs_again,
    "ignore_derivatives gives a constant": a_constant,
    "None for an unused argument": unused_argument,
    "None for an unused part of a structure": unused_part,
    "None where only the shape is read": only_the_shape,
    "None for an integer index": integer_index,
    "None behind a comparison": comparison,
    "f runs once": runs_once,
    "what f writes elsewhere is the value": written_elsewhere,
    "a primitive's rule is used": rule_used,
}
