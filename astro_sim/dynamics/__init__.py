"""What the equations can do, without a simulator: fixed points, limit cycles, bifurcations and closed forms.

Imports `parameters`.
"""

from astro_sim.dynamics.bifurcations import (
    BifurcationDiagram,
    BifurcationPoint,
    Oscillation,
    bifurcation_diagram,
    cycles,
    oscillation,
)
from astro_sim.dynamics.fixed_points import FixedPoint, fixed_points, jacobian, nullclines
from astro_sim.dynamics.limit_cycles import Cycles, cycles_around, fold_of_cycles, largest_growth, return_map
from astro_sim.dynamics.vector_fields import (
    System,
    balanced_ip3,
    calcium_fluxes,
    calcium_grids,
    calcium_ranges,
    calcium_rates,
    chi,
    g_chi,
    gate_balance,
    h_inf,
    ip3_rate,
    knocked_out,
    leak_balance,
    li_rinzel,
    micromolar_seconds,
    receptor_steady_state,
    resting_ip3,
    time_course,
    upward_crossings,
)

__all__ = [
    "BifurcationDiagram", "BifurcationPoint", "Cycles", "FixedPoint", "Oscillation", "System", "balanced_ip3",
    "bifurcation_diagram", "calcium_fluxes", "calcium_grids", "calcium_ranges", "calcium_rates", "chi", "cycles",
    "cycles_around", "fixed_points", "fold_of_cycles", "g_chi", "gate_balance", "h_inf", "ip3_rate", "jacobian",
    "knocked_out", "largest_growth", "leak_balance", "li_rinzel", "micromolar_seconds", "nullclines", "oscillation",
    "receptor_steady_state", "resting_ip3", "return_map", "time_course", "upward_crossings",
]  # fmt: skip
