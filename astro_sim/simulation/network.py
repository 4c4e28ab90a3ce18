"""From a model and a protocol to Brian2 objects: groups, pathways and monitors, ready to be put into a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import second

from astro_sim.parameters.units import Dimension
from astro_sim.protocols.protocol import Protocol, Spikes

# Unit in which Brian2 declares a per-element constant, by the label of its dimension.
UNITS = {"M": "mmolar", "M/s": "mmolar/second", "1/s": "Hz", "1/(M s)": "Hz/mmolar", "s": "second", "1": "1"}

# Brian2 reads names that end in _pre or _post as variables of the groups at either end of a synapse.
RENAMED = {"C_pre": "Cpre", "C_post": "Cpost"}

ASTROCYTE_SIDE = ("C_Theta", "Omega_A", "U_A", "G_T", "rho_e", "Omega_e")  # of the gliotransmission table

SYNAPSE_SIDE = ("O_G", "Omega_G", "alpha")


@dataclass(frozen=True)
class Recordable:
    """Where a variable lives: Brian2 group, its name there, dimension of the recording, unit and factor to it."""

    group: Any
    attribute: str
    dim: str
    unit: str
    factor: float
    n: int


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
                self.arrays[name], self.units[name] = value, UNITS[kinds[symbol].label]

    def declarations(self) -> b2.Equations:
        """The arrays as constants in the text of a group's equations."""
        return b2.Equations("\n".join(f"{name} : {self.units[name]} (constant)" for name in self.arrays))

    def assign(self, group: Any) -> None:
        """Give the arrays to the group that declares them."""
        for name, value in self.arrays.items():
            setattr(group, name, value)

    def any(self, name: str) -> bool:
        """Whether the constant differs from zero anywhere."""
        return bool(np.any(np.asarray(self.scalars.get(name, self.arrays.get(name, 0)))))


def add_side(values: Values, table: Any, names: tuple[str, ...]) -> None:
    """Add the constants of ``table`` that belong to one side of the synapse."""
    values.add({k: v for k, v in table.quantities().items() if k in names}, table.kinds())


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


@dataclass
class Build:
    """Everything of one run: what goes into the network, what can be recorded, and the text of all its code."""

    model: Any
    protocol: Protocol
    clock: b2.Clock
    astrocyte_clock: b2.Clock
    end_s: float
    seed: int
    initial: Any
    overrides: Mapping[str, b2.Quantity]
    objects: list[Any] = field(default_factory=list)
    recordable: dict[str, Recordable] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)
    groups: dict[str, Any] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)

    def add(self, name: str, thing: Any, *code: Any) -> Any:
        """Put a Brian2 object into the network, under a name by which users reach it."""
        self.objects.append(thing)
        self.groups[name] = thing
        self.code += [str(part) for part in code]
        return thing

    def offer(self, group: Any, dim: str, n: int, **names: str) -> None:
        """Declare variables recordable: name=unit, or name="unit:attribute" where Brian2 calls it otherwise."""
        for name, spec in names.items():
            unit, _, attribute = spec.partition(":")
            factor = 1e3 if unit in ("uM", "uM/s", "mV") else 1.0
            self.recordable[name] = Recordable(group, attribute or name, dim, unit, factor, n)

    def spike_source(self, name: str, spikes: Spikes, n: int) -> Any:
        """A group that emits the given spikes."""
        spikes = on_grid(spikes, float(self.clock.dt), self.end_s)
        return self.add(
            name, b2.SpikeGeneratorGroup(n, spikes.index, spikes.time_s * second, clock=self.clock, sorted=False)
        )

    def pathway(self, name: str, source: Any, target: Any, i: Any, j: Any, *code: Any, **arguments: Any) -> Any:
        """Synapses with explicit pairs ``i``, ``j``."""
        synapses = b2.Synapses(source, target, clock=arguments.pop("clock", self.clock), **arguments)
        synapses.connect(i=np.asarray(i), j=np.asarray(j))
        return self.add(name, synapses, *code)

    def set_state(self, group: Any, **states: Any) -> None:
        """Set initial values (SI); what the user asked for goes first."""
        self.states |= set(states)
        for name, value in states.items():
            if name in self.overrides:
                value = np.asarray(self.overrides[name])
            getattr(group, name + "_", None)  # an unknown name fails here, not as a silent new attribute
            setattr(group, name + "_", value)
