"""Fixed points of the vector fields, their stability, and nullclines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from astro_sim.dynamics.vector_fields import (
    System,
    calcium_grids,
    calcium_ranges,
    gate_balance,
    h_inf,
    micromolar_seconds,
)

COMPLEX_STEP = 1e-30  # derivative f'(x) = Im f(x + i step) / step: no subtraction, hence exact to rounding


def jacobian(system: System, state) -> np.ndarray:
    """Jacobian of the vector field, shape ``(..., n, n)`` for a state of shape ``(n, ...)``, by complex steps."""
    state = np.asarray(state, dtype=complex)
    columns = []
    for j in range(len(system.names)):
        shifted = state.copy()
        shifted[j] += 1j * COMPLEX_STEP
        columns.append(np.stack(np.broadcast_arrays(*system.rates(shifted))).imag / COMPLEX_STEP)
    return np.moveaxis(np.stack(columns), (0, 1), (-1, -2))


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point, with the eigenvalues (1/s) of the Jacobian there."""

    names: tuple[str, ...]
    state: np.ndarray
    eigenvalues: np.ndarray

    def __getitem__(self, name: str) -> float:
        return float(self.state[self.names.index(name)])

    @property
    def stable(self) -> bool:
        """Whether every eigenvalue has a negative real part."""
        return bool(np.all(self.eigenvalues.real < 0))

    @property
    def kind(self) -> str:
        """`stable node`, `stable focus`, `unstable node`, `unstable focus` or `saddle`."""
        unstable = self.eigenvalues[self.eigenvalues.real > 0]
        if unstable.size == 1 and unstable[0].imag == 0 and len(self.names) > 1:
            return "saddle"
        leading = self.eigenvalues[np.argmax(self.eigenvalues.real)]
        return f"{'unstable' if unstable.size else 'stable'} {'focus' if leading.imag else 'node'}"


def fixed_points(system: System, n_grid: int = 4000) -> list[FixedPoint]:
    """All fixed points, in the order of calcium.

    The sign changes of the scalar residual on grids of `n_grid` calcium values are polished by Brent's method; only a
    pair of fixed points closer than one grid step (a fold just about to happen) can escape.
    """
    found = []
    for grid in calcium_grids(system.p, n_grid):
        residual = np.broadcast_to(system.rest(grid)[1], grid.shape)
        for i in np.flatnonzero(np.diff(np.sign(residual))):
            C = brentq(lambda C: system.rest(C)[1], grid[i], grid[i + 1], xtol=1e-15, rtol=1e-14)
            state = np.array(system.rest(C)[0], dtype=float)
            found.append(FixedPoint(system.names, state, np.linalg.eigvals(jacobian(system, state))))
    return found


def nullclines(calcium, I: float, n: int = 1000) -> dict[str, np.ndarray]:
    """Nullclines of the Li-Rinzel model in the (C, h) plane at IP3 level `I` (uM).

    Returns
    -------
    dict
        ``C`` (uM), ``h_where_C_rests`` (NaN where leak alone exceeds uptake) and ``h_where_h_rests``.
    """
    p = micromolar_seconds(calcium)
    C = np.geomspace(calcium_ranges(p)[0][0] / 2, p.C_T / (1 + p.rho_A) * (1 - 1e-6), n)
    k = gate_balance(C, p)[0]
    return {
        "C": C,
        "h_where_C_rests": np.where(k > 0, k, np.nan) / (I / (I + p.d_1) * C / (C + p.d_5)),
        "h_where_h_rests": h_inf(C, I, p),
    }
