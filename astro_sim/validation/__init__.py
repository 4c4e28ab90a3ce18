"""Validation: the simulator against published and closed-form numbers.

Imports `simulation`, `dynamics` and the rooms below them.
"""

from astro_sim.validation.targets import Check, Target, Validation, load_targets, measure, validate, write_validation

__all__ = [
    "Check", "Target", "Validation", "load_targets", "measure", "validate", "write_validation",
]  # fmt: skip
