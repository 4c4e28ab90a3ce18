"""Recurrent memory transformer whose attention and memory are derived from simulated astrocytes."""

from astro_sim.curves.curve import Curve, CurveFileError
from astro_sim.curves.format import load_curve
from rmaat.config import ModelConfig
from rmaat.data import load_curves
from rmaat.layers.attention import AstromorphicAttention
from rmaat.memory.retention import retention_factors
from rmaat.memory.segments import State
from rmaat.models.rmaat import RMAAT

__all__ = [
    "RMAAT", "AstromorphicAttention", "Curve", "CurveFileError", "ModelConfig", "State", "load_curve", "load_curves",
    "retention_factors",
]  # fmt: skip
