"""Makes the Brian2 objects of a run from descriptions; no other file makes them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import second
from brian2.equations.equations import PARAMETER, SingleEquation

from astro_sim.protocols.protocol import Spikes
from astro_sim.simulation.arguments import Settings
from astro_sim.simulation.description import RENAMED, Group, Monitor, Part, Pathway, Source

DEFAULT_RECORD = ("C", "h", "I", "Gamma_A", "rho", "r_S", "Gamma_S", "I_SIC")


@dataclass(frozen=True)
class Recordable:
    """Where a variable lives: the part and its name there, dimension of the recording, unit and factor to it."""

    part: str
    attribute: str
    dim: str
    unit: str
    factor: float
    n: int


@dataclass(frozen=True)
class Network:
    """The objects of a run: `parts` by name, one monitor per recorded dimension, and the text of all code."""

    parts: dict[str, Any]
    recorded: dict[str, Recordable]
    monitors: dict[str, b2.StateMonitor]
    code: tuple[str, ...]

    def run(self, end: b2.Quantity, **arguments: Any) -> None:
        """Run until `end`, or hand the run to Brian2's standalone device."""
        b2.Network(*self.parts.values(), *self.monitors.values()).run(end, **arguments)


def build(parts: Iterable[Part], settings: Settings, record: str | Iterable[str] | None) -> Network:
    """Make all Brian2 objects of a run on the active device.

    A variable in `record` or `settings.initial` that no part has is a ValueError, and so is an array of another length
    than its part, before anything is made.
    """
    parts = tuple(parts)
    recorded = choose_recorded(parts, record)
    groups = {part.name: part for part in parts if isinstance(part, Group)}
    states = sorted({name for group in groups.values() for name in group.initial})
    unused = sorted(set(settings.overrides) - set(states))
    if unused:
        raise ValueError(f"initial must set variables of the model, {states}, got {unused[0]!r}")
    parts = tuple(prepare(part, groups, settings) for part in parts)
    periods = {"synapse": settings.dt_s, "astrocyte": settings.astrocyte_dt_s, "record": settings.record_every_s}
    clocks = {name: b2.Clock(period * second, name=f"{name}_clock") for name, period in periods.items()}
    made: dict[str, Any] = {}
    code: list[str] = []
    for part in parts:
        made[part.name] = thing = make(part, made, clocks)
        if isinstance(part, Group):
            code += map(str, part.code.values())  # after `make`, in which Brian2 sorts the equations
            if part.regularly is not None and not isinstance(part, Pathway):  # else it is a piece of `on_pre`
                code.append(part.regularly.code)
            start(part, thing, settings.overrides, clocks)
    monitors = {}
    for dim in {item.dim: None for item in recorded.values()}:
        chosen = [item for item in recorded.values() if item.dim == dim]
        attributes = list(dict.fromkeys(item.attribute for item in chosen))
        every = np.arange(chosen[0].n)
        monitors[dim] = b2.StateMonitor(made[chosen[0].part], attributes, record=every, clock=clocks["record"])
    return Network(made, recorded, monitors, tuple(code))


def choose_recorded(parts: tuple[Part, ...], record: str | Iterable[str] | None) -> dict[str, Recordable]:
    """The variables to record, by default those of `DEFAULT_RECORD` that there are."""
    recordable = {}
    for part in (part for part in parts if isinstance(part, Group)):
        for name, spec in part.recordable.items():
            unit, _, attribute = spec.partition(":")
            factor = 1e3 if unit in ("uM", "uM/s", "mV") else 1.0
            recordable[name] = Recordable(part.name, attribute or name, part.dim, unit, factor, part.n)
    record = [record] if isinstance(record, str) else record
    names = [name for name in DEFAULT_RECORD if name in recordable] if record is None else list(record)
    unknown = [name for name in names if name not in recordable]
    if unknown:
        raise ValueError(f"record must hold variables among {sorted(recordable)}, got {unknown[0]!r}")
    return {name: recordable[name] for name in names}


def prepare(part: Part, groups: Mapping[str, Group], settings: Settings) -> Part:
    """A part with its spikes on the time grid, or its constants checked and read from where they are."""
    if isinstance(part, Source):
        return dataclasses.replace(part, spikes=on_grid(part.spikes, settings.dt_s, settings.duration_s))
    if not isinstance(part, Group):
        return part
    code, constants = part.code, part.constants
    if isinstance(part, Pathway):
        for end, suffix in ((part.target, "_post"), (part.source, "_pre")):
            held = groups[end].constants if end in groups else {}
            read = {name for name, value in constants.items() if np.ndim(value) and name in held}
            code = {argument: suffixed(text, read, suffix) for argument, text in code.items()} if read else code
            constants = {name: value for name, value in constants.items() if name not in read}
    for name, value in constants.items():
        if np.ndim(value) and len(value) != part.n:
            raise ValueError(f"{name} must have one value for each of {part.n} {part.name}, got {len(value)}")
    named = {RENAMED.get(symbol, symbol): value for symbol, value in constants.items()}
    return dataclasses.replace(part, code=code, constants=named)


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


def suffixed(code: str, names: Iterable[str], suffix: str) -> str:
    """``code`` with every name in ``names`` followed by ``suffix``, such as ``_pre``."""
    names = [re.escape(name) for name in sorted(names)]
    return re.sub(rf"\b({'|'.join(names)})\b", rf"\1{suffix}", code) if names else code


def make(part: Part, made: Mapping[str, Any], clocks: Mapping[str, b2.Clock]) -> Any:
    """The Brian2 object of one part; `made` holds the objects made before, by name."""
    if isinstance(part, Monitor):
        return b2.SpikeMonitor(made[part.of])
    if isinstance(part, Source):
        index, time = part.spikes.index, part.spikes.time_s * second
        return b2.SpikeGeneratorGroup(part.n, index, time, clock=clocks["synapse"], sorted=False)
    if not isinstance(part, Group):
        raise TypeError(f"part must be a Source, Monitor, Group or Pathway, got {part!r}")
    namespace = {name: value for name, value in part.constants.items() if not np.ndim(value)}
    arrays = {name: value for name, value in part.constants.items() if np.ndim(value)}
    arguments = {**part.code, **part.options, "namespace": namespace, "clock": clocks[part.clock]}
    if arrays:
        dims = {name: b2.get_dimensions(value) for name, value in arrays.items()}
        declared = [SingleEquation(PARAMETER, name, dim, flags=["constant"]) for name, dim in dims.items()]
        arguments["model"] += b2.Equations(declared)
    if not isinstance(part, Pathway):
        return b2.NeuronGroup(part.n, **arguments)
    synapses = b2.Synapses(made[part.source], made[part.target], **arguments)
    synapses.connect(i=part.i, j=part.j)
    for updater in synapses.summed_updaters.values() if part.sums_at is not None else ():
        updater.order = part.sums_at
    if part.delay is not None:
        synapses.pre.delay = part.delay
    return synapses


def start(part: Group, thing: Any, overrides: Mapping[str, Any], clocks: Mapping[str, b2.Clock]) -> None:
    """Set constants per element and initial values, which `overrides` replace; add the code that runs regularly."""
    for name, value in part.constants.items():
        if np.ndim(value):
            setattr(thing, name, value)
    for name, value in part.initial.items():
        setattr(thing, name + "_", np.asarray(overrides[name]) if name in overrides else value)
    if (step := part.regularly) is not None:
        named = isinstance(step.clock, str)
        clock = clocks[step.clock] if named else b2.Clock(step.clock, name="advance_clock")
        thing.run_regularly(step.code, clock=clock, when=step.when, order=step.order)
