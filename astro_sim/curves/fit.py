"""From data to a curve: fit, choice of the form, uncertainty and record.

The mathematics is in :mod:`astro_sim.curves.least_squares`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from astro_sim.curves.curve import Axis, Curve, check_name, origin_of_arrays, six, sixes
from astro_sim.curves.forms import FORMS, SIMULATED
from astro_sim.curves.least_squares import choose, diagnose, doubted, fit_all, prepare, require_course, resample_members

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
        fits = {name: doubted(fit, data) for name, fit in fits.items()}
    best, reason = choose(fits, allowed)
    if only:
        require_course(best, data)
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
        "uncertainty": data.uncertainty,
        "n_samples": data.x.size,
        **{key: six(value) for key, value in diagnose(best, data).items()},
        "bic": {name: six(fit.bic) for name, fit in fits.items()},
        "flaws": {name: fit.flaw for name, fit in fits.items() if fit.flaw},
        "not_fitted": failures,
    }
    if (ensemble is not None or columns is not None) and n_bootstrap:
        record["bootstrap"] = resample_members(best, data, x, ensemble, n_bootstrap, seed)
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
        parameters=dict(zip(keys, sixes(best.theta), strict=True)),
        stderr=dict(zip(keys, sixes(np.sqrt(np.diag(best.covariance))), strict=True)),
        ci95={key: (six(low), six(high)) for key, (low, high) in zip(keys, best.ci95, strict=True)},
        units={key: best.form.unit(key, x_axis.unit, y_axis.unit) for key in keys},
        covariance=np.vectorize(six)(best.covariance),
        fit=record,
        samples={key: sixes(values[thin]) for key, values in samples.items()},
        provenance=provenance or origin_of_arrays(x, y, sem, ensemble, columns),
        extrapolate=extrapolate,
    )
