"""The committed curves: the files of this folder, read by `load_curves`."""

import os
from pathlib import Path

from astro_sim.curves import format as curve_files
from astro_sim.curves.curve import Curve

DATA = Path(__file__).parent


def load_curves(folder: str | os.PathLike | None = None, draw: int | None = None, seed: int = 0) -> dict[str, Curve]:
    """Read every ``*.toml`` of `folder`, by default the committed ones; the keys are the file names' stems.

    With `draw` each curve is that draw from its uncertainty instead of its best fit; `seed` is that of the draws.
    """
    curves = curve_files.load_curves(DATA if folder is None else folder)
    return curves if draw is None else {name: curve.sample(draw + 1, seed)[draw] for name, curve in curves.items()}
