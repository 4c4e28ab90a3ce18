"""Figures of what is trained: each function draws one thing on one pair of axes and returns them; nothing is shown.

Without `ax` a new figure in the package's style is made (Okabe-Ito colours, which colour-blind eyes tell apart). Files
are written by :func:`save_figure`, as SVG and PNG, with the caption in them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from astro_sim.curves.curve import Curve
from astro_sim.curves.plotting import BLUE, GREY, SKY, VERMILLION, new_axes, styled
from rmaat.layers.attention import AstromorphicAttention
from rmaat.memory.retention import Retention, retention_factors, segment_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_DRAWS = 200  # of a curve's uncertainty, for its band


@styled
def plot_log(run: str | os.PathLike, *keys: str, ax: Axes | None = None, **line) -> Axes:
    """Entries of a run's log.jsonl against the optimiser step; by default its losses. ValueError for unknown keys."""
    lines = [json.loads(text) for text in (Path(run) / "log.jsonl").read_text().splitlines()]
    keys = keys or tuple(key for key in ("loss", "validation_loss") if any(key in entry for entry in lines))
    ax = new_axes(ax)
    for key in keys:
        points = [(entry["step"], entry[key]) for entry in lines if key in entry]
        if not points:
            known = sorted({name for entry in lines for name in entry} - {"step"})
            raise ValueError(f"keys must be among {', '.join(known) or 'none'} of the log of {run}, got {key!r}")
        ax.plot(*zip(*points, strict=True), label=key.replace("_", " "), **line)
    ax.set(xlabel="optimiser step", ylabel=" and ".join(key.replace("_", " ") for key in keys))
    if len(keys) > 1:
        ax.set_ylabel("loss" if all("loss" in key for key in keys) else "value")
        ax.legend()
    return ax


@styled
def plot_retention(
    curve: Curve,
    totals: Sequence[int] = (2, 4, 8, 16),
    seconds_per_segment: float = 50.0,
    *,
    seed: int = 0,
    ax: Axes | None = None,
    **line,
) -> Axes:
    """Retention factors RF(t, T) against segment t, one line per T; bands are the middle 95 % of the curve's draws."""
    draws = curve.sample(N_DRAWS, seed)
    ax = new_axes(ax)
    for k, total in enumerate(totals):  # the first on top: long texts share their first factors
        t = np.arange(1, total + 1)
        style: dict[str, Any] = {"label": f"$T$ = {total}", "zorder": 3 - k / len(totals)} | line
        (drawn,) = ax.plot(t, retention_factors(curve, total, seconds_per_segment), ".-", **style)
        spread = np.stack([retention_factors(draw, total, seconds_per_segment).numpy() for draw in draws])
        ax.fill_between(t, *np.quantile(spread, [0.025, 0.975], axis=0), color=drawn.get_color(), alpha=0.2, lw=0)
    ax.set(xlabel="segment $t$", ylabel="retention factor RF$(t, T)$", ylim=(0, None))
    ax.legend()
    return ax


@styled
def plot_memory_flow(
    retention: Retention, n_segments: int, *, token: int | None = None, ax: Axes | None = None, **image
) -> Axes:
    """Whose segment survives: the weight of segment i in the memory after segment t, for all i <= t.

    It is what the rule alone keeps, taken over the memory tokens as their mean, or of one `token`. With "scale" each
    memory replaces the one before, so that content older than a segment lives on only in what the network copies.
    Colours go by the square root of the weight, from 0 to 1, so that figures can be compared and small weights seen.
    The retention is ``model.constants.retention`` of a model, or one of its own.
    """
    from matplotlib.colors import PowerNorm

    weights = np.full((n_segments, n_segments), np.nan)
    for t in range(1, n_segments + 1):
        found = segment_weights(*retention.table(t))
        weights[: found.shape[0], t - 1] = found.mean(1) if token is None else found[:, token]
    image = {"norm": PowerNorm(0.5, 0, 1)} | image
    ax = new_axes(ax)
    drawn = ax.imshow(weights, origin="lower", extent=(0.5, n_segments + 0.5) * 2, **image)
    ax.set(xlabel="memory after segment $t$", ylabel="content of segment $i$", title=retention.rule)
    ax.figure.colorbar(drawn, ax=ax, label="weight")
    return ax


