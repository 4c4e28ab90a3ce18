"""Biophysical astrocytes in Brian2: simulate, record, fit.

Names are fetched when they are first used, so that the parts without a simulator (`astro_sim.forms`,
`astro_sim.curves`, `astro_sim.recording`) load without Brian2.

    >>> import astro_sim
    >>> astro_sim.get_preset("fm").name
    'fm'
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "curves": ("read_curve", "write_curve"),
    "derivations": ("derive_ltp",),
    "experiments": ("LTPExperiment",),
    "measured": ("fit_csv",),
    "models": ("AstrocyteNetwork", "ChI", "GChI", "InwardCurrent", "LiRinzel", "TripartiteSynapses"),
    "parameters": (
        "AM",
        "BOOK",
        "FM",
        "GLIOTRANSMISSION",
        "NEST",
        "PLASTICITY",
        "PRESETS",
        "RELEASE",
        "get_plasticity",
        "get_preset",
        "variant",
    ),
    "protocols": (
        "AstrocyteResponse",
        "BiasPulse",
        "ContinuousPairing",
        "CycledPairing",
        "DistanceSweep",
        "GammaSweep",
        "PairedPulse",
        "Poisson",
        "RateSweep",
        "Recovery",
        "Releases",
        "RetentionAfterInduction",
        "STDPWindow",
        "Tetanus",
        "ThetaBurst",
        "Train",
        "log_rates",
    ),
    "recording": ("Recording", "load_recording", "save_recording"),
    "simulation": ("simulate",),
    "sweep": ("Sweep", "run_sweep"),
    "topology": ("Topology", "chain", "edge_list", "grid", "ring"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'astro_sim' has no attribute {name!r}")
    return getattr(import_module(f"astro_sim.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
