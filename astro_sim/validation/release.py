"""What `astro_sim.validation.targets` measures on release and short-term plasticity: V7-V12.

Each function measures one target with the functions that users call, and returns the simulated numbers by row name.
"""

from __future__ import annotations

import numpy as np
from brian2 import Hz, ms, nsecond, second
from scipy.integrate import trapezoid
from scipy.optimize import brentq, minimize_scalar

from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import RELEASE
from astro_sim.parameters.tables import THIS_STUDY, ReleaseParameters
from astro_sim.parameters.variants import variant
from astro_sim.protocols.trains import PairedPulse, RateSweep, Train
from astro_sim.simulation.run import simulate

RATES_11 = (1.233, 4.33, 10, 35.1)  # rates (Hz) of the example that V11 quotes


def bare_synapses(release=RELEASE, gliotransmission=None, update="event", n: int | None = None) -> TripartiteSynapses:
    """Synapses without astrocytes of their own."""
    return TripartiteSynapses(
        astrocyte=None,
        release=release,
        gliotransmission=gliotransmission,
        plasticity=None,
        update=update,
        n_synapses=n,
    )


def with_probability(release: ReleaseParameters, U_0) -> ReleaseParameters:
    """A copy of `release` with the basal release probability `U_0`."""
    return variant(release, source=THIS_STUDY, U_0__star=U_0)


def periodic_trains() -> dict[str, float]:
    """V7: the last spike of trains long enough to be periodic."""
    rates = np.array([1, 5, 10, 20, 50])
    trains = Train(rate=rates * Hz, n_pulses=60)
    run = simulate(bare_synapses(), trains, duration=20 * second, record=["r_S"], target="numpy")
    return {f"r at {rate} Hz": float(r) for rate, r in zip(rates, run["r_S"].values[-1], strict=True)}


def _ratios(interval_s, U_0, **settings) -> np.ndarray:
    """Simulated paired-pulse ratios."""
    protocol = PairedPulse(interval=np.asarray(interval_s) * second)
    run = simulate(bare_synapses(with_probability(RELEASE, U_0)), protocol, record=["r_S"], target="numpy", **settings)
    return run["r_S"].values[-1] / U_0


def paired_pulses() -> dict[str, float]:
    """V8."""
    interval_ms = np.array([10, 20, 50, 100, 200, 500, 50])
    names = [f"{interval} ms" for interval in interval_ms[:-1]] + ["50 ms, U = 0.1392"]
    ratios = _ratios(interval_ms * 1e-3, np.array([0.6] * 6 + [0.1392]))
    return {name: float(ratio) for name, ratio in zip(names, ratios, strict=True)}


def vanishing_interval() -> dict[str, float]:
    """V9."""
    ratio = _ratios(10e-9, (3 - np.sqrt(5)) / 2, dt=1 * nsecond, duration=20 * nsecond)
    return {"ratio": float(ratio[0])}


def facilitation_thresholds() -> dict[str, float]:
    """V10: closed form; where the mean-field slope vanishes; and where the simulated Poisson slope does.

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
    quadratic = np.polyfit(U_0, trapezoid(excess, dx=4e-3, axis=1), 2)
    return {
        "U_thr": float(theory.facilitation_threshold(RELEASE)),
        "U at which the mean-field slope at rate zero vanishes": brentq(slope, 0.2, 0.5, xtol=1e-12),
        "U at which the simulated Poisson slope at rate zero vanishes": brentq(
            lambda U: float(np.polyval(quadratic, U)), 0.2, 0.4
        ),
    }


def poisson_release() -> dict[str, float]:
    """V11: released resources per spike after a transient of 5 s."""
    rates = np.array([*RATES_11, 1, 2, 7, 20, 60, 100])
    repeats = 400
    run = simulate(
        bare_synapses(),
        RateSweep(rates=rates * Hz, repeats=repeats, length=30 * second),
        record=["released", "n_spikes"],
        record_every=5 * second,
        seed=11,
    )
    sums = [run[name].isel(time=-1) - run[name].isel(time=1) for name in ("released", "n_spikes")]
    released, spikes = (total.values.reshape(-1, repeats).sum(axis=1) for total in sums)
    r = released / spikes
    rows: dict[str, float] = {}
    for rate, found in zip(RATES_11, r, strict=False):
        rows |= {f"{rate:g} Hz, mean field": float(found), f"{rate:g} Hz, example": float(found)}
    deviation = np.abs(r - theory.mean_field_release(RELEASE, rates)[2])
    return rows | {"largest deviation from the mean field, 1 to 100 Hz": float(deviation.max())}


def limiting_rate() -> dict[str, float]:
    """V12."""
    release = with_probability(RELEASE, 0.1392)

    def lost(rate: float) -> float:
        return -float(theory.mean_field_release(release, rate)[2])

    best = minimize_scalar(lost, bounds=(0.1, 30), method="bounded", options={"xatol": 1e-9})
    return {
        "limiting rate": float(theory.limiting_rate(release)),
        "rate at which the mean-field release is largest": float(best.x),
    }


MEASUREMENTS = {
    "V7": periodic_trains,
    "V8": paired_pulses,
    "V9": vanishing_interval,
    "V10": facilitation_thresholds,
    "V11": poisson_release,
    "V12": limiting_rate,
}
