"""Measurements on gliotransmission and its effect on release, for the rows of `targets.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, second, umolar

from astro_sim.dynamics import closed_forms as theory
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import (
    FM,
    GLIOTRANSMISSION,
    GLIOTRANSMISSION_BOOK,
    RELEASE,
    RELEASE_DEPRESSING,
    RELEASE_FACILITATING,
)
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.protocol import Protocol, Spikes, ragged
from astro_sim.protocols.pulses import GammaSweep, Releases
from astro_sim.protocols.trains import Poisson, RateSweep
from astro_sim.simulation.run import simulate
from astro_sim.validation.release import bare_synapses

RATE_STEPS = (0.011, 0.11, 1.1, 11.0)  # Hz, 5 s each [S19, figure 4B]


def one_release() -> list[float]:
    """With unbinding all but off, so that the value stays for the sample to find."""
    lasting = variant(GLIOTRANSMISSION, source=THIS_STUDY, Omega_G=1e-9 / second)
    found = []
    for update, dt in (("event", 1 * ms), ("published", 1 * ms), ("published", 0.1 * ms)):
        model = bare_synapses(gliotransmission=lasting, update=update, n_synapses=1)
        run = simulate(model, Releases(start=10 * ms), duration=0.5 * second, dt=dt, record=["Gamma_S"], target="numpy")
        found.append(run["Gamma_S"].values[-1, 0])
    return [*found, np.log10((found[1] - found[0]) / (found[2] - found[0]))]  # the last is the order of convergence


def modulated_release() -> dict[str, Any]:
    """The first spike after a release uses exactly U_0, since nothing is left of earlier facilitation."""
    delay_s = np.array([1, 50, 150, 99, 99.8, *np.linspace(1, 600, 40)])
    alpha = np.array([0] * 5 + [0.5] * 40)
    gliotransmission = variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=alpha)
    run = simulate(
        bare_synapses(gliotransmission=gliotransmission),
        GammaSweep(delay=delay_s * second, n_pulses=1),
        duration=620 * second,
        dt=100 * ms,
        record=["r_S"],
        target="numpy",
    )
    U_0 = run["r_S"].values[-1]
    U_thr = theory.facilitation_threshold(RELEASE)
    # between 99.0 and 99.8 s, U_0* - U_0 decays exponentially: interpolate its logarithm
    early, late, level = np.log(0.6 - U_0[3]), np.log(0.6 - U_0[4]), np.log(0.6 - U_thr)
    return {
        **{f"U_0 {delay_s[k]:g} s after one release": U_0[k] for k in range(3)},
        "switching level of Gamma_S": theory.switching_level(RELEASE, GLIOTRANSMISSION),
        "time for which one release switches (s)": 99 + 0.8 * (early - level) / (early - late),
        "lowest U_0 with alpha = 0.5": U_0[5:].min(),
    }


def three_synapses() -> dict[str, Any]:
    """Example 3 with x_S = 1. The synapse without gliotransmission has alpha = U_0*, which modulates nothing."""
    spikes_s = 16.5 + 1e-3 * np.array([0, 50, 100, 150, 200, 300, *range(310, 400, 10), 400])
    model = TripartiteSynapses(
        astrocyte=FM,
        release=RELEASE,
        gliotransmission=variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=[0.6, 0, 0]),
        plasticity=None,
        loop="open",
        stim=1,
        I_bias=[0.8, 0.8, 1.25] * umolar,
        update="published",
    )
    run = simulate(
        model,
        _Given(times_s=tuple(spikes_s)),
        duration=17.1 * second,
        record=["G_A", "Y_S", "r_S"],
        record_every=1 * ms,
        initial={"C": 0 * umolar, "h": 0.9, "I": 0.4 * umolar},
        target="numpy",
    )
    when, who = run["release_time"].values, run["release_astrocyte"].values
    G_A, r = run["G_A"].values, run["r_S"].sel(time=spikes_s + 1e-3, method="nearest").values
    weak, strong = (_after_releases(when[who == k], spikes_s[0]) for k in (1, 2))
    second_jump = G_A[np.searchsorted(run["time"].values, when[who == 2][1]) :, 2].max()
    x_A = 1 - 0.6 * np.exp(-0.6 * np.diff(when[who == 2])[0])
    return {
        "first jump of G_A (uM)": G_A[:, 1].max(),
        "second jump of G_A, strong, over rho_e G_T U_A x_A": second_jump / (78 * x_A),
        "highest Y_S (uM)": run["Y_S"].values[:, 0].max(),
        "releases, weak": np.sum(who == 1),
        "releases, strong": np.sum(who == 2),
        "first spike's release, none": r[0, 0],
        "Gamma_S at the first spike less the closed form, weak": (weak - r[0, 1]) / 0.6,
        "Gamma_S at the first spike less the closed form, strong": (strong - r[0, 2]) / 0.6,
        "second release over first, none": r[1, 0] / r[0, 0],
        "highest release over first, weak": r[:, 1].max() / r[0, 1],
        "last release over highest, weak": r[-1, 1] / r[:, 1].max(),
    }


def _after_releases(releases_s, until_s: float) -> float:
    """U_0 at `until_s`, by the closed forms, with the published scheme's bias at 1 ms."""
    p = GLIOTRANSMISSION
    Gamma_S, x_A, last = 0.0, 1.0, -np.inf
    for t in releases_s:
        Gamma_S *= np.exp(-float(p.Omega_G) * (t - last))
        x_A = 1 - (1 - 0.4 * x_A) * np.exp(-float(p.Omega_A) * (t - last))
        Gamma_S, last = theory.receptors_after_release(p, x_A, Gamma_S, dt_s=1e-3), t
    return float(theory.modulated_probability(RELEASE, p, Gamma_S * np.exp(-float(p.Omega_G) * (until_s - last))))


