"""Derivations: each constant of the network from an experiment, by the equation in its function's docstring.

Every function takes an experiment (the standard one if none is given), runs it unless its recording is handed in, and
returns a curve with its uncertainty and full provenance.

====================== ========================================================== ==================================
function               what is simulated                                          what the network takes from it
====================== ========================================================== ==================================
derive_ltp             efficacy of tripartite synapses over 50-s cycles           retention factors RF(t, T)
derive_ltp_population  the same at log-spaced burst rates                         one relaxation rate per memory token
derive_stp_calcium     astrocytic calcium against presynaptic rate                exponent alpha
derive_stp_spatial     spread of IP3 through gap junctions                        position scale of R
derive_stp_release     release probability against presynaptic rate               the form of presynaptic saturation
derive_ltp_macro       long-term process of the paper's own macro-model           as derive_ltp, for comparison
====================== ========================================================== ==================================

References
----------
M. Graupner, N. Brunel (2012), PNAS 109, 3991-3996: mean dynamics of the efficacy.
M. Tsodyks, K. Pawelzik, H. Markram (1998), Neural Computation 10, 821-835: release.
M. Z. A. Mia, M. Bal, A. Sengupta (2026), RMAAT, arXiv:2601.00426: what the constants are used for.
"""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from brian2 import Hz, second, umolar

from astro_sim.curves.curve import Axis, Curve, six
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.forms import FORMS
from astro_sim.curves.least_squares import fit_form, prepare
from astro_sim.derivations.experiment import RATE, Experiment, Rates, derivation
from astro_sim.derivations.provenance import with_provenance
from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.astrocytes import AstrocyteNetwork
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import chain
from astro_sim.parameters.presets import LINEAR, RELEASE, get_preset
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pulses import DistanceSweep
from astro_sim.protocols.trains import AstrocyteResponse, RateSweep
from astro_sim.simulation.recording import Recording


@dataclass(frozen=True, kw_only=True)
class CalciumExperiment(Rates, Experiment):
    """Astrocytes under Poisson spikes of one synapse each, no feedback."""

    committed: ClassVar = {"stp_calcium": {}, "stp_calcium_full": {}}
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
        return {"astrocyte": get_preset(self.preset), "release": RELEASE}

    def arguments(self) -> dict[str, Any]:
        """Calcium of every astrocyte."""
        protocol = AstrocyteResponse(
            rates=self.rates_hz() * Hz,
            repeats=self.repeats,
            length=self.length_s * second,
            discard=self.discard_s * second,
        )
        model = TripartiteSynapses(stim=float(self.sink), gliotransmission=None, plasticity=None, **self.tables())
        return {"model": model, "protocol": protocol, "record": ["C"], "record_every": 0.5 * second}


