"""The bridge: functional forms, fits, and the curve files that the networks of `rmaat` read.

Imports no other room, no Brian2 and no PyTorch. SciPy is loaded by the first fit, Matplotlib by `plotting`.
"""

from typing import TYPE_CHECKING, Any

from astro_sim.curves.curve import Axis, Curve, CurveFileError
from astro_sim.curves.format import load_curve, load_curves, parse_curve, read_curve, write_curve
from astro_sim.curves.forms import FORMS, Form

if TYPE_CHECKING:
    from astro_sim.curves.fit import fit_curve

__all__ = [
    "FORMS", "Axis", "Curve", "CurveFileError", "Form", "fit_curve", "load_curve", "load_curves", "parse_curve",
    "read_curve", "write_curve",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name != "fit_curve":
        raise AttributeError(f"module 'astro_sim.curves' has no attribute {name!r}")
    from astro_sim.curves.fit import fit_curve

    return fit_curve
