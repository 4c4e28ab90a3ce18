"""Vector fields of the astrocyte models in plain NumPy: Li-Rinzel, ChI and G-ChI in micromolar and seconds.

The equations of `astro_sim.models.equations` are written once more here as functions of numbers, because exploring them
(sliders, root finding, return maps) wants thousands of cheap evaluations rather than a compiled network. They take the
same tables of `astro_sim.parameters.presets` as the Brian2 models.

Along the fixed points IP3 is an explicit function of calcium: with ``h = h_inf(C, I)`` the gates' product is
``m_inf h_inf = a d_2 I / (d_2 (I + d_1) + C (I + d_3))`` with ``a = C / (C + d_5)``, and release balances uptake minus
leak where it equals ``k = ((J_p - J_l) / (Omega_C (C_T - (1 + rho_A) C)))**(1/3)``, so
``I = k (d_1 d_2 + d_3 C) / (a d_2 - k (d_2 + C))`` (`resting_ip3`). Every fixed point of every model here is thus the
root of a scalar function of C on a known interval: none can be missed for want of a starting guess. Where uptake,
store, release or leak is knocked out there is no such curve, but calcium rests at any IP3 level where leak balances
uptake (`leak_balance`), and IP3 is the root of a falling function (`balanced_ip3`).

References
----------
Y.-X. Li, J. Rinzel (1994), J. Theor. Biol. 166, 461-473.
M. Stimberg, D. F. M. Goodman, R. Brette, M. De Pitta (2019), Computational Glioscience, chapter 18 (ChI and G-ChI).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq


def micromolar_seconds(*tables) -> SimpleNamespace:
    """Quantities of parameter tables in uM and s, as attributes: floats, or arrays where there is one per element."""
    values = {}
    for table in tables:
        if not hasattr(table, "kinds"):
            got = type(table).__name__
            raise TypeError(f"tables must be parameter tables, got {got}; of an astrocyte pass one, as AM.calcium")
        kinds = table.kinds()
        for name, quantity in table.quantities().items():
            # SI has mol/m^3 = mM: one power of 1000 for each power of the amount of substance
            number = np.asarray(quantity, dtype=float) * 1e3 ** float(kinds[name].unit.dim.get_dimension("mol"))
            values[name] = float(number) if number.ndim == 0 else number
    return SimpleNamespace(**values)


# Right-hand sides, elementwise in every argument: arrays broadcast, and complex arguments serve the derivatives.


def calcium_fluxes(C, h, I, p):
    """Release, leak and uptake `J_r`, `J_l`, `J_p` in uM/s [Li & Rinzel 1994; Stimberg et al. 2019, chapter 18]."""
    m_inf = I / (I + p.d_1) * C / (C + p.d_5)
    stored = p.C_T - (1 + p.rho_A) * C
    J_r = p.Omega_C * (m_inf * h) ** 3 * stored
    J_l = p.Omega_L * stored
    J_p = p.O_P * C**2 / (C**2 + p.K_P**2)
    return J_r, J_l, J_p


def h_inf(C, I, p):
    """Steady state of the IP3 receptors' inactivation gate, ``Q_2 / (Q_2 + C)``."""
    Q_2 = p.d_2 * (I + p.d_1) / (I + p.d_3)
    return Q_2 / (Q_2 + C)


def calcium_rates(C, h, I, p):
    """``dC/dt`` (uM/s) and ``dh/dt`` (1/s) at IP3 level `I`: the Li-Rinzel core."""
    J_r, J_l, J_p = calcium_fluxes(C, h, I, p)
    Q_2 = p.d_2 * (I + p.d_1) / (I + p.d_3)
    return J_r + J_l - J_p, p.O_2 * (Q_2 - (Q_2 + C) * h)


def ip3_rate(C, I, p, J_beta=0.0, I_bias=None):
    """``dI/dt`` in uM/s: production by PLC-delta (and `J_beta`), degradation, exchange with a pipette at `I_bias`."""
    J_delta = p.O_delta / (1 + I / p.kappa_delta) * C**2 / (C**2 + p.K_delta**2)
    J_3K = p.O_3K * C**4 / (C**4 + p.K_D**4) * I / (I + p.K_3K)
    rate = J_beta + J_delta - J_3K - p.Omega_5P * I
    if I_bias is not None:
        difference = I - I_bias
        sign = np.sign(difference.real)  # of the real part, so that complex-step derivatives pass
        rate = rate - p.F_ex / 2 * (1 + np.tanh((difference * sign - p.I_Theta) / p.omega_I)) * sign
    return rate


