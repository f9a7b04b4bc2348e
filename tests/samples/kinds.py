"""x · sin(x) as a primitive, once with every kind of rule; the rules' derivative is the function's."""

import numpy as np

import adselect as ad
from adselect import NoTangent


def slope(x):
    return np.cos(x) * x + np.sin(x)


def primitive_with(rules, host=False, first_order=False):
    """The primitive with these rules: "rrule", "frule", "scalar_rule" or none of them."""

    @ad.primitive(host=host)
    def wave(x):
        return np.sin(x) * x

    on_host = host and first_order
    if "rrule" in rules:

        @ad.define_rrule(wave, host=on_host)
        def wave_rrule(x):
            return wave(x), lambda y_bar: (NoTangent(), y_bar * slope(x))

    if "frule" in rules:

        @ad.define_frule(wave, host=on_host)
        def wave_frule(tangents, x):
            return wave(x), tangents[1] * slope(x)

    if "scalar_rule" in rules:
        ad.scalar_rule(wave, lambda y, x: (slope(x),))
    return wave


KINDS = {
    "rrule": primitive_with(["rrule"]),
    "frule": primitive_with(["frule"]),
    "both": primitive_with(["rrule", "frule"]),
    "scalar_rule": primitive_with(["scalar_rule"]),
    "body": primitive_with([]),
    "host, rrule": primitive_with(["rrule"], host=True),
    "host, frule": primitive_with(["frule"], host=True),
    "host, both": primitive_with(["rrule", "frule"], host=True),
    "first order, rrule": primitive_with(["rrule"], host=True, first_order=True),
    "first order, frule": primitive_with(["frule"], host=True, first_order=True),
    "first order, both": primitive_with(["rrule", "frule"], host=True, first_order=True),
    "first order, scalar_rule": primitive_with(["scalar_rule"], host=True, first_order=True),
}
# These three go every way that there is in the code; the others go the same ways and are for the sweep.
EVERY_DAY = ("rrule", "host, rrule", "first order, rrule")


def is_first_order(kind):
    return kind.startswith("first order")
