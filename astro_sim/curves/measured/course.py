"""Fit a measured course of plasticity."""

import hashlib
import os
import shlex
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from astro_sim.curves.curve import Axis, Curve
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.forms import NOT_FALLING
from astro_sim.curves.measured.table import Measured, read_measured


def fit_csv(
    path: str | os.PathLike,
    *,
    form: str = "auto",
    name: str = "ltp",
    baseline: float = 0.0,
    extrapolate: bool = False,
    time: str | None = None,
    response: str | Sequence[str] = (),
    sem: str | None = None,
    time_unit: str | None = None,
    induction: float = 0.0,
    decimal: str | None = None,
    sheet: str | None = None,
) -> Curve:
    """Read a measured course of plasticity (:func:`read_measured`) and fit it (:func:`fit_measured`)."""
    measured = read_measured(
        path, time=time, response=response, sem=sem, time_unit=time_unit, induction=induction, decimal=decimal,
        sheet=sheet,
    )  # fmt: skip
    return fit_measured(measured, form=form, name=name, baseline=baseline, extrapolate=extrapolate)


def fit_measured(
    measured: Measured, *, form: str = "auto", name: str = "ltp", baseline: float = 0.0, extrapolate: bool = False
) -> Curve:
    """Fit a measured course of long-term plasticity.

    ValueError is raised when the data do not determine the parameters.

    Parameters
    ----------
    form : str
        A form of :mod:`astro_sim.curves.forms`, or ``auto``: lowest BIC of all forms that do not fall; it must have
        risen.
    name : str
        Name of the curve; ``ltp`` is the one that retention factors are taken from.
    baseline : float
        Subtracted from the response: 100 for percent of baseline, so that the course starts at 0.
    extrapolate : bool
        Allow use beyond the measured range where the form has no plateau, and mark the curve.
    """
    path = measured.path
    if measured.time.min() < 0:
        raise ValueError(f"{path}: time must be at least 0 (the start of induction), got {measured.time.min():g} s")
    if len(measured.names) > 1:
        raise ValueError(f"{path}: response must be one column, got {len(measured.names)}")
    options: dict[str, tuple[object, object]] = {"--form": (form, "auto"), "--name": (name, "ltp")}
    options |= {"--baseline": (baseline, 0.0)}
    given = [word for option, (value, usual) in options.items() if value != usual for word in (option, _word(value))]
    given += ["--extrapolate"] if extrapolate else []
    try:
        curve = fit_curve(
            measured.time,
            measured.responses[0] - baseline,
            measured.sem,
            form=form,
            among=NOT_FALLING,
            because="a course of plasticity rises" if form == "auto" else "",
            name=name,
            x_axis=Axis("t", "s"),
            y_axis=Axis("response", "1"),
            extrapolate=extrapolate,
            provenance={
                "kind": "measurement",
                "command": shlex.join(["astro-sim", "fit", path.name, *measured.command, *given]),
                "source": f"measured data in {path.name}",
                "data": path.name,
                "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "reading": list(measured.notes),
                "versions": {package: version(package) for package in ("numpy", "pandas", "scipy")},
            },
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for parameter, value in curve.parameters.items():
        if curve.form.scales[parameter] != "linear" and not curve.stderr[parameter] <= value:
            raise ValueError(
                f"{path}: data must determine the parameters of {curve.form.name}, got {parameter} = {value:.4g} +- "
                f"{curve.stderr[parameter]:.2g}; add points where the response changes, or name another form"
            )
    first, last = curve(np.array(curve.x_range))
    least = max(first, 0.0) + 1e-6 * np.abs(curve.samples["y"]).max()  # an amplitude at its bound is no rise
    if form == "auto" and last <= least:
        raise ValueError(
            f"{path}: response must rise above the baseline to be a course of plasticity, got a {curve.form.name} from "
            f"{first:.4g} to {last:.4g} relative to it; correct the baseline, or name a form to fit it all the same"
        )
    return curve


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"
