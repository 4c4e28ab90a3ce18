"""Recurrent memory transformer whose attention and memory are derived from simulated astrocytes."""

from rmaat.attention import AstromorphicAttention
from rmaat.config import ModelConfig
from rmaat.curves import Curve, CurveFileError, load_curve, load_curves
from rmaat.memory import retention_factors
from rmaat.model import RMAAT
from rmaat.segments import State

__all__ = [
    "RMAAT",
    "AstromorphicAttention",
    "Curve",
    "CurveFileError",
    "ModelConfig",
    "State",
    "load_curve",
    "load_curves",
    "retention_factors",
]
