"""Long-term plasticity: the experiments and the curves that are derived from them."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from brian2 import Hz, second

from astro_sim.curves.curve import Axis, Curve, six
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.forms import FORMS, NOT_FALLING, RISING
from astro_sim.curves.least_squares import fit_form, prepare
from astro_sim.derivations.experiment import RATE, TIME, Experiment, Rates, derivation
from astro_sim.derivations.provenance import with_provenance
from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import GLIOTRANSMISSION, RELEASE, get_plasticity, get_preset
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.rate_networks.macro import MACRO, CycledInput, layout, simulate_macro
from astro_sim.simulation.recording import Recording


@dataclass(frozen=True, kw_only=True)
class LTPExperiment(Experiment):
    """Long-term plasticity of tripartite synapses under the cycles of RMAAT."""

    committed: ClassVar = {
        "ltp": {},
        "ltp_alpha0": {"alpha": 0.0},
        "ltp_no_gliotransmission": {"gliotransmission": False},
    }

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
        return {
            "astrocyte": get_preset(self.preset),
            "release": variant(RELEASE, source=THIS_STUDY, U_0__star=self.U_0__star),
            "gliotransmission": variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=self.alpha),
            "plasticity": get_plasticity(self.plasticity),
        }

    def cycle_ends(self) -> np.ndarray:
        """Times of the start and of the end of every cycle in s, shape ``(n_cycles + 1,)``."""
        return self.cycle_s * np.arange(self.n_cycles + 1)

    def arguments(self) -> dict[str, Any]:
        """Efficacy rho of every synapse, fifty times a cycle."""
        tables = self.tables()
        if not self.gliotransmission:  # the astrocyte then has no effect on its synapse
            tables |= {"astrocyte": None, "gliotransmission": None}
        protocol = CycledPairing(
            rate=self.burst_rate_hz * Hz,
            n_cycles=self.n_cycles,
            cycle=self.cycle_s * second,
            burst=self.burst_s * second,
        )
        model = TripartiteSynapses(n_synapses=self.n_synapses, **tables)
        return {"model": model, "protocol": protocol, "record": ["rho"], "record_every": self.cycle_s / 50 * second}


@dataclass(frozen=True, kw_only=True)
class PopulationExperiment(Rates, LTPExperiment):
    """The same for synapses with different burst rates."""

    committed: ClassVar = {"ltp_population": {}}
    n_synapses: int = 1200
    n_rates: int = 12
    low_hz: float = 0.25
    high_hz: float = 4.0

    def arguments(self) -> dict[str, Any]:
        """Efficacy of every synapse at cycle ends; each has its own phase in each burst."""
        arguments = super().arguments()
        rates = np.repeat(self.rates_hz(), self.repeats) * Hz
        protocol = dataclasses.replace(arguments["protocol"], rate=rates, timing="jittered")
        return arguments | {"protocol": protocol, "record_every": self.cycle_s * second}


@dataclass(frozen=True, kw_only=True)
class MacroExperiment(Experiment):
    """The macro-model of RMAAT: neurons, synapses, short- and long-term processes."""

    committed: ClassVar = {"ltp_macro": {}}
    n_cycles: int = 16
    cycle_s: float = 50.0
    burst_s: float = 5.0
    reading: str = "A"
    """Of "3 x 3 network": A is 3 presynaptic onto 3 postsynaptic neurons, B nine neurons all to all."""

    def published(self) -> dict[str, Any]:
        return {"macro": MACRO}

    def cycle_ends(self) -> np.ndarray:
        return self.cycle_s * np.arange(self.n_cycles + 1)

    def simulate(self, target: str = "auto") -> Recording:
        """Long-term processes p_l; the macro-model runs on NumPy whatever the target."""
        protocol = CycledInput(n_cycles=self.n_cycles, cycle=self.cycle_s * second, burst=self.burst_s * second)
        where, every = layout(self.reading), self.cycle_s / 50 * second
        return simulate_macro(self.tables()["macro"], protocol, where=where, seed=self.seed, record_every=every)


@derivation(LTPExperiment)
def derive_ltp(experiment: LTPExperiment, recording: Recording, *, name: str = "ltp", form: str = "auto") -> Curve:
    """Long-term plasticity over cycles: what retention factors are taken from.

    The ensemble mean of the efficacy at cycle ends, ``p(t) = <rho(t)>``, is fitted by generalised least squares with
    the covariance of the ensemble, by the lowest BIC among forms that rise from 0. For constant drive without the cubic
    term the course is exactly

        ``rho(t) = rho_bar (1 - exp(-t / tau_eff))``, ``tau_eff = tau / (G_p + G_d)``, ``rho_bar = G_p / (G_p + G_d)``,

    with ``G_x = gamma_x`` times the share of time above ``theta_x``; bursts of ``burst_s`` in cycles of ``cycle_s``
    stretch tau_eff by ``cycle_s / burst_s``. These values are noted beside the fit.

    Parameters
    ----------
    experiment : LTPExperiment, optional
        The standard one by default; ``alpha=0`` and ``gliotransmission=False`` are the committed variants.
    recording : Recording, optional
        What the experiment gave; by default it is run, on the Brian2 `target`.
    form : str
        A form of `astro_sim.curves.forms` to be used instead of the best.
    """
    times = experiment.cycle_ends()
    curve = fit_curve(
        times,
        ensemble=_at(recording["rho"], times).transpose("synapse", "time").values,
        form=form,
        among=RISING,
        because="retention needs a course that rises from 0",
        name=name,
        x_axis=TIME,
        y_axis=Axis("rho", "1"),
        seed=experiment.seed,
    )
    steady = theory.efficacy_dynamics(experiment.tables()["plasticity"], experiment.burst_rate_hz)
    closed_form = {
        "of": "constant release, no cubic term",
        "amplitude": six(float(steady.rho_bar)),
        "tau": six(float(steady.tau_eff) * experiment.cycle_s / experiment.burst_s),
    }
    return with_provenance(curve, "ltp", experiment, recording, closed_form=closed_form)


@derivation(PopulationExperiment)
def derive_ltp_population(
    experiment: PopulationExperiment, recording: Recording, *, name: str = "ltp_population", form: str = "auto"
) -> Curve:
    """Relaxation rate of the efficacy against burst rate: what the time scales of single memory tokens are taken from.

    At each rate the mean efficacy at cycle ends is fitted with ``A (1 - exp(-t / tau_eff))`` as in `derive_ltp`; then
    ``1/tau_eff`` in 1/s is fitted against the rate in Hz, weighted by ``stderr(tau_eff) / tau_eff**2``. For constant
    drive without the cubic term it is proportional to the rate. The distribution of ``a = cycle_s / tau_eff`` is kept.

    Parameters as for `derive_ltp`.
    """
    times, rates = experiment.cycle_ends(), experiment.rates_hz()
    rho = np.split(_at(recording["rho"], times).transpose("synapse", "time").values, rates.size)
    fits = [fit_form(FORMS["saturating_exponential"], prepare(times, None, ensemble=members)) for members in rho]
    amplitude, tau = np.transpose([fit.theta for fit in fits])
    stderr = np.array([np.sqrt(fit.covariance[1, 1]) for fit in fits])
    curve = fit_curve(
        rates,
        1 / tau,
        stderr / tau**2,
        form=form,
        among=NOT_FALLING,
        because="relaxation quickens with the rate",
        name=name,
        x_axis=RATE,
        y_axis=Axis("1/tau_eff", "1/s"),
    )
    a = experiment.cycle_s / tau
    population = {"rate": rates, "amplitude": amplitude, "a": a, "a_stderr": a * stderr / tau}
    population = {key: [six(value) for value in values] for key, values in population.items()}
    return with_provenance(curve, "ltp_population", experiment, recording, population=population)


@derivation(MacroExperiment)
def derive_ltp_macro(
    experiment: MacroExperiment, recording: Recording, *, name: str = "ltp_macro", form: str = "saturating_exponential"
) -> Curve:
    """The retention curve by the paper's own route: the long-term process p_l of the macro-model at cycle ends.

    ``tau_p_l dp_l/dt = -gamma_l p_l + kappa(s)``: a linear integrator, so with stationary kappa(s)
    ``p_l(t) = p_inf (1 - exp(-t gamma_l / tau_p_l))``, which is fitted to the mean over processes with equal weights
    (without noise the run is deterministic).

    Parameters as for `derive_ltp`.
    """
    times = experiment.cycle_ends()
    curve = fit_curve(
        times,
        _at(recording["p_l"], times).mean("synapse").values,
        form=form,
        because="it is exact for a linear integrator under stationary drive",
        name=name,
        x_axis=TIME,
        y_axis=Axis("p_l", "1"),
    )
    macro = experiment.tables()["macro"]
    closed_form = {"of": "stationary drive", "tau": six(float(macro.tau_p_l / macro.gamma_l))}
    return with_provenance(curve, "ltp_macro", experiment, recording, closed_form=closed_form)


def _at(variable: Any, times: np.ndarray) -> Any:
    return variable.sel(time=times, method="nearest", tolerance=1e-6)
