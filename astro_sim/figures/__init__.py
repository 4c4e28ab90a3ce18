"""Figures of recordings and of folders of curves, and the slider panel of the notebooks.

Imports `simulation` and the rooms below it; the panel, `explorer`, is imported by itself, since it needs ipywidgets.
"""

from astro_sim.curves.plotting import panels, plot_curve, save_figure
from astro_sim.figures.pages import draw_figures
from astro_sim.figures.plots import (
    plot_accumulation,
    plot_bifurcation_diagram,
    plot_course,
    plot_nullclines,
    plot_periods,
    plot_response,
    plot_retention,
    plot_spread,
)
from astro_sim.protocols.plotting import plot_protocol, plot_raster

__all__ = [
    "draw_figures",
    "panels",
    "plot_accumulation",
    "plot_bifurcation_diagram",
    "plot_course",
    "plot_curve",
    "plot_nullclines",
    "plot_periods",
    "plot_protocol",
    "plot_raster",
    "plot_response",
    "plot_retention",
    "plot_spread",
    "save_figure",
]
