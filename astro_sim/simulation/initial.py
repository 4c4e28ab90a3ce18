"""Where a run starts: the numerically solved fixed point of each astrocyte, or the published initial conditions.

Starting at rest avoids an artificial first transient: an ``fm`` astrocyte without input that starts from zero spikes
once before it settles. An astrocyte that has no stable fixed point does not rest, and starts from the published state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from astro_sim.dynamics.fixed_points import fixed_points
from astro_sim.dynamics.vector_fields import balanced_ip3, chi, h_inf, knocked_out, leak_balance, li_rinzel
from astro_sim.models.astrocytes import ChI, LiRinzel
from astro_sim.parameters.variants import variant
from astro_sim.protocols.protocol import Bias
from astro_sim.simulation.arguments import Settings

# C (uM), h, I (uM): Stimberg et al. 2019; astrocyte_lr_1994 of NEST; chapter 5 of De Pitta and Berry 2019.
PUBLISHED = {"nest": (0.073, 0.793, 0.16), "book": (0.05, 0.99, 0.05)}

PUBLISHED_DEFAULT = (0.0, 0.9, 0.0)


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


def astrocyte_state(settings: Settings) -> dict[str, np.ndarray]:
    """Initial C, I (mM, the SI unit) and h of all astrocytes, each of shape ``(n_astrocytes,)``."""
    model, n = settings.model, settings.n_astrocytes
    state = np.tile(PUBLISHED.get(model.astrocyte.name, PUBLISHED_DEFAULT), (n, 1))
    if isinstance(model, LiRinzel):
        state[:, 2] = np.asarray(model.I) * 1e3
    if settings.start == "fixed_point":
        bias = settings.protocol.bias(n)
        quantities = [value for table in (*model.astrocyte_tables(), model) for value in table.quantities().values()]
        rows = np.stack([np.zeros(n), *(np.asarray(value) for value in quantities if np.ndim(value))], axis=1)
        _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        state = np.array([rest(model, k, bias) or state[k] for k in first])[which.ravel()]
    return {"C": state[:, 0] * 1e-3, "h": state[:, 1], "I": state[:, 2] * 1e-3}
