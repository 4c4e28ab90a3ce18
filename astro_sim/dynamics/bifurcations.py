"""Bifurcations of the Li-Rinzel model along IP3, with all fixed points and limit cycles; AM and FM encoding.

Every fixed point of every model is found as the root of a scalar function (see `astro_sim.dynamics.vector_fields`),
every cycle of the Li-Rinzel model as the root of another (see `astro_sim.dynamics.limit_cycles`). Numbers are in
micromolar and seconds.

References
----------
M. De Pitta, M. Goldberg, V. Volman, H. Berry, E. Ben-Jacob (2009), J. Biol. Phys. 35, 383-411 (AM, FM, AFM encoding).
Y. A. Kuznetsov (2004), Elements of Applied Bifurcation Theory, 3rd ed., Springer, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from astro_sim.dynamics.fixed_points import COMPLEX_STEP, fixed_points, jacobian
from astro_sim.dynamics.limit_cycles import Cycles, cycles_around, fold_of_cycles, return_map
from astro_sim.dynamics.vector_fields import (
    System,
    calcium_grids,
    calcium_rates,
    h_inf,
    li_rinzel,
    micromolar_seconds,
    resting_ip3,
    time_course,
    upward_crossings,
)


def cycles(calcium, I, n_section: int = 24) -> Cycles:
    """All limit cycles of the Li-Rinzel model at the IP3 levels `I` (uM, array_like), stable and unstable."""
    levels = np.atleast_1d(np.asarray(I, dtype=float))
    if not levels.size or not np.all(levels >= 0):
        raise ValueError(f"I must be one or more IP3 levels that are not negative, got {I!r}")
    centres = []
    for level in levels:
        # every cycle surrounds a fixed point that is not a saddle
        points = [point for point in fixed_points(li_rinzel(calcium, level)) if point.kind != "saddle"]
        centres += [(level, point["C"], point["h"]) for point in points]
    I, C, h = np.array(centres).T
    return cycles_around(I, C, h, micromolar_seconds(calcium), n_section)


@dataclass(frozen=True)
class Oscillation:
    """An oscillation: period (s), calcium extremes (uM), and a state on it to start again from."""

    period_s: float
    C_min: float
    C_max: float
    state: np.ndarray


def oscillation(system: System, start=None, settle_s: float = 300.0, n_periods: int = 4) -> Oscillation | None:
    """The oscillation that a model of any size settles into; None where it comes to rest.

    Parameters
    ----------
    start : array_like, shape (n,), optional
        Where to begin, such as the state of a neighbouring oscillation (continuation); the published start by default.
    settle_s : float
        Length of the transient, and of the window that is then looked at (doubled until it holds `n_periods`, twice).
    n_periods : int
        Periods that must agree within 0.1 %; a course that never repeats raises `ValueError`.
    """
    _, states = time_course(system, settle_s, start)
    for window in (settle_s, 2 * settle_s, 4 * settle_s):
        times, states = time_course(system, window, states[:, -1], dt_s=0.02)
        C = states[0]
        late = C[C.size // 2 :]
        if np.ptp(late) < 1e-4:
            return None
        periods = np.diff(upward_crossings(times, C, (late.min() + late.max()) / 2))[-n_periods:]
        if periods.size == n_periods and np.ptp(periods) < 1e-3 * periods.mean():
            return Oscillation(float(periods.mean()), float(late.min()), float(late.max()), states[:, -1])
    raise ValueError(f"system must settle into a simple cycle in {7 * settle_s:g} s, got periods {periods.round(2)} s")


@dataclass(frozen=True)
class BifurcationPoint:
    """`kind` is `saddle-node`, `supercritical Hopf`, `subcritical Hopf` or `fold of cycles`.

    `I` and `C` in uM: at a fold of cycles `C` is that of the fixed point inside. `period_s` is that of the small
    oscillation at a Hopf point and NaN elsewhere.
    """

    kind: str
    I: float
    C: float
    period_s: float


@dataclass(frozen=True)
class BifurcationDiagram:
    """Fixed points, limit cycles and bifurcations along IP3; `figures.plot_bifurcation_diagram` draws them.

    Attributes
    ----------
    I, C, h : ndarray, shape (n,)
        The curve of fixed points (uM, uM, 1), in the order of calcium.
    stable : ndarray of bool, shape (n,)
    points : tuple of BifurcationPoint
        In the order of IP3.
    cycles : Cycles
    hysteresis : tuple of (float, float)
        Intervals of IP3 (uM) from a subcritical Hopf point to its fold of cycles: a stable cycle and a stable fixed
        point coexist there, and the past decides.
    """

    I: np.ndarray
    C: np.ndarray
    h: np.ndarray
    stable: np.ndarray
    points: tuple[BifurcationPoint, ...]
    cycles: Cycles
    hysteresis: tuple[tuple[float, float], ...]

    @property
    def encoding(self) -> str:
        """What the stable cycles modulate along IP3: `AM`, `FM` or `AFM` [De Pitta et al. 2009], `neither` or `none`.

        Amplitude, or frequency, counts as modulated where its largest value exceeds twice its least one: a criterion
        chosen here, for the paper tells the modes apart by eye. `none` means that there is no stable cycle.
        """
        stable = self.cycles.stable
        if not stable.any():
            return "none"
        amplitude, period = (self.cycles.C_max - self.cycles.C_min)[stable], self.cycles.period_s[stable]
        modulated = [name for name, x in (("A", amplitude), ("F", period)) if x.max() > 2 * x.min()]
        return "".join([*modulated, "M"]) if modulated else "neither"


def bifurcation_diagram(calcium, *, I_range=(0.0, 1.5), n_cycles: int = 60, n_grid: int = 4000) -> BifurcationDiagram:
    """Fixed points, their bifurcations and all cycles of the Li-Rinzel model along IP3, in one call.

    `I_range` is in uM. Cycles are looked for at `n_cycles` levels of IP3, evenly spaced over the bifurcations' range
    and a tenth beyond; the curve of fixed points has `n_grid` points.
    """
    low, high = I_range
    if not 0 <= low < high:
        raise ValueError(f"I_range must satisfy 0 <= low < high, got {I_range}")
    p = micromolar_seconds(calcium)
    C, *others = calcium_grids(p, n_grid)
    if others:
        raise ValueError(
            f"Omega_L must be large enough for one curve of fixed points, got {p.Omega_L:g} 1/s, where they fall into "
            f"{1 + len(others)} ranges of calcium; use fixed_points at single levels of IP3"
        )
    C = C[1:]  # without the end at zero IP3, where the slope is infinite
    I = resting_ip3(C, p)
    matrix = _core_jacobian(C, p)
    trace, determinant = np.trace(matrix, axis1=-2, axis2=-1), np.linalg.det(matrix)
    hopf, folds = _hopf_points(C, trace, p)
    points = [*_saddle_nodes(C, p), *hopf, *(fold for _, fold in folds)]
    pairs = [(min(start.I, fold.I), max(start.I, fold.I)) for start, fold in folds]
    spread = [point.I for point in points] or [low, high]
    margin = (max(spread) - min(spread)) / 10
    first, last = np.clip([min(spread) - margin, max(spread) + margin], low, high)
    levels = np.unique(np.linspace(first, last, n_cycles))
    inside = (I >= low) & (I <= high)
    return BifurcationDiagram(
        I=I[inside],
        C=C[inside],
        h=h_inf(C, I, p)[inside],
        stable=((trace < 0) & (determinant > 0))[inside],
        points=tuple(sorted((point for point in points if low <= point.I <= high), key=lambda point: point.I)),
        cycles=cycles(calcium, levels[levels > 0]),
        hysteresis=tuple(sorted(pair for pair in pairs if pair[0] < high and pair[1] > low)),
    )


def _core_jacobian(C, p):
    """Jacobian of (C, h) at the fixed points of calcium `C`, each at its own IP3 level; shape ``(..., 2, 2)``."""
    I = resting_ip3(C, p)
    core = System(("C", "h"), lambda state: calcium_rates(state[0], state[1], I, p), None, p)
    return jacobian(core, np.array([C, h_inf(C, I, p)]))


def _saddle_nodes(C, p) -> list[BifurcationPoint]:

    def slope(C):
        return resting_ip3(C + 1j * COMPLEX_STEP, p).imag / COMPLEX_STEP

    turns = np.flatnonzero(np.diff(np.sign(slope(C))))
    roots = [brentq(slope, C[i], C[i + 1], xtol=1e-14) for i in turns]
    return [BifurcationPoint("saddle-node", resting_ip3(root, p), root, np.nan) for root in roots]


def _hopf_points(C, trace, p):
    """Hopf points, and ``(Hopf, fold of cycles)`` for each subcritical one."""
    points, folds = [], []
    for i in np.flatnonzero(np.diff(np.sign(trace))):
        root = brentq(lambda C: np.trace(_core_jacobian(C, p)), C[i], C[i + 1], xtol=1e-14)
        frequency_squared = float(np.linalg.det(_core_jacobian(root, p)))
        if frequency_squared <= 0:
            continue  # a neutral saddle: the eigenvalues are real
        I = resting_ip3(root, p)
        h = h_inf(root, I, p)
        start = h + 0.02 * (1 - h)
        grows = return_map(start, I, root, p)[0] > start  # at the Hopf point only the cubic term moves a small orbit
        kind = f"{'sub' if grows else 'super'}critical Hopf"
        points.append(BifurcationPoint(kind, I, root, float(2 * np.pi / np.sqrt(frequency_squared))))
        if grows and (fold := _fold_beyond(points[-1], int(np.sign(trace[i] - trace[i + 1])), C, p)):
            folds.append((points[-1], fold))
    return points, folds


def _fold_beyond(hopf: BifurcationPoint, toward: int, C, p) -> BifurcationPoint | None:
    """The fold of cycles of a subcritical Hopf point, whose stable side has calcium growing (1) or falling (-1)."""
    branch = C[(C - hopf.C) * toward > 0][::toward]  # walks away from the Hopf point
    level = resting_ip3(branch, p)
    turns = np.flatnonzero(np.diff(np.sign(np.diff(level))))
    stretch = slice(None, turns[0] + 1 if turns.size else None)  # up to the next saddle-node
    C_end, I_end = branch[stretch][-1], level[stretch][-1]

    def rest(I):
        C = brentq(lambda C: resting_ip3(C, p) - I, *sorted((hopf.C, C_end)), xtol=1e-15)
        return C, h_inf(C, I, p)

    I = fold_of_cycles(hopf.I, I_end, rest, p)
    return None if I is None else BifurcationPoint("fold of cycles", I, rest(I)[0], np.nan)
