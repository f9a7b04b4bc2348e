"""NumPy's functions that work entry by entry: names, and the numbers they may be differentiated at.

A suite takes points of its own for the words: "any" number but 0, "positive", "unit" (between -1 and 1), "above" 1.
"""

from __future__ import annotations


def _all(names: str, where: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), where)


# -- of one number -----------------------------------------------------------------------------------------------------

HOLOMORPHIC = {
    **_all("negative positive square exp exp2 expm1 sin cos arctan sinh cosh tanh arcsinh sinc", "any"),
    **_all("sqrt reciprocal log log2 log10 log1p", "positive"),
    **_all("tan", "positive"),  # where the suites' points are far enough from its poles
    **_all("arcsin arccos arctanh", "unit"),
    **_all("arccosh", "above"),
}
SMOOTH = {
    **HOLOMORPHIC,
    **_all("deg2rad rad2deg radians degrees absolute fabs i0 nan_to_num", "any"),
    **_all("cbrt", "positive"),
}
STEPS = _all("floor ceil trunc rint sign fix around", "any")  # slope 0
PARTS = _all("conjugate real imag angle real_if_close", "any")  # of a complex number
ONE = {**SMOOTH, **STEPS, **PARTS}
# Not holomorphic, and of complex numbers all the same.
COMPLEX = [*HOLOMORPHIC, "absolute", "conjugate", "real", "imag", "angle"]

# -- of two numbers: where the first one is ----------------------------------------------------------------------------

SMOOTH_TWO = {
    **_all("add subtract multiply divide remainder fmod hypot arctan2 logaddexp logaddexp2", "any"),
    **_all("maximum minimum fmax fmin copysign", "any"),
    **_all("power float_power", "positive"),
}
STEPS_TWO = _all("floor_divide heaviside", "any")
TWO = {**SMOOTH_TWO, **STEPS_TWO, **_all("nextafter", "any")}
COMPLEX_TWO = ["add", "subtract", "multiply", "divide", "power"]
