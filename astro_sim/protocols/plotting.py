"""Figures of protocols: spike rasters, and what a protocol does to its first elements."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from astro_sim.curves.plotting import GREEN, SKY, VERMILLION, new_axes, styled


@styled
def plot_raster(spikes, *, ax: Axes | None = None, **line) -> Axes:
    """Spikes of a population: an object with `index` and `time_s` of shape ``(n_spikes,)``, as protocols give them."""
    ax = new_axes(ax)
    index, time = np.asarray(spikes.index), np.asarray(spikes.time_s)
    n = int(index.max()) + 1 if index.size else 1
    style: dict[str, Any] = {"color": "black", "linewidth": 0.6} | line
    ax.vlines(time, index - 0.4, index + 0.4, **style)
    ax.set(xlabel="time (s)", ylabel="element", ylim=(-0.7, n - 0.3))
    ax.locator_params(axis="y", integer=True)
    return ax


@styled
def plot_protocol(
    protocol, *, n: int = 8, seed: int = 0, until_s: float | None = None, ax: Axes | None = None, **line
) -> Axes:
    """What a protocol does to its first `n` elements: spikes before (upper halves) and after, releases, IP3 pulses.

    `until_s` ends the time axis earlier than the protocol, for stimuli that are short against what follows them.
    """
    total = n if protocol.n_elements is None else protocol.n_elements
    n = min(n, total)
    ax = new_axes(ax)
    duration = 1.0 if protocol.duration is None else float(protocol.duration)
    if (bias := protocol.bias(total)) is not None:
        _plot_pulses(ax, bias, n, duration)
    for spikes, name, color, low, high in (
        (protocol.pre(total, seed), "presynaptic", "black", 0.02, 0.4),
        (protocol.post(total, seed), "postsynaptic", VERMILLION, -0.4, -0.02),
        (protocol.releases(total), "gliotransmitter", GREEN, -0.4, 0.4),
    ):
        if spikes is not None:
            index, time = (part[spikes.index < n] for part in (spikes.index, spikes.time_s))
            style: dict[str, Any] = {"color": color, "linewidth": 0.6, "label": name} | line
            ax.vlines(time, index + low, index + high, **style)
    end = duration if until_s is None else until_s
    ax.set(xlabel="time (s)", ylabel="element", xlim=(-0.01 * end, end), ylim=(-0.6, n - 0.4))
    ax.locator_params(axis="y", integer=True)
    handles, names = ax.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    if unique:
        ax.legend(unique.values(), unique.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


def _plot_pulses(ax: Axes, bias, n: int, duration: float) -> None:
    """IP3 pulses as bars on the elements that get them."""
    start, width = float(bias.start), float(bias.width)
    starts = [start] if bias.period is None else np.arange(start, duration, float(bias.period))
    for element in np.flatnonzero(np.asarray(bias.I_bias)[:n]):
        for begin in starts:
            ax.barh(element, width, left=begin, height=0.5, color=SKY, label="IP3 pulse")
