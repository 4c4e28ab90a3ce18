"""Curves: data -> fit -> curve file, the writing end of the bridge. Imports no Brian2.

A curve file (``astro-curve``, version 1) is TOML: the fitted parameters with standard errors, 95 % intervals and
covariance, how the form was chosen, five values by which a reader tests the file, the data it was fitted to, and the
whole provenance. Nothing in it depends on when, where or by whom it was written: the same data give the same bytes.

Parameters carry six significant digits, in memory as in the file. `measured.py` turns a CSV into such a file,
`derivations.py` simulations.

Examples
--------
>>> t = np.arange(50.0, 801.0, 50.0)
>>> curve = fit_curve(t, 0.5 * (1 - np.exp(-t / 120)) + 0.002 * np.cos(7 * t), name="ltp", x_axis=Axis("t", "s"))
>>> curve.form.name
'saturating_exponential'
>>> round(curve.parameters["tau"])
120
"""

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from tomlkit.exceptions import TOMLKitError

from astro_sim.curves.files import write_text
from astro_sim.curves.forms import FORMS, Form

FORMAT = "astro-curve"

VERSION = 1

MEASURES = ("n_samples", "r_squared", "rmse", "durbin_watson", "runs_p")

ORIGIN = {"kind", "command", "source", "versions"}

ORIGINS = {"measurement": ORIGIN, "simulation": ORIGIN | {"derivation", "config", "target"}}  # provenance of each kind


@dataclass(frozen=True)
class Axis:
    """What is on an axis: the symbol of the paper and the unit."""

    symbol: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A fitted course. Call it for values, :meth:`report` it, write it with :func:`write_curve`.

    Attributes
    ----------
    parameters, stderr : dict of str to float
    ci95 : dict of str to (float, float)
        Student's t on the scale of the parameter (logarithmic where it is positive).
    covariance : numpy.ndarray
        Shape ``(k, k)``, rows in the order of `parameters`.
    x_range : tuple of float
        The observed range. The curve says nothing below it, or below 0 where its form starts at 0, and nothing above
        it unless its form has a plateau; `extrapolate` lifts both.
    fit : dict
        Quality, BIC of every form, why this one, residual diagnostics, bootstrap.
    samples : dict of str to list
        The data (thinned): ``x``, ``y`` and, where known, ``sem``.
    provenance : dict
    """

    name: str
    form: Form
    x: Axis
    y: Axis
    x_range: tuple[float, float]
    parameters: dict[str, float]
    stderr: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    covariance: np.ndarray = field(compare=False)
    fit: dict[str, Any]
    samples: dict[str, list[float]]
    provenance: dict[str, Any]
    extrapolate: bool = False

    def __call__(self, x: float | np.ndarray) -> np.ndarray:
        """Value at `x`, elementwise; beyond the observed range only where form or flag allow it."""
        x = np.asarray(x, dtype=np.float64)
        if np.isnan(x).any():
            raise ValueError(f"{self.x.symbol} must be a number, got NaN")
        low, high = self.x_range
        below = x.min() < (0.0 if self.form.rises else low * (1 - 1e-9))
        above = x.max() > high * (1 + 1e-9) and not self.form.plateau
        if (below or above) and not self.extrapolate:
            raise ValueError(
                f"{self.x.symbol} must lie in the observed range [{low:g}, {high:g}] {self.x.unit}, got {x.min():g} to "
                f"{x.max():g}; fit with extrapolate=True to use {self.form.name} beyond it"
            )
        return self.form.function(x, *self.parameters.values())

    def units(self) -> dict[str, str]:
        """Unit of each parameter."""
        return {name: self.form.unit(name, self.x.unit, self.y.unit) for name in self.parameters}

    def report(self) -> str:
        """The fit in words and numbers, for a terminal."""
        fit, units = self.fit, self.units()
        lines = [f"{self.name}: {self.y.symbol}({self.x.symbol}) = {self.form.formula}"]
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
        units = self.units()
        parameters = {
            name: {"value": value, "stderr": self.stderr[name], "ci95": list(self.ci95[name]), "unit": units[name]}
            for name, value in self.parameters.items()
        }
        return tomlkit.dumps(
            _layout(
                {
                    "format": FORMAT,
                    "version": VERSION,
                    "name": self.name,
                    "form": self.form.name,
                    "formula": self.form.formula,
                    "x": {"symbol": self.x.symbol, "unit": self.x.unit, "range": list(self.x_range)},
                    "y": {"symbol": self.y.symbol, "unit": self.y.unit},
                    "extrapolate": self.extrapolate,
                    "parameters": parameters,
                    "fit": {"covariance": self.covariance.tolist()} | self.fit,
                    "check": self.check(),
                    "samples": self.samples,
                    "provenance": self.provenance,
                }
            )
        )

    def check(self) -> dict[str, list[float]]:
        """Five points of the curve by which a reader tests the file."""
        x = [six(value) for value in np.linspace(*self.x_range, 5)]
        return {"x": x, "y": [twelve(value) for value in self.form.function(np.array(x), *self.parameters.values())]}


def six(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def twelve(value: float) -> float:
    """Twelve significant digits: beyond them processors differ."""
    return float(f"{value:.12g}")


def _layout(table: dict[str, Any], one_line: bool = False) -> Any:
    """Axes, parameters and whatever has a unit on one line, everything else as sections."""
    laid_out = tomlkit.inline_table() if one_line else tomlkit.table()
    for key, value in table.items():
        laid_out[key] = _layout(value, one_line or "unit" in value) if isinstance(value, dict) else value
    return laid_out


def write_curve(curve: Curve, path: str | os.PathLike) -> Path:
    """Write `curve` to `path`, all of it or nothing: a crash leaves the old file or none."""
    return write_text(path, curve.to_toml())


def read_curve(path: str | os.PathLike) -> Curve:
    """Read a curve file back, for verification and plots (the networks have their own reader, which trusts less)."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        if (data["format"], data["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format must be {FORMAT} version {VERSION}, got {data['format']} {data['version']}")
        _require_sound(data)
        parameters = data["parameters"]
        curve = Curve(
            name=data["name"],
            form=FORMS[data["form"]],
            x=Axis(data["x"]["symbol"], data["x"]["unit"]),
            y=Axis(data["y"]["symbol"], data["y"]["unit"]),
            x_range=tuple(data["x"]["range"]),
            parameters={name: entry["value"] for name, entry in parameters.items()},
            stderr={name: entry["stderr"] for name, entry in parameters.items()},
            ci95={name: tuple(entry["ci95"]) for name, entry in parameters.items()},
            covariance=np.array(data["fit"].pop("covariance")),
            fit=data["fit"],
            samples=data["samples"],
            provenance=data["provenance"],
            extrapolate=data["extrapolate"],
        )
        if not np.allclose(curve.check()["y"], data["check"]["y"], rtol=1e-9, atol=1e-12):
            raise ValueError(f"a check.y that is not what {curve.form.name} gives for the stored parameters")
    except OSError as error:
        raise ValueError(f"{path} must be a readable curve file, got {error.strerror}; check the path") from error
    except (KeyError, TypeError, ValueError, TOMLKitError) as error:
        what = " ".join(str(error).split()) if not isinstance(error, KeyError) else f"no valid {error}"
        raise ValueError(f"{path} must be a whole curve file, got {what}; write it again with `astro-sim`") from error
    return curve


