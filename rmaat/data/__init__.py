"""The committed curves: the files of this folder, read by `load_curves`."""

import os
from pathlib import Path

from astro_sim.curves import format as curve_files
from astro_sim.curves.curve import Curve

DATA = Path(__file__).parent


def load_curves(folder: str | os.PathLike | None = None) -> dict[str, Curve]:
    """Read every ``*.toml`` of `folder`, by default the committed ones; the keys are the file names' stems."""
    return curve_files.load_curves(DATA if folder is None else folder)
