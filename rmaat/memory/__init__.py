"""Memory tokens: what a curve lets them retain, how they are written, and the replay that trains them.

Imports `layers`. The replay itself is `rmaat.memory.replay.replay`.
"""

from rmaat.memory.replay import run_segments
from rmaat.memory.retention import (
    Retention,
    consolidate_weights,
    population_rates,
    relax_weights,
    relaxation_rate,
    retention_factors,
    retention_rise,
    segment_weights,
)
from rmaat.memory.segments import Segments, State
from rmaat.memory.update import AttendUpdate, GatedUpdate

__all__ = [
    "AttendUpdate", "GatedUpdate", "Retention", "Segments", "State", "consolidate_weights", "population_rates",
    "relax_weights", "relaxation_rate", "retention_factors", "retention_rise", "run_segments", "segment_weights",
]  # fmt: skip