@styled
def plot_timescales(retention: Retention, *, ax: Axes | None = None, **line) -> Axes:
    """Relaxation rate a of each memory token, per segment: the population that the memory is made of."""
    if retention.rates is None:
        raise ValueError(f"retention must have relaxation rates, got rule {retention.rule!r} with one course for all")
    ax = new_axes(ax)
    ax.semilogy(np.arange(1, len(retention.rates) + 1), retention.rates, "o", **line)
    ax.set(xlabel="memory token", ylabel="relaxation rate $a$ (per segment)")
    return ax


@styled
def plot_position_kernel(
    attention: AstromorphicAttention, *, head: int | None = None, ax: Axes | None = None, **line
) -> Axes:
    """R by distance: the fixed kernel exp(-scale |i - j|), and the overlap of phi(R) at two places once M is learned.

    The overlap is <phi(R_i), phi(R_j)> / (|phi(R_i)| |phi(R_j)|), its mean over all pairs at that distance.
    """
    phi_r = attention.positions()
    if phi_r is None:
        raise ValueError("attention must have an R to be drawn, got position='none'")
    n = attention.n_tokens
    rows = phi_r.detach()[:, attention.n_memory : attention.n_memory + n]
    rows = torch.nn.functional.normalize(rows if head is None else rows[head : head + 1], dim=-1)
    overlap = (rows @ rows.transpose(1, 2)).mean(0).double().numpy()
    distance = np.arange(n)
    ax = new_axes(ax)
    ax.plot(distance, np.exp(-attention.position_scale * distance), label=r"$P_{pos} = e^{-s|i-j|}$", **line)
    ax.plot(distance, [np.diagonal(overlap, d).mean() for d in distance], label=r"overlap of $\phi(R)$", **line)
    ax.set(xlabel="distance $|i - j|$ (tokens)", ylabel="kernel", ylim=(0, None))
    ax.legend()
    return ax


@styled
def plot_recall(
    rows: Mapping[str, Sequence[float]], split: int, chance: float, *, ax: Axes | None = None, **image
) -> Axes:
    """Heat map of recall: one row per configuration, one column per segment; the first `split` columns are at T.

    `rows` are accuracies by name: at T, then at stretch * T, from the first to the last position each. The colours
    begin at `chance`.
    """
    values = np.array(list(rows.values()), dtype=float)
    ax = new_axes(ax)
    drawn = ax.imshow(values, vmin=chance, vmax=1, aspect="auto", **image)
    for (i, j), value in np.ndenumerate(values):
        number, ink = f"{value:.2f}"[-3:] if value < 0.995 else "1", "w" if value < (1 + chance) / 2 else "k"
        ax.text(j, i, number, ha="center", va="center", size=6, color=ink)
    ax.axvline(split - 0.5, color="w", lw=2)
    n = values.shape[1]
    ax.set_xticks(range(n), [*range(1, split + 1), *range(1, n - split + 1)])
    ax.set_yticks(range(len(rows)), list(rows))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.figure.colorbar(drawn, ax=ax, label="accuracy (darkest: chance)")
    return ax


@styled
def plot_accuracy(
    measured: Mapping[str, Sequence[float]],
    published: Mapping[str, float] | None = None,
    majority: float | None = None,
    *,
    ax: Axes | None = None,
    **bar,
) -> Axes:
    """Accuracy by model: bars, with every seed a point; published numbers in hatched grey; the majority class a line.

    Accuracies are by model; what is published comes from other data, budgets and hardware, and is labelled so.
    """
    names = [*measured, *(f"{name} *" for name in published or {})]
    means = [np.mean(accuracies) for accuracies in measured.values()]
    ax = new_axes(ax)
    ax.barh(range(len(means)), means, color=SKY, label="measured, mean", **bar)
    seeds = [(value, row) for row, accuracies in enumerate(measured.values()) for value in accuracies]
    ax.plot(*zip(*seeds, strict=True), "o", color=BLUE, ms=3, label="each seed")
    if published:
        rows = range(len(means), len(names))
        grey: dict[str, Any] = {"color": "0.85", "edgecolor": GREY, "hatch": "///", "lw": 0.5}
        ax.barh(rows, list(published.values()), label="published *", **grey)
    if majority is not None:
        ax.axvline(majority, color=VERMILLION, ls="--", lw=1, label="majority class")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy", xlim=(0, 1))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax
