"""The curve file: how a curve is written, read and checked.

A curve file (``astro-curve``, version 1) is TOML: the fitted parameters with standard errors, 95 % intervals and
covariance, how the form was chosen, five values by which a reader tests the file, the data it was fitted to, and the
whole provenance. Nothing in it depends on when, where or by whom it was written: the same data give the same bytes.
Parameters carry six significant digits, in memory as in the file.

The reader trusts nothing: types, order, signs and sizes are checked, and the formula must reproduce the five values.

Examples
--------
>>> from astro_sim.curves.fit import fit_curve
>>> t = np.arange(50.0, 801.0, 50.0)
>>> curve = fit_curve(t, 0.5 * (1 - np.exp(-t / 120)) + 0.002 * np.cos(7 * t), name="ltp", x_axis=Axis("t", "s"))
>>> curve.form.name
'saturating_exponential'
>>> round(curve.parameters["tau"])
120
"""

import os
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from astro_sim.curves.curve import FORMAT, VERSION, Axis, Curve, CurveFileError, check_name
from astro_sim.curves.files import read_text, write_text
from astro_sim.curves.forms import FORMS, Form

CHECK_TOLERANCE = 1e-9

DEEP_KEY = re.compile(r"""([\w-]+|"[^"\n]*"|'[^'\n]*')([ \t]*\.[ \t]*([\w-]+|"[^"\n]*"|'[^'\n]*')){20}""")

LARGEST = sys.float_info.max

REWRITE = "write the file again with `astro-sim curves` or `astro-sim fit`"

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


def write_curve(curve: Curve, path: str | os.PathLike) -> Path:
    """Write `curve` to `path`, all of it or nothing: a crash leaves the old file or none.

    CurveFileError for a curve that could not be read back; then nothing is written.
    """
    text = curve.to_toml()
    parse_curve(text, where=f"curve {curve.name!r}")
    return write_text(path, text)


def load_curves(folder: str | os.PathLike) -> dict[str, Curve]:
    """Read every ``*.toml`` of `folder` that is not hidden; the keys are the file names' stems."""
    folder = Path(folder)
    paths = sorted(path for path in folder.glob("*.toml") if not path.name.startswith("."))
    if not paths:
        raise CurveFileError(f"{folder} must hold *.toml curve files, got none; `astro-sim curves` writes them")
    return {path.stem: load_curve(path) for path in paths}


def load_curve(path: str | os.PathLike) -> Curve:
    """Read one curve file; CurveFileError for one that is damaged or does not reproduce its own ``[check]``."""
    try:
        text = read_text(path, "curve file")
    except ValueError as error:
        raise CurveFileError(str(error)) from error
    return parse_curve(text, where=str(path))


def parse_curve(text: str, *, where: str = "curve") -> Curve:
    """Read a curve from the text of its file; `where` names it in errors."""
    if deep := DEEP_KEY.search(text):  # a parser needs hours for thousands of dots
        raise CurveFileError(f"{where}: keys must have fewer than 20 dots, got {deep[0][:40]}...; {REWRITE}")
    try:
        return _curve(text, tomllib.loads(text))
    except RecursionError:
        raise CurveFileError(f"{where}: tables and lists must be a few levels deep, got thousands; {REWRITE}") from None
    except tomllib.TOMLDecodeError as error:
        raise CurveFileError(f"{where}: curve file must be complete TOML, got {error}; {REWRITE}") from error
    except CurveFileError as error:
        raise CurveFileError(f"{where}: {error}") from None
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        rule = f"every entry must have the type that {FORMAT} version {VERSION} gives it"
        raise CurveFileError(f"{where}: {rule}, got {error}; {REWRITE}") from error


def _require(condition: Any, rule: str, got: object, remedy: str = REWRITE) -> None:
    if not condition:
        raise CurveFileError(f"{rule}, got {got}; {remedy}")


read_curve = load_curve


def _curve(text: str, data: dict[str, Any]) -> Curve:
    _require(data.get("format") == FORMAT, f"format must be {FORMAT!r}", repr(data.get("format")), "give a curve file")
    version, otherwise = data.get("version"), f"read it with the release of rmaat that wrote it, or {REWRITE}"
    _require(version == VERSION and version is not True, f"version must be {VERSION}", version, otherwise)
    _require_keys(data)
    _require(data["form"] in FORMS, f"form must be one of {', '.join(FORMS)}", repr(data["form"]))
    form = FORMS[data["form"]]
    _require(data["formula"] == form.formula, f"formula must be {form.formula!r}", repr(data["formula"]))
    check_name(data["name"])
    _require(isinstance(data["extrapolate"], bool), "extrapolate must be true or false", repr(data["extrapolate"]))
    _require_plain(data)
    parameters = _parameters(data, form)
    covariance = _covariance(data["fit"]["covariance"], parameters)
    x, y = data["x"], data["y"]
    ascends = isinstance(x["range"], list) and len(x["range"]) == 2 and x["range"][0] < x["range"][1]
    _require(ascends, "x.range must be [low, high] with low < high", x["range"])
    _require_check(data, form, parameters)
    return Curve(
        name=data["name"],
        form=form,
        x=Axis(x["symbol"], x["unit"]),
        y=Axis(y["symbol"], y["unit"]),
        x_range=(x["range"][0], x["range"][1]),
        parameters={name: float(entry["value"]) for name, entry in parameters.items()},
        stderr={name: float(entry["stderr"]) for name, entry in parameters.items()},
        ci95={name: (float(entry["ci95"][0]), float(entry["ci95"][1])) for name, entry in parameters.items()},
        units={name: entry["unit"] for name, entry in parameters.items()},
        covariance=covariance,
        fit={key: value for key, value in data["fit"].items() if key != "covariance"},
        samples=data["samples"],
        provenance=data["provenance"],
        extrapolate=data["extrapolate"],
        text=text,
    )


