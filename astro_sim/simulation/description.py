"""Frozen descriptions of the groups, pathways, spike sources and monitors of a network.

Nothing here builds a Brian2 object; :mod:`astro_sim.simulation.network` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import brian2 as b2
import numpy as np

from astro_sim.protocols.protocol import Spikes

# Brian2 reads names that end in _pre or _post as variables of the groups at either end of a synapse.
RENAMED = {"C_pre": "Cpre", "C_post": "Cpost"}

ASTROCYTE_SIDE = ("C_Theta", "Omega_A", "U_A", "G_T", "rho_e", "Omega_e")  # of the gliotransmission table

SYNAPSE_SIDE = ("O_G", "Omega_G", "alpha")


@dataclass(frozen=True)
class Part:
    """One Brian2 object of a network; other parts and users reach it by its name."""

    name: str


@dataclass(frozen=True)
class Source(Part):
    """Elements that emit given spikes."""

    n: int
    spikes: Spikes


@dataclass(frozen=True)
class Monitor(Part):
    """The spikes of a group, recorded."""

    of: str


@dataclass(frozen=True, kw_only=True)
class Regularly:
    """Code that a group runs at every tick of a clock (`clock` may also be a period)."""

    code: str
    clock: str | b2.Quantity
    when: str
    order: int


@dataclass(frozen=True, kw_only=True)
class Group(Part):
    """Elements that have equations, such as cells.

    Attributes
    ----------
    dim, n : str, int
        Dimension of its variables in a recording, and number of elements.
    clock : str
        ``synapse`` or ``astrocyte``.
    code : mapping
        Equations and statements by the name of the argument of the Brian2 class, such as ``model`` or ``reset``.
    options : mapping
        Other arguments of the Brian2 class.
    constants : mapping of str to Quantity
        By symbol; one value, or one for each element.
    recordable : mapping of str to str
        Variable -> unit, or unit and name in Brian2 where that differs, as ``uM:Y_S_now``.
    initial : mapping of str to array_like
        Initial values in SI units.
    """

    dim: str = ""
    n: int = 0
    clock: str = "synapse"
    code: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, b2.Quantity] = field(default_factory=dict)
    recordable: Mapping[str, str] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)
    regularly: Regularly | None = None


@dataclass(frozen=True)
class Pathway(Group):
    """A group of synapses with explicit pairs ``i``, ``j`` between two parts, which may hold its constants.

    `delay` is that of presynaptic spikes; `sums_at` is the Brian2 order of the update of summed variables.
    """

    source: str
    target: str
    i: np.ndarray
    j: np.ndarray
    delay: b2.Quantity | None = None
    sums_at: int | None = None
