"""Figures with captions, written to files: of a folder of curves, and of one recording."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from astro_sim.curves.curve import Curve
from astro_sim.curves.format import read_curve
from astro_sim.curves.plotting import GREY, ORANGE, VERMILLION, panels, plot_curve, save_figure, styled
from astro_sim.figures.plots import plot_course, plot_retention, plot_spread
from astro_sim.simulation.recording import load_recording

VARIANTS = {
    "ltp_alpha0": ("release-decreasing", VERMILLION),
    "ltp_no_gliotransmission": ("no gliotransmission", ORANGE),
}


@styled
def draw_figures(folder: str | os.PathLike) -> list[Path]:
    """Draw what ``FOLDER/curves`` and ``FOLDER/recordings`` hold into ``FOLDER/figures``; return the PNG files."""
    folder = Path(folder)
    curves = {path.stem: read_curve(path) for path in sorted((folder / "curves").glob("*.toml"))}
    drawers = {
        "ltp": _ltp,
        "ltp_population": _population,
        "stp_calcium": _calcium,
        "stp_spatial": _spatial,
        "stp_release": _release,
    }
    paths = []
    for name in (name for name in drawers if name in curves):
        figure, caption = drawers[name](folder / "recordings", curves)
        stem = "calcium_response" if name == "stp_calcium" else name
        paths.append(save_figure(figure, folder / "figures" / stem, caption)[1])
    return paths


def draw_recording(
    recording: xr.Dataset, names: Sequence[Hashable], path_stem: str | os.PathLike, caption: str
) -> tuple[Path, Path]:
    """Draw the time courses of the variables `names`, one below the other, and save the figure."""
    axes = panels(len(names), 1, size=(5.5, 1.5 * len(names)), sharex=True, squeeze=False).ravel()
    for name, ax in zip(names, axes, strict=True):
        plot_course(recording, str(name), ax=ax)
        ax.label_outer()
    return save_figure(axes[0].figure, path_stem, caption)


def _ltp(recordings: Path, curves: dict[str, Curve]) -> tuple[Any, str]:
    """Efficacy over the cycles with its fit, the variants, and the retention factors that follow."""
    course, retention = panels(1, 2, size=(8.2, 3.0))
    recording = recordings / "ltp.nc"
    if recording.exists():
        plot_course(load_recording(recording), "rho", color=GREY, ax=course)
    alone = not VARIANTS.keys() & curves.keys()  # a title with one formula would not be that of all curves
    plot_curve(curves["ltp"], ax=course, label="release-increasing gliotransmission", formula=alone)
    for name, (words, color) in VARIANTS.items():
        if name in curves:
            plot_curve(curves[name], ax=course, color=color, label=words, formula=False)
    course.legend(loc="lower right")
    plot_retention(curves["ltp"], totals=(2, 4, 8, 16), ax=retention)
    caption = (
        "Left: efficacy of simulated tripartite synapses over 50-s cycles with a burst of pairs each (grey: mean "
        "and middle 90 % of the synapses), at cycle ends (points), and the fitted courses with 95 % bands. Right: the "
        "retention factors that follow, the share of the total rise that falls to each of T segments."
    )
    return course.figure, caption


def _population(recordings: Path, curves: dict[str, Curve]) -> tuple[Any, str]:
    ax = plot_curve(curves["ltp_population"], log="xy")
    caption = (
        "Relaxation rate of the efficacy against the rate of the bursts, in one simulated population of synapses: "
        "the time constants that the memory tokens take over."
    )
    return ax.figure, caption


def _calcium(recordings: Path, curves: dict[str, Curve]) -> tuple[Any, str]:
    ax, alone = panels(size=(4.2, 3.0)), "stp_calcium_full" not in curves
    if not alone:
        plot_curve(curves["stp_calcium_full"], log="xy", ax=ax, color=GREY, label="Hill, full range", formula=False)
    plot_curve(curves["stp_calcium"], log="xy", ax=ax, label="power law, below 20 Hz", formula=alone)
    ax.legend(loc="lower right")
    exponent, error = curves["stp_calcium"].parameters["exponent"], curves["stp_calcium"].stderr["exponent"]
    caption = (
        f"Mean astrocytic calcium against presynaptic rate. The exponent, {exponent:.3f} ± {error:.2g}, is the "
        "attention's alpha."
    )
    return ax.figure, caption


def _spatial(recordings: Path, curves: dict[str, Curve]) -> tuple[Any, str]:
    spread, decay = panels(1, 2, size=(8.2, 3.0))
    recording = recordings / "stp_spatial.nc"
    if recording.exists():
        plot_spread(load_recording(recording), "I", ax=spread)
    plot_curve(curves["stp_spatial"], ax=decay)
    length = curves["stp_spatial"].parameters["length"]
    caption = (
        "Left: IP3 in a chain of astrocytes with linear gap junctions while the middle cell is pulsed. Right: the peak "
        f"against the distance; its length, {length:.3g} cells, sets the decay of the positional term R."
    )
    return decay.figure, caption


def _release(recordings: Path, curves: dict[str, Curve]) -> tuple[Any, str]:
    caption = "Release probability against presynaptic rate, with its Naka-Rushton fit."
    return plot_curve(curves["stp_release"], log="x").figure, caption
