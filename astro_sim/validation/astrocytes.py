"""Measurements on astrocytes with IP3 metabolism, alone and coupled, for the rows of `targets.toml`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from brian2 import Hz, ms, second, umolar, usecond
from scipy.integrate import solve_ivp

from astro_sim.curves.forms import FORMS
from astro_sim.curves.least_squares import fit_form, prepare
from astro_sim.dynamics import closed_forms as theory
from astro_sim.dynamics.vector_fields import g_chi_rates, micromolar_seconds, upward_crossings
from astro_sim.models.astrocytes import AstrocyteNetwork, ChI, GChI
from astro_sim.models.topology import chain, ring
from astro_sim.parameters.presets import AM, FM, LINEAR, RECTIFYING, RELEASE
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pulses import BiasPulse, DistanceSweep
from astro_sim.protocols.trains import Train
from astro_sim.simulation.run import simulate
from astro_sim.validation.calcium import course


def g_chi_reference(tables, spikes_s, dose_uM: float, duration_s: float, dt_s: float) -> np.ndarray:
    """G-ChI by LSODA, from the published initial conditions; the transmitter jumps by `dose_uM` at each spike.

    Returns
    -------
    ndarray, shape (5, n)
        C, h, I, Gamma_A and Y_S every `dt_s`.
    """
    p = micromolar_seconds(*tables)

    def rates(_, state):
        return [*g_chi_rates(state[:4], p, Y_S=state[4], I_bias=0.0), -p.Omega_c * state[4]]

    grid = np.arange(round(duration_s / dt_s) + 1) * dt_s
    course, state = np.empty((5, len(grid))), np.array([0, 0.9, 0, 0, 0])
    for begin, end in pairwise([0.0, *spikes_s, duration_s]):
        inside = (grid >= begin - 1e-9) & (grid <= end + 1e-9)
        piece = solve_ivp(
            rates, (begin, end), state, method="LSODA", dense_output=True, rtol=1e-9, atol=1e-11, max_step=0.5
        )
        course[:, inside] = piece.sol(np.clip(grid[inside], begin, end))
        state = piece.y[:, -1] + [0, 0, 0, 0, dose_uM]
    return course


def synaptic_activation() -> list[float]:
    """Both update schemes against LSODA, and the peaks of calcium under the published one."""
    deviation, step_s, spikes_s = [], 1e-3, 2.0 + 2.0 * np.arange(14)
    tables = GChI(astrocyte=AM).astrocyte_tables()
    reference = g_chi_reference(tables, spikes_s + step_s, 500.0, 30.0, 0.01)[0]
    for update in ("event", "published"):
        run = simulate(
            GChI(astrocyte=AM, stim=1, update=update),
            Train(rate=0.5 * Hz, n_pulses=14, start=2 * second),
            duration=30 * second,
            dt=step_s * second,
            record=["C"],
            record_every=10 * ms,
            initial="published",
        )
        C = run["C"].values[:, 0]
        deviation.append(np.abs(C - reference).max())
    peaks = C[1:-1][(C[1:-1] > C[:-2]) & (C[1:-1] >= C[2:])]
    return [*deviation, peaks[0], peaks[-1]]


def pacing() -> list[float]:
    """The last interval of five cells that oscillate; crossings and calcium at the end of two that come to rest."""
    time, C = course(ChI(astrocyte=FM, stim=1, I_bias=[0.4, 0.7, 0.8, 1.0, 1.1, 1.25, 0.6] * umolar), 200)
    crossings = [upward_crossings(time, trace, 0.5) for trace in C.T]
    intervals = [np.diff(times)[-1] for times in crossings[:5]]
    return [*intervals, len(crossings[5]), C[-1, 5], len(crossings[6]), C[-1, 6]]


def quiescence() -> list[Any]:
    """The fm astrocyte's crossing, and its calcium and IP3 without J_ex and twice with it; the am astrocyte at rest."""
    common = dict(duration=200 * second, dt=10 * ms, record=["C", "I", "h"], record_every=50 * ms, initial="published")
    fm = variant(FM, source=THIS_STUDY, F_ex=[2, 2, 0.09] * umolar / second)
    run = simulate(ChI(astrocyte=fm, stim=[0, 1, 1]), target="numpy", **common)
    crossings = upward_crossings(run["time"], run["C"].values[:, 0], 0.5)
    C, I = run["C"].values[-1], run["I"].values[-1]
    rest = simulate(ChI(astrocyte=AM), target="numpy", **common).isel(time=-1, astrocyte=0)
    return [len(crossings), crossings[0], *np.stack([C, I], axis=1).ravel(), rest["C"], rest["I"], rest["h"]]


