"""Calls of scipy.special's functions: by name, with arguments; numbers among them are not differentiated."""

import numpy as np
import pytest

X = np.array([0.3, 0.7, 1.9])
ANY = np.array([-1.3, -0.2, 0.0, 0.4, 2.1])
UNIT = np.array([0.1, 0.45, 0.8])
Z = np.array([0.6 + 0.3j, 1.2 - 0.7j])

# (name, arguments)
REAL = [
    ("gamma", [np.array([-1.3, 0.6, 3.2])]),
    ("gammaln", [np.array([0.6, 3.2])]),
    ("loggamma", [X]),
    ("rgamma", [np.array([-1.4, 0.3, 2.2])]),
    ("digamma", [X]),
    ("psi", [X]),
    ("beta", [X, X + 0.4]),
    ("betaln", [X, X + 0.4]),
    ("binom", [np.array([5.3, 4.2]), np.array([2.2, 1.1])]),
    ("poch", [X, X + 0.2]),
    ("gammainc", [2.3, X]),
    ("gammaincc", [2.3, X]),
    ("gammaincinv", [2.3, UNIT]),
    ("gammainccinv", [2.3, UNIT]),
    ("betainc", [2.3, 1.4, UNIT]),
    ("betaincc", [2.3, 1.4, UNIT]),
    ("betaincinv", [2.3, 1.4, UNIT]),
    ("betainccinv", [2.3, 1.4, UNIT]),
    ("erf", [ANY]),
    ("erfc", [ANY]),
    ("erfi", [ANY]),
    ("erfcx", [ANY]),
    ("erfinv", [np.array([-0.6, 0.0, 0.7])]),
    ("erfcinv", [np.array([0.4, 1.0, 1.6])]),
    ("dawsn", [ANY]),
    ("wofz", [ANY]),
    ("ndtr", [ANY]),
    ("log_ndtr", [np.array([-30.0, -1.0, 0.0, 2.0])]),
    ("ndtri", [UNIT]),
    ("ndtri_exp", [np.array([-4.0, -0.5])]),
    ("owens_t", [X, X[::-1]]),
    ("voigt_profile", [X, X + 0.5, X + 0.1]),
    ("expit", [ANY]),
    ("log_expit", [ANY]),
    ("logit", [UNIT]),
    ("expm1", [ANY]),
    ("log1p", [X]),
    ("exp2", [ANY]),
    ("exp10", [UNIT]),
    ("exprel", [ANY]),
    ("cosm1", [ANY]),
    ("cbrt", [X]),
    ("powm1", [X, ANY[:3]]),
    ("xlogy", [X, X[::-1]]),
    ("xlog1py", [X, X[::-1]]),
    ("entr", [X]),
    ("rel_entr", [X, X[::-1]]),
    ("kl_div", [X, X[::-1]]),
    ("huber", [np.array([1.0, 1.0]), np.array([0.4, -1.7])]),
    ("pseudo_huber", [X, np.array([0.4, -1.7, 0.0])]),
    ("boxcox", [X, np.array([0.0, 0.5, -1.2])]),
    ("boxcox1p", [X, np.array([0.0, 0.5, -1.2])]),
    ("inv_boxcox", [np.array([0.4, 0.3, -0.2]), np.array([0.0, 0.5, 1.2])]),
    ("inv_boxcox1p", [np.array([0.4, 0.3, -0.2]), np.array([0.0, 0.5, 1.2])]),
    ("sindg", [30 * X]),
    ("cosdg", [30 * X]),
    ("tandg", [30 * X]),
    ("cotdg", [30 * X]),
    ("radian", [X, X, X]),
    ("wrightomega", [ANY]),
    ("agm", [X, X[::-1]]),
    ("exp1", [X]),
    ("expi", [X]),
    ("spence", [np.array([0.4, 1.0, 1.7])]),
    ("itstruve0", [X]),
    ("itmodstruve0", [X]),
    ("j0", [ANY]),
    ("j1", [ANY]),
    ("y0", [X]),
    ("y1", [X]),
    ("i0", [ANY]),
    ("i1", [ANY]),
    ("i0e", [X]),
    ("i1e", [X]),
    ("k0", [X]),
    ("k1", [X]),
    ("k0e", [X]),
    ("k1e", [X]),
    ("ber", [X]),
    ("bei", [X]),
    ("ker", [X]),
    ("kei", [X]),
    ("berp", [X]),
    ("beip", [X]),
    ("kerp", [X]),
    ("keip", [X]),
    ("ellipk", [np.array([-1.2, 0.0, 0.3, 0.8])]),
    ("ellipkm1", [np.array([0.003, 0.2, 0.6, 1.0])]),
    ("ellipe", [np.array([-1.2, 0.0, 0.3, 0.8])]),
    ("ellipkinc", [X, np.array([0.0, 0.4, 0.7])]),
    ("ellipeinc", [X, np.array([0.0, 0.4, 0.7])]),
]
# (name, the first arguments, which stay as they are, and the others)
WITH_ORDER = [
    ("zeta", [2.5], [X + 0.5]),
    ("expn", [2], [X]),
    ("expn", [1], [X]),
    ("expn", [0], [X]),
    *[(name, [1.3], [X]) for name in ["jv", "yv", "iv", "kv", "ive", "jve", "yve", "kve", "struve", "modstruve"]],
    *[(name, [2], [X]) for name in ["jn", "yn", "kn"]],
    ("hyp0f1", [1.3], [X]),
    ("hyp1f1", [1.3, 0.6], [X]),
    ("hyperu", [1.3, 0.6], [X]),
    ("hyp2f1", [1.3, 0.6, 2.1], [UNIT]),
    *[
        (f"eval_{name}", [n], [UNIT])
        for n in (0, 1, 4)
        for name in ["legendre", "chebyt", "chebyu", "hermite", "laguerre"]
    ],
    *[
        (f"eval_{name}", [3], [UNIT])
        for name in ["sh_legendre", "sh_chebyt", "sh_chebyu", "chebyc", "chebys", "hermitenorm"]
    ],
    ("eval_genlaguerre", [3, 0.4], [UNIT]),
    ("eval_gegenbauer", [3, 0.4], [UNIT]),
    ("eval_jacobi", [3, 0.4, 1.1], [UNIT]),
    ("chdtr", [3.0], [X]),
    ("chdtrc", [3.0], [X]),
    ("chdtri", [3.0], [UNIT]),
    ("stdtr", [3.0], [ANY]),
    ("stdtrit", [3.0], [UNIT]),
    ("fdtr", [3.0, 4.0], [X]),
    ("fdtrc", [3.0, 4.0], [X]),
    ("fdtri", [3.0, 4.0], [UNIT]),
    ("pdtr", [2], [X]),
    ("pdtrc", [2], [X]),
    ("bdtr", [2.0, 5], [UNIT]),
    ("bdtrc", [2.0, 5], [UNIT]),
    ("nbdtr", [2, 5], [UNIT]),
    ("nbdtrc", [2, 5], [UNIT]),
]
# (name, the first arguments): the last one is Z
COMPLEX = [
    *[
        (name, [])
        for name in ["gamma", "loggamma", "rgamma", "erf", "erfc", "erfi", "erfcx", "dawsn", "wofz", "ndtr", "log_ndtr"]
    ],
    *[(name, []) for name in ["expm1", "log1p", "exp1", "expi", "spence", "wrightomega", "lambertw"]],
    *[
        (name, [1.3])
        for name in ["jv", "yv", "iv", "kv", "kve", "hankel1", "hankel2", "hankel1e", "hankel2e", "hyp0f1"]
    ],
    ("hyp1f1", [1.3, 0.6]),
    ("xlogy", [1.4]),
]
FIRST_ORDER = {"gamma", "loggamma", "rgamma"}  # complex trigamma does not exist in SciPy


def has(name):
    """The function of that name, where this SciPy has it; else the test is skipped."""
    sc = pytest.importorskip("scipy.special")
    if not hasattr(sc, name):
        pytest.skip(f"this SciPy has no {name}")
    return getattr(sc, name)
