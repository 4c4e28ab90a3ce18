"""Calcium events: onset, peak, rise, duration, area and interval of each, in simulated and measured traces alike.

An event is a peak that stands out from its trace by at least `prominence` (:func:`scipy.signal.find_peaks`). Everything
else is measured on that peak, from its base, the higher of the lowest values on its two sides::

    onset     where the trace last crosses base + 10 % of the prominence before the peak
    rise      from onset to where it crosses 90 %
    duration  full width at half prominence
    area      of the trace above the base, from onset to where it is back at 10 %
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from scipy.signal import find_peaks, peak_widths

from astro_sim.curves.plotting import VERMILLION, label, new_axes, styled

SHARE = 0.2  # of the range between the 1st and the 99.9th percentile, where a trace has no noise to speak of [inferred]

COLUMNS = "element onset_s peak_s peak prominence rise_s duration_s area interval_s".split()


def events(recording: xr.Dataset, variable: str = "C", *, prominence: float | None = None) -> pd.DataFrame:
    """The events of every element, one row each, in the order of elements and times.

    Parameters
    ----------
    recording : xarray.Dataset
        A simulated recording, or measured traces of :func:`~astro_sim.recordings.traces.read_traces`, evenly sampled.
    variable : str
        What to look at, with dimension ``time`` and one more, such as ``C`` (uM) or ``dFF`` (1).
    prominence : float, optional
        Least height of an event above its surroundings, in the unit of the variable. By default, trace by trace, what
        noise alone would reach or a fifth of the range, whichever is more: see :func:`threshold`.

    Returns
    -------
    pandas.DataFrame
        ``element``; ``onset_s`` and ``peak_s``, times in s; ``peak``, the value there, and ``prominence``; ``rise_s``
        from 10 to 90 %, ``duration_s`` at half height; ``area`` in the unit of the variable times s; ``interval_s``
        from the onset of the element's event before, NaN for its first.
    """
    values, time, name = _traces(recording, variable)
    if prominence is not None and not (np.isfinite(prominence) and prominence > 0):
        raise ValueError(f"prominence must be positive, got {prominence}")
    step = float(time[1] - time[0])
    tables = [_of_trace(trace, step, prominence) for trace in values]
    for element, table in zip(recording[name].values, tables, strict=True):
        table.insert(0, "element", element)
        table[["onset_s", "peak_s"]] += float(time[0])
        table["interval_s"] = table["onset_s"].diff()
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def synchrony(recording: xr.Dataset, variable: str = "C") -> float:
    """How much the elements vary together: 1 when all are equal, about 1/sqrt(n) for n independent ones.

    chi = sqrt(var(mean over elements) / mean of each element's variance) [Golomb & Rinzel 1994, Physica D 72:259].
    """
    values, _, _ = _traces(recording, variable)
    single = values.var(axis=1).mean()
    return float(np.sqrt(values.mean(axis=0).var() / single)) if single > 0 else float("nan")


def _traces(recording: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Values (elements, times), times, and the dimension of the elements; gaps in a trace are filled by lines."""
    if variable not in recording:
        raise ValueError(f"variable must be one of {sorted(map(str, recording.data_vars))}, got {variable!r}")
    data = recording[variable]
    others = [str(dim) for dim in data.dims if dim != "time"]
    if "time" not in data.dims or len(others) != 1:
        raise ValueError(f"variable must have the dimensions time and one more, got {variable!r} with {data.dims}")
    time = recording["time"].values.astype(float)
    steps = np.diff(time)
    if len(steps) < 2 or not np.allclose(steps, steps[0], rtol=0.01):
        raise ValueError("recording must have three samples or more, evenly spaced in time; interpolate it first")
    data = data.transpose(others[0], "time")
    if data.isnull().any():
        data = data.interpolate_na("time", fill_value="extrapolate")
    values = data.values.astype(float)
    if not np.isfinite(values).all():
        raise ValueError(f"{variable} must have two finite values or more in every element; leave empty ones out")
    return values, time, others[0]


def _of_trace(trace: np.ndarray, step: float, prominence: float | None) -> pd.DataFrame:
    least = threshold(trace) if prominence is None else prominence
    peaks, found = find_peaks(trace, prominence=max(least, np.finfo(float).tiny))
    if not len(peaks):
        return pd.DataFrame(columns=COLUMNS[1:-1], dtype=float)
    data = (found["prominences"], found["left_bases"], found["right_bases"])
    _, _, left, right = peak_widths(trace, peaks, rel_height=0.9, prominence_data=data)
    _, _, steep, _ = peak_widths(trace, peaks, rel_height=0.1, prominence_data=data)
    width = peak_widths(trace, peaks, rel_height=0.5, prominence_data=data)[0]
    base = trace[peaks] - data[0]
    spans = zip(np.floor(left).astype(int), np.ceil(right).astype(int), base, strict=True)
    area = [np.trapezoid(trace[first : last + 1] - low, dx=step) for first, last, low in spans]
    columns = (left * step, peaks * step, trace[peaks], data[0], (steep - left) * step, width * step, area)
    return pd.DataFrame(dict(zip(COLUMNS[1:-1], columns, strict=True)))


def threshold(trace: np.ndarray) -> float:
    """The least prominence of an event by default; 0 for a flat trace.

    The noise is the median of the absolute second differences over 0.6745 sqrt(6), their size for white noise of
    standard deviation 1: slow courses do not count. n samples of it span about 2 sqrt(2 ln n) standard deviations.
    """
    noise = np.median(np.abs(np.diff(trace, 2))) / (0.6745 * np.sqrt(6))
    low, high = np.quantile(trace, [0.01, 0.999])
    return float(max(2 * np.sqrt(2 * np.log(trace.size)) * noise, SHARE * (high - low), 1e-9 * np.abs(trace).max()))


@styled
def plot_events(
    recording: xr.Dataset,
    table: pd.DataFrame,
    variable: str = "C",
    *,
    most: int = 12,
    ax: Axes | None = None,
    **line,
) -> Axes:
    """The first traces, one above the other, with a dot at each peak and a bar from onset over the duration."""
    values, time, name = _traces(recording, variable)
    ax = new_axes(ax)
    style: dict[str, Any] = {"color": "black", "linewidth": 0.7} | line
    shown = values[:most]
    apart = 1.1 * max(float((shown.max(axis=1) - shown.min(axis=1)).max()), 1e-12)
    for k, trace in enumerate(shown):
        ax.plot(time, trace - trace.min() + k * apart, **style)
        own = table[table["element"] == recording[name].values[k]]
        ax.plot(own["peak_s"], own["peak"] - trace.min() + k * apart, ".", color=VERMILLION, markersize=4)
        ax.hlines([k * apart] * len(own), own["onset_s"], own["onset_s"] + own["duration_s"], color=VERMILLION)
    unit = recording[variable].attrs.get("units", "")
    ax.set(xlabel="time (s)", ylabel=f"{name}: {label(variable, unit)}", xlim=(time[0], time[-1]))
    ax.set_yticks(np.arange(len(shown)) * apart, [str(element) for element in recording[name].values[:most]])
    return ax