def _require_sound(data: dict[str, Any]) -> None:
    """Refuse what :func:`write_curve` does not write; for what is missing a KeyError is raised."""
    form, table, fit, origin = FORMS[data["form"]], data["parameters"], data["fit"], data["provenance"]
    if not isinstance(table, dict) or tuple(table) != form.parameters:
        raise ValueError("no valid parameters")
    k = len(table)
    value, stderr, ci95 = ([entry[key] for entry in table.values()] for key in ("value", "stderr", "ci95"))
    sound = {
        "version": type(data["version"]) is int,
        "name": isinstance(data["name"], str),
        "formula": data["formula"] == form.formula,
        "x.range": _numbers(data["x"]["range"], 2) and np.diff(data["x"]["range"])[0] > 0,
        "extrapolate": isinstance(data["extrapolate"], bool),
        "value": _numbers(value, k),
        "stderr": _numbers(stderr, k) and min(stderr) >= 0,
        "ci95": np.shape(ci95) == (k, 2) and all(low <= high for low, high in ci95),
        "fit.covariance": _numbers(fit["covariance"], k, k),
        "fit": isinstance(fit["chosen_by"], str) and _numbers([fit[key] for key in MEASURES], len(MEASURES)),
        "fit.bic": isinstance(fit["bic"], dict) and _numbers(list(fit["bic"].values()), len(fit["bic"])),
        "fit.flaws": isinstance(fit["flaws"], dict),
        "fit.not_fitted": isinstance(fit["not_fitted"], dict),
        "check.y": _numbers(data["check"]["y"], 5),
        "samples": all(_numbers(data["samples"][axis], len(data["samples"]["x"])) for axis in "xy"),
        "provenance": origin["kind"] in ORIGINS and ORIGINS[origin["kind"]] <= origin.keys(),
    }
    wrong = [name for name, is_sound in sound.items() if not is_sound]
    if wrong:
        raise ValueError(f"no valid {', '.join(wrong)}")


def _numbers(values: object, *shape: int) -> bool:
    """Whether `values` are finite numbers of this shape."""
    array = np.array(values)
    return array.dtype.kind in "if" and array.shape == shape and bool(np.isfinite(array).all())
