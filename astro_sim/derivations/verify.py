"""Verify a curve file: run the experiment that it names again, and say whether file and simulation agree.

A file can be changed consistently, ``check`` included, so that it still loads; only the simulation can tell. Compared
are the equations, every recorded value of the model, every fitted parameter with its standard error and covariance,
and what is noted beside the fit.

With the versions and the Brian2 target of the file, the run repeats the same draws; elsewhere it often does, which
shows in the data that were fitted. Then the parameters must agree to a twentieth of their standard error, which leaves
room for another processor's rounding; with other draws they must agree within three standard errors of the difference.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from astro_sim.curves.curve import Curve
from astro_sim.curves.fit import fit_form, prepare
from astro_sim.curves.format import read_curve
from astro_sim.curves.forms import FORMS
from astro_sim.derivations.experiment import Experiment
from astro_sim.derivations.standard import DERIVATIONS, STANDARD
from astro_sim.simulation.recording import flatten

SAME_DRAWS, OTHER_DRAWS = 0.05, 3.0  # allowed difference of a parameter, in standard errors

OF_MANY = {True: SAME_DRAWS, False: 5 * np.sqrt(2)}  # the same where there are many values: one may be far off

ERROR_RATIO = {True: 1.05, False: 2.0}  # allowed ratio of standard errors

NOTED = ("population", "exponents", "closed_form")  # compared of what is noted beside the fit


@dataclass(frozen=True)
class Comparison:
    """One thing that was compared: what the file says, what the simulation gives, and whether that is enough."""

    name: str
    file: str
    simulated: str
    agrees: bool


@dataclass(frozen=True)
class VerifyReport:
    """What came out of verifying one file."""

    path: Path
    same_draws: bool
    comparisons: tuple[Comparison, ...]

    @property
    def ok(self) -> bool:
        """True when everything agrees."""
        return all(comparison.agrees for comparison in self.comparisons)

    @property
    def differences(self) -> tuple[str, ...]:
        """Names of what does not agree."""
        return tuple(comparison.name for comparison in self.comparisons if not comparison.agrees)

    def __str__(self) -> str:
        how = "the same draws" if self.same_draws else "draws of another target or version"
        if self.ok:
            return f"{self.path}: agrees with its simulation in {len(self.comparisons)} comparisons ({how})"
        counts = f"{len(self.differences)} of {len(self.comparisons)} comparisons"
        lines = [f"{self.path}: differs from its simulation in {counts} ({how})"]
        lines += [f"  {c.name}: file {c.file}, simulation {c.simulated}" for c in self.comparisons if not c.agrees]
        return "\n".join(lines)


def verify_curve(path: str | os.PathLike, *, target: str = "auto") -> VerifyReport:
    """Run the experiment named in a curve file again and compare.

    Raises
    ------
    ValueError
        If the file is not a whole curve file, holds a measurement, or names no known derivation.
    """
    path = Path(path)
    curve = read_curve(path)
    origin = curve.provenance
    if origin["kind"] != "simulation":
        raise ValueError(f"{path} must hold a simulated curve to be verified, got one of {origin['source']}")
    if origin.get("derivation") not in DERIVATIONS:
        known = ", ".join(DERIVATIONS)
        raise ValueError(f"{path}: provenance.derivation must be one of {known}, got {origin.get('derivation')!r}")
    derive = DERIVATIONS[origin["derivation"]]
    again = derive(_experiment(curve, path), name=curve.name, form=curve.form.name, target=target)
    return VerifyReport(path, _same_draws(curve, again), tuple(compare(curve, again)))


def verify_curves(
    paths: Iterable[str | os.PathLike], *, target: str = "auto", n_jobs: int = 2
) -> Iterator[VerifyReport]:
    """Verify files side by side; reports come in the order of `paths`, each as soon as it is there."""
    tasks = [delayed(verify_curve)(path, target=target) for path in paths]
    yield from Parallel(n_jobs=min(n_jobs, len(tasks)) or 1, return_as="generator")(tasks)


def _experiment(curve: Curve, path: Path) -> Experiment:
    origin = curve.provenance
    try:
        return dataclasses.replace(STANDARD[origin["derivation"]], **origin["config"])
    except (TypeError, ValueError) as error:
        kind = type(STANDARD[origin["derivation"]]).__name__
        raise ValueError(f"{path}: provenance.config must describe a {kind}, got {error}") from None


def _same_draws(file: Curve, again: Curve) -> bool:
    """Whether both must have seen the same draws, by target and versions, or did, by the data that were fitted."""
    same_software = all(file.provenance[key] == again.provenance[key] for key in ("target", "versions"))
    return same_software or _samples_agree(file, again, SAME_DRAWS)


def _samples_agree(file: Curve, again: Curve, tolerance: float) -> bool:
    """Whether the fitted data are the same within `tolerance` standard errors (thousandths of the range without)."""
    if file.samples.get("x") != again.samples["x"]:
        return False
    mine, other = np.array(file.samples["y"]), np.array(again.samples["y"])
    sem = np.array(again.samples.get("sem", np.full(other.size, 1e-3 * np.ptp(other))))
    return bool(mine.shape == other.shape and np.all(np.abs(mine - other) <= tolerance * sem + 1e-5 * np.abs(other)))


def compare(file: Curve, again: Curve) -> list[Comparison]:
    """Everything in which a curve and its repetition may differ."""
    same = _same_draws(file, again)
    tolerance, ratio = SAME_DRAWS if same else OTHER_DRAWS, ERROR_RATIO[same]
    found = []
    for name, value in file.parameters.items():
        stderr = np.hypot(file.stderr[name], again.stderr[name]) if not same else again.stderr[name]
        close = abs(value - again.parameters[name]) <= tolerance * stderr + 2e-6 * abs(again.parameters[name])
        found.append(Comparison(name, f"{value:g}", f"{again.parameters[name]:g} ± {stderr:.2g}", bool(close)))
        errors = sorted([file.stderr[name], again.stderr[name]])
        close = errors[1] <= ratio * errors[0] + 1e-300
        found.append(Comparison(f"{name}.stderr", f"{file.stderr[name]:g}", f"{again.stderr[name]:g}", bool(close)))
        close = np.allclose(file.ci95[name], again.ci95[name], rtol=2e-6, atol=(tolerance + ratio - 1) * 3 * stderr)
        found.append(Comparison(f"{name}.ci95", str(file.ci95[name]), str(again.ci95[name]), bool(close)))
    scale = np.sqrt(np.outer(np.diag(again.covariance), np.diag(again.covariance)))
    close = bool(np.all(np.abs(file.covariance - again.covariance) <= (ratio**2 - 1) * scale))
    found.append(Comparison("covariance", _short(file.covariance), _short(again.covariance), close))
    close = _samples_agree(file, again, OF_MANY[same])
    found.append(Comparison("samples", str(file.samples.get("y")), str(again.samples["y"]), close))
    unexplained = sorted(1 - curve.fit["r_squared"] for curve in (file, again))
    close = unexplained[1] <= ratio**4 * unexplained[0] + 2e-6  # shares of few squares scatter more than errors do
    found.append(Comparison("r_squared", f"{file.fit['r_squared']:g}", f"{again.fit['r_squared']:g}", bool(close)))
    for name in ("x", "y", "x_range", "extrapolate"):
        mine, other = getattr(file, name), getattr(again, name)
        found.append(Comparison(name, str(mine), str(other), mine == other))
    return found + _compare_noted(file, again, OF_MANY[same]) + _compare_origins(file.provenance, again.provenance)


def _compare_noted(file: Curve, again: Curve, tolerance: float) -> list[Comparison]:
    """What is noted beside the fit: within `tolerance` of its standard errors, all six digits where it has none."""
    mine, other = (flatten({key: curve.fit[key] for key in NOTED if key in curve.fit}) for curve in (file, again))
    errors = dict(_errors(again))
    return [
        Comparison(
            name,
            str(mine.get(name)),
            str(other.get(name)),
            _near(mine.get(name), other.get(name), tolerance * errors.get(name, 0.0)),
        )
        for name in mine | other
    ]


def _errors(curve: Curve) -> Iterator[tuple[str, Any]]:
    """Standard errors of what is noted beside the fit, where it has one; amplitudes err no more than their rates."""
    if "population" in curve.fit:
        amplitude, a, error = (np.array(curve.fit["population"][key]) for key in ("amplitude", "a", "a_stderr"))
        yield "population.amplitude", amplitude * error / a
        yield "population.a", error
        yield "population.a_stderr", error
    if "exponents" in curve.fit:
        law = fit_form(FORMS["power_law"], prepare(curve.samples["x"], curve.samples["y"]))
        for key in ("of_level", "above_rest", "of_level_log_log"):
            yield f"exponents.{key}", np.sqrt(law.covariance[1, 1])


def _near(mine: Any, other: Any, error: Any) -> bool:
    """Equal within `error` and the last of six digits; what is no number, exactly."""
    if not isinstance(other, float | list):
        return bool(mine == other)
    values = np.array(mine)
    numbers = values.dtype.kind in "if" and values.shape == np.shape(other)
    return numbers and bool(np.all(np.abs(values - other) <= error + 1e-5 * np.abs(other)))


def _compare_origins(file: dict[str, Any], again: dict[str, Any]) -> list[Comparison]:
    """Every recorded value of model and run, except those that say on what it ran."""
    mine, other = (flatten({k: v for k, v in o.items() if k not in ("target", "versions")}) for o in (file, again))
    names = [*mine, *(name for name in other if name not in mine)]
    return [
        Comparison(name, str(mine.get(name)), str(other.get(name)), _equal(mine.get(name), other.get(name)))
        for name in names
    ]


def _equal(mine: Any, other: Any) -> bool:
    """Equal as the file would have it; numbers to the last of twelve digits."""
    if isinstance(mine, dict) and isinstance(other, dict):
        return mine.keys() == other.keys() and all(_equal(mine[key], other[key]) for key in mine)
    if isinstance(mine, int | float) and isinstance(other, int | float):
        return bool(np.isclose(mine, other, rtol=1e-11, atol=0))
    return mine == other


def _short(matrix: np.ndarray) -> str:
    return json.dumps(matrix.tolist())