def _require_keys(data: dict[str, Any]) -> None:
    for section, keys in REQUIRED.items():
        table = data[section] if section else data
        _require(isinstance(table, dict), f"{section} must be a table", repr(table))
        _require_given(table, keys, f"{section}." if section else "")
    kind = data["provenance"]["kind"]
    _require(kind in REQUIRED_OF_KIND, f"provenance.kind must be one of {', '.join(REQUIRED_OF_KIND)}", repr(kind))
    _require_given(data["provenance"], REQUIRED_OF_KIND[kind], "provenance.")


def _require_given(table: Any, keys: Iterable[str], prefix: str) -> None:
    for key in keys:
        _require(isinstance(table, dict) and key in table, f"{prefix}{key} must be given", "nothing")


def _require_plain(value: Any, name: str = "") -> None:
    """Refuse NaN, infinity, integers beyond the range of floats and control characters, wherever they stand."""
    if isinstance(value, dict):
        for key, entry in value.items():
            _require_plain(key, "a key")
            _require_plain(entry, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for k, entry in enumerate(value):
            _require_plain(entry, f"{name}[{k}]")
    elif isinstance(value, str):
        _require(value.isprintable(), f"{name} must be printable text", repr(value))
    elif isinstance(value, int | float):
        _require(abs(value) <= LARGEST, f"{name} must be finite", repr(value)[:40])


def _parameters(data: dict[str, Any], form: Form) -> dict[str, dict[str, Any]]:
    table = data["parameters"]
    ordered = isinstance(table, dict) and tuple(table) == form.parameters
    _require(ordered, f"[parameters] must be {', '.join(form.parameters)} in this order", table)
    for name, entry in table.items():
        _require_given(entry, ("value", "stderr", "ci95", "unit"), f"parameters.{name}.")
        value, scale = entry["value"], form.scales[name]
        _require(scale == "linear" or value > 0, f"parameters.{name} must be positive", value)
        _require(scale != "logit" or value < 1, f"parameters.{name} must be below 1", value)
        _require(entry["stderr"] >= 0, f"parameters.{name}.stderr must be at least 0", entry["stderr"])
        low, high = entry["ci95"]
        _require(low <= high, f"parameters.{name}.ci95 must be [low, high]", entry["ci95"])
        unit = form.unit(name, data["x"]["unit"], data["y"]["unit"])
        rule = f"parameters.{name}.unit must follow the units of x and y, {unit!r}"
        _require(entry["unit"] == unit, rule, entry["unit"])
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
    _require(np.all(np.abs(correlation - correlation.T) <= 1e-4), "fit.covariance must be symmetric", rows)
    lowest = np.linalg.eigvalsh(correlation).min()
    _require(lowest >= -1e-4, "fit.covariance must have no negative eigenvalue", rows)
    agrees = np.all(np.abs(np.diag(correlation) - (stderr > 0)) <= 1e-4)
    _require(agrees, "fit.covariance must have the squared standard errors on its diagonal", np.diag(covariance))
    return covariance


def _require_check(data: dict[str, Any], form: Form, parameters: dict[str, dict[str, Any]]) -> None:
    """The form with the stored parameters must give the stored values: a changed digit or formula is seen here."""
    x, y = (np.array(data["check"][axis], dtype=np.float64) for axis in "xy")
    _require(x.shape == y.shape == (5,), "check must hold five values of x and of y", f"{x.size} and {y.size}")
    low, high = data["x"]["range"]
    even = np.allclose(x, np.linspace(low, high, 5), rtol=0, atol=1e-5 * max(abs(low), abs(high)))
    _require(even, "check.x must be five even steps of x.range", f"{x.tolist()} and [{low}, {high}]")
    got = form.function(x, *(entry["value"] for entry in parameters.values()))
    error = np.abs(got - y) / max(np.abs(y).max(), np.finfo(np.float64).tiny)
    rule = f"check.y must be what {data['form']} gives for the stored parameters"
    told = f"{y.tolist()} instead of {got.tolist()}"
    _require(np.all(error <= CHECK_TOLERANCE), rule, told, f"a value was changed by hand: {REWRITE}")
