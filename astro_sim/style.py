"""The package's look: one style sheet, axes in it, labels with units, figures to files.

Colours are those of Okabe and Ito, which people with colour-blind eyes tell apart; sizes are meant for one column in
print.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

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
        """What `draw` returns."""
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
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".png")
    with plt.style.context(STYLE):
        figure.savefig(paths[0], metadata={"Date": None, "Description": caption})
        figure.savefig(paths[1], metadata={"Software": None, "Description": caption})
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
