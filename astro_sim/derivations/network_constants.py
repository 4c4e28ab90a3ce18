"""The network's constants as functions of biophysical parameters: every parameter set is an element of one run.

Each runs the experiment of its derivation, with less freedom to fluctuate:

- ``a = tau_cycle / tau_eff``, the relaxation of the efficacy per cycle (`astro_sim.derivations.ltp.derive_ltp`). Noise
  and cubic term are off, so that two synapses that start at rho = 0 and 1 approach each other by ``exp(-a)`` a cycle:
  exact, without a fit, and free of sampling error.
- ``alpha``, the exponent of the astrocyte's mean calcium against presynaptic rate below 20 Hz
  (`astro_sim.derivations.stp.derive_stp_calcium`); all parameter sets see the same Poisson trains.
- ``length``, the decay length of the peak of IP3 along a chain, in cells
  (`astro_sim.derivations.stp.derive_stp_spatial`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from brian2 import Hz, second

from astro_sim.curves.forms import FORMS
from astro_sim.curves.least_squares import fit_form, prepare
from astro_sim.derivations.experiment import Experiment
from astro_sim.derivations.ltp import LTPExperiment
from astro_sim.derivations.stp import CalciumExperiment, SpatialExperiment
from astro_sim.parameters.variants import symbols, vary
from astro_sim.protocols.protocol import Joined
from astro_sim.simulation.recording import Recording
from astro_sim.simulation.run import simulate
from astro_sim.sweeps.conditions import copied

Factors = Mapping[str, np.ndarray]
"""Symbol -> factor on its published value, shape ``(n_sets,)``: one for each parameter set."""

AT_MOST_ONE = ("U_0__star", "U_A", "alpha")


def simulate_sets(experiment: Experiment, factors: Factors, repeats: int, **changes: Any) -> Recording:
    """The run of an experiment with `repeats` elements for each parameter set; `changes` are arguments of its run."""
    arguments = experiment.arguments() | changes
    tables = vary(experiment.tables(), factors, repeats)
    return simulate(**arguments | {"model": dataclasses.replace(arguments["model"], **tables)})


def relaxation_rates(factors: Factors, seed: int = 0, target: str = "auto") -> np.ndarray:
    """a per cycle of every parameter set, shape ``(n_sets,)``: mean over six cycles in closed loop."""
    n_sets = len(next(iter(factors.values())))
    experiment = LTPExperiment(n_synapses=2 * n_sets, n_cycles=6, overrides={"sigma": "0", "cubic": "0"})
    start = {"rho": np.tile([0.0, 1.0], n_sets)}
    every = experiment.cycle_s * second
    run = simulate_sets(experiment, factors, 2, initial=start, record_every=every, seed=seed, target=target)
    low, high = run["rho"].values[-1].reshape(n_sets, 2).T
    return -np.log(high - low) / experiment.n_cycles


def calcium_exponents(factors: Factors, seed: int = 0, target: str = "auto") -> np.ndarray:
    """alpha of every parameter set, shape ``(n_sets,)``: eight rates, two Poisson trains each, the same for all."""
    repeats, experiment = 2, CalciumExperiment()
    rates = np.geomspace(experiment.low_hz, experiment.power_law_below_hz, 8)
    n_sets, each = len(next(iter(factors.values()))), repeats * len(rates)
    sweep = dataclasses.replace(experiment.arguments()["protocol"], rates=rates * Hz, repeats=repeats)
    protocol = Joined(whole=sweep, parts=(sweep,) * n_sets)
    run = simulate_sets(experiment, factors, each, protocol=protocol, seed=seed, target=target)
    C = run["C"].sel(time=slice(experiment.discard_s, None)).mean("time").values
    C = C.reshape(n_sets, len(rates), repeats).mean(axis=-1)
    return np.array([fit_form(FORMS["power_law"], prepare(rates, course)).theta[1] for course in C])


def decay_lengths(factors: Factors, seed: int = 0, target: str = "auto") -> np.ndarray:
    """Decay length of the peak of IP3 of every parameter set, in cells, shape ``(n_sets,)``."""
    experiment = SpatialExperiment()
    n_sets, n = len(next(iter(factors.values()))), experiment.n_cells
    one = experiment.arguments()
    model, protocol = copied(one["model"], one["protocol"], n_sets)
    changes = {"model": model, "protocol": protocol, "record_every": 0.5 * second}
    I = simulate_sets(experiment, factors, n, **changes, seed=seed, target=target)["I"].values
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
