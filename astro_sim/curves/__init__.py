"""The bridge: functional forms, fits, and the curve files that the networks of `rmaat` read.

Imports no other room, no Brian2 and no PyTorch. Names are fetched when they are first used: `console` needs nothing but
Python, SciPy is loaded by the first fit, Matplotlib by `plotting`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astro_sim.curves.curve import Axis, Curve, CurveFileError
    from astro_sim.curves.fit import fit_curve
    from astro_sim.curves.format import load_curve, load_curves, parse_curve, read_curve, write_curve
    from astro_sim.curves.forms import FORMS, Form

_MODULES = {
    "curve": ("Axis", "Curve", "CurveFileError"),
    "fit": ("fit_curve",),
    "format": ("load_curve", "load_curves", "parse_curve", "read_curve", "write_curve"),
    "forms": ("FORMS", "Form"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "FORMS", "Axis", "Curve", "CurveFileError", "Form", "fit_curve", "load_curve", "load_curves", "parse_curve",
    "read_curve", "write_curve",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'astro_sim.curves' has no attribute {name!r}")
    return getattr(import_module(f"astro_sim.curves.{_HOME[name]}"), name)
