"""Figures of recordings and of folders of curves, and the slider panel of the notebooks.

Imports `simulation` and the rooms below it; the plots alone load no simulator, and `explorer` needs ipywidgets.
"""

from astro_sim.curves.plotting import panels, plot_curve, save_figure
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

__all__ = [
    "panels", "plot_accumulation", "plot_bifurcation_diagram", "plot_course", "plot_curve", "plot_nullclines",
    "plot_periods", "plot_response", "plot_retention", "plot_spread", "save_figure",
]  # fmt: skip
