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


HABITS = {
    "None for an unused argument": unused_argument,
    "None for an unused part of a structure": unused_part,
    "None where only the shape is read": only_the_shape,
    "None for an integer index": integer_index,
    "None behind a comparison": comparison,
    "f runs once": runs_once,
    "what f writes elsewhere is the value": written_elsewhere,
    "a primitive's rule is used": rule_used,
}
