"""Many conditions as few simulations, side by side, in a folder that a killed run resumes from.

Imports `simulation` and the rooms below it.
"""

from astro_sim.sweeps.run import load_sweep, run_sweep
from astro_sim.sweeps.sweep import Sweep

__all__ = [
    "Sweep",
    "load_sweep",
    "run_sweep",
]
