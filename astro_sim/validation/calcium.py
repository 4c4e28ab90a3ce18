"""What `astro_sim.validation.targets` measures on the calcium core and on NEST's astrocyte: V1-V6.

Each function measures one target with the functions that users call, and returns the simulated numbers by row name.
"""

from __future__ import annotations

import numpy as np
from brian2 import Hz, ms, second, umolar

from astro_sim.dynamics.bifurcations import bifurcation_diagram, cycles
from astro_sim.dynamics.fixed_points import fixed_points
from astro_sim.dynamics.vector_fields import li_rinzel, upward_crossings
from astro_sim.models.astrocytes import InwardCurrent, LiRinzel
from astro_sim.parameters.presets import AM, FM, NEST
from astro_sim.protocols.trains import Train
from astro_sim.simulation.run import simulate


def _bifurcations(calcium) -> dict[str, list]:
    """Bifurcations along IP3 by kind, in the order of IP3; both sorts of Hopf points together."""
    found: dict[str, list] = {"saddle-node": [], "Hopf": [], "fold of cycles": []}
    for point in bifurcation_diagram(calcium, n_cycles=2).points:
        found["Hopf" if "Hopf" in point.kind else point.kind].append(point)
    return found


def _cycle(time, C) -> tuple[float, float, float]:
    """Period (s), lowest and highest calcium over the second half of a trace."""
    late = time >= time[-1] / 2
    time, C = time[late], C[late]
    crossings = upward_crossings(time, C, (C.min() + C.max()) / 2)
    return float(np.diff(crossings).mean()), float(C.min()), float(C.max())


def hopf_points_nest() -> dict[str, float]:
    """V1."""
    rows = {}
    for side, point in zip(("lower", "upper"), _bifurcations(NEST.calcium)["Hopf"], strict=True):
        rows[f"{side} Hopf point, I (uM)"] = point.I
        rows[f"{side} Hopf point, C (uM)"] = point.C
        rows[f"{side} Hopf point, period (s)"] = point.period_s
    return rows


def _cycle_rows(astrocyte) -> dict[str, float]:
    core = LiRinzel(astrocyte=astrocyte, I=0.5 * umolar)
    run = simulate(
        core, duration=120 * second, dt=10 * ms, record=["C"], record_every=10 * ms, initial="published", target="numpy"
    )
    period, low, high = _cycle(run["time"].values, run["C"].values[:, 0])
    return {"period (s)": period, "lowest C (uM)": low, "highest C (uM)": high}


def cycle_nest() -> dict[str, float]:
    """V2: fixed point by root finding, cycle by simulation."""
    (rest,) = fixed_points(li_rinzel(NEST.calcium, 0.5))
    return {
        "fixed point, C (uM)": rest["C"],
        "fixed point, h": rest["h"],
        "fixed point, growth rate (1/s)": float(rest.eigenvalues.real.max()),
        **_cycle_rows(NEST),
    }


def cycle_am() -> dict[str, float]:
    """V3."""
    lower, upper = _bifurcations(AM.calcium)["Hopf"]
    return {"lower Hopf point, I (uM)": lower.I, "upper Hopf point, I (uM)": upper.I, **_cycle_rows(AM)}


def hysteresis_fm() -> dict[str, float]:
    """V4: bifurcations and smallest peak by dynamics; periods and the two fates at 1.13 uM by simulation."""
    found = _bifurcations(FM.calcium)
    rest = fixed_points(li_rinzel(FM.calcium, 1.13))[-1]
    model = LiRinzel(astrocyte=FM, I=[0.6, 1.0, 1.13, 1.13] * umolar)
    start = {"C": [0.03, 0.03, 0.03, 1.01 * rest["C"]] * umolar, "h": np.array([0.9, 0.9, 0.9, rest["h"]])}
    run = simulate(
        model, duration=200 * second, dt=10 * ms, record=["C"], record_every=10 * ms, initial=start, target="numpy"
    )
    time, C = run["time"].values, run["C"].values
    swing = np.ptp(C[time >= 170], axis=0)
    small = cycles(FM.calcium, 0.55)
    return {
        "lower saddle-node, I (uM)": found["saddle-node"][0].I,
        "upper saddle-node, I (uM)": found["saddle-node"][1].I,
        "fixed points at I = 0.52 uM": len(fixed_points(li_rinzel(FM.calcium, 0.52))),
        "Hopf point of the low branch, I (uM)": found["Hopf"][0].I,
        "upper Hopf point, I (uM)": found["Hopf"][1].I,
        "fold of cycles, I (uM)": found["fold of cycles"][-1].I,
        "period at I = 0.6 uM (s)": _cycle(time, C[:, 0])[0],
        "period at I = 1.0 uM (s)": _cycle(time, C[:, 1])[0],
        "highest C at I = 0.55 uM (uM)": float(small.C_max[small.stable].max()),
        "highest C at I = 1.0 uM (uM)": _cycle(time, C[:, 1])[2],
        "amplitude at I = 1.13 uM from the cycle (uM)": float(swing[2]),
        "amplitude at I = 1.13 uM from rest (uM)": float(swing[3]),
    }


def nest_astrocyte() -> dict[str, float]:
    """V5."""
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
    rows: dict[str, float] = {}
    for t in (8.8, 99.9, 100.0):
        state = run.sel(time=t * 1e-3, method="nearest").isel(astrocyte=0)
        rows |= {f"{name} at {t} ms (uM)": float(state[name]) for name in ("I", "C")}
        rows[f"h at {t} ms"] = float(state["h"])
    return rows


def slow_inward_current() -> dict[str, float]:
    """V6."""
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
    formula = np.log(np.maximum(1000 * C - 196.69, 1))
    return {
        "I_SIC at C = 0.2 uM (pA)": float(I_SIC[0, 0]),
        "I_SIC at C = 0.19 uM (pA)": float(I_SIC[0, 1]),
        "largest deviation from the formula, 100 ms (pA)": float(np.abs(I_SIC - formula).max()),
    }


MEASUREMENTS = {
    "V1": hopf_points_nest,
    "V2": cycle_nest,
    "V3": cycle_am,
    "V4": hysteresis_fm,
    "V5": nest_astrocyte,
    "V6": slow_inward_current,
}
