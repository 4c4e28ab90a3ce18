"""Fit a measured course of plasticity: potentiation, depression, a decay, a peak and what it leaves behind."""

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from astro_sim.curves.curve import Axis, Curve
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.forms import COURSES, OFFSET_FREE
from astro_sim.curves.measured.baseline import Relative, relative
from astro_sim.curves.measured.table import Measured, read_measured


def fit_csv(
    path: str | os.PathLike,
    *,
    form: str = "auto",
    name: str | None = None,
    baseline: float | None = None,
    baseline_sem: float | None = None,
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
    return fit_measured(
        measured, form=form, name=name, baseline=baseline, baseline_sem=baseline_sem, extrapolate=extrapolate
    )


def fit_measured(
    measured: Measured,
    *,
    form: str = "auto",
    name: str | None = None,
    baseline: float | None = None,
    baseline_sem: float | None = None,
    extrapolate: bool = False,
) -> Curve:
    """Fit a measured course of plasticity, relative to its baseline (:func:`relative`).

    The error of the baseline is part of the errors of the parameters: where it is known all points share it, and where
    a baseline is only a number every form has a free offset. ValueError is raised when the data do not determine the
    parameters.

    Parameters
    ----------
    form : str
        A form of :mod:`astro_sim.curves.forms`, or ``auto``: lowest BIC of all forms that a course may have.
    name : str, optional
        Name of the curve. By default ``ltp`` for one that rises, which retention factors are taken from, ``ltd`` for
        one that ends below its baseline, else ``course``.
    baseline : float, optional
        Subtracted from the response, instead of the mean before induction, such as 100 for percent of baseline.
    baseline_sem : float, optional
        Standard error of `baseline`; 0 if it is exact.
    extrapolate : bool
        Allow use beyond the measured range where the form has no plateau, and mark the curve.
    """
    course = relative(measured, baseline, baseline_sem)
    options: dict[str, object] = {"--form": None if form == "auto" else form, "--name": name}
    options |= {"--baseline": baseline, "--baseline-sem": baseline_sem}
    given = [word for option, value in options.items() if value is not None for word in (option, _word(value))]
    given += ["--extrapolate"] if extrapolate else []
    path = measured.path
    try:
        curve = fit_curve(
            course.time,
            form=form,
            among=OFFSET_FREE if course.free else COURSES,
            because="the error of the baseline is not known" if form == "auto" and course.free else "",
            name=name or "course",
            x_axis=Axis("t", "s"),
            y_axis=Axis("response", course.unit),
            extrapolate=extrapolate,
            provenance={
                "kind": "measurement",
                "command": shlex.join(["astro-sim", "fit", path.name, *measured.command, *given]),
                "source": f"measured data in {path.name}",
                "data": path.name,
                "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "reading": [*measured.notes, *course.notes],
                "versions": {package: version(package) for package in ("numpy", "pandas", "scipy")},
            },
            **_data(course),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _require_determined(curve, measured)
    return _named(curve, measured, name, form == "auto")


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _data(course: Relative) -> dict[str, Any]:
    """The arguments of `fit_curve` that hold the data."""
    if len(course.change) > 1:
        return {"columns": course.change}
    return {"y": course.change[0], "sem": course.sem, "shared": course.shared}


def _require_determined(curve: Curve, measured: Measured) -> None:
    for parameter, value in curve.parameters.items():
        if curve.form.scales[parameter] != "linear" and not curve.stderr[parameter] <= value:
            raise ValueError(
                f"{measured.path}: data must determine the parameters of {curve.form.name}, got {parameter} = "
                f"{value:.4g} +- {curve.stderr[parameter]:.2g}; add points where the response changes, or name another "
                "form"
            )


def _named(curve: Curve, measured: Measured, name: str | None, chosen: bool) -> Curve:
    """The curve under its name; ValueError where it must rise and does not."""
    kind, _ = _kind(curve)
    if chosen and name == "ltp" and kind != "ltp":
        first, last = curve(np.array(curve.x_range))
        raise ValueError(
            f"{measured.path}: response must rise above the baseline to be a course of plasticity, got a "
            f"{curve.form.name} from {first:.4g} to {last:.4g} relative to it; correct the baseline, leave the name "
            "out, or name a form to fit it all the same"
        )
    return replace(curve, name=name or kind)


def in_words(curve: Curve) -> str:
    """What the course does, and whether retention factors can be taken from it."""
    kind, what = _kind(curve)
    first, last = curve(np.array(curve.x_range))
    use = "gives retention factors" if kind == "ltp" else "gives no retention factors, which need a rise"
    return f"{curve.name}: {what}, from {first:.4g} to {last:.4g} in {np.ptp(curve.x_range):g} {curve.x.unit}; {use}"


def _kind(curve: Curve) -> tuple[str, str]:
    """The default name of a course, and what it does over its observed range."""
    y = curve(np.linspace(*curve.x_range, 257))
    slack = 1e-6 * np.abs(curve.samples["y"]).max()  # an amplitude at its bound is no rise
    rises = y[-1] > y[0] + slack and np.all(np.diff(y) >= -1e-12 * np.abs(y).max())
    if rises:
        return ("ltp", "rises above its baseline") if y[-1] > slack else ("course", "rises, but not above its baseline")
    if y[-1] < -slack and y[-1] < y[0]:
        return "ltd", "falls below its baseline"
    return "course", "does not rise throughout"
