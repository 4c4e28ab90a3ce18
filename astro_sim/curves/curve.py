"""A fitted curve: values, draws from its uncertainty, a report in words."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from astro_sim.curves.files import write_text
from astro_sim.curves.forms import MOVES, SLOPES, Form

FORMAT, VERSION = "astro-curve", 1


class CurveFileError(ValueError):
    """A curve file that must not be used; the message says why and what to do."""


@dataclass(frozen=True)
class Axis:
    """What is on an axis: the symbol of the paper and the unit."""

    symbol: str
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A fitted curve with its uncertainty and its origin. Two curves are equal when file and draw are."""

    name: str
    form: Form
    x: Axis
    y: Axis
    x_range: tuple[float, float]
    """The observed range. The curve says nothing below it, or below 0 where its form starts at 0, and nothing above it
    unless its form has a plateau; `extrapolate` lifts both."""
    parameters: dict[str, float]
    """In the order of the form, like the dicts that follow."""
    stderr: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    """Student's t on the scale of the parameter (logarithmic where it is positive)."""
    units: dict[str, str] = field(repr=False)
    covariance: np.ndarray = field(repr=False)
    """Shape ``(k, k)``, rows in the order of `parameters`."""
    fit: dict[str, Any] = field(repr=False)
    """Quality, BIC of every form, why this one, residual diagnostics, bootstrap."""
    samples: dict[str, list[float]] = field(repr=False)
    """The data (thinned): ``x``, ``y`` and, where known, ``sem``."""
    provenance: dict[str, Any] = field(repr=False)
    """The command, the source, the versions; of a simulation also everything that it depends on."""
    extrapolate: bool = False
    draw: int | None = None
    """Set with `draw_seed` on members of :meth:`sample`: `parameters` are then a draw and not the fitted values."""
    draw_seed: int | None = None
    text: str = field(default="", repr=False)
    """The file that the curve was read from; empty for a curve just fitted."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Curve) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, int | None, int | None]:
        return self.text or self.to_toml(), self.draw, self.draw_seed

    @property
    def sha256(self) -> str:
        """Hash of the file that the curve was read from."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __call__(self, x: float | np.ndarray, *, extrapolate: bool = False) -> np.ndarray:
        """Value of the curve at `x` (float64, shape of `x`).

        Above the observed range a form with a plateau is served (:meth:`is_extrapolated` tells, and the caller records
        it); elsewhere beyond it ValueError is raised unless `extrapolate`, here or in the file, allows it.
        """
        x = np.asarray(x, dtype=np.float64)
        if np.isnan(x).any():
            raise ValueError(f"{self.x.symbol} must be a number, got NaN")
        if not extrapolate:
            self.require_observed(x, "pass extrapolate=True to use it all the same")
        return np.asarray(self.form.function(x, *self.parameters.values()))

    def require_observed(self, x: float | np.ndarray, remedy: str) -> None:
        """Raise ValueError, ending in `remedy`, if any `x` lies where the curve is not served."""
        x = np.asarray(x, dtype=np.float64)
        low, high = self.x_range
        served = np.minimum(x, high) if self.form.plateau else x
        if not self.extrapolate and self.is_extrapolated(served):
            why = "below it a plateau says nothing" if self.form.plateau else f"{self.form.name} has no plateau"
            raise ValueError(
                f"{self.x.symbol} must lie in the observed range [{low:g}, {high:g}] {self.x.unit} of curve "
                f"{self.name!r} ({why}), got {x.min():g} to {x.max():g}; {remedy}"
            )

    def is_extrapolated(self, x: float | np.ndarray) -> bool:
        """True when any `x` lies outside the observed range, which reaches down to 0 where the form starts there."""
        low, high = self.x_range
        low = min(low, 0.0) if self.form.rises else low
        slack = 1e-9 * (high - low)
        x = np.asarray(x, dtype=np.float64)
        below = low if self.form.rises else low - slack
        return bool(np.any((x < below) | (x > high + slack)))

    def require_rising(self) -> Curve:
        """Return the curve if it rises over its observed range, as retention needs; else :class:`CurveFileError`."""
        low, high = self.x_range
        y = self(np.linspace(low, high, 257))
        if not (y[-1] > y[0] and np.all(np.diff(y) >= -1e-12 * np.abs(y).max())):
            worst = int(np.argmin(np.diff(y)))
            raise CurveFileError(
                f"curve {self.name!r} must rise with {self.x.symbol} to give retention factors, got a fall near "
                f"{self.x.symbol} = {low + worst * (high - low) / 256:g} {self.x.unit}; use the LTP curve of a "
                "potentiating protocol (`astro-sim curves`)"
            )
        return self

    def sample(self, n: int, seed: int) -> list[Curve]:
        """Draw `n` curves from the stored covariance; positive parameters on a log scale, fractions on a logit scale.

        The k-th draw of a seed is the same for every ``n > k``. The covariance is carried to the transformed scale to
        first order (delta method), so the median of every draw is the fitted value.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, got {n}")
        scales = list(self.form.scales.values())
        theta = np.array(list(self.parameters.values()))
        steepness = 1 / np.array([SLOPES[scale](value) for scale, value in zip(scales, theta, strict=True)])
        eigenvalues, vectors = np.linalg.eigh(self.covariance * np.outer(steepness, steepness))
        root = (vectors * np.sqrt(np.clip(eigenvalues, 0.0, None))) @ vectors.T  # symmetric: no sign left to chance
        steps = np.random.default_rng(seed).standard_normal((n, theta.size)) @ root
        curves = []
        for k, row in enumerate(steps):
            moved = (float(MOVES[s](value, step)) for s, value, step in zip(scales, theta, row, strict=True))
            drawn = dict(zip(self.parameters, moved, strict=True))
            curves.append(replace(self, parameters=drawn, draw=k, draw_seed=seed))
        return curves

    def report(self) -> str:
        """The fit in words and numbers, for a terminal."""
        fit, units = self.fit, self.units
        flaw = fit["flaws"].get(self.form.name)
        lines = [f"{self.name}: {self.y.symbol}({self.x.symbol}) = {self.form.formula}"]
        lines[0] += f"  NOT RELIABLE: {flaw}" if flaw else ""
        lines.append(f"  chosen by {fit['chosen_by']}")
        for name, value in self.parameters.items():
            interval = "[{:.4g}, {:.4g}]".format(*self.ci95[name])
            lines.append(f"  {name:10s} {value:10.6g} +- {self.stderr[name]:<9.2g} {interval} {units[name]}")
        lines.append(
            f"  n = {fit['n_samples']}, R2 = {fit['r_squared']:.5f}, rmse = {fit['rmse']:.3g}, Durbin-Watson "
            f"{fit['durbin_watson']:.2f}, runs p = {fit['runs_p']:.3f}"
            + (f", chi2/dof = {fit['reduced_chi2']:.2f}" if "reduced_chi2" in fit else "")
        )
        if "bootstrap" in fit:
            errors = ", ".join(f"{n} {s:.2g}" for n, s in zip(self.parameters, fit["bootstrap"]["stderr"], strict=True))
            lines.append(f"  bootstrap over {fit['bootstrap']['n_members']} members: standard errors {errors}")
        for form, bic in sorted(fit["bic"].items(), key=lambda item: item[1]):
            lines.append(f"  BIC {bic:12.2f}  {form}{'  (' + fit['flaws'][form] + ')' if form in fit['flaws'] else ''}")
        lines += [f"  not fitted: {why}" for why in fit["not_fitted"].values()]
        return "\n".join(lines)

    def to_toml(self) -> str:
        """The text of the curve file."""
        import tomlkit  # a machine that only reads curves need not have it

        table = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "form": self.form.name,
            "formula": self.form.formula,
            "x": {"symbol": self.x.symbol, "unit": self.x.unit, "range": list(self.x_range)},
            "y": {"symbol": self.y.symbol, "unit": self.y.unit},
            "extrapolate": self.extrapolate,
            "parameters": {
                name: {"value": v, "stderr": self.stderr[name], "ci95": list(self.ci95[name]), "unit": self.units[name]}
                for name, v in self.parameters.items()
            },
            "fit": {"covariance": self.covariance.tolist()} | self.fit,
            "check": self.check(),
            "samples": self.samples,
            "provenance": self.provenance,
        }
        return tomlkit.dumps(_layout(table))

    def check(self) -> dict[str, list[float]]:
        """Five points of the curve by which a reader tests the file."""
        x = [six(value) for value in np.linspace(*self.x_range, 5)]
        return {"x": x, "y": [twelve(value) for value in self.form.function(np.array(x), *self.parameters.values())]}

    def save(self, path: str | os.PathLike) -> Path:
        """Write an exact copy of the file this curve came from, all of it or nothing."""
        return write_text(path, self.text)


def check_name(name: str) -> str:
    """Return the name of a curve, which is also that of its file; ValueError for what names no file."""
    if not (isinstance(name, str) and re.fullmatch(r"\w([\w. -]{0,98}\w)?", name)):
        rule = "name must be letters, digits, '_', and dashes, dots and spaces between them, at most 100"
        raise ValueError(f"{rule}, got {name!r:.60}")
    return name


def origin_of_arrays(*arrays: ArrayLike | None) -> dict[str, Any]:
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


def six(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def sixes(values: Iterable[float]) -> list[float]:
    """Six significant digits of each."""
    return [six(value) for value in values]


def twelve(value: float) -> float:
    """Twelve significant digits: beyond them processors differ."""
    return float(f"{value:.12g}")


def _layout(table: dict[str, Any], one_line: bool = False) -> Any:
    """Axes, parameters and whatever has a unit on one line, everything else as sections."""
    import tomlkit

    laid_out = tomlkit.inline_table() if one_line else tomlkit.table()
    for key, value in table.items():
        laid_out[key] = _layout(value, one_line or "unit" in value) if isinstance(value, dict) else value
    return laid_out
