"""Measurements on long-term plasticity, for the rows of `targets.toml`.

Without noise and cubic term two synapses that start at rho = 0 and 1 approach each other by ``exp(-t / tau_eff)``
exactly, whatever the plateau: their distance gives tau_eff without a fit. Steps are of 0.1 ms because the delay D of
DP, 13.7 ms, would be rounded to 14 at 1 ms, which shortens tau_eff by 0.6 %.
"""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, second

from astro_sim.curves.forms import FORMS
from astro_sim.curves.least_squares import fit_form, prepare
from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import GLIOTRANSMISSION, PLASTICITY, RELEASE
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pairing import ContinuousPairing, CycledPairing, STDPWindow
from astro_sim.simulation.run import simulate

DP = PLASTICITY["DP"]

ENSEMBLE = 4000


def _efficacy(protocol, every_s: float, plasticity=DP, n: int | None = None, **settings):
    """rho under the rule of Graupner and Brunel by itself, one column per synapse."""
    model = TripartiteSynapses(release=None, astrocyte=None, gliotransmission=None, plasticity=plasticity, n_synapses=n)
    return simulate(model, protocol, dt=0.1 * ms, record=["rho"], record_every=every_s * second, **settings)["rho"]


def _saturation(course) -> tuple[float, float]:
    """Plateau and time constant (s) of the saturating exponential through a course, whose start is left out."""
    fit = fit_form(FORMS["saturating_exponential"], prepare(course["time"].values[1:], course.values[1:]))
    return fit.theta[0], fit.theta[1]


def mean_and_spread() -> dict[str, Any]:
    """The first two synapses are free of noise, the others an ensemble."""
    sigma = np.r_[0, 0, np.full(ENSEMBLE, float(DP.sigma))]
    rho = _efficacy(
        ContinuousPairing(rate=1 * Hz, length=100 * second),
        5,
        variant(DP, source=THIS_STUDY, cubic=0, sigma=sigma),
        initial={"rho": np.r_[0.0, 1.0, np.zeros(ENSEMBLE)]},
        seed=24,
    )
    quiet = rho.sel(time=40).values
    late = rho.sel(time=[80, 85, 90, 95, 100]).values[:, 2:]
    return {
        "tau_eff, two synapses without noise (s)": -40 / np.log(quiet[1] - quiet[0]),
        "mean rho at 15 s": rho[:, 0].sel(time=15),
        "mean rho at 60 s": rho[:, 0].sel(time=60),
        "standard deviation in the steady state": late.std(axis=1, ddof=1).mean(),
    }


def ensemble_course() -> list[float]:
    """Shares of time above the thresholds, mean rho at five times, and its fitted course."""
    pairs = ContinuousPairing(rate=1 * Hz, length=120 * second)
    rho = _efficacy(pairs, 1, n=ENSEMBLE, seed=25).mean("synapse")
    return [*theory.time_above(DP, 1.0, 0.01), *rho.sel(time=[5, 15, 30, 60, 120]).values, *_saturation(rho)]


def rate_law() -> list[float]:
    """Four rates of DP and the three fitted sets, two synapses each, in one run."""
    sets = ["DP"] * 4 + ["hippocampal_cultures", "cortical_slices", "hippocampal_slices"]
    rates, duration_s = np.array([0.1, 1, 2, 5, 1, 1, 1]), 60.0
    twice = {}
    for name, kind in DP.kinds().items():
        values = [float(getattr(PLASTICITY[key], name)) for key in sets]
        twice[name] = b2.Quantity(np.repeat(values, 2), dim=kind.unit.dim)
    twice |= {"sigma": np.zeros(2 * len(sets)), "cubic": np.zeros(2 * len(sets))}
    rho = _efficacy(
        ContinuousPairing(rate=np.repeat(rates, 2) * Hz, length=duration_s * second),
        10,
        variant(DP, source=THIS_STUDY, **twice),
        initial={"rho": np.tile([0.0, 1.0], len(sets))},
    )
    low, high = rho.values[-1].reshape(-1, 2).T
    distance = high - low
    tau = -duration_s / np.log(distance)
    return [*(tau * rates), low[-1] / (1 - distance[-1])]


def stdp_window() -> list[float]:
    """Half of the synapses start at rho = 0, half at 1; a synapse is strong where rho ends above rho_star."""
    lags_ms, repeats = np.array([-100, -20, 0, 10, 100]), 2000
    start = np.tile([0.0, 1.0], len(lags_ms) * repeats // 2)
    rho = _efficacy(STDPWindow(lags=lags_ms * ms, repeats=repeats), 10, initial={"rho": start}, seed=27)
    strong = (rho.values[-1] > float(DP.rho_star)).reshape(-1, repeats).mean(axis=1)
    b, beta = float(DP.b), float(DP.beta)
    simulated = (1 - strong + b * strong) / (beta + (1 - beta) * b)
    return [*(theory.change_in_strength(DP, 1.0, lag * 1e-3) for lag in lags_ms), *simulated]


def gliotransmission_and_speed() -> list[float]:
    """Nine conditions in one run: three rates, each without gliotransmission (alpha = U_0*) and with alpha = 1 and 0.

    Under regular pairs all synapses of a condition release alike, so one astrocyte that senses their mean serves all.
    """
    rates, alpha, n = np.repeat([1, 0.2, 0.1], 3), np.tile([0.3, 1.0, 0.0], 3), 2000
    model = TripartiteSynapses(
        release=variant(RELEASE, source=THIS_STUDY, U_0__star=0.3, rho_c=RELEASE.rho_c / n),
        gliotransmission=variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=np.repeat(alpha, n)),
        astrocyte_index=np.repeat(np.arange(9), n),
    )
    pairs = ContinuousPairing(rate=np.repeat(rates, n) * Hz, length=400 * second)
    rho = simulate(model, pairs, record=["rho"], record_every=2 * second, initial="published", seed=28)["rho"]
    tau = np.array([_saturation(rho[:, k * n : (k + 1) * n].mean("synapse"))[1] for k in range(9)])
    none, up, down = tau.reshape(3, 3).T
    return [*tau, (none / up).min(), (down / none).min()]


def fifty_second_cycles() -> dict[str, Any]:
    """Relaxation per cycle: from two synapses without noise, and fitted to an ensemble."""
    quiet = _efficacy(
        CycledPairing(rate=np.array([1, 1, 2, 2]) * Hz, n_cycles=1),
        50,
        variant(DP, source=THIS_STUDY, sigma=0, cubic=0),
        initial={"rho": np.array([0.0, 1.0, 0.0, 1.0])},
        target="numpy",
    ).values[-1]
    full = _efficacy(CycledPairing(rate=1 * Hz, n_cycles=6), 50, n=ENSEMBLE, seed=29).mean("synapse")
    return {
        "5 pairs, noise and cubic term off": -np.log(quiet[1] - quiet[0]),
        "10 pairs, noise and cubic term off": -np.log(quiet[3] - quiet[2]),
        "5 pairs, full model, 6 cycles": 50 / _saturation(full)[1],
    }
