"""Where a run starts: the numerically solved fixed point of each astrocyte, or the published initial conditions.

Starting at rest avoids an artificial first transient: an ``fm`` astrocyte without input that starts from zero spikes
once before it settles. An astrocyte that has no stable fixed point does not rest, and starts from the published state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import umolar

from astro_sim.dynamics.fixed_points import fixed_points
from astro_sim.dynamics.vector_fields import balanced_ip3, chi, h_inf, knocked_out, leak_balance, li_rinzel
from astro_sim.models.astrocytes import ChI, LiRinzel
from astro_sim.parameters.units import Dimension, check_quantity
from astro_sim.parameters.variants import variant
from astro_sim.protocols.protocol import Bias

# C (uM), h, I (uM): Stimberg et al. 2019; astrocyte_lr_1994 of NEST; chapter 5 of De Pitta and Berry 2019.
PUBLISHED = {"nest": (0.073, 0.793, 0.16), "book": (0.05, 0.99, 0.05)}

PUBLISHED_DEFAULT = (0.0, 0.9, 0.0)

# What a mapping passed as `initial` may set, and in which unit
FRACTIONS = ("h", "x_A", "Gamma_A", "u_S", "x_S", "Gamma_S", "rho")

SYNAPTIC = ("u_S", "x_S", "Gamma_S", "c", "rho")

STATES: dict[str, Dimension] = {
    **dict.fromkeys(("C", "I", "G_A", "Y_S"), Dimension(umolar, "M")),
    **dict.fromkeys((*FRACTIONS, "c"), Dimension(b2.Quantity(1.0), "1")),
}


def no_rest(k: int) -> ValueError:
    """The error of an astrocyte that has no definite rest."""
    return ValueError(
        f"initial must not be 'fixed_point' where calcium or IP3 has no level of rest, got astrocyte {k}; "
        "use 'published'"
    )


def rest(model: Any, k: int, bias: Bias | None) -> tuple[float, float, float] | None:
    """C, h, I (uM) of astrocyte ``k`` at its lowest stable fixed point; None where none is stable."""
    calcium, *others = (
        variant(table, source=table.source, **{name: v[k] for name, v in table.quantities().items() if np.ndim(v)})
        for table in model.astrocyte_tables()
    )
    own = {name: float(np.broadcast_to(v, np.shape(v) or (k + 1,))[k]) for name, v in model.quantities().items()}
    if isinstance(model, ChI):
        level = None
        reservoir = own["I_bias"] * 1e3 if own["stim"] > 0 else (0.0 if bias is not None and bias.sink else None)
        system = chi(calcium, others[0], I_bias=reservoir)
    else:
        level = (own["I"] if isinstance(model, LiRinzel) else float(others[0].IP3_0)) * 1e3
        system = li_rinzel(calcium, level)
    if knocked_out(system.p):
        C = leak_balance(system.p)
        I = balanced_ip3(C, system.p, reservoir) if level is None else level
        if system.p.O_P == system.p.Omega_L == 0 or np.isnan(I):
            raise no_rest(k)
        return C, h_inf(C, I, system.p), I
    points = fixed_points(system)
    if not points:
        raise no_rest(k)
    lowest = next((point for point in points if point.stable), None)
    return None if lowest is None else (lowest["C"], lowest["h"], lowest["I"] if level is None else level)


def astrocyte_state(model: Any, n: int, initial: str, bias: Bias | None) -> dict[str, np.ndarray]:
    """Initial C, I (mM, the SI unit) and h of ``n`` astrocytes, each of shape ``(n,)``."""
    state = np.tile(PUBLISHED.get(model.astrocyte.name, PUBLISHED_DEFAULT), (n, 1))
    if isinstance(model, LiRinzel):
        state[:, 2] = np.asarray(model.I) * 1e3
    if initial == "fixed_point":
        quantities = [value for table in (*model.astrocyte_tables(), model) for value in table.quantities().values()]
        rows = np.stack([np.zeros(n), *(np.asarray(value) for value in quantities if np.ndim(value))], axis=1)
        _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        state = np.array([rest(model, k, bias) or state[k] for k in first])[which.ravel()]
    return {"C": state[:, 0] * 1e-3, "h": state[:, 1], "I": state[:, 2] * 1e-3}


def check_initial(initial: Any, model: Any, n_synapses: int, n_astrocytes: int) -> None:
    """Check ``initial``: names, units, ranges and lengths."""
    if isinstance(initial, str):
        if initial not in ("fixed_point", "published"):
            raise ValueError(f"initial must be 'fixed_point', 'published' or a mapping of variables, got {initial!r}")
        return
    if not isinstance(initial, Mapping):
        raise TypeError(f"initial must be 'fixed_point', 'published' or a mapping of variables, got {initial!r}")
    for name, value in initial.items():
        if name not in STATES:
            raise ValueError(f"initial must set variables among {sorted(STATES)}, got {name!r}")
        quantity = check_quantity(f"initial[{name!r}]", value, STATES[name])
        n, owner = (n_synapses, "synapses") if name in SYNAPTIC else (n_astrocytes, "astrocytes")
        if np.size(quantity) not in (1, n):
            raise ValueError(f"initial[{name!r}] must have one value for each of {n} {owner}, got {len(quantity)}")
        if name in FRACTIONS and np.any(np.asarray(quantity) > 1):
            raise ValueError(f"initial[{name!r}] must be at most 1, got {value!r}")
        if name == "C" and model.astrocyte is not None:
            calcium = model.astrocyte.calcium
            if np.any(quantity > calcium.C_T / (1 + calcium.rho_A) * (1 + 1e-9)):
                raise ValueError(f"initial['C'] must be at most C_T/(1 + rho_A), all calcium there is, got {value!r}")
