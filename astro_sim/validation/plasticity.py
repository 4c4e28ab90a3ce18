"""What `astro_sim.validation.targets` measures on long-term plasticity (V24-V29).

Each function measures one target with the functions that users call, and returns the simulated numbers by row name.
Without noise and cubic term two synapses that start at rho = 0 and 1 approach each other by ``exp(-t / tau_eff)``
exactly, whatever the plateau: their distance gives tau_eff without a fit. Steps are of 0.1 ms because the delay D of
DP, 13.7 ms, would be rounded to 14 at 1 ms, which shortens tau_eff by 0.6 %.
"""

from __future__ import annotations

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, second

from astro_sim.curves.fit import fit_form, prepare
from astro_sim.curves.forms import FORMS
from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import GLIOTRANSMISSION, PLASTICITY, RELEASE
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pairing import ContinuousPairing, CycledPairing, STDPWindow
from astro_sim.simulation.run import simulate

DP = PLASTICITY["DP"]

SETS = ("hippocampal_cultures", "cortical_slices", "hippocampal_slices")

FINE = 0.1 * ms

ENSEMBLE = 4000


def _alone(plasticity=DP, n: int | None = None) -> TripartiteSynapses:
    """The rule of Graupner and Brunel by itself."""
    return TripartiteSynapses(release=None, astrocyte=None, gliotransmission=None, plasticity=plasticity, n_synapses=n)


def _saturation(t_s, rho) -> tuple[float, float]:
    """Plateau and time constant (s) of the saturating exponential through a course."""
    fit = fit_form(FORMS["saturating_exponential"], prepare(t_s, rho))
    return float(fit.theta[0]), float(fit.theta[1])


def mean_and_spread() -> dict[str, float]:
    """V24: the first two synapses are free of noise, the others an ensemble."""
    sigma = np.r_[0, 0, np.full(ENSEMBLE, float(DP.sigma))]
    run = simulate(
        _alone(variant(DP, source=THIS_STUDY, cubic=0, sigma=sigma)),
        ContinuousPairing(rate=1 * Hz, length=100 * second),
        dt=FINE,
        record=["rho"],
        record_every=5 * second,
        initial={"rho": np.r_[0.0, 1.0, np.zeros(ENSEMBLE)]},
        seed=24,
    )["rho"]
    quiet = run.isel(synapse=slice(2)).sel(time=40).values
    late = run.isel(synapse=slice(2, None)).sel(time=[80, 85, 90, 95, 100]).values
    return {
        "tau_eff, two synapses without noise (s)": float(-40 / np.log(quiet[1] - quiet[0])),
        "mean rho at 15 s": float(run.isel(synapse=0).sel(time=15)),
        "mean rho at 60 s": float(run.isel(synapse=0).sel(time=60)),
        "standard deviation in the steady state": float(late.std(axis=1, ddof=1).mean()),
    }


def ensemble_course() -> dict[str, float]:
    """V25."""
    run = simulate(
        _alone(n=ENSEMBLE),
        ContinuousPairing(rate=1 * Hz, length=120 * second),
        dt=FINE,
        record=["rho"],
        record_every=1 * second,
        seed=25,
    )
    rho = run["rho"].mean("synapse")
    above_d, above_p = theory.time_above(DP, 1.0, 0.01)
    plateau, tau = _saturation(run["time"].values[1:], rho.values[1:])
    return {
        "share of time above theta_d": above_d,
        "share of time above theta_p": above_p,
        **{f"mean rho at {t} s": float(rho.sel(time=t)) for t in (5, 15, 30, 60, 120)},
        "fitted plateau": plateau,
        "fitted tau (s)": tau,
    }


def rate_law() -> dict[str, float]:
    """V26: four rates of DP and the three fitted sets, two synapses each, in one run."""
    sets = ["DP"] * 4 + list(SETS)
    rates, duration_s = np.array([0.1, 1, 2, 5, 1, 1, 1]), 60.0
    twice = {}
    for name, kind in DP.kinds().items():
        values = [float(getattr(PLASTICITY[key], name)) for key in sets]
        twice[name] = b2.Quantity(np.repeat(values, 2), dim=kind.unit.dim)
    zero = np.zeros(2 * len(sets))
    run = simulate(
        _alone(variant(DP, source=THIS_STUDY, **twice | {"sigma": zero, "cubic": zero})),
        ContinuousPairing(rate=np.repeat(rates, 2) * Hz, length=duration_s * second),
        dt=FINE,
        record=["rho"],
        record_every=10 * second,
        initial={"rho": np.tile([0.0, 1.0], len(sets))},
    )
    low, high = run["rho"].values[-1].reshape(-1, 2).T
    distance = high - low
    tau = -duration_s / np.log(distance)
    names = [f"DP, {rate:g} Hz" for rate in rates[:4]] + [f"{name.replace('_', ' ')}, 1 Hz" for name in SETS]
    rows = {name: float(value) for name, value in zip(names, tau * rates, strict=True)}
    return rows | {"hippocampal slices, plateau": float(low[-1] / (1 - distance[-1]))}


