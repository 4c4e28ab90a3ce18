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

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from astro_sim import theory
from astro_sim.curves import Axis, Curve, fit_curve, six
from astro_sim.experiments import (
    CalciumExperiment,
    Experiment,
    LTPExperiment,
    MacroExperiment,
    PopulationExperiment,
    ReleaseExperiment,
    SpatialExperiment,
)
from astro_sim.fitting import fit_form, prepare
from astro_sim.forms import FORMS, NOT_FALLING, RISING
from astro_sim.provenance import provenance
from astro_sim.recording import Recording

TIME, RATE, CALCIUM = Axis("t", "s"), Axis("nu", "Hz"), Axis("C", "uM")


def derive_ltp(
    experiment: LTPExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "ltp",
    form: str = "auto",
    target: str = "auto",
) -> Curve:
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
        ``alpha=0`` and ``gliotransmission=False`` are the committed variants.
    recording : Recording, optional
        What the experiment gave, if it has been run.
    name : str
        Of the curve.
    form : str
        A form to be used instead of the best.
    target : str
        Brian2 target.

    Returns
    -------
    Curve
        ``rho`` against ``t`` in s.
    """
    experiment = LTPExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
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
    return _finished(curve, "ltp", experiment, recording, closed_form=closed_form)


def derive_ltp_population(
    experiment: PopulationExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "ltp_population",
    form: str = "auto",
    target: str = "auto",
) -> Curve:
    """Relaxation rate of the efficacy against burst rate: what the time scales of single memory tokens are taken from.

    At each rate the mean efficacy at cycle ends is fitted with ``A (1 - exp(-t / tau_eff))`` as in `derive_ltp`; then
    ``1/tau_eff`` in 1/s is fitted against the rate in Hz, weighted by ``stderr(tau_eff) / tau_eff**2``. For constant
    drive without the cubic term it is proportional to the rate. The distribution of ``a = cycle_s / tau_eff`` is kept.

    Parameters and returns as `derive_ltp`.
    """
    experiment = PopulationExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
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
    return _finished(curve, "ltp_population", experiment, recording, population=population)


def derive_stp_calcium(
    experiment: CalciumExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "stp_calcium",
    form: str = "power_law",
    target: str = "auto",
) -> Curve:
    """Mean astrocytic calcium against presynaptic rate below 20 Hz: the exponent alpha of the presynaptic state g.

    ``<C> = amplitude nu**alpha``, <.> over time after the transient and over repeats, by least squares with equal
    weights: the law is a description over two decades and not exact, so what limits it is its misfit and not the
    scatter between repeats. Baseline: `subtract_rest` decides whether <C> is the level or its excess over the fixed
    point without input; the exponents of both, and of a line through the logarithms, are kept beside the fit.

    Parameters and returns as `derive_ltp`.
    """
    experiment = CalciumExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
    calcium, rest = _mean_calcium(recording, experiment)
    low = experiment.rates_hz() < experiment.power_law_below_hz
    rates, level = experiment.rates_hz()[low], calcium[low]
    curve = fit_curve(
        rates,
        level - rest * experiment.subtract_rest,
        form=form,
        because="alpha is its exponent",
        name=name,
        x_axis=RATE,
        y_axis=CALCIUM,
    )
    exponents = {
        "rest_uM": six(rest),
        "rest_subtracted": experiment.subtract_rest,
        "of_level": six(_exponent(rates, level)),
        "above_rest": six(_exponent(rates, level - rest)),
        "of_level_log_log": six(np.polyfit(np.log(rates), np.log(level), 1)[0]),
    }
    return _finished(curve, "stp_calcium", experiment, recording, exponents=exponents)


def derive_stp_calcium_full(
    experiment: CalciumExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "stp_calcium_full",
    form: str = "hill",
    target: str = "auto",
) -> Curve:
    """Mean astrocytic calcium over the full range of rates: ``<C> = base + amplitude nu**n / (half**n + nu**n)``.

    Weights and baseline as in `derive_stp_calcium`. Parameters and returns as `derive_ltp`.
    """
    experiment = CalciumExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
    calcium, rest = _mean_calcium(recording, experiment)
    curve = fit_curve(
        experiment.rates_hz(),
        calcium - rest * experiment.subtract_rest,
        form=form,
        because="it has a base and saturates",
        name=name,
        x_axis=RATE,
        y_axis=CALCIUM,
    )
    return _finished(curve, "stp_calcium_full", experiment, recording)


def derive_stp_spatial(
    experiment: SpatialExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "stp_spatial",
    form: str = "exponential_decay",
    target: str = "auto",
) -> Curve:
    """Peak IP3 above rest against distance from a pulsed astrocyte: the position scale of R.

    ``peak(d) = amplitude exp(-d / length)``, d and length in cells. For a steady source, and degradation at the
    constant rate Omega_5P, the profile along a chain is exactly ``q**d`` with ``q + 1/q = 2 + Omega_5P / F_lin``, so
    that ``length = 1 / arccosh(1 + Omega_5P / (2 F_lin))``, which is noted beside the fit.

    Parameters and returns as `derive_ltp`.
    """
    experiment = SpatialExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
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
    return _finished(curve, "stp_spatial", experiment, recording, closed_form=closed_form)


def derive_stp_release(
    experiment: ReleaseExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "stp_release",
    form: str = "naka_rushton",
    target: str = "auto",
) -> Curve:
    """Release probability against presynaptic rate: the saturating non-linearity of the presynapse.

    The probability with which a spike releases is ``u_S = U + (1 - U) u``, u that before the spike. Poisson spikes see
    time averages, so ``u = <u_S(t)>`` of the recording, and exactly

        ``u_S(nu) = U + (1 - U) nu / (nu + Omega_f / U)``,

    a Naka-Rushton curve. Kept beside the fit: the mean release ``r_S`` with its mean-field value, which neglects the
    correlation of u_S and x_S, and the paired-pulse ratio in closed form.

    Parameters and returns as `derive_ltp`.
    """
    experiment = ReleaseExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
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
    return _finished(curve, "stp_release", experiment, recording, **beside)


def derive_ltp_macro(
    experiment: MacroExperiment | None = None,
    recording: Recording | None = None,
    *,
    name: str = "ltp_macro",
    form: str = "saturating_exponential",
    target: str = "auto",
) -> Curve:
    """The retention curve by the paper's own route: the long-term process p_l of the macro-model at cycle ends.

    ``tau_p_l dp_l/dt = -gamma_l p_l + kappa(s)``: a linear integrator, so with stationary kappa(s)
    ``p_l(t) = p_inf (1 - exp(-t gamma_l / tau_p_l))``, which is fitted to the mean over processes with equal weights
    (without noise the run is deterministic).

    Parameters and returns as `derive_ltp`.
    """
    experiment = MacroExperiment() if experiment is None else experiment
    recording = experiment.simulate(target) if recording is None else recording
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
    return _finished(curve, "ltp_macro", experiment, recording, closed_form=closed_form)


DERIVATIONS: dict[str, Callable[..., Curve]] = {
    "ltp": derive_ltp,
    "ltp_population": derive_ltp_population,
    "stp_calcium": derive_stp_calcium,
    "stp_calcium_full": derive_stp_calcium_full,
    "stp_spatial": derive_stp_spatial,
    "stp_release": derive_stp_release,
    "ltp_macro": derive_ltp_macro,
}


def _at(variable: Any, times: np.ndarray) -> Any:
    return variable.sel(time=times, method="nearest", tolerance=1e-6)


def _mean_calcium(recording: Recording, experiment: CalciumExperiment) -> tuple[np.ndarray, float]:
    """Mean over time and repeats at each rate, and the resting level: runs start at the fixed point without input."""
    calcium = recording["C"].sel(time=slice(experiment.discard_s, None)).mean("time").values
    return calcium.reshape(experiment.n_rates, -1).mean(axis=1), float(recording["C"].isel(time=0).mean())


def _exponent(rates: np.ndarray, calcium: np.ndarray) -> float:
    return fit_form(FORMS["power_law"], prepare(rates, calcium)).theta[1]


def _finished(curve: Curve, derivation: str, experiment: Experiment, recording: Recording, **beside: Any) -> Curve:
    """The curve with its provenance, and with what is noted beside the fit."""
    origin = provenance(curve.name, derivation, experiment, recording)
    return dataclasses.replace(curve, fit=curve.fit | beside, provenance=origin)
