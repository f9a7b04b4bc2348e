"""One call or more of every differentiable function of NumPy and scipy.special: what the support table is made from.

A sample is ``(f, args)``: f takes the differentiable arguments and calls the function with its options.
"""

from __future__ import annotations

import numpy as np
import scipy.special as sp
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from .elementwise import ONE, TWO

_rng = np.random.default_rng(11)
X = 0.2 + 0.7 * _rng.permutation(12).reshape(3, 4) / 12  # distinct, inside (0.2, 0.9)
Y = 0.25 + 0.7 * _rng.permutation(12).reshape(3, 4) / 12
V = X[0]
W = Y[1]
A = _rng.normal(size=(3, 3)) + 3 * np.eye(3)
B = _rng.normal(size=(3, 2))
S = A @ A.T + np.eye(3)
L = np.tril(_rng.normal(size=(4, 3)))
Z = X + 1j * Y
T = _rng.normal(size=(2, 3, 4))
MASK = X > 0.5
WHERE = np.argsort(X, axis=1)

Samples = dict[str, list]


def _ufuncs() -> Samples:
    ufuncs = [n for n in {**ONE, **TWO} if isinstance(getattr(np, n), np.ufunc) and n not in ("arccosh", "nextafter")]
    found = {n: [(getattr(np, n), (X,))] for n in ufuncs if n in ONE}
    found |= {n: [(getattr(np, n), (X, Y)), (getattr(np, n), (X, W))] for n in ufuncs if n in TWO}
    found["arccosh"] = [(lambda x: np.arccosh(1 + x), (X,))]
    found["ldexp"] = [(lambda x: np.ldexp(x, np.array([1, 2, 0, 3])), (X,))]
    found["divmod"] = [(lambda x, y: np.divmod(x, y)[1], (X, Y))]
    found["modf"] = [(lambda x: np.modf(3.1 * x)[0], (X,))]
    found["matmul"] = [(np.matmul, (T, X.T)), (np.matmul, (A, B)), (np.matmul, (X, V))]
    for n, args in (("vecdot", (X, Y)), ("matvec", (X, V)), ("vecmat", (A[0], X))):
        if hasattr(np, n):
            found[n] = [(getattr(np, n), args)]
    found["add.reduce"] = [(lambda x: np.add.reduce(x, axis=1), (X,))]
    found["multiply.reduce"] = [(lambda x: np.multiply.reduce(x, axis=0), (X,))]
    found["maximum.reduce"] = [(lambda x: np.maximum.reduce(x, axis=1), (X,))]
    found["logaddexp.reduce"] = [(lambda x: np.logaddexp.reduce(x, axis=1), (X,))]
    found["add.accumulate"] = [(lambda x: np.add.accumulate(x, axis=1), (X,))]
    found["multiply.accumulate"] = [(lambda x: np.multiply.accumulate(x, axis=1), (X,))]
    found["maximum.accumulate"] = [(lambda x: np.maximum.accumulate(x, axis=1), (X,))]
    found["multiply.outer"] = [(np.multiply.outer, (V, W))]
    found["add.reduceat"] = [(lambda x: np.add.reduceat(x, [0, 2], axis=1), (X,))]
    found["add.at"] = [(_add_at, (V, W))]
    return found


def _add_at(x, y):
    z = np.copy(x)
    np.add.at(z, [0, 0, 2, 1], y)
    return z


def _written(function):
    def call(x, y):
        z = np.copy(x)
        function(z, y)
        return z

    return call


def _reductions() -> Samples:
    one = ["sum", "prod", "mean", "std", "var", "max", "min", "ptp", "median", "average"]
    found = {
        n: [
            (getattr(np, n), (X,)),
            (lambda x, f=getattr(np, n): f(x, axis=1), (X,)),
            (lambda x, f=getattr(np, n): f(x, axis=-2, keepdims=True), (X,)),
        ]
        for n in one
    }
    for n in ["sum", "prod", "mean", "max", "min"]:
        options = {"where": MASK} | ({"initial": 0.1} if n in ("max", "min") else {})
        found[n].append((lambda x, f=getattr(np, n), o=options: f(x, axis=1, **o), (X,)))
    for n in ("std", "var"):
        found[n].append((lambda x, f=getattr(np, n): f(x, axis=(0, 1), ddof=1), (X,)))
    found["average"].append((lambda x, w: np.average(x, axis=0, weights=w), (X, Y)))
    for n in ["nansum", "nanprod", "nanmean", "nanstd", "nanvar", "nanmax", "nanmin", "nanmedian"]:
        found[n] = [(lambda x, f=getattr(np, n): f(np.where(MASK, x, np.nan), axis=1), (X,))]
    for n in ["cumsum", "cumprod", "nancumsum", "nancumprod", "cumulative_sum", "cumulative_prod"]:
        found[n] = [(lambda x, f=getattr(np, n): f(x, axis=1), (X,))]
    for n, q in (("quantile", 0.3), ("percentile", 30), ("nanquantile", 0.3), ("nanpercentile", 30)):
        found[n] = [
            (lambda x, f=getattr(np, n), q=q: f(x, q, axis=1), (X,)),
            (lambda x, f=getattr(np, n), q=q: f(x, [q, 2 * q], method="hazen"), (X,)),
        ]
    return found


