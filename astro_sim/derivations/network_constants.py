"""The network's constants as functions of biophysical parameters: every parameter set is an element of one run.

Each is simulated as the derivations do, with less freedom to fluctuate:

- ``a = tau_cycle / tau_eff``, the relaxation of the efficacy per cycle (`astro_sim.derivations.ltp.derive_ltp`). Noise
  and cubic term are off, so that two synapses that start at rho = 0 and 1 approach each other by ``exp(-a)`` a cycle:
  exact, without a fit, and free of sampling error.
- ``alpha``, the exponent of the astrocyte's mean calcium against presynaptic rate below 20 Hz
  (`astro_sim.derivations.stp.derive_stp_calcium`); all parameter sets see the same Poisson trains.
- ``length``, the decay length of the peak of IP3 along a chain, in cells
  (`astro_sim.derivations.stp.derive_stp_spatial`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import second, umolar

from astro_sim.curves.fit import fit_form, prepare
from astro_sim.curves.forms import FORMS
from astro_sim.derivations.ltp import LTPExperiment
from astro_sim.derivations.stp import CalciumExperiment, SpatialExperiment
from astro_sim.models.astrocytes import AstrocyteNetwork
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import chain
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import AT_MOST_ONE, Factors, scaled, symbols, variant
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.protocols.protocol import Protocol, Spikes, side_by_side
from astro_sim.protocols.pulses import DistanceSweep
from astro_sim.protocols.trains import RateSweep
from astro_sim.simulation.run import simulate


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeated(Protocol):
    """The spikes of a rate sweep for every one of ``n_sets`` sets of elements: common random numbers."""

    protocol: RateSweep
    n_sets: int

    @property
    def n_elements(self) -> int:
        return self.protocol.n_elements * self.n_sets

    @property
    def duration(self) -> b2.Quantity:
        return self.protocol.duration

    def pre(self, n: int, seed: int) -> Spikes | None:
        each = n // self.n_sets
        return side_by_side([self.protocol.pre(each, seed)] * self.n_sets, each)


def relaxation_rates(factors: Factors, seed: int = 0, target: str = "auto") -> np.ndarray:
    """a per cycle of every parameter set, shape ``(n_sets,)``: mean over six cycles in closed loop."""
    experiment = LTPExperiment(n_cycles=6)
    n_sets = len(next(iter(factors.values())))
    tables = scaled(experiment.published(), factors, repeats=2)
    tables["plasticity"] = variant(tables["plasticity"], source=THIS_STUDY, sigma=0, cubic=0)
    run = simulate(
        TripartiteSynapses(n_synapses=2 * n_sets, **tables),
        CycledPairing(n_cycles=experiment.n_cycles),
        record=["rho"],
        record_every=experiment.cycle_s * second,
        initial={"rho": np.tile([0.0, 1.0], n_sets)},
        seed=seed,
        target=target,
    )
    low, high = run["rho"].values[-1].reshape(n_sets, 2).T
    return -np.log(high - low) / experiment.n_cycles


def calcium_exponents(factors: Factors, seed: int = 0, target: str = "auto") -> np.ndarray:
    """alpha of every parameter set, shape ``(n_sets,)``: eight rates, two Poisson trains each."""
    repeats, experiment = 2, CalciumExperiment()
    rates = np.geomspace(experiment.low_hz, experiment.power_law_below_hz, 8)
    n_sets, each = len(next(iter(factors.values()))), repeats * len(rates)
    sweep = RateSweep(rates=rates * b2.Hz, repeats=repeats, length=experiment.length_s * second)
    tables = scaled(experiment.published(), factors, repeats=each)
    run = simulate(
        TripartiteSynapses(stim=float(experiment.sink), gliotransmission=None, plasticity=None, **tables),
        Repeated(protocol=sweep, n_sets=n_sets),
        record=["C"],
        record_every=0.5 * second,
        seed=seed,
        target=target,
    )
    C = run["C"].sel(time=slice(experiment.discard_s, None)).mean("time").values
    C = C.reshape(n_sets, len(rates), repeats).mean(axis=-1)
    return np.array([fit_form(FORMS["power_law"], prepare(rates, course)).theta[1] for course in C])


def decay_lengths(factors: Factors, seed: int = 0, target: str = "auto") -> np.ndarray:
    """Decay length of the peak of IP3 of every parameter set, in cells, shape ``(n_sets,)``."""
    experiment = SpatialExperiment()
    n_sets, n = len(next(iter(factors.values()))), experiment.n_cells
    run = simulate(
        AstrocyteNetwork(topology=chain(n).copies(n_sets), **scaled(experiment.published(), factors, repeats=n)),
        DistanceSweep(
            sources=tuple(n // 2 + n * np.arange(n_sets)),
            I_bias=experiment.I_bias_uM * umolar,
            width=experiment.pulse_s * second,
            length=experiment.length_s * second,
        ),
        record=["I"],
        record_every=0.5 * second,
        seed=seed,
        target=target,
    )
    I = run["I"].values
    distance = np.arange(experiment.farthest + 1)
    peaks = (I.max(axis=0) - I[0]).reshape(n_sets, n)[:, n // 2 + distance]
    return np.array([fit_form(FORMS["exponential_decay"], prepare(distance, peak)).theta[1] for peak in peaks])


@dataclass(frozen=True)
class Constant:
    """A constant of the network: what it is, how it is simulated, its published tables, and the symbols left alone."""

    what: str
    simulate: Callable[..., np.ndarray]
    published: Mapping[str, Any]
    leave: tuple[str, ...] = ()

    @property
    def symbols(self) -> list[str]:
        """The parameters that are varied."""
        return [symbol for symbol in symbols(self.published) if symbol not in self.leave]

    def bounds(self, symbol: str, spread: float) -> tuple[float, float]:
        """Least and largest logarithm of the factor; a probability stays below 1, with the same ratio of the two."""
        high = np.log1p(spread)
        if symbol in AT_MOST_ONE:
            tables = (table.quantities() for table in self.published.values())
            value = next(table[symbol] for table in tables if symbol in table)
            high = min(high, -np.log(float(value)))
        return high - 2 * np.log1p(spread), high


CONSTANTS = {
    "a": Constant(
        "a = tau_cycle / tau_eff, relaxation of the efficacy per cycle",
        relaxation_rates,
        LTPExperiment().published(),
        # without exogenous flow; and what the mean does not see, or sees in steps of the clock (D)
        ("F_ex", "I_Theta", "omega_I", "sigma", "cubic", "rho_star", "beta", "b", "D"),
    ),
    "alpha": Constant(
        "alpha, exponent of mean calcium against presynaptic rate", calcium_exponents, CalciumExperiment().published()
    ),
    "length": Constant(
        "length, decay of IP3 with distance (cells)",
        decay_lengths,
        SpatialExperiment().published(),
        ("O_beta", "O_N", "Omega_N", "K_KC", "zeta"),  # no receptors there
    ),
}