def receptor_saturation() -> list[float]:
    """Binding with unbinding made negligible, and unbinding at a calcium that has no time to move."""
    receptor = variant(FM, source=THIS_STUDY, Omega_N=1e-9 / second)
    bound = simulate(
        GChI(astrocyte=receptor, release=variant(RELEASE, source=THIS_STUDY, rho_c=[0.003, 0.001])),
        Train(rate=1 * Hz, n_pulses=1, start=10 * ms),
        duration=0.5 * second,
        record=["Gamma_A"],
        target="numpy",
    )["Gamma_A"].values[-1]
    step_s = 1e-4
    Gamma_A = simulate(
        GChI(astrocyte=FM, n_astrocytes=2),
        duration=2 * step_s * second,
        dt=step_s * second,
        record=["Gamma_A"],
        record_every=step_s * second,
        initial={"Gamma_A": 1.0, "C": [0, 0.5] * umolar},
        target="numpy",
    )["Gamma_A"].values
    return [*bound, *np.log(Gamma_A[0] / Gamma_A[1]) / step_s]


def _arrivals(dt) -> tuple[np.ndarray, np.ndarray]:
    """Times (s) at which the first wave on the ring of figure 5 reaches cells 1 to 20 right and left of the source."""
    fm = variant(FM, source=THIS_STUDY, F_ex=0.09 * umolar / second)
    run = simulate(
        ChI(astrocyte=fm, topology=ring(50), coupling=RECTIFYING),
        BiasPulse(sources=(25,), width=20 * second, period=50 * second, sink=True, length=340 * second),
        dt=dt,
        record=["C"],
        record_every=100 * ms,
        initial="published",
        target="numpy",
    )
    time, C = run["time"].values, run["C"].values
    right, left = ([upward_crossings(time, C[:, 25 + side * k], 0.5)[0] for k in range(1, 21)] for side in (1, -1))
    return np.array(right), np.array(left)


def ring_wave() -> dict[str, Any]:
    """Time per cell of the first wave, its symmetry, and the effect of the step of integration."""
    waves = {dt: _arrivals(dt * ms) for dt in (10, 50, 100)}
    right, left = waves[10]
    steps = np.diff(right[3:20])
    per_cell = {dt: np.diff(wave[0][3:20]).mean() for dt, wave in waves.items()}
    return {
        "slowest over mean time per cell, cells 4 to 20": steps.max() / steps.mean(),
        "fastest over mean time per cell, cells 4 to 20": steps.min() / steps.mean(),
        "largest left-right difference of arrival (s)": np.abs(right - left).max(),
        "time per cell at 50 ms over that at 10 ms": per_cell[50] / per_cell[10],
        "time per cell at 100 ms over that at 10 ms": per_cell[100] / per_cell[10],
    }


def linear_kernel() -> list[float]:
    """Closed form, and the peak of IP3 against distance from a pulsed astrocyte, three couplings in one run."""
    F, n, source = np.array([0.1, 0.5, 1.0]), 21, 10
    coupling = variant(LINEAR, source=THIS_STUDY, F_lin=np.repeat(F, n) / second)
    run = simulate(
        AstrocyteNetwork(astrocyte=AM, topology=chain(n).copies(len(F)), coupling=coupling),
        DistanceSweep(sources=tuple(source + n * k for k in range(len(F)))),
        dt=10 * ms,
        record=["I"],
        record_every=100 * ms,
        target="numpy",
    )
    I = run["I"].values
    peak = (I.max(axis=0) - I[0]).reshape(len(F), n)[:, source:]  # at distance 0, 1, ...
    data = [prepare(np.arange(n - source), response) for response in peak]
    fits = [fit_form(FORMS["exponential_decay"], points) for points in data]
    R2 = [1 - fit.chi2 / np.sum((points.y - points.y.mean()) ** 2) for fit, points in zip(fits, data, strict=True)]
    return [*theory.kernel_length(F, 0.1), *(fit.theta[1] for fit in fits), min(R2)]


def junction_dead_zone() -> np.ndarray:
    """The first flux between two cells, over F."""
    difference = np.array([1e-9, 0.25, 0.3, 0.35])
    level = np.stack([np.zeros(4), difference], axis=1).ravel() * umolar
    run = simulate(
        AstrocyteNetwork(astrocyte=FM, topology=chain(2).copies(4), coupling=RECTIFYING),
        duration=2 * usecond,
        dt=1 * usecond,
        record=["J_gjc"],
        record_every=1 * usecond,
        initial={"I": level},
        target="numpy",
    )
    F = float(RECTIFYING.F / (umolar / second))
    return np.abs(run["J_gjc"].values[1, ::2]) / F