def _arrays() -> Samples:
    def one(f, *args):
        return [(f, args or (X,))]

    return {
        "sort": one(lambda x: np.sort(x, axis=0)),
        "partition": one(lambda x: np.partition(x, 1, axis=1)[:, 1]),
        "diff": one(lambda x: np.diff(x, 2, axis=1)),
        "ediff1d": one(lambda x: np.ediff1d(x, to_begin=1.0)),
        "gradient": [
            (lambda x: np.gradient(x, axis=1), (X,)),
            (lambda x: np.gradient(x, 0.3, axis=1, edge_order=2), (X,)),
        ],
        "trapezoid": one(lambda y, x: np.trapezoid(y, np.cumsum(x, axis=1), axis=1), X, Y),
        "take": [(lambda x: np.take(x, [2, 0, 0], axis=1), (X,)), (lambda x: np.take(x, [[1, 5]], mode="wrap"), (X,))],
        "take_along_axis": one(lambda x: np.take_along_axis(x, WHERE, 1)),
        "put_along_axis": one(_written(lambda z, y: np.put_along_axis(z, WHERE[:, :1], y[:, :1], 1)), X, Y),
        "put": one(_written(lambda z, y: np.put(z, [1, 5], y[0, :2])), X, Y),
        "place": one(_written(lambda z, y: np.place(z, MASK, y[0])), X, Y),
        "putmask": one(_written(lambda z, y: np.putmask(z, MASK, y)), X, Y),
        "copyto": one(_written(lambda z, y: np.copyto(z, y, where=MASK)), X, Y),
        "fill_diagonal": one(_written(lambda z, y: np.fill_diagonal(z, y[0, 0])), A, Y),
        "choose": one(lambda x, y: np.choose(np.array([0, 1, 1, 0]), [x, y]), V, W),
        "select": one(lambda x, y: np.select([X > 0.6, X > 0.4], [x, y], 0.0), X, Y),
        "piecewise": one(lambda x: np.piecewise(x, [x < 0.5, x >= 0.5], [lambda t: t**2, lambda t: 3 * t])),
        "compress": one(lambda x: np.compress([True, False, True], x, axis=0)),
        "extract": one(lambda x: np.extract(MASK, x)),
        "delete": one(lambda x: np.delete(x, 1, axis=1)),
        "insert": one(lambda x, y: np.insert(x, 1, y[:, 0], axis=1), X, Y),
        "append": one(lambda x, y: np.append(x, y, axis=0), X, Y),
        "resize": one(lambda x: np.resize(x, (5, 3))),
        "tril": one(lambda x: np.tril(x, 1)),
        "triu": one(lambda x: np.triu(x, -1)),
        "diag": [(lambda x: np.diag(x, 1), (A,)), (np.diag, (V,))],
        "diagflat": one(np.diagflat, V),
        "diagonal": one(lambda x: np.diagonal(x, 1)),
        "trace": one(lambda x: np.trace(x, 1), A),
        "where": one(lambda x, y: np.where(MASK, x, y), X, Y),
        "clip": one(lambda x, a, b: np.clip(x, a, b), X, 0.31, 0.77),
        "round": one(lambda x: np.round(x + 0.013, 1) + x),
        "fix": one(lambda x: np.fix(3.1 * x) + x),
        "nan_to_num": one(np.nan_to_num),
        "real": one(np.real, Z),
        "imag": one(np.imag, Z),
        "angle": one(np.angle, Z),
        "unwrap": one(lambda x: np.unwrap(9 * x, axis=1)),
        "sinc": one(np.sinc),
        "i0": one(np.i0),
        "interp": one(lambda x, y: np.interp(x, np.array([0.1, 0.4, 0.7, 1.2]), y), X, V),
        "reshape": one(lambda x: np.reshape(x, (2, -1), order="F")),
        "ravel": one(np.ravel),
        "transpose": one(lambda x: np.transpose(x, (2, 0, 1)), T),
        "swapaxes": one(lambda x: np.swapaxes(x, 0, 2), T),
        "moveaxis": one(lambda x: np.moveaxis(x, (0, 1), (-1, 0)), T),
        "rollaxis": one(lambda x: np.rollaxis(x, 2), T),
        "matrix_transpose": one(np.matrix_transpose, T),
        "expand_dims": one(lambda x: np.expand_dims(x, (0, 2))),
        "squeeze": one(lambda x: np.squeeze(x[None], 0)),
        "broadcast_to": one(lambda x: np.broadcast_to(x, (2, 3, 4))),
        "broadcast_arrays": one(lambda x, y: np.broadcast_arrays(x, y)[1], X, V),
        "atleast_1d": one(np.atleast_1d),
        "atleast_2d": one(np.atleast_2d, V),
        "atleast_3d": one(np.atleast_3d),
        "concatenate": one(lambda x, y: np.concatenate([x, y], axis=1), X, Y),
        "stack": one(lambda x, y: np.stack([x, y], axis=-1), X, Y),
        "vstack": one(lambda x, y: np.vstack([x, y]), X, V),
        "hstack": one(lambda x, y: np.hstack([x, y]), X, Y),
        "dstack": one(lambda x, y: np.dstack([x, y]), X, Y),
        "column_stack": one(lambda x, y: np.column_stack([x, y]), V, W),
        "block": one(lambda x, y: np.block([[x, y], [y, x]]), X, Y),
        "split": one(lambda x: np.split(x, 2, axis=1)[1]),
        "array_split": one(lambda x: np.array_split(x, 3, axis=1)[0]),
        "hsplit": one(lambda x: np.hsplit(x, 2)[0]),
        "vsplit": one(lambda x: np.vsplit(x, 3)[2]),
        "dsplit": one(lambda x: np.dsplit(x, 2)[1], T),
        "unstack": one(lambda x: np.unstack(x, axis=1)[2]),
        "tile": one(lambda x: np.tile(x, (2, 1, 2))),
        "repeat": one(lambda x: np.repeat(x, [1, 0, 2, 1], axis=1)),
        "flip": one(lambda x: np.flip(x, 1)),
        "fliplr": one(np.fliplr),
        "flipud": one(np.flipud),
        "roll": one(lambda x: np.roll(x, (1, -2), axis=(0, 1))),
        "rot90": one(lambda x: np.rot90(x, 3)),
        "pad": [
            (lambda x, m=m: np.pad(x, ((1, 2), (2, 1)), mode=m), (X,))
            for m in [
                "constant",
                "edge",
                "reflect",
                "symmetric",
                "wrap",
                "linear_ramp",
                "maximum",
                "minimum",
                "mean",
                "median",
            ]
        ],
        "trim_zeros": one(lambda x: np.trim_zeros(np.concatenate([np.zeros(2), x])), V),
        "copy": one(np.copy),
        "zeros_like": one(lambda x: x + np.zeros_like(x)),
        "full_like": one(lambda x: np.full_like(x, x[0, 0])),
        "full": one(lambda x: np.full((2, 3), x[0, 0])),
        "linspace": one(lambda a, b: np.linspace(a, b, 5), 0.3, 1.2),
        "logspace": one(lambda a, b: np.logspace(a, b, 4), 0.3, 1.2),
        "geomspace": one(lambda a, b: np.geomspace(a, b, 4), 0.3, 1.2),
        "meshgrid": one(lambda x, y: np.meshgrid(x, y)[0] * np.meshgrid(x, y)[1], V, W),
        "vander": one(lambda x: np.vander(x, 3), V),
        "unique": one(lambda x: np.unique(x)),
        "apply_along_axis": one(lambda x: np.apply_along_axis(lambda r: np.sum(r) * r, 1, x)),
        "apply_over_axes": one(lambda x: np.apply_over_axes(np.sum, x, [0, 1])),
        "vectorize": one(lambda x: np.vectorize(lambda t: t * t + 1, otypes=[object])(x)),
        "sliding_window_view": one(lambda x: sliding_window_view(x, 2, axis=1)),
        "as_strided": one(lambda x: as_strided(x, (2, 2), (8, 8)), V),
        "dot": [(np.dot, (A, B)), (np.dot, (V, W)), (np.dot, (T, X.T))],
        "vdot": [(np.vdot, (X, Y)), (np.vdot, (Z[0], Z[1]))],
        "inner": one(np.inner, X, Y),
        "outer": one(np.outer, V, W),
        "kron": one(np.kron, A, B),
        "tensordot": [
            (lambda x, y: np.tensordot(x, y, ([1, 2], [0, 1])), (T, X)),
            (lambda x, y: np.tensordot(x, y, 1), (T, X.T)),
        ],
        "einsum": [
            (lambda x, y: np.einsum("ij,kj->ik", x, y), (X, Y)),
            (lambda x: np.einsum("ii->i", x), (A,)),
            (lambda x, y: np.einsum("...j,j", x, y), (T, V)),
        ],
        "cross": one(np.cross, X[:, :3], Y[:, 1:]),
        "convolve": [(lambda x, y, m=m: np.convolve(x, y, m), (V, W[:3])) for m in ("full", "same", "valid")],
        "correlate": [(lambda x, y, m=m: np.correlate(x, y, m), (V, W[:3])) for m in ("full", "same", "valid")],
        "cov": [(np.cov, (X,)), (lambda x: np.cov(x, rowvar=False, ddof=0), (X,))],
        "corrcoef": one(np.corrcoef),
        "bincount": one(lambda w: np.bincount([0, 2, 1, 2], weights=w), V),
        "polyval": one(np.polyval, V, W),
        "polyadd": one(np.polyadd, V, W[:2]),
        "polysub": one(np.polysub, V, W[:2]),
        "polymul": one(np.polymul, V, W[:2]),
        "polyder": one(np.polyder, V),
        "polyint": one(np.polyint, V),
        "polynomial.polynomial.polyval": one(lambda x: np.polynomial.polynomial.polyval(x, W), V),
        "polynomial.chebyshev.chebval": one(lambda x: np.polynomial.chebyshev.chebval(x, W), V),
        "polynomial.legendre.legval": one(lambda x: np.polynomial.legendre.legval(x, W), V),
        "polynomial.hermite.hermval": one(lambda x: np.polynomial.hermite.hermval(x, W), V),
        "polynomial.laguerre.lagval": one(lambda x: np.polynomial.laguerre.lagval(x, W), V),
    }


