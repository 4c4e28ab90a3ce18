"""Recurrent memory transformer whose attention and memory are derived from simulated astrocytes.

Names are fetched when they are first used, so that a command can answer Ctrl-C before PyTorch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astro_sim.curves.curve import Curve, CurveFileError
    from astro_sim.curves.format import load_curve
    from rmaat.config import ModelConfig
    from rmaat.data import load_curves
    from rmaat.layers.attention import AstromorphicAttention
    from rmaat.memory.retention import retention_factors
    from rmaat.memory.segments import State
    from rmaat.models.rmaat import RMAAT
    from rmaat.training.prediction import pipeline

_HOME = {
    "AstromorphicAttention": "rmaat.layers.attention",
    "Curve": "astro_sim.curves.curve",
    "CurveFileError": "astro_sim.curves.curve",
    "ModelConfig": "rmaat.config",
    "RMAAT": "rmaat.models.rmaat",
    "State": "rmaat.memory.segments",
    "load_curve": "astro_sim.curves.format",
    "load_curves": "rmaat.data",
    "pipeline": "rmaat.training.prediction",
    "retention_factors": "rmaat.memory.retention",
}

__all__ = [
    "RMAAT", "AstromorphicAttention", "Curve", "CurveFileError", "ModelConfig", "State", "load_curve", "load_curves",
    "pipeline", "retention_factors",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rmaat' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