def accumulation() -> list[float]:
    """Mean-field thresholds, and the time mean of Gamma_S over the last of many regular releases."""
    facilitating = variant(GLIOTRANSMISSION_BOOK, source=THIS_STUDY, alpha=1)
    depressing = variant(RELEASE_DEPRESSING, source=THIS_STUDY, U_0__star=0.7)
    thresholds = [
        theory.threshold_release_rate(RELEASE_FACILITATING, facilitating),
        theory.threshold_release_rate(depressing, GLIOTRANSMISSION_BOOK),
        theory.threshold_release_rate(RELEASE, GLIOTRANSMISSION),
    ]
    means = []
    for rate, n in zip((0.01, 0.05, 0.2, 1), (7, 10, 15, 25), strict=True):
        run = simulate(
            bare_synapses(gliotransmission=GLIOTRANSMISSION, n_synapses=1),
            Releases(period=1 / (rate * Hz), n_releases=n, start=50 * ms),  # samples fall midway between the steps
            dt=50 * ms,
            record=["Gamma_S"],
            record_every=100 * ms,
            target="numpy",
        )
        means.append(run["Gamma_S"].values[-round(10 / rate) :, 0].mean())
    return [*thresholds, *means, *means]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Given(Protocol):
    """The same spikes for every element."""

    times_s: tuple[float, ...]

    def pre(self, n: int, seed: int) -> Spikes:
        return ragged([np.array(self.times_s)] * n)


@dataclass(frozen=True, kw_only=True, eq=False)
class _RateSteps(Protocol):
    """Poisson spikes at one rate after another, the same rates for every element."""

    rates_hz: tuple[float, ...]
    step_s: float

    @property
    def duration(self) -> b2.Quantity:
        return len(self.rates_hz) * self.step_s * second

    def pre(self, n: int, seed: int) -> Spikes:
        parts = []
        for k, rate in enumerate(self.rates_hz):
            spikes = Poisson(rate=np.full(n, rate) * Hz, length=self.step_s * second).pre(n, seed + k)
            parts.append((spikes.index, spikes.time_s + k * self.step_s))
        return Spikes(*map(np.concatenate, zip(*parts, strict=True)))


def _loops(n: int) -> TripartiteSynapses:
    """Figure 4 in one model: `n` synapses without gliotransmission, `n` in open and `n` in closed loop.

    alpha = U_0* modulates nothing; an astrocyte without PLC-beta does not sense its synapse.
    """
    return TripartiteSynapses(
        astrocyte=variant(FM, source=THIS_STUDY, O_beta=np.repeat([3.2, 0, 3.2], n) * umolar / second),
        release=RELEASE,
        gliotransmission=variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=np.repeat([0.6, 0, 0], n)),
        plasticity=None,
        stim=1,
        I_bias=np.repeat([0, 1, 0], n) * umolar,
    )


def closed_loop() -> list[float]:
    """Releases per run and per spike in open and closed loop, and Y_S while the rate rises in steps."""
    rates, repeats = np.array([0.1, 0.4, 1.15, 2.3, 3.5, 5, 7, 8.5, 9.3, 10.5, 12, 13, 15, 30, 60]), 20
    run = simulate(
        _loops(len(rates) * repeats),
        RateSweep(rates=np.tile(rates, 3) * Hz, repeats=repeats, length=195 * second),
        record=["released", "n_spikes"],
        record_every=5 * second,
        initial="published",
        seed=17,
    )
    counts = np.bincount(run["release_astrocyte"].values, minlength=3 * len(rates) * repeats)
    counts = counts.reshape(3, len(rates), repeats)
    last = run.isel(time=-1)
    totals = [last[name].values.reshape(3, len(rates), repeats).sum(axis=-1) for name in ("released", "n_spikes")]
    r = totals[0] / totals[1]
    mean, between_8_and_16_hz = counts[2].mean(axis=-1), counts[2, 7:-2]
    return [
        *(counts[1].min(), counts[1].max(), r[1].max(), rates[r[1].argmax()]),  # open loop
        *(*mean[:4], *mean[-2:], between_8_and_16_hz.max(), between_8_and_16_hz.min()),  # closed loop
        *_rate_steps(),
    ]


def _rate_steps() -> np.ndarray:
    """Mean Y_S (uM) in each 5-s step of figure 4B, for the three loops one after the other.

    It is ``rho_c Y_T / Omega_c`` times rate times release per spike.
    """
    n = 2000
    run = simulate(
        _loops(n),
        _RateSteps(rates_hz=RATE_STEPS, step_s=5.0),
        record=["released", "n_spikes"],
        record_every=5 * second,
        initial="published",
        seed=16283,
    )
    totals = [run[name].values.reshape(5, 3, n).sum(axis=-1) for name in ("released", "n_spikes")]
    released, spikes = np.diff(totals, axis=1)
    per_hertz = float(RELEASE.rho_c * RELEASE.Y_T / RELEASE.Omega_c / (umolar * second))
    return (per_hertz * np.array(RATE_STEPS)[:, None] * released / spikes).T.ravel()
