"""The reading end of the bridge: curve files into :class:`Curve`.

A curve file (``astro-curve``, version 1, TOML) is what a simulation or a measurement leaves behind: one fitted course
with its uncertainty and its provenance. This module needs the standard library and NumPy alone, and trusts nothing that
it reads: every file carries five values of its own curve (``[check]``), which its formula must reproduce.

The formulas themselves are in :mod:`rmaat.forms`.

Examples
--------
>>> ltp = load_curves()["ltp"]
>>> bool(ltp(50.0) > ltp(0.0))
True
>>> len(ltp.sample(3, seed=1))
3
"""

import math
import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rmaat.files import write_text
from rmaat.forms import FORMS, Form

FORMAT = "astro-curve"

VERSION = 1

DATA = Path(__file__).parent / "data"

CHECK_TOLERANCE = 1e-9

REQUIRED = {
    "": ("name", "form", "formula", "x", "y", "extrapolate", "parameters", "fit", "check", "samples", "provenance"),
    "x": ("symbol", "unit", "range"),
    "y": ("symbol", "unit"),
    "fit": ("covariance", "r_squared", "rmse", "n_samples", "bic", "chosen_by", "uncertainty"),
    "check": ("x", "y"),
    "samples": ("x", "y"),
    "provenance": ("kind", "command", "source", "versions"),
}

REQUIRED_OF_KIND = {
    "simulation": "preset parameters protocol seed dt target equations_sha256 derivation config".split(),
    "measurement": ["data", "data_sha256"],
}

REWRITE = "write the file again with `astro-sim curves` or `astro-sim fit`"


class CurveFileError(ValueError):
    """A curve file that must not be used; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A fitted course with its uncertainty and its origin. Two curves are equal when file and draw are.

    Attributes
    ----------
    name, form, formula : str
    parameters, stderr : dict of str to float
        In the order of the form; units in `units`.
    ci95 : dict of str to (float, float)
    covariance : numpy.ndarray
        Shape ``(n_parameters, n_parameters)``, rows in the order of `parameters`.
    x, y : dict
        ``symbol`` and ``unit``; `x` also has ``range``, the observed one.
    fit, check, samples, provenance : dict
        The file's sections as read.
    extrapolate : bool
        True when whoever fitted the curve allowed its use beyond the observed range, although its form has no plateau.
    text : str
        The whole file, so that a run can carry an exact copy.
    draw, draw_seed : int or None
        Set on members of :meth:`sample`: `parameters` are then a draw and not the fitted values.
    """

    text: str = field(repr=False)
    draw: int | None = None
    draw_seed: int | None = None
    name: str = field(compare=False)
    form: str = field(compare=False)
    formula: str = field(compare=False, repr=False)
    parameters: dict[str, float] = field(compare=False)
    stderr: dict[str, float] = field(compare=False)
    ci95: dict[str, tuple[float, float]] = field(compare=False, repr=False)
    units: dict[str, str] = field(compare=False, repr=False)
    covariance: np.ndarray = field(compare=False, repr=False)
    x: dict[str, Any] = field(compare=False, repr=False)
    y: dict[str, Any] = field(compare=False, repr=False)
    fit: dict[str, Any] = field(compare=False, repr=False)
    check: dict[str, list[float]] = field(compare=False, repr=False)
    samples: dict[str, list[float]] = field(compare=False, repr=False)
    provenance: dict[str, Any] = field(compare=False, repr=False)
    extrapolate: bool = field(default=False, compare=False, repr=False)

    def __call__(self, x: float | np.ndarray, *, extrapolate: bool = False) -> np.ndarray:
        """Value of the curve at `x` (float64, shape of `x`).

        Above the observed range a form with a plateau is served (:meth:`is_extrapolated` tells, and the caller records
        it); elsewhere beyond it ValueError is raised unless `extrapolate`, here or in the file, allows it.
        """
        x = np.asarray(x, dtype=np.float64)
        if np.isnan(x).any():
            raise ValueError(f"{self.x['symbol']} must be a number, got NaN")
        if not extrapolate:
            self.require_observed(x, "pass extrapolate=True to use it all the same")
        return np.asarray(FORMS[self.form].function(x, *self.parameters.values()))

    def require_observed(self, x: float | np.ndarray, remedy: str) -> None:
        """Raise ValueError, ending in `remedy`, if any `x` lies where the curve is not served."""
        x = np.asarray(x, dtype=np.float64)
        served = np.minimum(x, self.x["range"][1]) if self.has_plateau else x
        if not self.extrapolate and self.is_extrapolated(served):
            low, high = self.x["range"]
            why = "below it a plateau says nothing" if self.has_plateau else f"{self.form} has no plateau"
            raise ValueError(
                f"{self.x['symbol']} must lie in the observed range [{low:g}, {high:g}] {self.x['unit']} of curve "
                f"{self.name!r} ({why}), got {x.min():g} to {x.max():g}; {remedy}"
            )

    @property
    def has_plateau(self) -> bool:
        """True when the form tends to a constant for large x."""
        return FORMS[self.form].plateau

    def is_extrapolated(self, x: float | np.ndarray) -> bool:
        """True when any `x` lies outside the observed range; forms with a plateau are at home from 0 on."""
        low, high = self.x["range"]
        low = min(low, 0.0) if self.has_plateau else low
        slack = 1e-9 * (high - low)
        x = np.asarray(x, dtype=np.float64)
        return bool(np.any((x < low - slack) | (x > high + slack)))

    def require_rising(self) -> "Curve":
        """Return the curve if it rises over its observed range, as retention needs; else :class:`CurveFileError`."""
        low, high = self.x["range"]
        y = self(np.linspace(low, high, 257))
        if not (y[-1] > y[0] and np.all(np.diff(y) >= -1e-12 * np.abs(y).max())):
            worst = int(np.argmin(np.diff(y)))
            raise CurveFileError(
                f"curve {self.name!r} must rise with {self.x['symbol']} to give retention factors, got a fall near "
                f"{self.x['symbol']} = {low + worst * (high - low) / 256:g} {self.x['unit']}; use the LTP curve of a "
                "potentiating protocol (`astro-sim curves`)"
            )
        return self

    def sample(self, n: int, seed: int) -> list["Curve"]:
        """Draw `n` curves from the stored covariance; positive parameters on a log scale, fractions on a logit scale.

        The k-th draw of a seed is the same for every ``n > k``. The covariance is carried to the transformed scale to
        first order (delta method), so the median of every draw is the fitted value.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, got {n}")
        scales = list(FORMS[self.form].scales.values())
        theta = np.array(list(self.parameters.values()))
        slope = np.array([_SLOPES[scale](value) for scale, value in zip(scales, theta, strict=True)])
        eigenvalues, vectors = np.linalg.eigh(self.covariance * np.outer(slope, slope))
        root = (vectors * np.sqrt(np.clip(eigenvalues, 0.0, None))) @ vectors.T  # symmetric: no sign left to chance
        steps = np.random.default_rng(seed).standard_normal((n, theta.size)) @ root
        return [
            replace(
                self,
                draw=k,
                draw_seed=seed,
                parameters={
                    name: float(_MOVES[scale](value, step))
                    for (name, value), scale, step in zip(self.parameters.items(), scales, row, strict=True)
                },
            )
            for k, row in enumerate(steps)
        ]

    def save(self, path: str | os.PathLike) -> Path:
        """Write an exact copy of the file this curve came from, all of it or nothing."""
        return write_text(Path(path), self.text)


# d(transformed)/d(parameter), and the parameter moved by a step on its transformed scale
_SLOPES = {"linear": lambda v: 1.0, "log": lambda v: 1 / v, "logit": lambda v: 1 / (v * (1 - v))}

_MOVES = {
    "linear": lambda v, step: v + step,
    "log": lambda v, step: v * math.exp(step),
    "logit": lambda v, step: 1 / (1 + (1 - v) / v * math.exp(-step)),
}


def load_curves(folder: str | os.PathLike | None = None) -> dict[str, Curve]:
    """Read every ``*.toml`` of `folder` (by default the committed curves); the keys are the file names' stems."""
    folder = DATA if folder is None else Path(folder)
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise CurveFileError(f"{folder} must hold *.toml curve files, got none; `astro-sim curves` writes them")
    return {path.stem: load_curve(path) for path in paths}


