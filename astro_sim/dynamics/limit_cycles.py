"""Limit cycles of the Li-Rinzel model, stable and unstable, by a return map.

On the line ``C = C*`` through a fixed point ``(C*, h*)``, ``dC/dt`` has the sign of ``h - h*``. Every orbit around the
point therefore crosses the half-line ``h > h*`` transversally, and a cycle is a fixed point of the scalar map from one
crossing's `h` to the next one's: stable where the map's graph crosses the diagonal downward, unstable where upward. No
starting guess, continuation step or transient is involved, so the cycle that survives beyond its Hopf point
(hysteresis), and the unstable one that bounds its basin, are found as easily as any other.

References
----------
Y. A. Kuznetsov (2004), Elements of Applied Bifurcation Theory, 3rd ed., Springer, chapters 1 and 3.
M. Henon (1982), Physica D 5, 412-414 (the last step onto the section).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.optimize.elementwise import find_root

from astro_sim.dynamics.vector_fields import calcium_rates, runge_kutta

STEP_S = 0.02  # RK4 step: periods and extremes are good to 5e-5 of their value

COARSE_STEP_S = 0.04  # 1e-3 of their value, good enough to know whether a cycle exists

LONGEST_PERIOD_S = 100.0  # an orbit that takes longer to come back counts as one that does not

SAME_CYCLE = 1e-3  # uM: two cycles at one IP3 level whose peaks differ by less are one


@dataclass(frozen=True)
class Cycles:
    """Limit cycles of the Li-Rinzel model: one entry per cycle, ordered by IP3 and then by size.

    Attributes
    ----------
    I, period_s, C_min, C_max : ndarray, shape (n,)
        IP3 (uM), period (s) and calcium extremes (uM).
    stable : ndarray of bool, shape (n,)
    """

    I: np.ndarray
    period_s: np.ndarray
    C_min: np.ndarray
    C_max: np.ndarray
    stable: np.ndarray


def _land(state, time, I, C_star, p):
    """Step back from just beyond the section onto it, with C as the independent variable: crossing `h` and time."""

    def per_calcium(y):  # y = (C, h, t), each as a function of C
        C_rate, h_rate = calcium_rates(y[0], y[1], I, p)
        return np.ones_like(C_rate), h_rate / C_rate, 1 / C_rate

    ahead = np.array([*state, np.full(state.shape[1], time)])
    return runge_kutta(per_calcium, ahead, C_star - ahead[0])[1:]


def return_map(h, I, C_star, p, step_s: float = STEP_S) -> np.ndarray:
    """Follow orbits from the section ``C = C_star, h > h_star`` until they cross it again.

    Parameters
    ----------
    h, I, C_star : array_like
        Where each orbit starts on the section, its IP3 level (uM), and the calcium (uM) of its fixed point; broadcast.

    Returns
    -------
    ndarray, shape (4, *broadcast)
        `h` at the next crossing, the time taken (s), and the orbit's least and largest C (uM); NaN for an orbit that
        settles on another fixed point or takes longer than `LONGEST_PERIOD_S`.
    """
    h, I, C_star = np.broadcast_arrays(np.asarray(h, dtype=float), I, C_star)
    shape = h.shape
    I, C_star = I.ravel(), C_star.ravel()
    result = np.full((4, I.size), np.nan)
    active = np.arange(I.size)
    state = np.array([C_star, h.ravel()])
    lowest, highest = state[0].copy(), state[0].copy()
    for step in range(1, round(LONGEST_PERIOD_S / step_s) + 1):
        level, section = I[active], C_star[active]
        below = state[0] < section
        state = runge_kutta(lambda y, level=level: calcium_rates(y[0], y[1], level, p), state, step_s)
        lowest, highest = np.minimum(lowest, state[0]), np.maximum(highest, state[0])
        back = below & (state[0] >= section)
        done = back
        if step % 500 == 0:  # drop what has come to rest elsewhere
            done = back | (np.abs(calcium_rates(state[0], state[1], level, p)).max(axis=0) < 1e-7)
        if done.any():
            landed = _land(state[:, back], step * step_s, level[back], section[back], p)
            result[:, active[back]] = [*landed, lowest[back], highest[back]]
            active, state, lowest, highest = active[~done], state[:, ~done], lowest[~done], highest[~done]
            if not active.size:
                break
    return result.reshape(4, *shape)


def cycles_around(I, C_star, h_star, p, n_section: int = 24) -> Cycles:
    """All limit cycles that cross the sections of the given fixed points.

    Parameters
    ----------
    I, C_star, h_star : array_like, shape (n,)
        Fixed points: IP3 (uM), calcium (uM) and gate. Several may share one IP3 level.
    n_section : int
        Points on each section, log-spaced from 1e-3 of its length. Two cycles between neighbours are not told apart.
    """
    I, C_star, h_star = (np.asarray(array, dtype=float) for array in (I, C_star, h_star))
    start = h_star[:, None] + (1 - h_star[:, None]) * np.geomspace(1e-3, 1, n_section)
    growth = return_map(start, I[:, None], C_star[:, None], p, COARSE_STEP_S)[0] - start
    row, column = np.nonzero(growth[:, :-1] * growth[:, 1:] < 0)
    if not row.size:
        none = np.empty(0)
        return Cycles(none, none, none, none, none.astype(bool))
    root = find_root(
        lambda h, level, section: return_map(h, level, section, p)[0] - h,
        (start[row, column], start[row, column + 1]),
        args=(I[row], C_star[row]),
        tolerances={"xatol": 1e-6, "fatol": 1e-6, "xrtol": 0, "frtol": 0},
    )
    _, period, low, high = return_map(root.x, I[row], C_star[row], p)
    order = np.lexsort([high, I[row]])
    table = np.array([I[row], period, low, high, growth[row, column] > 0])[:, order]
    # a cycle around several fixed points is found from each of them: keep it once
    again = (np.diff(table[0]) == 0) & (np.diff(table[3]) < SAME_CYCLE)
    levels, period, low, high, grows = table[:, np.concatenate([[True], ~again])]
    return Cycles(levels, period, low, high, grows.astype(bool))


def largest_growth(I, C_star, h_star, p) -> float:
    """Largest relative growth ``(h_next - h) / (h - h_star)`` over the section of one fixed point.

    Beyond a subcritical Hopf point it is positive while the pair of cycles exists and zero at their fold. The map can
    be steep there (a canard), so the maximum is found by zooming in on it three times.
    """
    offset = (1 - h_star) * np.geomspace(1e-3, 1, 60)
    for _ in range(3):
        growth = (return_map(h_star + offset, I, C_star, p, COARSE_STEP_S)[0] - h_star) / offset - 1
        best = int(np.nanargmax(growth))
        low, high = offset[max(best - 1, 0)], offset[min(best + 1, offset.size - 1)]
        offset = np.linspace(low, high, 20)
    return float(growth[np.isfinite(growth)].max())


def fold_of_cycles(I_hopf: float, I_end: float, rest, p) -> float | None:
    """IP3 level (uM) of the fold that ends the pair of cycles born at a subcritical Hopf point.

    Parameters
    ----------
    I_hopf, I_end : float
        The Hopf point, and the other end of the stable stretch of fixed points (uM).
    rest : callable
        ``rest(I) -> (C, h)`` of the fixed point.

    Returns None where the cycles outlive the stretch.
    """

    def excess(I):
        return largest_growth(I, *rest(I), p)

    direction = np.sign(I_end - I_hopf)
    near, width = I_hopf + direction * 1e-4, 0.02
    while excess(far := I_hopf + direction * width) > 0:
        near, width = far, 2 * width
        if width >= abs(I_end - I_hopf):
            return None
    return float(brentq(excess, near, far, xtol=1e-4))
