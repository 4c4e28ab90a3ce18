"""Biophysical astrocytes in Brian2: simulate, record, fit.

Names are fetched when they are first used, so that the rooms without a simulator (`astro_sim.curves`,
`astro_sim.dynamics`) load without Brian2.

    >>> import astro_sim
    >>> astro_sim.get_preset("fm").name
    'fm'
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "curves.format": ("read_curve", "write_curve"),
    "curves.measured": ("fit_csv", "fit_measured", "read_measured"),
    "derivations.ltp": ("LTPExperiment", "derive_ltp"),
    "models.astrocytes": ("AstrocyteNetwork", "ChI", "GChI", "InwardCurrent", "LiRinzel"),
    "models.synapses": ("TripartiteSynapses",),
    "models.topology": ("Topology", "chain", "edge_list", "grid", "ring"),
    "parameters.presets": (
        *("AM", "BOOK", "FM", "GLIOTRANSMISSION", "NEST", "PLASTICITY", "PRESETS", "RELEASE"),
        *("get_plasticity", "get_preset"),
    ),
    "parameters.variants": ("variant",),
    "protocols.pairing": (
        *("ContinuousPairing", "CycledPairing", "RetentionAfterInduction", "STDPWindow", "Tetanus", "ThetaBurst"),
    ),
    "protocols.pulses": ("BiasPulse", "DistanceSweep", "GammaSweep", "Releases"),
    "protocols.trains": (
        *("AstrocyteResponse", "PairedPulse", "Poisson", "RateSteps", "RateSweep", "Recovery", "SpikeTimes", "Train"),
        "log_rates",
    ),
    "recordings.events": ("events", "plot_events", "synchrony"),
    "recordings.traces": ("read_traces",),
    "simulation.recording": ("Recording", "load_recording", "save_recording"),
    "simulation.run": ("simulate",),
    "sweeps.run": ("run_sweep",),
    "sweeps.sweep": ("Sweep",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'astro_sim' has no attribute {name!r}")
    return getattr(import_module(f"astro_sim.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