def g_chi_rates(state, p, Y_S=0.0, I_bias=None):
    """Time derivatives of ``(C, h, I, Gamma_A)`` under the transmitter concentration `Y_S` (uM): the G-ChI model."""
    C, h, I, Gamma_A = state
    binding = p.O_N * Y_S * (1 - Gamma_A)
    unbinding = p.Omega_N * (1 + p.zeta * C / (C + p.K_KC)) * Gamma_A
    dI = ip3_rate(C, I, p, J_beta=p.O_beta * Gamma_A, I_bias=I_bias)
    return *calcium_rates(C, h, I, p), dI, binding - unbinding


def receptor_steady_state(C, Y_S, p):
    """`Gamma_A` at rest under a constant transmitter concentration `Y_S` (uM)."""
    binding, unbinding = p.O_N * Y_S, p.Omega_N * (1 + p.zeta * C / (C + p.K_KC))
    return binding / (binding + unbinding)


def gate_balance(C, p):
    """Gate product `k` that release needs to balance uptake at calcium `C`, and the denominator of `resting_ip3`."""
    stored = p.C_T - (1 + p.rho_A) * C
    _, leak, uptake = calcium_fluxes(C, 0, 0, p)
    needed = (uptake - leak) / (p.Omega_C * stored)
    k = np.where(needed.real > 0, needed, 0) ** (1 / 3)  # below `leak_balance` no release is needed
    return k, C / (C + p.d_5) * p.d_2 - k * (p.d_2 + C)


def resting_ip3(C, p):
    """IP3 (uM) at which calcium `C` (uM, inside `calcium_ranges`) is a fixed point: exact (see above)."""
    k, denominator = gate_balance(C, p)
    return k * (p.d_1 * p.d_2 + p.d_3 * C) / denominator


def leak_balance(p) -> float:
    """C (uM) at which leak alone balances uptake: the least at which a cell can rest, with no release."""

    def excess_uptake(C):
        _, leak, uptake = calcium_fluxes(C, 0, 0, p)
        return uptake - leak

    top = p.C_T / (1 + p.rho_A)
    return top if excess_uptake(top) <= 0 else brentq(excess_uptake, 0, top, xtol=1e-15)


def balanced_ip3(C, p, I_bias=None) -> float:
    """IP3 (uM) at which `ip3_rate`, which falls with IP3, vanishes at calcium `C`; NaN where it never does."""
    high = 1e6
    if ip3_rate(C, high, p, I_bias=I_bias) > 0:
        return np.nan
    return brentq(lambda I: ip3_rate(C, I, p, I_bias=I_bias), 0, high, xtol=1e-15)


def knocked_out(p) -> str | None:
    """The first of O_P, C_T, Omega_C and Omega_L that is 0: then IP3 is no function of resting calcium."""
    return next((name for name in ("O_P", "C_T", "Omega_C", "Omega_L") if getattr(p, name) == 0), None)


def calcium_ranges(p) -> list[tuple[float, float]]:
    """Open intervals of C (uM) on which fixed points exist.

    The first goes from zero IP3 to unbounded IP3. Where leak is weak there are further ones, unbounded at both ends.
    """
    if name := knocked_out(p):
        raise ValueError(f"{name} must be positive for calcium to rest at a level that IP3 sets, got 0")
    top, low = p.C_T / (1 + p.rho_A), leak_balance(p)
    grid = np.r_[low, np.linspace(low * (1 + 1e-9), top * (1 - 1e-9), 4001)]
    changes = np.flatnonzero(np.diff(gate_balance(grid, p)[1] > 0))  # the last one comes before k diverges at `top`
    ends = [brentq(lambda C: gate_balance(C, p)[1], grid[i], grid[i + 1], xtol=1e-15) for i in changes]
    return list(zip([low, *ends[1::2]], ends[::2], strict=True))


def calcium_grids(p, n: int = 4000) -> list[np.ndarray]:
    """`n` values of C over each of `calcium_ranges`, geometric, denser towards both ends.

    The first grid begins with the lower end, where IP3 is 0; the other ends are left out.
    """
    v = np.arange(n) / n
    u = v**3 / (v**3 + (1 - v) ** 2)  # IP3 grows as the cube root of C at the lower end: evenly there, too
    first, *others = [low * (high / low) ** u for low, high in calcium_ranges(p)]
    first[0] *= 1 - 1e-12  # on the safe side of rounding, where `resting_ip3` is exactly 0
    return [first, *(grid[1:] for grid in others)]


