"""Polynomials as coefficient arrays, and numpy.polynomial where traced values reach it."""

import numpy as np
import pytest
from witnesses import witness

P, Q = np.array([1.5, -0.4, 2.0, 0.3]), np.array([0.7, 1.1])
X = np.array([-0.8, 0.3, 1.4])
Y = np.array([[0.2, 1.0], [0.5, -1.0], [2.0, 0.3], [1.0, 0.1], [0.4, 0.4]])
T = np.array([-1.0, -0.2, 0.4, 1.1, 1.9])

ROWS = {
    "polyval": (lambda p, x: np.polyval(p, x), P, X),
    "polyval scalar": (lambda p, x: np.polyval(p, x), P, 0.7),
    "polyval list": (lambda x: np.polyval([1, 2.0, 3], x), X),
    "polyval complex": (lambda p, x: np.polyval(p, x), P, X + 1j),
    "polyadd": (lambda p, q: np.polyadd(p, q) ** 2, P, Q),
    "polysub": (lambda p, q: np.polysub(q, p) ** 2, P, Q),
    "polymul": (lambda p, q: np.polymul(p, q), P, Q),
    "polymul leading zeros": (lambda q: np.polymul([0.0, 0.0, 2.0, 1.0], q), Q),
    "polydiv quotient": (lambda p, q: np.polydiv(p, q)[0], P, Q),
    "polydiv remainder": (lambda p, q: np.polydiv(p, q)[1], P, Q),
    "polyder": (lambda p: np.polyder(p) ** 2, P),
    "polyder 2": (lambda p: np.polyder(p, 2) ** 2, P),
    "polyint": (lambda p: np.polyint(p) ** 2, P),
    "polyint constants": (lambda p, k: np.polyint(p, 2, k) ** 2, P, Q),
    "polyint one constant": (lambda p: np.polyint(p, 2, 3.0) ** 2, P),
    "poly": (lambda z: np.poly(z), X),
    "poly of a matrix": (lambda a: np.poly(a), np.diag(X) + 0.1 * np.outer(X, X)),
    "roots": (lambda p: np.sort(np.roots(np.poly(p))), X),
    "roots complex": (lambda p: np.abs(np.roots(p)) ** 2, np.array([1.0, 0.3, 2.0])),
    "roots with zeros": (lambda p: np.roots(np.concatenate([[0.0], p, [0.0, 0.0]])), np.array([1.0, -3.0, 1.0])),
    "vander": (lambda x: np.vander(x), X),
    "vander increasing": (lambda x: np.vander(x, 5, increasing=True), X),
    "polyfit": (lambda x, y: np.polyfit(x, y, 2), T, Y[:, 0]),
    "polyfit columns": (lambda x, y: np.polyfit(x, y, 1), T, Y),
    "polyfit weights": (lambda x, y, w: np.polyfit(x, y, 2, w=w), T, Y[:, 0], np.abs(T) + 0.5),
    "polyfit cov": (lambda x, y: np.polyfit(x, y, 1, cov=True)[1], T, Y[:, 0]),
    "polyfit unscaled": (lambda x: np.polyfit(x, Y[:, 0], 1, cov="unscaled")[1], T),
    "polynomial.polyval": (lambda x: np.polynomial.polynomial.polyval(x, P), X),
    "chebval": (lambda x: np.polynomial.chebyshev.chebval(x, P), X),
    "legval": (lambda x: np.polynomial.legendre.legval(x, P), X),
    "hermval": (lambda x: np.polynomial.hermite.hermval(x, P), X),
    "lagval": (lambda x: np.polynomial.laguerre.lagval(x, P), X),
    "poly1d": (lambda x: np.poly1d(P)(x), X),
}


@pytest.mark.parametrize("name", ROWS)
def test_polynomials(name):
    f, *args = ROWS[name]
    witness(f, *args, tol=1e-6)