def stdp_window() -> dict[str, float]:
    """V27: half of the synapses start at rho = 0, half at 1; a synapse is strong where rho ends above rho_star."""
    lags_ms, repeats = np.array([-100, -20, 0, 10, 100]), 2000
    run = simulate(
        _alone(),
        STDPWindow(lags=lags_ms * ms, repeats=repeats),
        dt=FINE,
        record=["rho"],
        record_every=10 * second,
        initial={"rho": np.tile([0.0, 1.0], len(lags_ms) * repeats // 2)},
        seed=27,
    )
    strong = (run["rho"].values[-1] > float(DP.rho_star)).reshape(-1, repeats).mean(axis=1)
    b, beta = float(DP.b), float(DP.beta)
    simulated = (1 - strong + b * strong) / (beta + (1 - beta) * b)
    rows = {}
    for lag, change in zip(lags_ms, simulated, strict=True):
        name = f"{lag:+d} ms" if lag else "0 ms"
        rows[f"{name}, closed form"] = theory.change_in_strength(DP, 1.0, lag * 1e-3)
        rows[f"{name}, simulated"] = float(change)
    return rows


def gliotransmission_and_speed() -> dict[str, float]:
    """V28: nine conditions in one run; alpha = U_0* modulates nothing.

    Under regular pairs all synapses of a condition release alike, so one astrocyte that senses their mean serves all.
    """
    rates, modes, n = np.array([1, 0.2, 0.1]), {"none": 0.3, "alpha = 1": 1.0, "alpha = 0": 0.0}, 2000
    alpha = np.tile(np.repeat(list(modes.values()), n), len(rates))
    model = TripartiteSynapses(
        release=variant(RELEASE, source=THIS_STUDY, U_0__star=0.3, rho_c=RELEASE.rho_c / n),
        gliotransmission=variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=alpha),
        astrocyte_index=np.repeat(np.arange(len(rates) * len(modes)), n),
    )
    run = simulate(
        model,
        ContinuousPairing(rate=np.repeat(rates, n * len(modes)) * Hz, length=400 * second),
        record=["rho"],
        record_every=2 * second,
        initial="published",
        seed=28,
    )
    t_s = run["time"].values[1:]
    rho = run["rho"].values[1:].reshape(len(t_s), len(rates), len(modes), n).mean(axis=-1)
    rows, tau = {}, np.empty((len(rates), len(modes)))
    for i, rate in enumerate(("1 pair/s", "0.2 pairs/s", "0.1 pairs/s")):
        for j, mode in enumerate(modes):
            tau[i, j] = rows[f"{rate}, {mode}"] = _saturation(t_s, rho[:, i, j])[1]
    return rows | {
        "least tau(none) / tau(alpha = 1)": float((tau[:, 0] / tau[:, 1]).min()),
        "least tau(alpha = 0) / tau(none)": float((tau[:, 2] / tau[:, 0]).min()),
    }


def cycles() -> dict[str, float]:
    """V29."""
    quiet = simulate(
        _alone(variant(DP, source=THIS_STUDY, sigma=0, cubic=0)),
        CycledPairing(rate=np.array([1, 1, 2, 2]) * Hz, n_cycles=1),
        dt=FINE,
        record=["rho"],
        record_every=50 * second,
        initial={"rho": np.array([0.0, 1.0, 0.0, 1.0])},
        target="numpy",
    )["rho"].values[-1]
    full = simulate(
        _alone(n=ENSEMBLE),
        CycledPairing(rate=1 * Hz, n_cycles=6),
        dt=FINE,
        record=["rho"],
        record_every=50 * second,
        seed=29,
    )["rho"].mean("synapse")
    return {
        "5 pairs, noise and cubic term off": float(-np.log(quiet[1] - quiet[0])),
        "10 pairs, noise and cubic term off": float(-np.log(quiet[3] - quiet[2])),
        "5 pairs, full model, 6 cycles": 50 / _saturation(full["time"].values[1:], full.values[1:])[1],
    }


MEASUREMENTS = {
    "V24": mean_and_spread,
    "V25": ensemble_course,
    "V26": rate_law,
    "V27": stdp_window,
    "V28": gliotransmission_and_speed,
    "V29": cycles,
}