@dataclass(frozen=True)
class System:
    """An autonomous astrocyte: the names of its state variables, its vector field, and the roots that are its rests.

    Attributes
    ----------
    names : tuple of str
        State variables in order, `C` (uM) and `h` first, then `I` (uM) and `Gamma_A` where the model has them.
    rates : callable
        ``rates(state) -> list``, state and result of shape ``(n, ...)``, per second.
    rest : callable
        ``rest(C) -> (state, residual)``: the only state that can rest at calcium `C`, and what must vanish there.
    p : SimpleNamespace
        The parameters in uM and s.
    """

    names: tuple[str, ...]
    rates: Callable
    rest: Callable
    p: SimpleNamespace


def li_rinzel(calcium, I: float) -> System:
    """The two-variable core (C, h) at a fixed IP3 level `I` in uM."""
    p = micromolar_seconds(calcium)

    def rest(C):
        return np.array([C, h_inf(C, I, p)]), resting_ip3(C, p) - I

    return System(("C", "h"), lambda state: calcium_rates(state[0], state[1], I, p), rest, p)


def chi(calcium, ip3, I_bias: float | None = None) -> System:
    """ChI: (C, h, I) with IP3 metabolism; `I_bias` (uM) switches the exchange flux `J_ex` on."""
    p = micromolar_seconds(calcium, ip3)

    def rates(state):
        C, h, I = state
        return *calcium_rates(C, h, I, p), ip3_rate(C, I, p, I_bias=I_bias)

    def rest(C):
        I = resting_ip3(C, p)
        return np.array([C, h_inf(C, I, p), I]), ip3_rate(C, I, p, I_bias=I_bias)

    return System(("C", "h", "I"), rates, rest, p)


def g_chi(calcium, ip3, receptor, Y_S: float = 0.0, I_bias: float | None = None) -> System:
    """G-ChI: (C, h, I, Gamma_A) under a constant transmitter concentration `Y_S` in uM."""
    p = micromolar_seconds(calcium, ip3, receptor)

    def rest(C):
        I, Gamma_A = resting_ip3(C, p), receptor_steady_state(C, Y_S, p)
        state = np.array([C, h_inf(C, I, p), I, Gamma_A])
        return state, ip3_rate(C, I, p, J_beta=p.O_beta * Gamma_A, I_bias=I_bias)

    return System(("C", "h", "I", "Gamma_A"), lambda state: g_chi_rates(state, p, Y_S, I_bias), rest, p)


def time_course(system: System, duration_s: float, start=None, dt_s: float = 0.05):
    """Integrate with LSODA.

    Parameters
    ----------
    start : array_like, shape (n,), optional
        Initial state; by default the published one: everything zero except h = 0.9.
    dt_s : float
        Sampling of the result (the integrator chooses its own steps).

    Returns
    -------
    times : ndarray, shape (m,), in s
    states : ndarray, shape (n, m)
    """
    if not duration_s > dt_s:
        raise ValueError(f"duration_s must exceed dt_s = {dt_s}, got {duration_s}")
    if start is None:
        start = np.zeros(len(system.names))
        start[1] = 0.9
    times = np.arange(0, duration_s + dt_s / 2, dt_s)
    solution = solve_ivp(
        lambda _, state: system.rates(state),
        (0, times[-1]),
        start,
        method="LSODA",
        t_eval=times,
        rtol=1e-8,
        atol=1e-10,
        max_step=1.0,
    )
    return solution.t, solution.y


def runge_kutta(derivative: Callable, state: np.ndarray, step) -> np.ndarray:
    """One classical fourth-order step of ``state' = derivative(state)``, elementwise over arrays."""
    k1 = np.array(derivative(state))
    k2 = np.array(derivative(state + step / 2 * k1))
    k3 = np.array(derivative(state + step / 2 * k2))
    k4 = np.array(derivative(state + step * k3))
    return state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def upward_crossings(times, values, level: float) -> np.ndarray:
    """Times (linearly interpolated) at which `values` rises through `level`."""
    times, values = np.asarray(times), np.asarray(values)
    before = np.flatnonzero((values[:-1] < level) & (values[1:] >= level))
    weight = (level - values[before]) / (values[before + 1] - values[before])
    return times[before] + weight * (times[before + 1] - times[before])