def _linear_algebra() -> Samples:
    def one(f, *args):
        return [(f, args or (A,))]

    linalg = np.linalg
    norms = [(lambda x, o=o: linalg.norm(x, o), (A,)) for o in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)]
    norms += [(lambda x, o=o: linalg.norm(x, o, axis=1), (X,)) for o in (None, 1, 2, 3, np.inf, -np.inf)]
    found = {
        "solve": [(linalg.solve, (A, B)), (linalg.solve, (A, V[:3]))],
        "inv": one(linalg.inv),
        "pinv": one(linalg.pinv, X),
        "lstsq": one(lambda a, b: linalg.lstsq(a, b, rcond=None)[0], L, X.T[:, :2]),
        "det": one(linalg.det),
        "slogdet": one(lambda a: linalg.slogdet(a)[1]),
        "cholesky": one(lambda a: linalg.cholesky((a + a.T) / 2), S),
        "qr": [(lambda a: linalg.qr(a)[1], (X.T,)), (lambda a: linalg.qr(a)[0], (A,))],
        "svd": [(lambda a: linalg.svd(a, compute_uv=False), (X,)), (lambda a: np.abs(linalg.svd(a, False)[0]), (X,))],
        "svdvals": one(linalg.svdvals, X),
        "eigh": [
            (lambda a: linalg.eigh((a + a.T) / 2)[0], (S,)),
            (lambda a: np.abs(linalg.eigh((a + a.T) / 2)[1]), (S,)),
        ],
        "eigvalsh": one(lambda a: linalg.eigvalsh((a + a.T) / 2), S),
        "eig": one(lambda a: np.sum(np.abs(linalg.eig(a)[0]) ** 2), A + np.diag([0.0, 2.0, 5.0])),
        "eigvals": one(lambda a: np.sum(np.abs(linalg.eigvals(a)) ** 2), A + np.diag([0.0, 2.0, 5.0])),
        "norm": norms,
        "vector_norm": one(lambda x: linalg.vector_norm(x, axis=1, ord=3), X),
        "matrix_norm": one(linalg.matrix_norm),
        "matrix_power": [(lambda a, n=n: linalg.matrix_power(a, n), (A,)) for n in (3, -2)],
        "multi_dot": one(lambda a, b: linalg.multi_dot([a, b, b.T]), A, B),
        "cond": one(linalg.cond),
        "tensorsolve": one(lambda a, b: linalg.tensorsolve(a.reshape(3, 3), b), A, V[:3]),
        "tensorinv": one(lambda a: linalg.tensorinv(a, 1)),
        "outer": one(linalg.outer, V, W),
        "cross": one(linalg.cross, X[:, :3], Y[:, 1:]),
        "vecdot": one(linalg.vecdot, X, Y),
        "matmul": one(linalg.matmul, A, B),
        "tensordot": one(lambda a, b: linalg.tensordot(a, b, axes=1), A, B),
        "trace": one(linalg.trace),
        "diagonal": one(linalg.diagonal),
        "matrix_transpose": one(linalg.matrix_transpose, X),
    }
    return {f"linalg.{n}": s for n, s in found.items()}


