"""Measurements on the calcium core and on NEST's astrocyte, for the rows of `targets.toml`."""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import Hz, ms, second, umolar

from astro_sim.dynamics.bifurcations import BifurcationPoint, bifurcation_diagram, cycles
from astro_sim.dynamics.fixed_points import fixed_points
from astro_sim.dynamics.vector_fields import li_rinzel, upward_crossings
from astro_sim.models.astrocytes import InwardCurrent, LiRinzel
from astro_sim.parameters.presets import AM, FM, NEST
from astro_sim.protocols.trains import Train
from astro_sim.simulation.run import simulate


def _hopf_points(calcium) -> list[BifurcationPoint]:
    return [point for point in bifurcation_diagram(calcium, n_cycles=2).points if "Hopf" in point.kind]


def course(model, duration_s: float, initial: Any = "published") -> tuple[np.ndarray, np.ndarray]:
    """Times (s) and calcium (uM) of every astrocyte, every 10 ms."""
    times = {"duration": duration_s * second, "dt": 10 * ms, "record_every": 10 * ms}
    run = simulate(model, record=["C"], initial=initial, target="numpy", **times)
    return run["time"].values, run["C"].values


def _cycle(time, C) -> dict[str, float]:
    """Period (s), lowest and highest calcium over the second half of a trace."""
    late = time >= time[-1] / 2
    time, C = time[late], C[late]
    crossings = upward_crossings(time, C, (C.min() + C.max()) / 2)
    return {"period (s)": np.diff(crossings).mean(), "lowest C (uM)": C.min(), "highest C (uM)": C.max()}


def hopf_points_nest() -> list[float]:
    """IP3, calcium and period at both Hopf points."""
    return [value for point in _hopf_points(NEST.calcium) for value in (point.I, point.C, point.period_s)]


def cycle_nest() -> dict[str, Any]:
    """Fixed point by root finding, cycle by simulation."""
    (rest,) = fixed_points(li_rinzel(NEST.calcium, 0.5))
    time, C = course(LiRinzel(astrocyte=NEST, I=0.5 * umolar), 120)
    return {
        "fixed point, C (uM)": rest["C"],
        "fixed point, h": rest["h"],
        "fixed point, growth rate (1/s)": rest.eigenvalues.real.max(),
        **_cycle(time, C[:, 0]),
    }


def cycle_am() -> dict[str, Any]:
    """Hopf points by root finding, cycle by simulation."""
    lower, upper = _hopf_points(AM.calcium)
    time, C = course(LiRinzel(astrocyte=AM, I=0.5 * umolar), 120)
    return {"lower Hopf point, I (uM)": lower.I, "upper Hopf point, I (uM)": upper.I, **_cycle(time, C[:, 0])}


def hysteresis_fm() -> dict[str, Any]:
    """Bifurcations and smallest peak by dynamics; periods and the two fates at 1.13 uM by simulation."""
    found = bifurcation_diagram(FM.calcium, n_cycles=2).points
    folds, hopf, cycle_folds = (
        [point.I for point in found if kind in point.kind] for kind in ("saddle-node", "Hopf", "fold of cycles")
    )
    rest = fixed_points(li_rinzel(FM.calcium, 1.13))[-1]
    start = {"C": [0.03, 0.03, 0.03, 1.01 * rest["C"]] * umolar, "h": np.array([0.9, 0.9, 0.9, rest["h"]])}
    time, C = course(LiRinzel(astrocyte=FM, I=[0.6, 1.0, 1.13, 1.13] * umolar), 200, start)
    swing = np.ptp(C[time >= 170], axis=0)
    small, slow, fast = cycles(FM.calcium, 0.55), _cycle(time, C[:, 0]), _cycle(time, C[:, 1])
    return {
        "lower saddle-node, I (uM)": folds[0],
        "upper saddle-node, I (uM)": folds[1],
        "fixed points at I = 0.52 uM": len(fixed_points(li_rinzel(FM.calcium, 0.52))),
        "Hopf point of the low branch, I (uM)": hopf[0],
        "upper Hopf point, I (uM)": hopf[1],
        "fold of cycles, I (uM)": cycle_folds[-1],
        "period at I = 0.6 uM (s)": slow["period (s)"],
        "period at I = 1.0 uM (s)": fast["period (s)"],
        "highest C at I = 0.55 uM (uM)": small.C_max[small.stable].max(),
        "highest C at I = 1.0 uM (uM)": fast["highest C (uM)"],
        "amplitude at I = 1.13 uM from the cycle (uM)": swing[2],
        "amplitude at I = 1.13 uM from rest (uM)": swing[3],
    }


def nest_astrocyte() -> np.ndarray:
    """IP3, calcium and gate at three times after a spike."""
    run = simulate(
        InwardCurrent(),
        Train(rate=1 * Hz, n_pulses=1, start=10 * ms),
        duration=100 * ms,
        dt=0.1 * ms,
        record=["I", "C", "h"],
        record_every=0.1 * ms,
        initial={"I": 1 * umolar, "C": 1 * umolar, "h": 1.0},
        target="numpy",
    )
    states = run.isel(astrocyte=0).sel(time=[8.8e-3, 99.9e-3, 100.0e-3], method="nearest")
    return np.stack([states["I"], states["C"], states["h"]], axis=1).ravel()


def slow_inward_current() -> dict[str, Any]:
    """The current of three astrocytes against its formula."""
    run = simulate(
        InwardCurrent(n_astrocytes=3),
        duration=100 * ms,
        dt=1 * ms,
        record=["C", "I_SIC"],
        record_every=1 * ms,
        initial={"C": [0.2, 0.19, 1.0] * umolar, "I": 1 * umolar},
        target="numpy",
    )
    C, I_SIC = run["C"].values, run["I_SIC"].values
    return {
        "I_SIC at C = 0.2 uM (pA)": I_SIC[0, 0],
        "I_SIC at C = 0.19 uM (pA)": I_SIC[0, 1],
        "largest deviation from the formula, 100 ms (pA)": np.abs(
            I_SIC - np.log(np.maximum(1000 * C - 196.69, 1))
        ).max(),
    }
