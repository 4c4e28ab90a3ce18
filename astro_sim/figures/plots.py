"""Figures of recordings, dynamics and responses: each function draws one thing on one pair of axes and returns them.

``plot_<thing>(recording_or_curve, *, ax=None, **line) -> Axes``: without `ax` a new figure in the package's style is
made; `line` goes to the main line; nothing is ever shown. `panels` makes several axes in that style, `save_figure`
writes a figure as SVG and PNG::

    left, right = panels(1, 2)
    plot_course(recording, "C", ax=left)
    plot_nullclines(nullclines(FM.calcium, 0.6), ax=right)
    save_figure(left.figure, "figures/calcium")

This module imports no simulator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from astro_sim.curves.plotting import BLUE, GREY, ORANGE, PURPLE, SKY, VERMILLION, _log_scale, label, new_axes, styled


@styled
def plot_course(recording: xr.Dataset, name: str, *, members: int = 0, ax: Axes | None = None, **line) -> Axes:
    """Time course of one variable: its line, or for many elements the mean and the middle 90 % of them.

    The variable has dimension ``time`` and at most one more. As many elements as `members` says are drawn thinly behind
    the mean; with as many as there are, all of them and no mean.
    """
    if name not in recording:
        raise ValueError(f"name must be one of {sorted(map(str, recording.data_vars))}, got {name!r}")
    ax = new_axes(ax)
    data = recording[name]
    time = recording["time"].values
    values = data.transpose("time", ...).values.reshape(len(time), -1)
    if values.shape[1] <= max(members, 1):
        ax.plot(time, values, **line)
    else:
        (mean,) = ax.plot(time, values.mean(axis=1), **line)
        low, high = np.quantile(values, [0.05, 0.95], axis=1)
        ax.fill_between(time, low, high, color=mean.get_color(), alpha=0.2, linewidth=0)
        ax.plot(time, values[:, :members], color=mean.get_color(), alpha=0.5, linewidth=0.5, zorder=1)
    ax.set(xlabel="time (s)", ylabel=label(name, data.attrs.get("units", "")), xlim=(time[0], time[-1]))
    return ax


@styled
def plot_spread(recording: xr.Dataset, name: str = "I", *, ax: Axes | None = None, **image) -> Axes:
    """A variable over time and cells as an image, with its colour scale."""
    ax = new_axes(ax)
    data = recording[name]
    (cells,) = set(data.dims) - {"time"}
    values = data.transpose(cells, "time").values
    mesh = ax.pcolormesh(recording["time"].values, np.arange(len(values)), values, rasterized=True, **image)
    ax.figure.colorbar(mesh, ax=ax, label=label(name, data.attrs.get("units", "")))
    ax.set(xlabel="time (s)", ylabel=str(cells))
    ax.locator_params(axis="y", integer=True)
    return ax


@styled
def plot_accumulation(recording: xr.Dataset, name: str = "p_l", *, ax: Axes | None = None, **line) -> Axes:
    """A long-term variable through the cycles of a macro-model recording, with the envelope of its cycle ends."""
    ax = new_axes(ax)
    data = recording[name]
    course = data.mean([dimension for dimension in data.dims if dimension != "time"])
    ends = recording.attrs["cycle_s"] * np.arange(recording.attrs["n_cycles"] + 1)
    for start in ends[:-1:2]:
        ax.axvspan(start, start + recording.attrs["cycle_s"], color="0.94", linewidth=0, zorder=0)
    ax.plot(recording["time"], course, **line)
    style: dict[str, Any] = {"color": "black", "linestyle": "--", "marker": "o", "linewidth": 0.9, "clip_on": False}
    ax.plot(ends, course.sel(time=ends, method="nearest"), label="at cycle ends", **style)
    unit = data.attrs.get("units", "")
    ax.set(xlabel="time (s)", ylabel=label(name, unit), xlim=(0, ends[-1]), ylim=(0, None))
    ax.legend(loc="lower right")
    return ax


@styled
def plot_nullclines(lines: dict, *, fixed_points=(), course=None, ax: Axes | None = None, **line) -> Axes:
    """The (C, h) plane of the Li-Rinzel model.

    `lines` come from `astro_sim.dynamics.fixed_points.nullclines`; fixed points are filled where stable and open where
    not; `course` is an orbit of shape (2 or more, m), calcium first and gate second.
    """
    ax = new_axes(ax)
    ax.plot(lines["C"], lines["h_where_C_rests"], color=BLUE, label="$dC/dt = 0$", **line)
    ax.plot(lines["C"], lines["h_where_h_rests"], color=VERMILLION, label="$dh/dt = 0$", **line)
    if course is not None:
        ax.plot(course[0], course[1], color=GREY, linewidth=0.9, label="orbit", zorder=1)
    for point in fixed_points:
        filling = "black" if point.stable else "white"
        ax.plot(point["C"], point["h"], "o", color="black", markerfacecolor=filling, zorder=5)
    ax.set(xlabel=label("C", "uM"), ylabel=label("h"), ylim=(0, 1), xlim=(lines["C"][0], lines["C"][-1]))
    _log_scale(ax, "x")
    ax.legend(loc="lower center")
    return ax


@styled
def plot_bifurcation_diagram(diagram, *, ax: Axes | None = None, **line) -> Axes:
    """Calcium against IP3: fixed points, the extremes of the cycles, and the bifurcations; dashed where unstable."""
    ax = new_axes(ax)
    for stable, dashes in ((True, "-"), (False, ":")):
        here = np.where(diagram.stable == stable, diagram.C, np.nan)
        ax.plot(diagram.I, here, dashes, color="black", label="fixed point" if stable else "unstable point", **line)
        cycles = diagram.cycles
        chosen = cycles.stable == stable
        for bound in (cycles.C_min, cycles.C_max):
            ax.plot(cycles.I[chosen], bound[chosen], dashes, color=BLUE if stable else SKY, label="_")
    ax.plot([], [], color=BLUE, label="cycle, least and most")
    if (~diagram.cycles.stable).any():
        ax.plot([], [], ":", color=SKY, label="unstable cycle")
    for kind, marker, color in (("saddle-node", "s", ORANGE), ("Hopf", "o", VERMILLION)):
        points = [point for point in diagram.points if kind in point.kind]
        if points:
            ax.plot([q.I for q in points], [q.C for q in points], marker, color=color, label=kind, zorder=5)
    for point in diagram.points:
        if point.kind == "fold of cycles":
            ax.axvline(point.I, color=PURPLE, linewidth=0.8, linestyle="--", label=point.kind)
    for low, high in diagram.hysteresis:
        ax.axvspan(low, high, color="0.93", linewidth=0, zorder=0, label="hysteresis")
    ax.set(xlabel=label("I", "uM"), ylabel=label("C", "uM"), ylim=(0, None))
    handles, names = ax.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


@styled
def plot_periods(cycles, *, ax: Axes | None = None, **line) -> Axes:
    """Period of the stable cycles against IP3 (a `Cycles` or a bifurcation diagram)."""
    ax = new_axes(ax)
    cycles = getattr(cycles, "cycles", cycles)
    ax.plot(cycles.I[cycles.stable], cycles.period_s[cycles.stable], **line)
    ax.set(xlabel=label("I", "uM"), ylabel="period (s)", ylim=(0, None))
    return ax


@styled
def plot_response(rates, responses, *, curve=None, ylabel: str = "", ax: Axes | None = None, **line) -> Axes:
    """A response against presynaptic rate: mean and middle 90 % over repeats, and the curve fitted to it.

    `rates` are in Hz, of shape (n,), and `responses` have shape (n, n_repeats).
    """
    ax = new_axes(ax)
    responses = np.atleast_2d(np.asarray(responses, dtype=float).T).T
    mean, (low, high) = responses.mean(axis=1), np.quantile(responses, [0.05, 0.95], axis=1)
    spread = np.maximum([mean - low, high - mean], 0)
    style: dict[str, Any] = {"fmt": "o", "color": "black", "linewidth": 0.7, "label": "simulated, middle 90 %"} | line
    ax.errorbar(rates, mean, yerr=spread, **style)
    if curve is not None:
        low, high = curve.x_range
        x = np.geomspace(low, high, 200) if low > 0 else np.linspace(low, high, 200)
        ax.plot(x, curve(x), color=BLUE, label=curve.form.name.replace("_", " "), zorder=3)
        ax.legend()
    ax.set(xlabel="presynaptic rate (Hz)", ylabel=ylabel)
    _log_scale(ax, "x")
    return ax


@styled
def plot_retention(
    curve, *, totals=(2, 4, 6, 8), seconds_per_segment: float = 50.0, ax: Axes | None = None, **line
) -> Axes:
    """Retention factor of each segment for several numbers of segments: the curve's increments as shares of their sum.

    `curve` is any rising function of time in s, such as a `Curve`.
    """
    ax = new_axes(ax)
    for k, total in enumerate(totals):  # the first on top: long texts share their first factors
        increments = np.diff(curve(seconds_per_segment * np.arange(total + 1)))
        style: dict[str, Any] = {"label": f"$T$ = {total}", "zorder": 3 - k / len(totals)} | line
        ax.plot(np.arange(1, total + 1), increments / increments.sum(), "o-", **style)
    ax.set(xlabel="segment $t$", ylabel="retention factor", ylim=(0, None))
    ax.locator_params(axis="x", integer=True)
    ax.legend()
    return ax
