"""The package's look: one style sheet, axes in it, labels with units, figures to files.

Colours are those of Okabe and Ito, which people with colour-blind eyes tell apart; sizes are meant for one column in
print.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from astro_sim.curves.curve import Curve
from astro_sim.curves.files import replacing
from astro_sim.curves.format import read_curve

STYLE = Path(__file__).with_name("style.mplstyle")

# In the order of the style, but not as C0, C1, ...: those are looked up when a figure is drawn, outside of the style.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"

GREY = "0.55"

SYMBOLS = {
    "rho": r"$\rho$",
    "Gamma_A": r"$\Gamma_A$",
    "Gamma_S": r"$\Gamma_S$",
    "p_l": "$p^l$",
    "p_s": "$p^s$",
    "nu": r"$\nu$",
    "lambda": r"$\lambda$",
    "1/tau_eff": r"$1/\tau_{\mathrm{eff}}$",
}

UNITS = {"uM": "µM", "umolar": "µM", "uM/s": "µM/s", "1": "", "": ""}


def styled(draw):
    """Run a drawing function in the package's style, whatever the user's own."""

    @functools.wraps(draw)
    def in_style(*args, **kwargs):
        with plt.style.context(STYLE):
            drawn = draw(*args, **kwargs)
            interactive = plt.isinteractive()
        if interactive:  # a notebook's first figure turns it on, and leaving the style would turn it off again
            plt.ion()
        return drawn

    return in_style


@styled
def panels(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **subplots):
    """New axes in the package's style: one, or an array as `matplotlib.pyplot.subplots` gives it. `size` in inches."""
    size = (3.4 * columns, 2.5 * rows) if size is None else size
    return plt.subplots(rows, columns, figsize=size, **subplots)[1]


def save_figure(figure: Figure, path_stem: str | os.PathLike, caption: str = "") -> tuple[Path, Path]:
    """Write `figure` as ``path_stem.svg`` and ``path_stem.png`` (same figure, same bytes) and close it.

    Both files carry `caption` as their description, for whoever shows them.
    """
    stem = Path(path_stem)
    paths = stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".png")
    with plt.style.context(STYLE):
        for path, left_out in zip(paths, ("Date", "Software"), strict=True):
            with replacing(path) as partial:
                figure.savefig(partial, metadata={left_out: None, "Description": caption})
    plt.close(figure)
    return paths


def label(symbol: str, unit: str = "") -> str:
    """Axis label: the paper's symbol and the unit, if any."""
    if symbol not in SYMBOLS and len(symbol) == 1:
        symbol = f"${symbol}$"
    elif symbol not in SYMBOLS and "_" in symbol:
        head, tail = symbol.split("_", 1)
        symbol = rf"${head}_{{\mathrm{{{tail}}}}}$"
    unit = UNITS.get(unit, unit)
    return SYMBOLS.get(symbol, symbol).replace("IP3", "IP$_3$") + (f" ({unit})" if unit else "")


def new_axes(ax: Axes | None) -> Axes:
    return panels() if ax is None else ax


def log_scale(ax: Axes, which: str) -> None:
    """Logarithmic axes (`which` of "", "x", "y", "xy") with plain numbers, at 1, 2 and 5 where decades are few."""
    for name in which:
        getattr(ax, f"set_{name}scale")("log")
        axis = getattr(ax, f"{name}axis")
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


# ---------------------------------------------------------------------------------------------------------------------
# Curves
# ---------------------------------------------------------------------------------------------------------------------
TYPESETTING = (  # what a formula in Python looks like in print
    (r"\btau", "τ"),
    (r"\bbeta\b", "β"),
    (r"_(fast|slow)", r"$_{\\mathrm{\1}}$"),
    (r"\*\*\((.*?)\)|\*\*(\w+)", r"$^{\\mathrm{\1\2}}$"),
    (r" ?\* ?", " · "),
    (r" ?/ ?", " / "),
    (r"-", "\N{MINUS SIGN}"),
)


def typeset(formula: str, x: str) -> str:
    """A form's formula as a figure shows it, with `x` for its variable."""
    for pattern, replacement in TYPESETTING:
        formula = re.sub(pattern, replacement, formula)
    return re.sub(r"\bx\b", lambda _: x, formula)


def curve_band(curve: Curve, x) -> np.ndarray:
    """Half-width of the 95 % confidence band at `x`: the delta method, 1.96 sqrt(J cov J')."""
    values = np.array(list(curve.parameters.values()))
    steps = 1e-6 * np.maximum(np.abs(values), 1e-12)
    slopes = [
        (curve.form.function(x, *(values + unit)) - curve.form.function(x, *(values - unit))) / (2 * step)
        for unit, step in zip(np.diag(steps), steps, strict=True)
    ]
    variance = np.einsum("ix,ij,jx->x", slopes, curve.covariance, slopes)
    return 1.96 * np.sqrt(np.maximum(variance, 0))


@styled
def plot_curve(curve, *, log: str = "", formula: bool = True, ax: Axes | None = None, **line) -> Axes:
    """A fitted curve with its 95 % band and the data it was fitted to: long-term, short-term, spatial, release.

    Parameters
    ----------
    curve : Curve or path
        From `astro_sim.curves.fit.fit_curve`, or a curve file.
    log : str
        Axes with logarithmic scale: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
    formula : bool
        Write the formula above the axes.
    """
    if not isinstance(curve, Curve | str | os.PathLike):
        kind = f"{type(curve).__module__}.{type(curve).__name__}"
        raise TypeError(
            f"curve must be an astro_sim.curves.curve.Curve or a path, got {kind}; give the path of its file"
        )
    curve = curve if isinstance(curve, Curve) else read_curve(curve)
    ax = new_axes(ax)
    low, high = curve.x_range
    x = np.geomspace(low if low > 0 else high / 1e3, high, 300) if "x" in log else np.linspace(low, high, 300)
    y, band = curve(x), curve_band(curve, x)
    (drawn,) = ax.plot(x, y, **({"label": curve.name} | line))
    ax.fill_between(x, y - band, y + band, color=drawn.get_color(), alpha=0.25, linewidth=0)
    samples = curve.samples
    style: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 2.5, "linewidth": 0.7, "zorder": 1}
    ax.errorbar(samples["x"], samples["y"], yerr=samples.get("sem"), capsize=0, **style)
    ax.set(xlabel=label(curve.x.symbol, curve.x.unit), ylabel=label(curve.y.symbol, curve.y.unit))
    log_scale(ax, log)
    if formula:
        ax.set_title(f"{label(curve.y.symbol)} = {typeset(curve.form.formula, label(curve.x.symbol))}", fontsize=6.5)
    return ax
