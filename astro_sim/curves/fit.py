"""Fit the forms of :mod:`astro_sim.curves.forms` to data with SciPy, and choose among them.

Each form is fitted by generalised least squares on the transformed scale of its parameters (positive ones as
logarithms, fractions as logits), from data-driven starting values within bounds. What is minimised is

    chi2 = r^T S^-1 r,    r = y - f(x; theta),

where S is the covariance of the data: the ensemble's own when there are enough members (points of one ensemble mean are
correlated in time), diag(sem^2) otherwise, and an unknown multiple of the identity when no error is known. Then

    BIC = chi2 + k ln n                  (S known)
    BIC = n ln(chi2 / n) + k ln n        (scale of S unknown)

Parameter covariance is (J^T S^-1 J)^-1, times max(1, chi2 / (n - k)) where S is known, so that a form that does not
quite fit is not given errors that are too small.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult, least_squares
from scipy.special import expit, logit
from scipy.stats import bootstrap, norm, t

from astro_sim.curves.curve import Axis, Curve, check_name, six
from astro_sim.curves.data import Data, prepare
from astro_sim.curves.forms import FORMS, SIMULATED, SLOPES, Form

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


def _doubted(fit: Fit, data: Data) -> Fit:
    """The fit, flawed where an offset or a base has a standard error beyond the range of the data."""
    units = fit.form.units
    in_y = [fit.form.scales[key] == "linear" and units[key] == "{y}" for key in fit.form.parameters]
    wide = np.sqrt(np.diag(fit.covariance))[in_y] > np.ptp(data.y)
    return dataclasses.replace(fit, flaw=fit.flaw or UNDETERMINED) if wide.any() else fit


def _require_course(best: Fit, data: Data) -> None:
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


def _bootstrap(
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
        "stderr": _six(result.standard_error),
        "ci95": [_six(interval) for interval in np.transpose(result.confidence_interval)],
    }


def _six(values: Iterable[float]) -> list[float]:
    return [six(value) for value in values]


THINNED = 64  # data points kept in the file


def fit_curve(
    x: ArrayLike,
    y: ArrayLike | None = None,
    sem: ArrayLike | None = None,
    *,
    ensemble: ArrayLike | None = None,
    correlated: bool = True,
    shared: ArrayLike | None = None,
    columns: ArrayLike | None = None,
    form: str = "auto",
    among: Iterable[str] | None = None,
    because: str = "",
    name: str = "curve",
    x_axis: Axis = Axis("x", "1"),
    y_axis: Axis = Axis("y", "1"),
    extrapolate: bool = False,
    n_bootstrap: int = 500,
    seed: int = 0,
    provenance: dict[str, Any] | None = None,
) -> Curve:
    """Fit the forms, choose one, and return it with its uncertainty.

    Parameters
    ----------
    x, y, sem : array_like
        Data, shape ``(n,)``; `sem` is the standard error of each `y` (weights), or None.
    ensemble : array_like, optional
        Shape ``(n_members, n)``, instead of `y` and `sem`: mean, covariance and bootstrap are taken over members.
    correlated : bool
        False when the columns of `ensemble` are independent experiments, whose covariance is then taken as diagonal.
    shared : array_like, optional
        Shape ``(n,)``: a standard error that all `y` have together beside `sem`, such as that of their baseline.
    columns : array_like, optional
        Shape ``(n_columns, n)``, instead of `y`: a few courses, such as slices or cells, NaN where one has no value.
        Their mean is fitted; the errors of the parameters are those of whole columns, and so is the bootstrap.
    form : str
        Name of a form, or ``auto``: the lowest BIC, where the simplest form within 2 of it wins.
    among : iterable of str, optional
        Forms that ``auto`` may choose; by default all that are not for measured courses alone. Those are fitted and
        reported in any case, unless `among` holds forms for measured courses.
    because : str
        Why `form` or `among` was given, for the record.
    extrapolate : bool
        Mark the curve as usable beyond the observed range also where its form does not allow it.
    provenance : dict, optional
        Of the data: what stands in the curve file. By default a hash of the arrays.
    n_bootstrap : int
        Resamples over the members of `ensemble` (drawn with `seed`); 0 for none.
    """
    check_name(name)
    allowed = list(SIMULATED if among is None else among) if form == "auto" else [form]
    for candidate in allowed:
        if candidate not in FORMS:
            raise ValueError(f"form must be 'auto' or one of {', '.join(FORMS)}, got {candidate!r}")
    data = prepare(x, y, sem, ensemble, correlated, shared, columns)
    courses = any(FORMS[candidate].measured for candidate in (*allowed, *(among or ())))
    only = courses and form == "auto"
    fits, failures = fit_all(data, allowed if only else dict.fromkeys([*SIMULATED, *allowed]))
    if courses:
        fits = {name: _doubted(fit, data) for name, fit in fits.items()}
    best, reason = choose(fits, allowed)
    if only:
        _require_course(best, data)
    if form != "auto":
        reason = f"the caller: {because or form + ' was asked for'}"
    elif because:
        reason += f" ({because})"
    weights = "equal"
    if data.known:
        weights = "sem" if ensemble is None else "covariance of the ensemble"
        weights += "" if data.shared is None else " and the shared error of the baseline"
    if data.columns is not None:
        weights = "number of columns"
    record = {
        "chosen_by": reason,
        "weights": weights,
        "uncertainty": _uncertainty(data),
        "n_samples": data.x.size,
        **{key: six(value) for key, value in diagnose(best, data).items()},
        "bic": {name: six(fit.bic) for name, fit in fits.items()},
        "flaws": {name: fit.flaw for name, fit in fits.items() if fit.flaw},
        "not_fitted": failures,
    }
    if (ensemble is not None or columns is not None) and n_bootstrap:
        record["bootstrap"] = _bootstrap(best, data, x, ensemble, n_bootstrap, seed)
    keys = best.form.parameters
    thin = np.unique(np.linspace(0, data.x.size - 1, min(THINNED, data.x.size)).round().astype(int))
    with_error = data.known or data.columns is not None
    samples = {"x": data.x, "y": data.y} | ({"sem": data.sem} if with_error else {})
    return Curve(  # everything is rounded as the file has it
        name=name,
        form=best.form,
        x=x_axis,
        y=y_axis,
        x_range=(six(np.min(x)), six(np.max(x))),
        parameters=dict(zip(keys, _six(best.theta), strict=True)),
        stderr=dict(zip(keys, _six(np.sqrt(np.diag(best.covariance))), strict=True)),
        ci95={key: (six(low), six(high)) for key, (low, high) in zip(keys, best.ci95, strict=True)},
        units={key: best.form.unit(key, x_axis.unit, y_axis.unit) for key in keys},
        covariance=np.vectorize(six)(best.covariance),
        fit=record,
        samples={key: _six(values[thin]) for key, values in samples.items()},
        provenance=provenance or _of_arrays(x, y, sem, ensemble, columns),
        extrapolate=extrapolate,
    )


def _uncertainty(data: Data) -> str:
    if data.columns is not None:
        return f"scatter of {len(data.columns)} whole columns"
    return "least squares, times sqrt(chi2/dof) where that is above 1" if data.known else "least squares"


def _of_arrays(*arrays: ArrayLike | None) -> dict[str, Any]:
    """The provenance of data that come without one: a hash of the numbers."""
    given = [np.ascontiguousarray(array, dtype=np.float64) for array in arrays if array is not None]
    return {
        "kind": "measurement",
        "command": "astro_sim.curves.fit_curve(...)",
        "source": "arrays given to fit_curve",
        "data": ", ".join(f"{array.shape}" for array in given),
        "data_sha256": hashlib.sha256(b"".join(array.tobytes() for array in given)).hexdigest(),
        "versions": {package: version(package) for package in ("numpy", "scipy")},
    }