def load_curve(path: str | os.PathLike) -> Curve:
    """Read one curve file.

    Raises
    ------
    CurveFileError
        When the file is missing, truncated, of another format or version, incomplete, contradicts itself, or does not
        reproduce its own ``[check]``.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise CurveFileError(f"{path}: curve file must be readable, got {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise CurveFileError(f"{path}: curve file must be UTF-8 text, got {error.reason}; {REWRITE}") from error
    return parse_curve(text, where=str(path))


def parse_curve(text: str, *, where: str = "curve") -> Curve:
    """Read a curve from the text of its file; `where` names it in errors."""
    try:
        return _curve(text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CurveFileError(f"{where}: curve file must be complete TOML, got {error}; {REWRITE}") from error
    except CurveFileError as error:
        raise CurveFileError(f"{where}: {error}") from None
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        rule = f"every entry must have the type that {FORMAT} version {VERSION} gives it"
        raise CurveFileError(f"{where}: {rule}, got {error}; {REWRITE}") from error


def _require(condition: bool, rule: str, got: object, remedy: str = REWRITE) -> None:
    if not condition:
        raise CurveFileError(f"{rule}, got {got}; {remedy}")


def _curve(text: str, data: dict[str, Any]) -> Curve:
    """Check `data` from outside to inside and build the curve."""
    _require(data.get("format") == FORMAT, f"format must be {FORMAT!r}", repr(data.get("format")), "give a curve file")
    _require(
        data.get("version") == VERSION and not isinstance(data["version"], bool),
        f"version must be {VERSION}",
        data.get("version"),
        "read it with the release of rmaat that wrote it, or " + REWRITE,
    )
    _require_keys(data)
    _require(data["form"] in FORMS, f"form must be one of {', '.join(FORMS)}", repr(data["form"]))
    form = FORMS[data["form"]]
    _require(data["formula"] == form.formula, f"formula must be {form.formula!r}", repr(data["formula"]))
    _require_finite(data)
    parameters = _parameters(data["parameters"], form)
    covariance = _covariance(data["fit"]["covariance"], parameters)
    observed = data["x"]["range"]
    _require(
        isinstance(observed, list) and len(observed) == 2 and observed[0] < observed[1],
        "x.range must be [low, high] with low < high",
        observed,
    )
    _require_check(data, form, parameters)
    return Curve(
        text=text,
        parameters={name: float(entry["value"]) for name, entry in parameters.items()},
        stderr={name: float(entry["stderr"]) for name, entry in parameters.items()},
        ci95={name: (float(entry["ci95"][0]), float(entry["ci95"][1])) for name, entry in parameters.items()},
        units={name: entry["unit"] for name, entry in parameters.items()},
        covariance=covariance,
        **{key: data[key] for key in REQUIRED[""] if key != "parameters"},
    )


def _require_keys(data: dict[str, Any]) -> None:
    for section, keys in REQUIRED.items():
        table = data[section] if section else data
        _require(isinstance(table, dict), f"{section} must be a table", repr(table))
        for key in keys:
            _require(key in table, f"{section + '.' if section else ''}{key} must be given", "nothing")
    kind = data["provenance"]["kind"]
    _require(kind in REQUIRED_OF_KIND, f"provenance.kind must be one of {', '.join(REQUIRED_OF_KIND)}", repr(kind))
    for key in REQUIRED_OF_KIND[kind]:
        _require(key in data["provenance"], f"provenance.{key} must be given", "nothing")


def _require_finite(value: Any, name: str = "") -> None:
    """Refuse every NaN and infinity, wherever it stands."""
    if isinstance(value, dict):
        for key, entry in value.items():
            _require_finite(entry, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for k, entry in enumerate(value):
            _require_finite(entry, f"{name}[{k}]")
    elif isinstance(value, float):
        _require(math.isfinite(value), f"{name} must be finite", value)


def _parameters(table: Any, form: Form) -> dict[str, dict[str, Any]]:
    names = list(form.scales)
    ordered = isinstance(table, dict) and list(table) == names
    _require(ordered, f"[parameters] must be {', '.join(names)} in this order", table)
    for name, entry in table.items():
        for key in ("value", "stderr", "ci95", "unit"):
            _require(isinstance(entry, dict) and key in entry, f"parameters.{name}.{key} must be given", "nothing")
        value, scale = entry["value"], form.scales[name]
        _require(scale == "linear" or value > 0, f"parameters.{name} must be positive", value)
        _require(scale != "logit" or value < 1, f"parameters.{name} must be below 1", value)
        _require(entry["stderr"] >= 0, f"parameters.{name}.stderr must be at least 0", entry["stderr"])
        low, high = entry["ci95"]
        _require(low <= high, f"parameters.{name}.ci95 must be [low, high]", entry["ci95"])
    return table


def _covariance(rows: Any, parameters: dict[str, dict[str, Any]]) -> np.ndarray:
    """The covariance, required to be symmetric, to have no negative variance and to agree with the standard errors."""
    n = len(parameters)
    shaped = isinstance(rows, list) and [isinstance(row, list) and len(row) for row in rows] == [n] * n
    _require(shaped, f"fit.covariance must be {n} rows of {n} numbers", rows)
    covariance = np.array(rows, dtype=np.float64)
    stderr = np.array([entry["stderr"] for entry in parameters.values()])
    scale = np.where(stderr > 0, stderr, 1.0)
    correlation = covariance / np.outer(scale, scale)
    _require(bool(np.all(np.abs(correlation - correlation.T) <= 1e-4)), "fit.covariance must be symmetric", rows)
    lowest = np.linalg.eigvalsh(correlation).min()
    _require(bool(lowest >= -1e-4), "fit.covariance must have no negative eigenvalue", rows)
    agrees = np.all(np.abs(np.diag(correlation) - (stderr > 0)) <= 1e-4)
    _require(bool(agrees), "fit.covariance must have the squared standard errors on its diagonal", np.diag(covariance))
    return covariance


def _require_check(data: dict[str, Any], form: Form, parameters: dict[str, dict[str, Any]]) -> None:
    """The form with the stored parameters must give the stored values: a changed digit or formula is seen here."""
    x, y = (np.array(data["check"][axis], dtype=np.float64) for axis in "xy")
    _require(x.shape == y.shape == (5,), "check must hold five values of x and of y", f"{x.size} and {y.size}")
    got = form.function(x, *(entry["value"] for entry in parameters.values()))
    error = np.abs(got - y) / max(np.abs(y).max(), np.finfo(np.float64).tiny)
    _require(
        bool(np.all(error <= CHECK_TOLERANCE)),
        f"check.y must be what {data['form']} gives for the stored parameters",
        f"{y.tolist()} instead of {got.tolist()}",
        "a value was changed by hand: " + REWRITE,
    )
