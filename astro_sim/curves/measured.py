"""Bring your own curve: a CSV of measured responses becomes a curve file. Imports no Brian2.

The file has a header and the columns ``time``, ``response`` and, optionally, ``sem`` (standard error of the mean), in
any order; other columns are ignored. Lines that start with ``#`` and empty lines are skipped::

    time,response,sem
    0,0.00,0.01
    5,0.21,0.02
"""

import csv
import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from astro_sim.curves.curve import Axis, Curve
from astro_sim.curves.files import read_text
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.forms import NOT_FALLING

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def fit_csv(
    path: str | os.PathLike,
    *,
    form: str = "auto",
    name: str = "ltp",
    time_unit: str = "s",
    baseline: float = 0.0,
    extrapolate: bool = False,
) -> Curve:
    """Fit a measured course of long-term plasticity: a CSV with the columns time, response and optionally sem.

    ValueError is raised, with file and line, for a wrong table, and when the data do not determine the parameters.

    Parameters
    ----------
    form : str
        A form of :mod:`astro_sim.curves.forms`, or ``auto``: lowest BIC of all forms that do not fall; it must have
        risen.
    name : str
        Name of the curve; ``ltp`` is the one that retention factors are taken from.
    time_unit : {'s', 'min', 'h'}
        Unit of the time column; the curve is in seconds.
    baseline : float
        Subtracted from the response: 100 for percent of baseline, so that the course starts at 0.
    extrapolate : bool
        Allow use beyond the measured range where the form has no plateau, and mark the curve.
    """
    path = Path(path)
    if time_unit not in SECONDS:
        raise ValueError(f"time_unit must be one of {', '.join(SECONDS)}, got {time_unit!r}")
    time, response, sem = _columns(path)
    options: dict[str, tuple[object, object]] = {"--form": (form, "auto"), "--name": (name, "ltp")}
    options |= {"--time-unit": (time_unit, "s"), "--baseline": (baseline, 0.0)}
    given = [word for option, (value, usual) in options.items() if value != usual for word in (option, f"{value}")]
    given += ["--extrapolate"] if extrapolate else []
    try:
        curve = fit_curve(
            time * SECONDS[time_unit],
            response - baseline,
            sem,
            form=form,
            among=NOT_FALLING,
            because="a course of plasticity rises" if form == "auto" else "",
            name=name,
            x_axis=Axis("t", "s"),
            y_axis=Axis("response", "1"),
            extrapolate=extrapolate,
            provenance={
                "kind": "measurement",
                "command": shlex.join(["astro-sim", "fit", path.name, *given]),
                "source": f"measured data in {path.name}",
                "data": path.name,
                "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "versions": {package: version(package) for package in ("numpy", "scipy")},
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


def _columns(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The columns as arrays; `sem` None where the file has no such column."""
    rows = _rows(read_text(path, "data", most=100_000_000).splitlines(), path)
    number, header = next(rows, (1, []))
    header = [cell.lower() for cell in header]
    missing = [column for column in ("time", "response") if column not in header]
    if missing:
        raise ValueError(
            f"{path}, line {number}: header must name the columns time, response and optionally sem, got "
            f"{','.join(header) or 'nothing':.100}; add {' and '.join(missing)}"
        )
    wanted = {column: header.index(column) for column in ("time", "response", "sem") if column in header}
    table: dict[str, list[float]] = {column: [] for column in wanted}
    for number, row in rows:
        if len(row) != len(header):
            raise ValueError(f"{path}, line {number}: row must have {len(header)} columns, got {len(row)}")
        for column, index in wanted.items():
            table[column].append(_number(row[index], column, f"{path}, line {number}"))
    if len(table["time"]) < 3:
        raise ValueError(f"{path}: data must have at least 3 rows, got {len(table['time'])}")
    sem = np.array(table["sem"]) if "sem" in table else None
    return np.array(table["time"]), np.array(table["response"]), sem


def _rows(lines: Iterable[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                yield number, [cell.strip() for cell in next(csv.reader([line]))]
            except csv.Error as error:
                raise ValueError(f"{path}, line {number}: row must be comma-separated, got {error}") from error


def _number(cell: str, column: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{where}: {column} must be a number, got {cell!r:.60}") from None
    if not np.isfinite(value):
        raise ValueError(f"{where}: {column} must be finite, got {cell:.60}")
    if column == "time" and value < 0:
        raise ValueError(f"{where}: time must be at least 0 (the start of induction), got {cell:.60}")
    if column == "sem" and value <= 0:
        raise ValueError(f"{where}: sem must be positive, got {cell:.60}; leave the column out if it is not known")
    return value
