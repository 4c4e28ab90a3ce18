"""Whole models: RMAAT, the baselines, and a minimal RMAAT to read first.

Imports `memory` and `layers`.
"""

from rmaat.models.baselines import Memformer, StateSpaceModel, TemporalLatentBottleneck
from rmaat.models.constants import Constants
from rmaat.models.rmaat import RMAAT
from rmaat.models.zoo import build_model, count_parameters, match_parameters

__all__ = [
    "RMAAT", "Constants", "Memformer", "StateSpaceModel", "TemporalLatentBottleneck", "build_model", "count_parameters",
    "match_parameters",
]  # fmt: skip
