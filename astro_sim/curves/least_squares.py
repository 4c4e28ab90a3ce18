"""Fit the forms of :mod:`astro_sim.curves.forms` to data by generalised least squares with SciPy, and choose one.

Each form is fitted on the transformed scale of its parameters (positive ones as logarithms, fractions as logits), from
data-driven starting values within bounds. What is minimised is

    chi2 = r^T S^-1 r,    r = y - f(x; theta),

where S is the covariance of the data: the ensemble's own when there are enough members (points of one ensemble mean are
correlated in time), diag(sem^2) otherwise, and an unknown multiple of the identity when no error is known. Then

    BIC = chi2 + k ln n                  (S known)
    BIC = n ln(chi2 / n) + k ln n        (scale of S unknown)

Parameter covariance is (J^T S^-1 J)^-1, times max(1, chi2 / (n - k)) where S is known, so that a form that does not
quite fit is not given errors that are too small.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import OptimizeResult, least_squares
from scipy.special import expit, logit
from scipy.stats import bootstrap, norm, t

from astro_sim.curves.curve import sixes
from astro_sim.curves.forms import FORMS, SIMULATED, SLOPES, Form

MEMBERS_PER_POINT = 5  # members needed per point before their covariance matrix is trusted

COARSE = 256  # groups of neighbours, from which a fit to more than twice as many points starts


@dataclass(frozen=True)
class Data:
    """What is fitted: `x` ascending, `y`, and `root`, a square root of the covariance of `y`.

    `root` is the standard error of each point, ``(n,)``, or the lower Cholesky factor of correlated points, ``(n, n)``.
    `known` says whether that covariance is absolute or known up to a factor only. `shared` is an error, ``(n,)``, that
    all points have together, beside their own: that of the baseline they are measured from. `columns` are the few
    courses, ``(n_columns, n)``, NaN where one has no value, whose mean `y` is; then `root` holds weights, and errors
    come from the scatter of whole columns.
    """

    x: np.ndarray
    y: np.ndarray
    root: np.ndarray
    known: bool
    shared: np.ndarray | None = None
    columns: np.ndarray | None = None

    def whiten(self, residual: np.ndarray) -> np.ndarray:
        """Residuals as independent numbers of variance 1 (of equal variance where the scale is unknown).

        With a shared error the covariance is ``D (1 + v v^T) D``, ``D = diag(root)``, ``v = shared / root``, and
        ``(1 + v v^T)^(-1/2) = 1 - (1 - 1 / sqrt(1 + v^T v)) v v^T / v^T v``.
        """
        if self.root.ndim == 2:
            return solve_triangular(self.root, residual, lower=True)
        own = residual / self.root
        if self.shared is None:
            return own
        v = self.shared / self.root
        square = v @ v
        return own - (1 - 1 / np.sqrt(1 + square)) / square * (v @ own) * v

    @property
    def sem(self) -> np.ndarray:
        """Standard error of each point, ``(n,)``."""
        if self.columns is not None:
            return np.sqrt(np.sum(self.departures() ** 2, axis=0) * len(self.columns) / (len(self.columns) - 1))
        return self.root if self.root.ndim == 1 else np.sqrt(np.sum(self.root**2, axis=1))

    @property
    def uncertainty(self) -> str:
        """Where the errors of the parameters come from, in words."""
        if self.columns is not None:
            return f"scatter of {len(self.columns)} whole columns"
        return "least squares, times sqrt(chi2/dof) where that is above 1" if self.known else "least squares"

    def departures(self) -> np.ndarray:
        """What each column adds to the mean, ``(n_columns, n)``: its distance from the mean over their number there."""
        assert self.columns is not None
        return np.nan_to_num(self.columns - self.y) / np.isfinite(self.columns).sum(axis=0)

    def resampled(self, members: np.ndarray) -> "Data":
        """The mean of the columns `members`; a point that none of them has gets no weight."""
        assert self.columns is not None
        columns = self.columns[members]
        counts = np.isfinite(columns).sum(axis=0)
        mean = np.nansum(columns, axis=0) / np.maximum(counts, 1)
        return Data(self.x[counts > 0], mean[counts > 0], 1 / np.sqrt(counts[counts > 0]), known=False)

    def coarse(self) -> "Data":
        """Means of neighbours, where there are many points: the first ones stay, the groups grow in proportion to x."""
        n = self.x.size
        if n <= 2 * COARSE or self.root.ndim == 2:
            return self
        edges = np.unique(np.r_[0:COARSE:4, np.geomspace(COARSE, n - 1, COARSE).astype(int)])
        weights = 1 / self.root**2
        total = np.add.reduceat(weights, edges)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.add.reduceat(weights * values, edges) / total

        shared = None if self.shared is None else mean(self.shared)
        return Data(mean(self.x), mean(self.y), 1 / np.sqrt(total), self.known, shared)


def prepare(
    x: object,
    y: object,
    sem: object = None,
    ensemble: object = None,
    correlated: bool = True,
    shared: object = None,
    columns: object = None,
) -> Data:
    """Check and sort the data; derive mean and covariance from an ensemble of shape ``(n_members, n_points)``.

    `columns`, of shape ``(n_columns, n_points)``, are few: their points are correlated in a way that they cannot tell.

    Points at which all members agree exactly (the start of every efficacy) carry no error and are left out.
    """
    x = _finite("x", x)
    if x.min(initial=0.0) < 0:
        raise ValueError(f"x must be at least 0, got {x.min():g}")
    if ensemble is not None:
        return _prepare_ensemble(x, np.asarray(ensemble, dtype=np.float64), correlated)
    if columns is not None:
        return _prepare_columns(x, np.asarray(columns, dtype=np.float64))
    y = _finite("y", y)
    if x.shape != y.shape:
        raise ValueError(f"y must have one value per x, got {y.size} for {x.size}")
    if np.ptp(y) == 0:
        raise ValueError(f"y must vary with x, got {y[0]:g} at every point; a constant has no course to fit")
    order = np.argsort(x, kind="stable")
    sigma = np.ones_like(y) if sem is None else _finite("sem", sem)
    if sigma.shape != y.shape or not np.all(sigma > 0):
        raise ValueError(f"sem must hold one positive value per x, got {np.array2string(sigma, threshold=6)}")
    together = None if shared is None else _finite("shared", shared)
    if together is not None and (sem is None or together.shape != y.shape or not together.any()):
        raise ValueError(
            "shared must come with sem and hold one value per x, not all of them 0; leave it out otherwise"
        )
    return Data(x[order], y[order], sigma[order], sem is not None, None if together is None else together[order])


def _prepare_ensemble(x: np.ndarray, ensemble: np.ndarray, correlated: bool) -> Data:
    if ensemble.ndim != 2 or ensemble.shape[1] != x.size or ensemble.shape[0] < 3:
        raise ValueError(f"ensemble must have the shape (at least 3 members, {x.size} points), got {ensemble.shape}")
    if not np.all(np.isfinite(ensemble)):
        raise ValueError(f"ensemble must be finite, got {int((~np.isfinite(ensemble)).sum())} values that are not")
    order = np.argsort(x, kind="stable")
    x, ensemble = x[order], ensemble[:, order]
    spread = ensemble.std(axis=0, ddof=1)
    free = spread > 1e-12 * max(spread.max(), 1e-300)
    x, ensemble, n = x[free], ensemble[:, free], ensemble.shape[0]
    if x.size < 2:
        raise ValueError("ensemble must differ between members at two points at least; pass y and sem for exact data")
    if correlated and n >= MEMBERS_PER_POINT * x.size:
        covariance = np.cov(ensemble, rowvar=False) / n
        covariance[np.diag_indices_from(covariance)] *= 1 + 1e-9  # keeps near-duplicates positive definite
        root = cholesky(covariance, lower=True)
    else:
        root = np.sqrt(ensemble.var(axis=0, ddof=1) / n)
    return Data(x, ensemble.mean(axis=0), root, known=True)


def _prepare_columns(x: np.ndarray, columns: np.ndarray) -> Data:
    """Mean over columns, NaN left out, with weights by how many columns a point has."""
    if columns.ndim != 2 or columns.shape[1] != x.size or columns.shape[0] < 3:
        raise ValueError(
            f"columns must be at least 3, with {x.size} points each, got the shape {columns.shape}; the error of a "
            "mean of fewer is not known: give one of them"
        )
    _finite("columns", columns[np.isfinite(columns) | np.isinf(columns)])
    counts = np.isfinite(columns).sum(axis=0)
    if not counts.all():
        raise ValueError(f"columns must have a value at every x, got none at x = {x[counts == 0][0]:g}; leave it out")
    order = np.argsort(x, kind="stable")
    x, columns, counts = x[order], columns[:, order], counts[order]
    mean = np.nanmean(columns, axis=0)
    if not np.nansum((columns - mean) ** 2):
        raise ValueError("columns must differ from each other, got equal ones; give one of them")
    return Data(x, mean, 1 / np.sqrt(counts), known=False, columns=columns)


def _finite(name: str, values: object) -> np.ndarray:
    array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.ndim != 1 or array.size == 0 or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be a sequence of finite numbers, got {np.array2string(array, threshold=6)}")
    size = np.abs(array[array != 0])
    if size.size and not 1e-60 <= size.min() <= size.max() <= 1e60:  # fourth powers would leave the range of numbers
        raise ValueError(
            f"{name} must be 0 or from 1e-60 to 1e60 in size, got {size.min():g} to {size.max():g}; choose another unit"
        )
    return array


SIMPLER_WITHIN = 2.0  # BIC differences below 2 are "not worth more than a bare mention" (Kass & Raftery 1995)

PRECISION = {"xtol": 1e-10, "ftol": 1e-12, "gtol": 1e-12, "max_nfev": 150}  # far below any standard error

UNDETERMINED = "parameters not determined by the data"


@dataclass(frozen=True)
class Fit:
    """One form with k parameters fitted to one set of data."""

    form: Form
    theta: np.ndarray  # parameter values, shape (k,)
    covariance: np.ndarray  # of theta, shape (k, k)
    ci95: np.ndarray  # shape (k, 2): Student's t on the transformed scale, carried back
    residuals: np.ndarray  # whitened, in the order of x
    chi2: float
    bic: float
    flaw: str  # a parameter at its bound, or with a standard error as large as itself; such a fit is a last choice


class FitError(ValueError):
    """No form could be fitted; the message says why."""


_TO_FREE = {"log": np.log, "logit": logit, "linear": np.positive}

_FROM_FREE = {"log": np.exp, "logit": expit, "linear": np.positive}


def _transform(table: dict[str, Callable], form: Form, values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # a bound of 0 becomes -inf
        return np.array([table[scale](v) for scale, v in zip(form.scales.values(), values, strict=True)])


def fit_form(form: Form, data: Data) -> Fit:
    """Fit one form; the best of several starting points. FitError for too few points, or if nothing converges."""
    n, k = data.x.size, len(form.parameters)
    fixed = form.function(0.0, *np.ones(k)) == 0  # it starts at 0, whatever the parameters
    distinct = np.unique(data.x[data.x > 0] if fixed else data.x).size
    if distinct <= k:
        raise FitError(f"{form.name} must have more points than its {k} parameters, got {distinct} that depend on them")
    low, high = form.bounds(data.x, data.y)
    guess = np.array(form.guess(data.x, data.y), dtype=np.float64)
    factors = (1.0,) if k == 2 else (1.0, 0.2, 5.0)  # with more than two parameters also faster and slower starts
    timelike = np.array([name.split("_")[0] in ("tau", "half") for name in form.parameters])
    starts = np.clip(np.where(timelike, guess * np.array(factors)[:, None], guess), low, high)
    coarse = data.coarse()
    attempts = [_solve(form, coarse, start, low, high) for start in starts]
    solutions = [solution for solution in attempts if solution is not None]
    if solutions and coarse is not data:
        start = _transform(_FROM_FREE, form, min(solutions, key=lambda solution: solution.cost).x)
        polished = _solve(form, data, start, low, high, max_nfev=30)  # from means nothing sound needs as many
        solutions = [] if polished is None else [polished]
    if not solutions:
        raise FitError(f"{form.name} must converge from a starting value, got none of them to")
    best = min(solutions, key=lambda solution: solution.cost)
    theta, chi2 = _transform(_FROM_FREE, form, best.x), 2 * best.cost
    floor = n * (1e-14 * np.abs(data.whiten(data.y)).max()) ** 2  # rounding: data that a form meets exactly
    bic = (chi2 if data.known else n * np.log(max(chi2, floor) / n)) + k * np.log(n)
    variance = max(1.0, chi2 / (n - k)) if data.known else max(chi2, floor) / (n - k)
    free_covariance, flaw = _free_covariance(form, best, variance)
    freedom = n - k
    if data.columns is not None:
        free_covariance, freedom = _over_columns(data, best), len(data.columns) - 1
    slope = _transform(SLOPES, form, theta)
    half = t.ppf(0.975, freedom) * np.sqrt(np.diag(free_covariance))
    with np.errstate(over="ignore"):
        ci95 = np.stack([_transform(_FROM_FREE, form, best.x + side * half) for side in (-1, 1)], axis=1)
    near = np.isclose(theta, low, rtol=1e-3, atol=0) | np.isclose(theta, high, rtol=1e-3, atol=0)
    if not flaw:
        near |= (low == 0) & (theta < 1e-3)  # nothing is near 0 relative to it
    if near.any():
        flaw = f"{', '.join(np.array(form.parameters)[near])} at the bound"
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = free_covariance * np.outer(slope, slope)
    if not np.all(np.isfinite(covariance)):
        raise FitError(f"{form.name} must have finite errors, got a standard error beyond the range of numbers")
    return Fit(form, theta, covariance, ci95, -best.fun, chi2, float(bic), flaw)


def _solve(
    form: Form, data: Data, start: np.ndarray, low: np.ndarray, high: np.ndarray, **precision: int
) -> OptimizeResult | None:
    """One run of ``scipy.optimize.least_squares`` on the transformed scale, None when it meets no finite value."""
    far = 1e9 * max(np.abs(data.y).max(), 1e-300)  # keeps the squares of hopeless trial steps finite

    def residual(free: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            r = form.function(data.x, *_transform(_FROM_FREE, form, free)) - data.y
        return data.whiten(np.clip(np.nan_to_num(r, nan=far), -far, far))

    bounds = (_transform(_TO_FREE, form, low), _transform(_TO_FREE, form, high))
    start = np.clip(_transform(_TO_FREE, form, start), bounds[0] + 1e-9, bounds[1] - 1e-9)  # strictly inside
    solution = least_squares(residual, start, bounds=bounds, x_scale="jac", **(PRECISION | precision))
    return solution if np.isfinite(solution.cost) else None


def _free_covariance(form: Form, solution: OptimizeResult, variance: float) -> tuple[np.ndarray, str]:
    """Covariance on the transformed scale from the Jacobian, and a flaw where the data leave a direction open."""
    _, singular, rows = np.linalg.svd(solution.jac, full_matrices=False)
    kept = np.maximum(singular, 1e-10 * singular[0] or 1e-100)  # 0 where an amplitude at its bound is lost in rounding
    covariance = (rows.T / kept**2) @ rows * variance
    wide = np.sqrt(np.diag(covariance))[[scale != "linear" for scale in form.scales.values()]].max() > 1  # an e-fold
    return covariance, UNDETERMINED if wide or singular[-1] < 1e-9 * singular[0] else ""


def _over_columns(data: Data, solution: OptimizeResult) -> np.ndarray:
    """Covariance on the transformed scale from the scatter of whole columns, whatever their points have in common.

    To first order a column moves the parameters by ``A d``, where ``A = (J^T J)^-1 J^T`` is what least squares does
    with a change of the data, and ``d`` is what the column adds to the mean. Over n columns the covariance is
    ``n / (n - 1) sum (A d)(A d)^T``, the estimator of Liang & Zeger (1986, Biometrika 73:13) for clustered data.
    """
    moves = (data.departures() / data.root) @ np.linalg.pinv(solution.jac, rcond=1e-10).T
    return moves.T @ moves * len(moves) / (len(moves) - 1)


def fit_all(data: Data, names: Iterable[str] = SIMULATED) -> tuple[dict[str, Fit], dict[str, str]]:
    """Fit every form of `names`; return the fits and, for forms that could not be fitted, why."""
    fits, failures = {}, {}
    for name in names:
        try:
            fits[name] = fit_form(FORMS[name], data)
        except FitError as error:
            failures[name] = str(error)
    return fits, failures


def doubted(fit: Fit, data: Data) -> Fit:
    """The fit, flawed where an offset or a base has a standard error beyond the range of the data."""
    units = fit.form.units
    in_y = [fit.form.scales[key] == "linear" and units[key] == "{y}" for key in fit.form.parameters]
    wide = np.sqrt(np.diag(fit.covariance))[in_y] > np.ptp(data.y)
    return dataclasses.replace(fit, flaw=fit.flaw or UNDETERMINED) if wide.any() else fit


def require_course(best: Fit, data: Data) -> None:
    """FitError where a constant describes the data as well as the chosen form: there is no course to fit."""
    ones, y = data.whiten(np.ones_like(data.y)), data.whiten(data.y)
    level = float(ones @ y / (ones @ ones))
    n, chi2 = y.size, float(np.sum((y - level * ones) ** 2))
    bic = (chi2 if data.known else n * np.log(chi2 / n)) + np.log(n)
    if bic <= best.bic + SIMPLER_WITHIN:
        raise FitError(
            f"the response must change with time to have a time constant, got a course that a constant, {level:.4g}, "
            f"describes as well as {best.form.name} (BIC {bic:.2f} and {best.bic:.2f}); add points where it changes, "
            "or name a form"
        )


def choose(fits: dict[str, Fit], among: Iterable[str]) -> tuple[Fit, str]:
    """The form with the lowest BIC among sound fits, the simplest of those within 2 of it, and why.

    When no fit is sound all are candidates, which the reason says.
    """
    candidates = [fits[name] for name in among if name in fits]
    if not candidates:
        raise FitError(f"data must have enough points for one of {', '.join(among)}, got too few; add points")
    sound = [fit for fit in candidates if not fit.flaw]
    lowest = min(fit.bic for fit in sound or candidates)
    close = [fit for fit in sound or candidates if fit.bic <= lowest + SIMPLER_WITHIN]
    best = min(close, key=lambda fit: (fit.theta.size, fit.bic))
    reason = f"lowest BIC of {len(candidates)} forms"
    if best.bic > lowest:
        reason = f"simplest form within {SIMPLER_WITHIN:g} of the lowest BIC of {len(candidates)} forms"
    return best, reason if sound else reason + ", all of them flawed"


def diagnose(fit: Fit, data: Data) -> dict[str, float]:
    """Residual diagnostics of the whitened residuals.

    Durbin-Watson (2 when neighbours are independent), the p-value of the runs test on their signs (Wald & Wolfowitz
    1940, normal approximation), the largest in units of its standard error, R^2 and RMSE of the plain residuals, and
    chi2 per degree of freedom where the error of the data is known.
    """
    r, n = fit.residuals, data.x.size
    plain = data.y - fit.form.function(data.x, *fit.theta)
    spread = np.sum((data.y - data.y.mean()) ** 2)
    scale = 1.0 if data.known else np.sqrt(max(fit.chi2, 1e-300) / (n - fit.theta.size))
    result = {
        "r_squared": float(1 - np.sum(plain**2) / spread) if spread > 0 else 0.0,
        "rmse": float(np.sqrt(np.mean(plain**2))),
        "durbin_watson": float(np.sum(np.diff(r) ** 2) / max(np.sum(r**2), 1e-300)),
        "runs_p": _runs_p(r > 0),
        "largest_residual": float(np.abs(r).max() / scale),
    }
    return result | ({"reduced_chi2": float(fit.chi2 / (n - fit.theta.size))} if data.known else {})


def _runs_p(positive: np.ndarray) -> float:
    n1, n2 = int(positive.sum()), int((~positive).sum())
    if n1 == 0 or n2 == 0:
        return 0.0 if positive.size > 5 else 1.0
    n, runs = n1 + n2, 1 + int(np.sum(positive[1:] != positive[:-1]))
    mean = 1 + 2 * n1 * n2 / n
    variance = (mean - 1) * (mean - 2) / (n - 1)
    return float(2 * norm.sf(abs(runs - mean) / np.sqrt(variance))) if variance > 0 else 1.0


def resample_members(
    fit: Fit, data: Data, x: ArrayLike, ensemble: ArrayLike | None, n_resamples: int, seed: int
) -> dict[str, Any]:
    """Standard errors and 95 % percentile intervals by resampling whole members of the ensemble behind `data`."""
    order = np.argsort(x, kind="stable")
    kept = order[np.isin(np.asarray(x, dtype=np.float64)[order], data.x)]
    values = np.asarray(ensemble, dtype=np.float64)[:, kept] if data.columns is None else data.columns
    low, high = fit.form.bounds(data.x, data.y)

    def refit(members: np.ndarray) -> np.ndarray:
        if data.columns is None:
            again = dataclasses.replace(data, y=values[members].mean(axis=0))
        else:
            again = data.resampled(members).coarse()
        solution = _solve(fit.form, again, fit.theta, low, high)
        return fit.theta if solution is None else _transform(_FROM_FREE, fit.form, solution.x)

    result = bootstrap(
        (np.arange(len(values)),), refit, vectorized=False, n_resamples=n_resamples, method="percentile",
        confidence_level=0.95, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return {
        "n_members": len(values),
        "n_resamples": n_resamples,
        "seed": seed,
        "stderr": sixes(result.standard_error),
        "ci95": [sixes(interval) for interval in np.transpose(result.confidence_interval)],
    }
