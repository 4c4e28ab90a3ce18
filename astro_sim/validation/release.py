"""Measurements on release and short-term plasticity, for the rows of `targets.toml`."""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import Hz, ms, nsecond, second
from scipy.integrate import trapezoid
from scipy.optimize import brentq, minimize_scalar

from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import RELEASE
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.trains import PairedPulse, RateSweep, Train
from astro_sim.simulation.run import simulate


def bare_synapses(**fields: Any) -> TripartiteSynapses:
    """Synapses without astrocytes of their own, and without plasticity."""
    bare = {"astrocyte": None, "release": RELEASE, "gliotransmission": None, "plasticity": None}
    return TripartiteSynapses(**bare | fields)


def periodic_trains() -> np.ndarray:
    """The last spike of trains long enough to be periodic."""
    trains = Train(rate=[1, 5, 10, 20, 50] * Hz, n_pulses=60)
    return simulate(bare_synapses(), trains, duration=20 * second, record=["r_S"], target="numpy")["r_S"].values[-1]


def _ratios(interval_s, U_0, **settings) -> np.ndarray:
    model = bare_synapses(release=variant(RELEASE, source=THIS_STUDY, U_0__star=U_0))
    protocol = PairedPulse(interval=np.asarray(interval_s) * second)
    return simulate(model, protocol, record=["r_S"], target="numpy", **settings)["r_S"].values[-1] / U_0


def paired_pulses() -> np.ndarray:
    """Seven paired-pulse ratios."""
    return _ratios(1e-3 * np.array([10, 20, 50, 100, 200, 500, 50]), np.array([0.6] * 6 + [0.1392]))


def vanishing_interval() -> np.ndarray:
    """The paired-pulse ratio at an interval of 10 ns."""
    return _ratios(10e-9, (3 - np.sqrt(5)) / 2, dt=1 * nsecond, duration=20 * nsecond)


def facilitation_thresholds() -> dict[str, Any]:
    """Closed form; where the mean-field slope vanishes; and where the simulated Poisson slope does.

    To first order in the rate, Poisson release differs from U by ``U nu`` times the integral over intervals of the
    paired-pulse ratio less one. That integral is a quadratic function of U, found from three values.
    """

    def slope(U_0: float) -> float:
        return float(theory.mean_field_release(RELEASE, 1e-7, U_0)[2]) / U_0 - 1

    interval_s = np.arange(1, 1500) * 4e-3
    U_0 = np.array([0.2, 0.3, 0.4])
    ratios = _ratios(np.tile(interval_s, 3), np.repeat(U_0, len(interval_s)), dt=4 * ms).reshape(3, -1)
    at_zero = (2 - U_0) * (1 - U_0)
    excess = np.concatenate([at_zero[:, None], ratios], axis=1) - 1
    quadratic = np.polynomial.Polynomial.fit(U_0, trapezoid(excess, dx=4e-3, axis=1), 2)
    return {
        "U_thr": theory.facilitation_threshold(RELEASE),
        "U at which the mean-field slope at rate zero vanishes": brentq(slope, 0.2, 0.5, xtol=1e-12),
        "U at which the simulated Poisson slope at rate zero vanishes": brentq(quadratic, 0.2, 0.4),
    }


def poisson_release() -> list[float]:
    """Released resources per spike after a transient of 5 s; the first four rates are those of the published run."""
    rates, repeats = np.array([1.233, 4.33, 10, 35.1, 1, 2, 7, 20, 60, 100]), 400
    run = simulate(
        bare_synapses(),
        RateSweep(rates=rates * Hz, repeats=repeats, length=30 * second),
        record=["released", "n_spikes"],
        record_every=5 * second,
        seed=11,
    )
    released, spikes = (
        (run[name].values[-1] - run[name].values[1]).reshape(-1, repeats).sum(axis=1)
        for name in ("released", "n_spikes")
    )
    r = released / spikes
    deviation = np.abs(r - theory.mean_field_release(RELEASE, rates)[2])
    return [*r[:4], *r[:4], deviation.max()]


def limiting_rate() -> dict[str, Any]:
    """Closed form, and the maximum of mean-field release by search."""
    release = variant(RELEASE, source=THIS_STUDY, U_0__star=0.1392)

    def lost(rate: float) -> float:
        return -float(theory.mean_field_release(release, rate)[2])

    best = minimize_scalar(lost, bounds=(0.1, 30), method="bounded", options={"xatol": 1e-9})
    return {
        "limiting rate": theory.limiting_rate(release),
        "rate at which the mean-field release is largest": best.x,
    }