@dataclass(frozen=True, kw_only=True)
class SpatialExperiment(Experiment):
    """A chain of astrocytes with linear gap junctions, the middle one pulsed with IP3."""

    committed: ClassVar = {"stp_spatial": {}}
    n_cells: int = 21
    preset: str = "am"
    I_bias_uM: float = 1.0
    pulse_s: float = 20.0
    length_s: float = 60.0
    farthest: int = 8
    """Largest distance from the source, in cells, that is fitted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 3 <= self.farthest <= (self.n_cells - 1) // 2:
            raise ValueError(f"farthest must be from 3 to half of n_cells = {self.n_cells}, got {self.farthest}")

    def published(self) -> dict[str, Any]:
        return {"astrocyte": get_preset(self.preset), "coupling": LINEAR}

    def arguments(self) -> dict[str, Any]:
        """IP3 along the chain."""
        protocol = DistanceSweep(
            sources=(self.n_cells // 2,),
            I_bias=self.I_bias_uM * umolar,
            width=self.pulse_s * second,
            length=self.length_s * second,
        )
        model = AstrocyteNetwork(topology=chain(self.n_cells), **self.tables())
        return {"model": model, "protocol": protocol, "record": ["I"], "record_every": 0.1 * second}


@dataclass(frozen=True, kw_only=True)
class ReleaseExperiment(Rates, Experiment):
    """Synapses under Poisson spikes, without astrocytes."""

    committed: ClassVar = {"stp_release": {}}
    n_synapses: int = 1000
    n_rates: int = 20
    low_hz: float = 0.1
    high_hz: float = 100.0
    length_s: float = 200.0
    discard_s: float = 20.0
    U_0__star: float = 0.3

    def published(self) -> dict[str, Any]:
        return {"release": variant(RELEASE, source=THIS_STUDY, U_0__star=self.U_0__star)}

    def arguments(self) -> dict[str, Any]:
        """Release variables of every synapse."""
        protocol = RateSweep(rates=self.rates_hz() * Hz, repeats=self.repeats, length=self.length_s * second)
        model = TripartiteSynapses(astrocyte=None, gliotransmission=None, plasticity=None, **self.tables())
        return {"model": model, "protocol": protocol, "record": ["u_S", "r_S"], "record_every": 0.5 * second}


@derivation(CalciumExperiment)
def derive_stp_calcium(
    experiment: CalciumExperiment,
    recording: Recording,
    *,
    full: bool = False,
    name: str | None = None,
    form: str | None = None,
) -> Curve:
    """Mean astrocytic calcium against presynaptic rate below 20 Hz: the exponent alpha of the presynaptic state g.

    ``<C> = amplitude nu**alpha``, <.> over time after the transient and over repeats, by least squares with equal
    weights: the law is a description over two decades and not exact, so what limits it is its misfit and not the
    scatter between repeats. Baseline: `subtract_rest` decides whether <C> is the level or its excess over the fixed
    point without input; the exponents of both, and of a line through the logarithms, are kept beside the fit.

    With `full` (as `derive_stp_calcium_full`) all rates are fitted, by
    ``<C> = base + amplitude nu**n / (half**n + nu**n)``. Other parameters as for `derive_ltp`.
    """
    calcium = recording["C"].sel(time=slice(experiment.discard_s, None)).mean("time").values
    calcium = calcium.reshape(experiment.n_rates, -1).mean(axis=1)
    rest = float(recording["C"].isel(time=0).mean())  # runs start at the fixed point without input
    key = "stp_calcium_full" if full else "stp_calcium"
    usual, because = ("hill", "it has a base and saturates") if full else ("power_law", "alpha is its exponent")
    fitted = experiment.rates_hz() < (np.inf if full else experiment.power_law_below_hz)
    rates, level = experiment.rates_hz()[fitted], calcium[fitted]
    curve = fit_curve(
        rates,
        level - rest * experiment.subtract_rest,
        form=form or usual,
        because=because,
        name=name or key,
        x_axis=RATE,
        y_axis=Axis("C", "uM"),
    )
    if full:
        return with_provenance(curve, key, experiment, recording)
    of_level, above_rest = (
        fit_form(FORMS["power_law"], prepare(rates, values)).theta[1] for values in (level, level - rest)
    )
    exponents = {
        "rest_uM": six(rest),
        "rest_subtracted": experiment.subtract_rest,
        "of_level": six(of_level),
        "above_rest": six(above_rest),
        "of_level_log_log": six(np.polyfit(np.log(rates), np.log(level), 1)[0]),
    }
    return with_provenance(curve, key, experiment, recording, exponents=exponents)


derive_stp_calcium_full = functools.partial(derive_stp_calcium, full=True)
"""`derive_stp_calcium` over all rates."""


@derivation(SpatialExperiment)
def derive_stp_spatial(
    experiment: SpatialExperiment, recording: Recording, *, name: str = "stp_spatial", form: str = "exponential_decay"
) -> Curve:
    """Peak IP3 above rest against distance from a pulsed astrocyte: the position scale of R.

    ``peak(d) = amplitude exp(-d / length)``, d and length in cells. For a steady source, and degradation at the
    constant rate Omega_5P, the profile along a chain is exactly ``q**d`` with ``q + 1/q = 2 + Omega_5P / F_lin``, so
    that ``length = 1 / arccosh(1 + Omega_5P / (2 F_lin))``, which is noted beside the fit.
    """
    peak = (recording["I"] - recording["I"].isel(time=0)).max("time").values
    source = experiment.n_cells // 2
    curve = fit_curve(
        np.arange(experiment.farthest + 1),
        peak[source : source + experiment.farthest + 1],
        form=form,
        because="it is exact for linear junctions",
        name=name,
        x_axis=Axis("d", "cells"),
        y_axis=Axis("peak of IP3 above rest", "uM"),
    )
    tables = experiment.tables()
    length = theory.kernel_length(float(tables["coupling"].F_lin), float(tables["astrocyte"].ip3.Omega_5P))
    closed_form = {"of": "steady source, degradation at the rate Omega_5P alone", "length": six(length)}
    return with_provenance(curve, "stp_spatial", experiment, recording, closed_form=closed_form)


@derivation(ReleaseExperiment)
def derive_stp_release(
    experiment: ReleaseExperiment, recording: Recording, *, name: str = "stp_release", form: str = "naka_rushton"
) -> Curve:
    """Release probability against presynaptic rate: the saturating non-linearity of the presynapse.

    The probability with which a spike releases is ``u_S = U + (1 - U) u``, u that before the spike. Poisson spikes see
    time averages, so ``u = <u_S(t)>`` of the recording, and exactly

        ``u_S(nu) = U + (1 - U) nu / (nu + Omega_f / U)``,

    a Naka-Rushton curve. Kept beside the fit: the mean release ``r_S`` with its mean-field value, which neglects the
    correlation of u_S and x_S, and the paired-pulse ratio in closed form.
    """
    rates, release = experiment.rates_hz(), experiment.tables()["release"]
    U, Omega_f = float(release.U_0__star), float(release.Omega_f)
    mean = recording.sel(time=slice(experiment.discard_s, None)).mean("time")
    u_S, r_S = (mean[variable].values.reshape(rates.size, -1) for variable in ("u_S", "r_S"))
    curve = fit_curve(
        rates,
        ensemble=(U + (1 - U) * u_S).T,
        correlated=False,
        form=form,
        because="it is exact for Poisson spikes",
        name=name,
        x_axis=RATE,
        y_axis=Axis("u_S", "1"),
        seed=experiment.seed,
    )
    mean_field = theory.mean_field_release(release, rates)[2]
    intervals = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    beside = {
        "closed_form": {"of": "Poisson spikes", "base": six(U), "amplitude": six(1 - U), "half": six(Omega_f / U)},
        "release": {
            "rate": [six(rate) for rate in rates],
            "r_S": [six(value) for value in r_S.mean(axis=1)],
            "mean_field": [six(value) for value in mean_field],
        },
        "paired_pulses": {
            "interval_s": intervals.tolist(),
            "ratio": [six(ratio) for ratio in theory.paired_pulse_ratio(release, intervals)],
        },
    }
    return with_provenance(curve, "stp_release", experiment, recording, **beside)
