"""The paper's macro-model and its parent, the neuron-astrocyte associative memory: networks of rates.

Imports `simulation` (for recordings) and the rooms below it.
"""

from astro_sim.rate_networks.macro import MACRO, CycledInput, MacroParameters, layout, simulate_macro
from astro_sim.rate_networks.naam import NAAM, NAAMParameters, simulate_naam

__all__ = [
    "MACRO", "NAAM", "CycledInput", "MacroParameters", "NAAMParameters", "layout", "simulate_macro", "simulate_naam",
]  # fmt: skip
