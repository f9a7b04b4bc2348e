"""scipy.special: loaded when the first of its functions meets a traced value (``registration.load_for``).

The rows are the derivatives of the Digital Library of Mathematical Functions (dlmf.nist.gov). Formulas that
cancel near a point have a series there, so that derivatives of derivatives hold too. Orders and shape parameters that
have no closed derivative say so when one is asked for.
"""

from __future__ import annotations

from . import (  # noqa: F401
    bessel,
    distributions,
    elliptic,
    error_functions,
    exponentials,
    gamma,
    hypergeometric,
    integrals,
)
