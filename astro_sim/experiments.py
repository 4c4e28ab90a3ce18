"""The experiments that curves are derived from: frozen dataclasses of plain values that can be run.

An experiment is stored whole in the curve file, so that the file can be verified by running it again. What is derived
from the recordings, and by which equations, stands in :mod:`astro_sim.derivations`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from brian2 import Hz, second, umolar

from astro_sim.macro import MACRO, CycledInput, layout, simulate_macro
from astro_sim.models import AstrocyteNetwork, TripartiteSynapses
from astro_sim.overrides import vary
from astro_sim.pairing import CycledPairing
from astro_sim.parameters import GLIOTRANSMISSION, LINEAR, RELEASE, THIS_STUDY, get_plasticity, get_preset, variant
from astro_sim.protocols import AstrocyteResponse, DistanceSweep, RateSweep
from astro_sim.recording import Recording
from astro_sim.simulation import simulate
from astro_sim.topology import chain


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all experiments have."""

    seed: int = 1
    """Of every draw."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Parameters that differ from the published ones, by symbol: a value with its unit, or x and a factor."""

    def published(self) -> dict[str, Any]:
        """Parameter tables before overrides, by the name of the model's field."""
        raise NotImplementedError

    def tables(self) -> dict[str, Any]:
        """Parameter tables with overrides."""
        return vary(self.published(), self.overrides)

    def simulate(self, target: str = "auto") -> Recording:
        """Run the experiment on a Brian2 target."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LTPExperiment(Experiment):
    """Long-term plasticity of tripartite synapses under the cycles of RMAAT."""

    n_synapses: int = 1000
    """Synapses, each with its own astrocyte and its own noise."""
    n_cycles: int = 16
    cycle_s: float = 50.0
    burst_s: float = 5.0
    """Pairing takes place in the first seconds of each cycle."""
    burst_rate_hz: float = 1.0
    """Pairs per second during a burst."""
    preset: str = "fm"
    """Constants of the astrocyte."""
    plasticity: str = "DP"
    """Graupner-Brunel set."""
    gliotransmission: bool = True
    alpha: float = 1.0
    """Effect of gliotransmission on release: above U_0__star it increases release, below it decreases."""
    U_0__star: float = 0.3
    """Release probability without gliotransmission; below the threshold 0.375 release facilitates."""

    def published(self) -> dict[str, Any]:
        """Tables of astrocyte, release, gliotransmission and plasticity; ValueError for an unknown set."""
        return {
            "astrocyte": get_preset(self.preset),
            "release": variant(RELEASE, source=THIS_STUDY, U_0__star=self.U_0__star),
            "gliotransmission": variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=self.alpha),
            "plasticity": get_plasticity(self.plasticity),
        }

    def cycle_ends(self) -> np.ndarray:
        """Times of the start and of the end of every cycle in s, shape ``(n_cycles + 1,)``."""
        return self.cycle_s * np.arange(self.n_cycles + 1)

    def simulate(self, target: str = "auto") -> Recording:
        """Efficacy rho of every synapse, fifty times a cycle."""
        return self._simulate(target, self.cycle_s / 50, rate=self.burst_rate_hz * Hz)

    def _simulate(self, target: str, every_s: float, **rate_and_timing: Any) -> Recording:
        tables = self.tables()
        if not self.gliotransmission:  # the astrocyte then has no effect on its synapse
            tables |= {"astrocyte": None, "gliotransmission": None}
        model = TripartiteSynapses(n_synapses=self.n_synapses, **tables)
        cycle, burst = self.cycle_s * second, self.burst_s * second
        protocol = CycledPairing(n_cycles=self.n_cycles, cycle=cycle, burst=burst, **rate_and_timing)
        return simulate(model, protocol, seed=self.seed, record=["rho"], record_every=every_s * second, target=target)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Log-spaced rates that `n_synapses` share equally: synapse k has rate number ``k // repeats``."""

    n_synapses: int
    n_rates: int
    low_hz: float
    high_hz: float

    def __post_init__(self) -> None:
        if self.n_rates < 3 or self.n_synapses % self.n_rates or self.n_synapses < 3 * self.n_rates:
            raise ValueError(
                "n_synapses must be a multiple, at least 3, of n_rates, which must be at least 3, got "
                f"{self.n_synapses} synapses for {self.n_rates} rates"
            )

    @property
    def repeats(self) -> int:
        """Synapses per rate."""
        return self.n_synapses // self.n_rates

    def rates_hz(self) -> np.ndarray:
        """The rates, shape ``(n_rates,)``."""
        return np.geomspace(self.low_hz, self.high_hz, self.n_rates)


@dataclass(frozen=True, kw_only=True)
class PopulationExperiment(Rates, LTPExperiment):
    """The same for synapses with different burst rates."""

    n_synapses: int = 1200
    n_rates: int = 12
    low_hz: float = 0.25
    high_hz: float = 4.0

    def simulate(self, target: str = "auto") -> Recording:
        """Efficacy of every synapse at cycle ends; each has its own phase in each burst."""
        rates = np.repeat(self.rates_hz(), self.repeats) * Hz
        return self._simulate(target, self.cycle_s, rate=rates, timing="jittered")