def _fourier() -> Samples:
    found: Samples = {}
    for n in ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]:
        f, x = getattr(np.fft, n), Z if n in ("irfft", "hfft") else X
        found[f"fft.{n}"] = [
            (lambda x, f=f: f(x), (x,)),
            (lambda x, f=f: f(x, n=6, axis=0, norm="ortho"), (x,)),
            (lambda x, f=f: f(x, n=3, norm="forward"), (x,)),
        ]
    for n in ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]:
        f, x = getattr(np.fft, n), Z if n.startswith("irfft") else X
        found[f"fft.{n}"] = [(lambda x, f=f: f(x), (x,)), (lambda x, f=f: f(x, s=(5, 3), axes=(1, 0)), (x,))]
    for n in ("fftshift", "ifftshift"):
        found[f"fft.{n}"] = [(getattr(np.fft, n), (X,))]
    return found


def _special() -> Samples:
    one = """digamma gammaln gamma rgamma loggamma erf erfc erfcx erfinv erfcinv erfi dawsn expit logit log_expit entr ndtr
    log_ndtr ndtri expm1 log1p cbrt exp10 exp2 i0 i0e i1 i1e j0 j1 y0 y1 k0 k0e k1 k1e exp1 expi spence ellipk ellipe
    ellipkm1 sinpi cospi cosdg sindg tandg cotdg ber bei ker kei wrightomega
    zetac psi exprel"""
    two = """beta betaln xlogy xlog1py rel_entr kl_div hyp0f1 agm poch gammainc gammaincc jv yv iv ive kv kve jve yve zeta
    huber pseudo_huber boxcox boxcox1p inv_boxcox inv_boxcox1p ellipkinc ellipeinc owens_t binom hankel1 expn"""
    found: Samples = {}
    for n in one.split():
        f = getattr(sp, n, None)
        if isinstance(f, np.ufunc) and f.nin == f.nout == 1:
            found[f"special.{n}"] = [(f, (X,))]
    for n in two.split():
        f = getattr(sp, n, None)
        if not isinstance(f, np.ufunc):
            continue
        if n in ("jv", "yv", "iv", "ive", "kv", "kve", "jve", "yve"):
            found[f"special.{n}"] = [(lambda x, f=f: np.real(f(1.5, x)), (X,))]
        elif n in ("hyp0f1", "gammainc", "gammaincc"):
            found[f"special.{n}"] = [(lambda x, f=f: f(1.5, x), (X,))]
        elif n == "expn":
            found[f"special.{n}"] = [(lambda x, f=f: f(2, x), (X,))]
        elif n == "zeta":
            found[f"special.{n}"] = [(lambda x, f=f: f(2.5, x), (X,))]
        elif n == "hankel1":
            continue
        else:
            found[f"special.{n}"] = [(f, (X, Y))]
    found["special.betainc"] = [(lambda x: sp.betainc(1.5, 2.5, x), (X,))]
    found["special.hyp2f1"] = [(lambda x: sp.hyp2f1(0.5, 1.5, 2.5, x), (0.5 * X,))]
    found["special.hyp1f1"] = [(lambda x: sp.hyp1f1(0.5, 1.5, x), (X,))]
    return found


def samples() -> Samples:
    """Name as users write it after ``np.`` or ``scipy.`` → its samples."""
    return {
        **_ufuncs(),
        **_reductions(),
        **_arrays(),
        **_linear_algebra(),
        **_fourier(),
        **_special(),
    }
