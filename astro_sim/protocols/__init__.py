"""What is done to a model: spike trains, pairings and pulses.

Imports `parameters`; knows no model.
"""

from astro_sim.protocols.pairing import (
    ContinuousPairing,
    CycledPairing,
    RetentionAfterInduction,
    STDPWindow,
    Tetanus,
    ThetaBurst,
)
from astro_sim.protocols.protocol import Bias, Protocol, Spikes
from astro_sim.protocols.pulses import BiasPulse, DistanceSweep, GammaSweep, Releases
from astro_sim.protocols.trains import AstrocyteResponse, PairedPulse, Poisson, RateSweep, Recovery, Train, log_rates

__all__ = [
    "AstrocyteResponse", "Bias", "BiasPulse", "ContinuousPairing", "CycledPairing", "DistanceSweep", "GammaSweep",
    "PairedPulse", "Poisson", "Protocol", "RateSweep", "Recovery", "Releases", "RetentionAfterInduction", "STDPWindow",
    "Spikes", "Tetanus", "ThetaBurst", "Train", "log_rates",
]  # fmt: skip
