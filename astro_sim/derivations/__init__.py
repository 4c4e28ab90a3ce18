"""From an experiment to a curve file: simulate, fit, note the provenance, verify.

The top room of the package: imports every other one.
"""

from astro_sim.derivations.experiment import Experiment
from astro_sim.derivations.ltp import (
    LTPExperiment,
    MacroExperiment,
    PopulationExperiment,
    derive_ltp,
    derive_ltp_macro,
    derive_ltp_population,
)
from astro_sim.derivations.standard import DERIVATIONS, STANDARD, derive_all
from astro_sim.derivations.stp import (
    CalciumExperiment,
    ReleaseExperiment,
    SpatialExperiment,
    derive_stp_calcium,
    derive_stp_calcium_full,
    derive_stp_release,
    derive_stp_spatial,
)
from astro_sim.derivations.verify import verify_curve, verify_curves

__all__ = [
    "DERIVATIONS", "STANDARD", "CalciumExperiment", "Experiment", "LTPExperiment", "MacroExperiment",
    "PopulationExperiment", "ReleaseExperiment", "SpatialExperiment", "derive_all", "derive_ltp", "derive_ltp_macro",
    "derive_ltp_population", "derive_stp_calcium", "derive_stp_calcium_full", "derive_stp_release",
    "derive_stp_spatial", "verify_curve", "verify_curves",
]  # fmt: skip
