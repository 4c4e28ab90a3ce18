"""Verify a curve file: run the experiment that it names again, and say whether file and simulation agree.

A file can be changed consistently, ``check`` included, so that it still loads; only the simulation can tell. Compared
are the equations, every recorded value of the model, every fitted parameter with its standard error and covariance,
and what is noted beside the fit.

With the versions and the Brian2 target of the file, the run repeats the same draws; elsewhere it often does, which
shows in the data that were fitted. Then the parameters must agree to a twentieth of their standard error, which leaves
room for another processor's rounding; with other draws they must agree within three standard errors of the difference.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from astro_sim.curves.curve import Curve
from astro_sim.curves.format import read_curve
from astro_sim.curves.forms import FORMS
from astro_sim.curves.least_squares import fit_form, prepare
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
    def differences(self) -> tuple[str, ...]:
        """Names of what does not agree."""
        return tuple(comparison.name for comparison in self.comparisons if not comparison.agrees)

    @property
    def ok(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        how = "the same draws" if self.same_draws else "draws of another target or version"
        if self.ok:
            return f"{self.path}: agrees with its simulation in {len(self.comparisons)} comparisons ({how})"
        counts = f"{len(self.differences)} of {len(self.comparisons)} comparisons"
        lines = [f"{self.path}: differs from its simulation in {counts} ({how})"]
        lines += [f"  {c.name}: file {c.file}, simulation {c.simulated}" for c in self.comparisons if not c.agrees]
        return "\n".join(lines)


def verify_curve(path: str | os.PathLike, *, target: str = "auto") -> VerifyReport:
    """Run the experiment named in a curve file again and compare."""
    path = Path(path)
    curve = read_curve(path)
    origin = curve.provenance
    if origin["kind"] != "simulation":
        raise ValueError(f"{path} must hold a simulated curve to be verified, got one of {origin['source']}")
    derivation = origin.get("derivation")
    if derivation not in DERIVATIONS:
        raise ValueError(f"{path}: provenance.derivation must be one of {', '.join(DERIVATIONS)}, got {derivation!r}")
    standard = STANDARD[derivation]
    try:
        experiment = dataclasses.replace(standard, **origin["config"])
    except (TypeError, ValueError) as error:
        kind = type(standard).__name__
        raise ValueError(f"{path}: provenance.config must describe a {kind}, got {error}") from None
    again = DERIVATIONS[derivation](experiment, name=curve.name, form=curve.form.name, target=target)
    return VerifyReport(path, _same_draws(curve, again), tuple(compare(curve, again)))


def verify_curves(
    paths: Iterable[str | os.PathLike], *, target: str = "auto", n_jobs: int = 2
) -> Iterator[VerifyReport]:
    """Verify files side by side; reports come in the order of `paths`, each as soon as it is there."""
    tasks = [delayed(verify_curve)(path, target=target) for path in paths]
    yield from Parallel(n_jobs=min(n_jobs, len(tasks)) or 1, return_as="generator")(tasks)


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
    tolerance, ratio, found = SAME_DRAWS if same else OTHER_DRAWS, ERROR_RATIO[same], []

    def note(name: str, mine: Any, other: Any, agrees: Any) -> None:
        found.append(Comparison(name, str(mine), str(other), bool(agrees)))

    for name, value in file.parameters.items():
        other, mine_error, other_error = again.parameters[name], file.stderr[name], again.stderr[name]
        stderr = other_error if same else np.hypot(mine_error, other_error)
        close = abs(value - other) <= tolerance * stderr + 2e-6 * abs(other)
        note(name, f"{value:g}", f"{other:g} ± {stderr:.2g}", close)
        smaller, larger = sorted((mine_error, other_error))
        note(f"{name}.stderr", f"{mine_error:g}", f"{other_error:g}", larger <= ratio * smaller + 1e-300)
        close = np.allclose(file.ci95[name], again.ci95[name], rtol=2e-6, atol=(tolerance + ratio - 1) * 3 * stderr)
        note(f"{name}.ci95", file.ci95[name], again.ci95[name], close)
    scale = np.sqrt(np.outer(np.diag(again.covariance), np.diag(again.covariance)))
    near = np.all(np.abs(file.covariance - again.covariance) <= (ratio**2 - 1) * scale)
    note("covariance", file.covariance.tolist(), again.covariance.tolist(), near)
    note("samples", file.samples.get("y"), again.samples["y"], _samples_agree(file, again, OF_MANY[same]))
    smaller, larger = sorted(1 - curve.fit["r_squared"] for curve in (file, again))
    near = larger <= ratio**4 * smaller + 2e-6  # shares of few squares scatter more than errors do
    note("r_squared", f"{file.fit['r_squared']:g}", f"{again.fit['r_squared']:g}", near)
    for name in ("x", "y", "x_range", "extrapolate"):
        note(name, getattr(file, name), getattr(again, name), getattr(file, name) == getattr(again, name))

    errors = dict(_errors(again))
    noted = ({key: curve.fit[key] for key in NOTED if key in curve.fit} for curve in (file, again))
    for name, was, now in _pairs(*noted):  # within its standard errors, all six digits where it has none
        note(name, was, now, _agree(was, now, OF_MANY[same] * errors.get(name, 0.0), rtol=1e-5))
    for name, was, now in _pairs(file.provenance, again.provenance):
        if name != "target" and not name.startswith("versions."):  # these say on what it ran
            note(name, was, now, _agree(was, now))  # to the last of twelve digits
    return found


def _pairs(file: dict[str, Any], again: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    mine, other = flatten(file), flatten(again)
    yield from ((name, mine.get(name), other.get(name)) for name in mine | other)


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


def _agree(mine: Any, other: Any, error: Any = 0.0, rtol: float = 1e-11) -> bool:
    """Equal, or numbers of one shape whose difference is within `error` and `rtol` of them."""
    if mine == other:
        return True
    if isinstance(mine, dict) and isinstance(other, dict):
        return mine.keys() == other.keys() and all(_agree(mine[key], other[key], error, rtol) for key in mine)
    values, others = np.array(mine), np.array(other)
    numbers = values.dtype.kind in "if" and others.dtype.kind in "if" and values.shape == others.shape
    return numbers and bool(np.all(np.abs(values - others) <= error + rtol * np.abs(others)))
