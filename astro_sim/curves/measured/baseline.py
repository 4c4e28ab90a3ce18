"""What a response is relative to: the baseline before induction, a number, or 100 percent."""

import re
from dataclasses import dataclass

import numpy as np
from scipy.stats import linregress

from astro_sim.curves.measured.table import Measured

PERCENT = re.compile(r".*(%.*\b(baseline|bl|control|ctrl|pre)|(baseline|control|norm\w*)\b.*%).*", re.IGNORECASE)

FEWEST = 3  # points of a baseline from which its noise is taken

RATIO_ABOVE = 5.0  # standard errors: the first-order error of a ratio is off by (1 / 5)^2 = 4 % of itself there

DRIFTS_BELOW = 0.01  # probability of as large a slope in a steady baseline


@dataclass(frozen=True, eq=False)
class Relative:
    """A course from its baseline on: ready to be fitted."""

    time: np.ndarray
    """Shape ``(n,)``, seconds from induction, at least 0."""
    change: np.ndarray
    """Shape ``(n_columns, n)``, in `unit`; NaN where a cell is missing."""
    sem: np.ndarray | None
    """Own standard error of each point, ``(n,)``."""
    shared: np.ndarray | None
    """Error that all points have together, that of the baseline, ``(n,)``."""
    free: bool
    """True where the error of the baseline is not known, so that the offset must be free."""
    unit: str
    notes: tuple[str, ...]


def relative(measured: Measured, baseline: float | None = None, baseline_sem: float | None = None) -> Relative:
    """The change of a response from its baseline, with the error that the baseline adds.

    Times below 0 are the baseline: their mean ``b`` divides the response, ``y / b - 1``, their scatter is the noise of
    the points where no standard error is given, and the error of their mean, ``s``, is shared by all points,
    ``s y / b^2``. A mean within 5 standard errors of 0 is subtracted only. Without such times the response stays as it
    is, or becomes a part of 100 where the header says percent of baseline, ``y / 100 - 1``.

    Parameters
    ----------
    baseline : float, optional
        A number to subtract, instead of all that.
    baseline_sem : float, optional
        Its standard error, 0 if it is exact. Where it is not given, `Relative.free` is True.
    """
    before = measured.time < 0
    after = ~before
    if after.sum() < 3:
        raise ValueError(
            f"{measured.path}: data must have at least 3 rows from the induction on, got {after.sum()}; times below 0 "
            "are the baseline; give --induction if it was not at 0"
        )
    for name, value in {"baseline": baseline, "baseline_sem": baseline_sem}.items():
        if value is not None and not (np.isfinite(value) and (name == "baseline" or value >= 0)):
            raise ValueError(f"{name} must be finite{' and at least 0' if name == 'baseline_sem' else ''}, got {value}")
    if baseline_sem is not None and baseline is None:
        raise ValueError(f"baseline_sem must come with a baseline, got {baseline_sem:g} alone; give --baseline")
    if baseline is not None:
        return _from_number(measured, before, baseline, baseline_sem)
    if before.any():
        return _from_epoch(measured, before)
    if not all(map(PERCENT.fullmatch, measured.names)):
        return Relative(measured.time, measured.responses, measured.sem, None, False, measured.unit or "1", ())
    notes = (f"{measured.names[0]!r} is in percent of baseline: 100 becomes 0, 200 becomes 1",)
    sem = None if measured.sem is None else measured.sem / 100
    return Relative(measured.time, measured.responses / 100 - 1, sem, None, True, "1", notes)


def _from_number(measured: Measured, before: np.ndarray, baseline: float, error: float | None) -> Relative:
    after, sem = ~before, measured.sem
    notes = [f"baseline {baseline:g}" + ("" if error is None else f" +- {error:g}")]
    if before.any():
        notes.append(f"{before.sum()} points before induction are not fitted")
    if sem is None and len(measured.names) == 1 and before.sum() >= FEWEST:
        sem = np.full(before.size, measured.responses[0, before].std(ddof=1))
        notes[-1] += ", their scatter is the noise"
    shared = None
    if error:
        if sem is None and len(measured.names) == 1:
            raise ValueError(
                f"{measured.path}: baseline_sem needs the error of the points, too, got none; give --sem, or leave "
                "baseline_sem out, which leaves the offset free"
            )
        shared = np.full(after.sum(), error)
    return Relative(
        time=measured.time[after],
        change=measured.responses[:, after] - baseline,
        sem=None if sem is None else sem[after],
        shared=shared,
        free=error is None,
        unit=measured.unit or "1",
        notes=tuple(notes),
    )


def _from_epoch(measured: Measured, before: np.ndarray) -> Relative:
    after, path, sem = ~before, measured.path, measured.sem
    epoch = measured.responses[:, before]
    counts = np.isfinite(epoch).sum(axis=1)
    if counts.min() < (1 if len(epoch) > 1 else 2) or (counts.min() < FEWEST and len(epoch) == 1 and sem is None):
        raise ValueError(
            f"{path}: the baseline must have at least {FEWEST} points below time 0, got {counts.min()}; give --baseline"
        )
    means = np.nanmean(epoch, axis=1)
    if len(epoch) > 1:  # the error of each column's baseline is part of the scatter over columns
        ratio = bool(np.all(np.abs(means) > RATIO_ABOVE * np.nanmean(np.nanstd(epoch, axis=1) / np.sqrt(counts))))
        change = (measured.responses / means[:, None] - 1) if ratio else measured.responses - means[:, None]
        what = f"{counts.min()} to {counts.max()}" if np.ptp(counts) else f"{counts[0]}"
        how = "divides" if ratio else "is subtracted from"
        notes = [f"the mean of {what} baseline points {how} each column"]
        unit = "1" if ratio else measured.unit or "1"
        return Relative(measured.time[after], change[:, after], None, None, False, unit, tuple(notes))
    mean, noise = float(means[0]), float(epoch[0].std(ddof=1))
    error = noise / np.sqrt(counts[0])
    if sem is not None and (counts[0] < FEWEST or noise == 0):
        error = float(np.sqrt(np.sum(sem[before] ** 2)) / counts[0])
    if sem is None and noise == 0:
        raise ValueError(
            f"{path}: the {counts[0]} baseline points must scatter to give the noise, got {mean:g} each time; give "
            f"--baseline {mean:g} instead"
        )
    own = np.full(before.size, noise) if sem is None else sem
    y = measured.responses[0]
    ratio = abs(mean) > RATIO_ABOVE * error
    scale = abs(mean) if ratio else 1.0
    change = y / mean - 1 if ratio else y - mean
    how = "divides" if ratio else "is subtracted from"
    notes = [f"baseline {mean:.4g} +- {error:.2g} from {counts[0]} points {how} the response"]
    notes += [f"their scatter, {noise:.2g}, is the noise"] if sem is None else []
    notes += _drift(measured.time[before], epoch[0])
    return Relative(
        time=measured.time[after],
        change=change[None, after],
        sem=own[after] / scale,
        shared=(error / scale * y / mean if ratio else np.full(y.size, error))[after],
        free=False,
        unit="1" if ratio else measured.unit or "1",
        notes=tuple(notes),
    )


def _drift(time: np.ndarray, response: np.ndarray) -> list[str]:
    """A note where the baseline is not steady."""
    if time.size < 5 or np.ptp(time) == 0:
        return []
    line = linregress(time, response)
    if line.pvalue > DRIFTS_BELOW:
        return []
    change = line.slope * np.ptp(time)
    return [f"WARNING: the baseline drifts by {change:.2g} (p = {line.pvalue:.1g}), which is not corrected"]
