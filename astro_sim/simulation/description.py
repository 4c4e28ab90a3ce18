"""Frozen descriptions of the groups, pathways, spike sources and monitors of a network.

Nothing here builds a Brian2 object; :mod:`astro_sim.simulation.network` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import brian2 as b2
import numpy as np

from astro_sim.parameters.units import UNITS, Dimension
from astro_sim.protocols.protocol import Spikes

# Brian2 reads names that end in _pre or _post as variables of the groups at either end of a synapse.
RENAMED = {"C_pre": "Cpre", "C_post": "Cpost"}

ASTROCYTE_SIDE = ("C_Theta", "Omega_A", "U_A", "G_T", "rho_e", "Omega_e")  # of the gliotransmission table

SYNAPSE_SIDE = ("O_G", "Omega_G", "alpha")


@dataclass
class Values:
    """Constants of one group: scalars go into the namespace, arrays become per-element constants."""

    n: int
    owner: str
    scalars: dict[str, b2.Quantity] = field(default_factory=dict)
    arrays: dict[str, b2.Quantity] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def add(self, quantities: Mapping[str, b2.Quantity], kinds: Mapping[str, Dimension]) -> None:
        """Add constants by symbol; ValueError for an array whose length is not ``n``."""
        for symbol, value in quantities.items():
            name = RENAMED.get(symbol, symbol)
            if np.ndim(value) == 0:
                self.scalars[name] = value
            elif len(value) != self.n:
                raise ValueError(f"{symbol} must have one value for each of {self.n} {self.owner}, got {len(value)}")
            else:
                self.arrays[name], self.units[name] = value, UNITS[kinds[symbol].label][1]

    def add_table(self, table: Any, only: Collection[str] | None = None, without: str = "") -> None:
        """Add the constants of a table: those in ``only``, all by default, and not ``without``."""
        chosen = {k: v for k, v in table.quantities().items() if k != without and (only is None or k in only)}
        self.add(chosen, table.kinds())

    def declarations(self) -> b2.Equations:
        """The arrays as constants in the text of a group's equations."""
        return b2.Equations("\n".join(f"{name} : {self.units[name]} (constant)" for name in self.arrays))

    def __contains__(self, name: str) -> bool:
        return name in self.scalars or name in self.arrays

    def any(self, name: str) -> bool:
        """Whether the constant differs from zero anywhere."""
        return bool(np.any(np.asarray(self.scalars.get(name, self.arrays.get(name, 0)))))


def split(quantities: Mapping[str, b2.Quantity]) -> tuple[list[str], dict[str, b2.Quantity]]:
    """Names of the arrays among constants, and the scalars."""
    return [k for k, v in quantities.items() if np.ndim(v)], {k: v for k, v in quantities.items() if not np.ndim(v)}


def on_grid(spikes: Spikes, dt_s: float, end_s: float) -> Spikes:
    """Spikes on the time grid: those that would share a step of one element move to the next free one."""
    order = np.lexsort((spikes.time_s, spikes.index))
    index, step = spikes.index[order], np.round(spikes.time_s[order] / dt_s).astype(np.int64)
    if len(step) and step.min() < 0:
        raise ValueError(f"spike times must not be negative, got {spikes.time_s.min()} s")
    rank = np.arange(len(step))
    offset = index.astype(np.int64) * (step.max() + len(step) + 2 if len(step) else 0)
    step = np.maximum.accumulate(step - rank + offset) + rank - offset  # strictly increasing within an element
    kept = step * dt_s < end_s - dt_s / 2
    return Spikes(index[kept], step[kept] * dt_s)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One Brian2 object of a network; other parts and users reach it by its name."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Source(Part):
    """Elements that emit given spikes."""

    n: int
    spikes: Spikes


@dataclass(frozen=True, kw_only=True)
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
    code : tuple of Equations or str
        Its equations and statements, for the hash in the provenance.
    clock : str
        ``synapse`` or ``astrocyte``.
    dim, n : str, int
        Dimension of its variables in a recording, and number of elements.
    recordable : dict of str to str
        Variable -> unit, or unit and name in Brian2 where that differs, as ``uM:Y_S_now``.
    initial : dict of str to array_like
        Initial values in SI units.
    arrays : dict of str to Quantity
        Constants with one value per element.
    arguments : dict
        All other arguments of the Brian2 class.
    """

    code: tuple[Any, ...]
    clock: str = "synapse"
    dim: str = ""
    n: int = 0
    recordable: Mapping[str, str] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, b2.Quantity] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    regularly: Regularly | None = None


@dataclass(frozen=True, kw_only=True)
class Pathway(Group):
    """A group of synapses with explicit pairs ``i``, ``j`` between two parts.

    `delay` is that of presynaptic spikes; `sums_at` is the Brian2 order of the update of summed variables.
    """

    source: str
    target: str
    i: np.ndarray
    j: np.ndarray
    delay: b2.Quantity | None = None
    sums_at: int | None = None


def joined(name: str, ends: str, i: np.ndarray, j: np.ndarray, namespace: Mapping[str, Any], **more: Any) -> Pathway:
    """A pathway between two ``ends``, as ``a -> b``, with one piece of code: `model` or `on_pre`."""
    source, target = ends.split(" -> ")
    code: dict[str, str] = {key: more.pop(key) for key in ("model", "on_pre") if key in more}
    arguments = {**code, "namespace": namespace}
    return Pathway(
        name=name, source=source, target=target, i=i, j=j, code=tuple(code.values()), arguments=arguments, **more
    )
