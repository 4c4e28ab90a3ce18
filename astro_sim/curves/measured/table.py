"""Read a measured table: text as laboratories write it, or an Excel sheet, becomes arrays in seconds."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astro_sim.curves.measured.cells import Cells, read_cells
from astro_sim.curves.measured.columns import (
    SECONDS,
    TIME_UNITS,
    error_column,
    response_columns,
    split_unit,
    spread_columns,
    time_column,
)  # fmt: skip
from astro_sim.curves.measured.numbers import decimal_mark, is_clock, numbers

PLAIN = "time"  # the column of the plain layout, in seconds unless a unit is given


@dataclass(frozen=True, eq=False)
class Measured:
    """A measured course: n times, one response for each (or one per slice or cell), and maybe its standard error."""

    path: Path
    time: np.ndarray
    """Shape ``(n,)``, in seconds after induction; below 0 the baseline."""
    responses: np.ndarray
    """Shape ``(n_columns, n)``, in `unit`; NaN where a cell is missing (never in all columns of a row)."""
    names: tuple[str, ...]
    """Of the response columns, as in the header."""
    sem: np.ndarray | None
    """Standard error of the response, shape ``(n,)``."""
    unit: str
    """Of the response, from the header; empty where it has none."""
    notes: tuple[str, ...]
    """What was guessed, converted and skipped."""
    command: tuple[str, ...]
    """The options that reading needed, as `astro-sim fit` takes them."""

    def summary(self) -> str:
        """The notes in one line."""
        return f"{self.path}: {'; '.join(self.notes)}"


def read_measured(
    path: str | os.PathLike,
    *,
    time: str | None = None,
    response: str | Sequence[str] = (),
    sem: str | None = None,
    time_unit: str | None = None,
    induction: float = 0.0,
    decimal: str | None = None,
    sheet: str | None = None,
) -> Measured:
    """Read times and responses from a table: CSV, semicolons, tabs, text of WinLTP and Clampfit, or Excel.

    Separator, decimal mark, header, columns and units are taken from the file where they are clear, and
    :attr:`Measured.notes` says how; where they are not, ValueError asks for the option that settles it. Rows without a
    time or a response are left out and counted. ValueError names file and line of a cell that is no number.

    Parameters
    ----------
    time, sem : str, optional
        Names of these columns, with or without their unit, or their numbers from 1. Give ``sem="none"`` to leave a
        column of standard errors out.
    response : str or sequence of str
        Name of the response column; several names, or a pattern such as ``slice*``, for one column per slice or cell.
    time_unit : {'ms', 's', 'min', 'h', 'd'}, optional
        Unit of the time column; needed where the header has none, except for a column that is called ``time``, which is
        then in seconds.
    induction : float
        Time of the induction, in the unit of the time column. It becomes 0; what is before it is the baseline.
    decimal : {'point', 'comma'}, optional
        The decimal mark, where the file leaves it open.
    sheet : str, optional
        Name of the sheet of an Excel file that has several with data.
    """
    path = Path(path)
    if time_unit is not None and time_unit not in SECONDS:
        raise ValueError(f"time_unit must be one of {', '.join(SECONDS)}, got {time_unit!r}")
    if not np.isfinite(induction):
        raise ValueError(f"induction must be finite, got {induction}")
    response = (response,) if isinstance(response, str) else tuple(response)
    cells = read_cells(path, sheet)
    when = time_column(cells, time)
    which = response_columns(cells, when, response)
    error = error_column(cells, which, sem)
    used = (when, *which, *(() if error is None else (error,)))
    if len(set(used)) < len(used):
        raise ValueError(f"{path}: time, response and sem must be different columns, got {cells.names[when]!r} twice")
    mark = decimal_mark(cells, used, decimal)
    times = numbers(cells, when, mark)
    responses = np.array([numbers(cells, column, mark) for column in which])
    errors = None if error is None else numbers(cells, error, mark)
    unit, word = _time_unit(cells, when, time_unit)
    notes = [f"time from {cells.names[when]!r} in {word}", f"response from {_names(cells, which)}"]
    notes += [] if error is None else [f"standard error from {cells.names[error]!r}"]
    notes += [f"column {name!r} left out: a standard deviation is no standard error" for name in spread_columns(cells)]
    notes += [*cells.notes, *(["decimal commas"] if mark == "," else [])]
    kept, skipped = _kept(cells, times, responses, errors)
    if errors is not None and not np.all(errors[kept] > 0):
        bad = np.flatnonzero(kept & ~(errors > 0))[0]
        raise ValueError(
            f"{path}, line {cells.lines[bad]}: sem must be positive, got {errors[bad]:g}; leave the column out if "
            "it is not known (--sem none)"
        )
    if kept.sum() < 3:
        raise ValueError(f"{path}: data must have at least 3 rows with numbers, got {kept.sum()}")
    asked = {"--time": time, "--sem": sem, "--time-unit": time_unit, "--decimal": decimal, "--sheet": sheet}
    command = [part for option, value in asked.items() if value is not None for part in (option, value)]
    command += ["--response", *response] if response else []
    command += ["--induction", f"{induction:g}"] if induction else []
    return Measured(
        path=path,
        time=(times[kept] - induction) * SECONDS[unit],
        responses=responses[:, kept],
        names=tuple(cells.names[k] for k in which),
        sem=None if errors is None else errors[kept],
        unit=split_unit(cells.names[which[0]])[1],
        notes=tuple(notes + skipped),
        command=tuple(command),
    )


def _time_unit(cells: Cells, column: int, asked: str | None) -> tuple[str, str]:
    """The unit of the times, and the unit with where it is from."""
    name, unit = split_unit(cells.names[column])
    known = TIME_UNITS.get(unit.lower())
    if is_clock(cells, column):
        return "s", "hours:minutes:seconds"
    if asked is not None:
        if known not in (None, asked):
            raise ValueError(
                f"{cells.path}: is the time in {known}, as {cells.names[column]!r} says, or in {asked}, as time_unit "
                "says? Correct one of them"
            )
        return asked, asked
    if known is not None:
        return known, known
    if cells.headed and name.lower() == PLAIN and not unit:
        return "s", "s (no unit given; --time-unit changes it)"
    units = ", ".join(SECONDS)
    raise ValueError(
        f"{cells.path}: which unit has the time in {cells.names[column]!r}? Give --time-unit, one of {units}"
    )


def _kept(
    cells: Cells, times: np.ndarray, responses: np.ndarray, errors: np.ndarray | None
) -> tuple[np.ndarray, list[str]]:
    """Rows with a time, a response and, where there is such a column, an error, shape ``(n,)``; notes on the others."""
    notes = []
    kept = np.ones(times.size, dtype=bool)
    checks = [("time", np.isnan(times)), ("response", np.isnan(responses).all(axis=0))]
    checks += [] if errors is None else [("standard error", np.isnan(errors))]
    for what, missing in checks:
        rows = np.flatnonzero(missing & kept)
        if rows.size:
            lines = ", ".join(str(cells.lines[row]) for row in rows[:5]) + (", ..." if rows.size > 5 else "")
            notes.append(f"{rows.size} of {times.size} rows without a {what} skipped (line {lines})")
        kept &= ~missing
    holes = int(np.isnan(responses[:, kept]).sum())
    if holes:
        notes.append(f"{holes} of {responses[:, kept].size} cells missing and left out of the means")
    return kept, notes


def _names(cells: Cells, columns: Sequence[int]) -> str:
    names = [repr(cells.names[k]) for k in columns]
    return names[0] if len(names) == 1 else f"{len(names)} columns, one per slice or cell, {names[0]} to {names[-1]}"