@dataclass(frozen=True, kw_only=True)
class CalciumExperiment(Rates, Experiment):
    """Astrocytes under Poisson spikes of one synapse each, no feedback."""

    n_synapses: int = 1000
    n_rates: int = 25
    low_hz: float = 0.1
    high_hz: float = 100.0
    length_s: float = 150.0
    discard_s: float = 30.0
    """The first seconds, a transient, are not averaged."""
    preset: str = "fm"
    sink: bool = True
    """Exogenous IP3 flow towards I_bias = 0, as published; without it the fm astrocyte is active without input."""
    power_law_below_hz: float = 20.0
    subtract_rest: bool = False
    """Fit the response above the resting level instead of the level itself."""

    def published(self) -> dict[str, Any]:
        """Tables of astrocyte and release; ValueError for an unknown preset."""
        return {"astrocyte": get_preset(self.preset), "release": RELEASE}

    def simulate(self, target: str = "auto") -> Recording:
        """Calcium of every astrocyte."""
        protocol = AstrocyteResponse(
            rates=self.rates_hz() * Hz,
            repeats=self.repeats,
            length=self.length_s * second,
            discard=self.discard_s * second,
        )
        model = TripartiteSynapses(stim=float(self.sink), gliotransmission=None, plasticity=None, **self.tables())
        return simulate(model, protocol, seed=self.seed, record=["C"], record_every=0.5 * second, target=target)


@dataclass(frozen=True, kw_only=True)
class SpatialExperiment(Experiment):
    """A chain of astrocytes with linear gap junctions, the middle one pulsed with IP3."""

    n_cells: int = 21
    preset: str = "am"
    I_bias_uM: float = 1.0
    pulse_s: float = 20.0
    length_s: float = 60.0
    farthest: int = 8
    """Largest distance from the source, in cells, that is fitted."""

    def __post_init__(self) -> None:
        if not 3 <= self.farthest <= (self.n_cells - 1) // 2:
            raise ValueError(f"farthest must be from 3 to half of n_cells = {self.n_cells}, got {self.farthest}")

    def published(self) -> dict[str, Any]:
        """Tables of astrocyte and coupling; ValueError for an unknown preset."""
        return {"astrocyte": get_preset(self.preset), "coupling": LINEAR}

    def simulate(self, target: str = "auto") -> Recording:
        """IP3 along the chain."""
        protocol = DistanceSweep(
            sources=(self.n_cells // 2,),
            I_bias=self.I_bias_uM * umolar,
            width=self.pulse_s * second,
            length=self.length_s * second,
        )
        network = AstrocyteNetwork(topology=chain(self.n_cells), **self.tables())
        return simulate(network, protocol, seed=self.seed, record=["I"], record_every=0.1 * second, target=target)


@dataclass(frozen=True, kw_only=True)
class ReleaseExperiment(Rates, Experiment):
    """Synapses under Poisson spikes, without astrocytes."""

    n_synapses: int = 1000
    n_rates: int = 20
    low_hz: float = 0.1
    high_hz: float = 100.0
    length_s: float = 200.0
    discard_s: float = 20.0
    U_0__star: float = 0.3

    def published(self) -> dict[str, Any]:
        """The table of release."""
        return {"release": variant(RELEASE, source=THIS_STUDY, U_0__star=self.U_0__star)}

    def simulate(self, target: str = "auto") -> Recording:
        """Release variables of every synapse."""
        protocol = RateSweep(rates=self.rates_hz() * Hz, repeats=self.repeats, length=self.length_s * second)
        model = TripartiteSynapses(astrocyte=None, gliotransmission=None, plasticity=None, **self.tables())
        every = 0.5 * second
        return simulate(model, protocol, seed=self.seed, record=["u_S", "r_S"], record_every=every, target=target)


@dataclass(frozen=True, kw_only=True)
class MacroExperiment(Experiment):
    """The macro-model of RMAAT: neurons, synapses, short- and long-term processes."""

    n_cycles: int = 16
    cycle_s: float = 50.0
    burst_s: float = 5.0
    reading: str = "A"
    """Of "3 x 3 network": A is 3 presynaptic onto 3 postsynaptic neurons, B nine neurons all to all."""

    def published(self) -> dict[str, Any]:
        """The table of the macro-model."""
        return {"macro": MACRO}

    def cycle_ends(self) -> np.ndarray:
        """Times of the start and of the end of every cycle in s, shape ``(n_cycles + 1,)``."""
        return self.cycle_s * np.arange(self.n_cycles + 1)

    def simulate(self, target: str = "auto") -> Recording:
        """Long-term processes p_l; the macro-model runs on NumPy whatever the target."""
        protocol = CycledInput(n_cycles=self.n_cycles, cycle=self.cycle_s * second, burst=self.burst_s * second)
        where, every = layout(self.reading), self.cycle_s / 50 * second
        return simulate_macro(self.tables()["macro"], protocol, where=where, seed=self.seed, record_every=every)
