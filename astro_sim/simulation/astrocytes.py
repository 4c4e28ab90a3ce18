"""Astrocytes described: which equations a model is made of, its gap junctions, neurons and direct input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np
from brian2 import nmolar, pamp, second

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import ChI, GChI, InwardCurrent, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.protocol import Spikes
from astro_sim.simulation.arguments import Settings
from astro_sim.simulation.description import (
    ASTROCYTE_SIDE,
    Group,
    Monitor,
    Part,
    Pathway,
    Regularly,
    Source,
    Values,
    add_side,
    on_grid,
)
from astro_sim.simulation.initial import astrocyte_state

FOREVER = 1e9 * second


def describe_astrocytes(settings: Settings) -> tuple[Part, ...]:
    """Astrocytes without synapses: cells, gap junctions, their neurons and their direct input."""
    values, exogenous = astrocyte_values(settings)
    cells = describe_cells(settings, values, exogenous)
    input_ = describe_input(settings, values)
    return (*cells, *describe_junctions(settings), *describe_neurons(settings, values), *input_)


def astrocyte_values(settings: Settings) -> tuple[Values, bool]:
    """Constants of the astrocytes, and whether the exogenous IP3 flow is needed."""
    model: Any = settings.model
    n = settings.n_astrocytes
    values = Values(n, "astrocytes")
    for table in (*model.astrocyte_tables(), model):
        # the clamped IP3 of Li-Rinzel is a state, not a constant
        values.add({name: value for name, value in table.quantities().items() if name != "I"}, table.kinds())
    if getattr(model, "gliotransmission", None) is not None:
        add_side(values, model.gliotransmission, ASTROCYTE_SIDE)
    if getattr(model, "release", None) is not None and "Omega_c" not in values.scalars | values.arrays:
        values.add({"Omega_c": model.release.Omega_c}, model.release.kinds())
    if not isinstance(model, ChI):
        return values, False
    if model.topology is not None:  # a junction reads the arrays of the cell that it ends on
        permeabilities = {name: v for name, v in model.coupling.quantities().items() if np.ndim(v)}
        values.add(permeabilities, model.coupling.kinds())
    bias = settings.protocol.bias(n)
    pulse = dict(t_on=0 * second, t_width=FOREVER, t_period=FOREVER, sink=0.0)
    if bias is not None:
        if values.any("stim"):
            raise ValueError("stim must be 0 where the protocol brings an IP3 pulse, got a constant I_bias as well")
        for name in ("I_bias", "stim"):
            values.scalars.pop(name, None)
        driven = np.ones(n) if bias.sink else np.sign(np.asarray(bias.I_bias))
        values.add({"I_bias": bias.I_bias, "stim": b2.Quantity(driven)}, model.kinds())
        period = FOREVER if bias.period is None else bias.period
        pulse = dict(t_on=bias.start, t_width=bias.width, t_period=period, sink=float(bias.sink))
    values.scalars.update(pulse)
    exogenous = values.any("stim")
    missing = {"F_ex", "I_Theta", "omega_I"} - set(values.scalars | values.arrays)
    if exogenous and missing:
        what = "stim must be 0 for" if bias is None else "protocol must not bring an IP3 pulse to"
        raise ValueError(
            f"{what} the astrocyte {settings.model.astrocyte.name!r}, whose source gives no {min(missing)}"
        )
    return values, exogenous


@dataclass(frozen=True)
class Parts:
    """Which mechanisms an astrocyte has."""

    senses: bool  # the metabotropic receptor
    stepped: bool  # in closed form
    synaptic: bool  # transmitter comes summed from synapses
    releases: bool  # gliotransmitter
    published: bool  # with its extracellular transient


def parts_of(model: Any) -> Parts:
    """The mechanisms of the astrocytes of a model."""
    synaptic = isinstance(model, TripartiteSynapses)
    senses = isinstance(model, GChI) or (synaptic and model.needs_receptor)
    published = getattr(model, "update", "event") == "published"
    releases = getattr(model, "gliotransmission", None) is not None
    return Parts(senses, senses and not published, synaptic, releases, published)


def astrocyte_equations(model: Any, stochastic: bool, exogenous: bool) -> b2.Equations:
    """The blocks that a model is made of."""
    parts = parts_of(model)
    equations = eq.CALCIUM_STOCHASTIC if stochastic else eq.CALCIUM
    if isinstance(model, ChI):
        equations += eq.ip3(receptor=parts.senses, exogenous=exogenous, junctions=model.topology is not None)
    else:
        equations += eq.IP3_CLAMPED if isinstance(model, LiRinzel) else eq.IP3_POOL
    if parts.senses:
        equations += eq.RECEPTOR_STEPPED if parts.stepped else eq.RECEPTOR
        equations += transmitter_equations(parts)
    return equations + (release_equations(model) if parts.releases else b2.Equations(""))


def transmitter_equations(parts: Parts) -> b2.Equations:
    """How transmitter reaches the receptor."""
    if parts.stepped:
        return eq.TRANSMITTER_SEEN if parts.synaptic else eq.TRANSMITTER_STEPPED
    return eq.TRANSMITTER_STEPPED if parts.synaptic else eq.TRANSMITTER


def release_equations(model: Any) -> b2.Equations:
    """Resources of the astrocyte, and the transient of gliotransmitter where it is integrated."""
    return eq.RESOURCES + (eq.GLIOTRANSMITTER if model.update == "published" else b2.Equations(""))


def release_reset(model: Any) -> str:
    """What a release does to the astrocyte."""
    return (eq.ON_GLIOTRANSMITTER if model.update == "published" else "") + eq.ON_RELEASE


def describe_cells(settings: Settings, values: Values, exogenous: bool) -> tuple[Part, ...]:
    """The group of astrocytes, in the detail that the model asks for, and its releases."""
    model, parts, n = settings.model, parts_of(settings.model), settings.n_astrocytes
    stochastic = values.any("noise")
    equations = astrocyte_equations(model, stochastic, exogenous)
    events: dict[str, Any] = {}
    if parts.releases:
        again = model.gliotransmission.refractory
        events = dict(threshold=eq.THRESHOLD, refractory=eq.THRESHOLD if again is None else again)
        events["reset"] = release_reset(model)
    initial: dict[str, Any] = astrocyte_state(model, n, settings.start, settings.protocol.bias(n))
    recordable = fluxes(model, exogenous)
    own = {} if parts.synaptic else {"Y_S": "uM"}
    if parts.senses:
        recordable |= {"Gamma_A": "1", "J_beta": "uM/s", **own}
        initial |= {"Gamma_A": 0.0, **dict.fromkeys(own, 0.0)}
    regularly = None
    if parts.stepped:
        before, after = (eq.MISSED_STEP, "") if parts.synaptic else (eq.NOTHING_MISSED, eq.TRANSMITTER_STEP)
        code = before + eq.RECEPTOR_STEP + after
        regularly = Regularly(code=code, clock="astrocyte", when="groups", order=-1)  # just before rk4
    released, filled = resources(model) if parts.releases else ({}, {})
    arguments = dict(
        model=equations + values.declarations(),
        method="milstein" if stochastic else "rk4",
        namespace={**values.scalars, "nM": nmolar},
        **events,
    )
    steps = [] if regularly is None else [regularly.code]
    cells = Group(
        name="astrocytes",
        code=(str(equations), *(str(part) for part in events.values()), *steps),
        clock="astrocyte",
        dim="astrocyte",
        n=n,
        recordable=recordable | released,
        initial=initial | filled,
        arrays=values.arrays,
        arguments=arguments,
        regularly=regularly,
    )
    return (cells, RELEASES) if parts.releases else (cells,)


RELEASES = Monitor(name="release_monitor", of="astrocytes")


def fluxes(model: Any, exogenous: bool) -> dict[str, str]:
    """Units of calcium, IP3 and their fluxes, as far as the model has them."""
    units = {"C": "uM", "h": "1", "I": "uM", "J_r": "uM/s", "J_l": "uM/s", "J_p": "uM/s"}
    if isinstance(model, ChI):
        units |= {"J_delta": "uM/s", "J_3K": "uM/s", "J_5P": "uM/s"}
        units |= {"J_ex": "uM/s"} if exogenous else {}
        units |= {} if model.topology is None else {"J_gjc": "uM/s"}
    return units | ({"I_SIC": "1"} if isinstance(model, InwardCurrent) else {})


def resources(model: Any) -> tuple[dict[str, str], dict[str, float]]:
    """Units and initial values of gliotransmission: full resources, no transmitter."""
    published = model.update == "published"
    return {"x_A": "1", **({"G_A": "uM"} if published else {})}, {"x_A": 1.0, **({"G_A": 0.0} if published else {})}


def describe_imposed(settings: Settings, releases: Spikes) -> tuple[Part, ...]:
    """Astrocytes without calcium, which release when the protocol says so."""
    model: Any = settings.model
    n = settings.n_astrocytes
    values = Values(n, "astrocytes")
    add_side(values, model.gliotransmission, ASTROCYTE_SIDE)
    equations = eq.IMPOSED + release_equations(model)
    reset = release_reset(model) + eq.AFTER_IMPOSED
    recordable, initial = resources(model)
    arguments = dict(
        model=equations + values.declarations(),
        method="exact",
        threshold=eq.THRESHOLD,
        reset=reset,
        namespace=values.scalars,
    )
    cells = Group(
        name="astrocytes",
        code=(str(equations), eq.THRESHOLD, reset),
        dim="astrocyte",
        n=n,
        recordable=recordable,
        initial=initial,
        arrays=values.arrays,
        arguments=arguments,
    )
    # a kick is noticed one step later: send it one step before
    early = Spikes(releases.index, np.maximum(releases.time_s - settings.dt_s, 0))
    source = Source(name="imposed", n=n, spikes=on_grid(early, settings.dt_s, settings.duration_s))
    kick, each = eq.suffixed(eq.ON_IMPOSED, values.arrays, "_post"), np.arange(n)
    arguments = dict(on_pre=kick, namespace=values.scalars)
    kicks = Pathway(
        name="imposing", code=(kick,), source="imposed", target="astrocytes", i=each, j=each, arguments=arguments
    )
    return cells, source, kicks, RELEASES


def describe_junctions(settings: Settings) -> tuple[Part, ...]:
    """Gap junctions, both directions of every edge."""
    model = settings.model
    if not isinstance(model, ChI) or model.topology is None:
        return ()
    constants = model.coupling.quantities()
    arrays = [name for name, value in constants.items() if np.ndim(value)]
    if set(arrays) - {"F", "F_lin"}:
        raise ValueError(f"{arrays[0]} must be one value for all gap junctions, got an array")
    text = eq.suffixed(eq.GAP_JUNCTIONS[model.coupling.kind], arrays, "_post")
    i, j = model.topology.directed
    if not len(i):
        return ()
    namespace = {name: value for name, value in constants.items() if name not in arrays}
    junctions = Pathway(
        name="junctions", code=(text,), clock="astrocyte", source="astrocytes", target="astrocytes",
        i=i, j=j, arguments=dict(model=text, namespace=namespace),
    )  # fmt: skip
    return (junctions,)


def describe_neurons(settings: Settings, values: Values) -> tuple[Part, ...]:
    """One neuron per astrocyte, which receives its slow inward current."""
    model, n = settings.model, settings.n_astrocytes
    if not isinstance(model, InwardCurrent) or model.neuron is None:
        return ()
    constants = model.neuron.quantities()
    arrays = [name for name, value in constants.items() if np.ndim(value)]
    if arrays:
        raise ValueError(f"NeuronParameters.{arrays[0]} must be one value, got an array")
    arguments = dict(
        model=eq.NEURON,
        threshold=eq.NEURON_THRESHOLD,
        reset=eq.NEURON_RESET,
        refractory=model.neuron.tau_r,
        method="exact",
        namespace=constants,
    )
    neurons = Group(
        name="neurons",
        code=(str(eq.NEURON), eq.NEURON_THRESHOLD, eq.NEURON_RESET),
        dim="neuron",
        n=n,
        recordable={"v": "mV"},
        initial={"v": float(model.neuron.E_l)},
        arguments=arguments,
    )
    text, each = eq.suffixed(eq.SIC_SEEN, values.arrays, "_pre"), np.arange(n)
    arguments = dict(model=text, namespace={**values.scalars, "pA": pamp, "nM": nmolar})
    current = Pathway(
        name="current", code=(text,), source="astrocytes", target="neurons", i=each, j=each, arguments=arguments
    )
    return neurons, current, Monitor(name="spike_monitor", of="neurons")


def describe_input(settings: Settings, values: Values) -> tuple[Part, ...]:
    """Spikes of the protocol onto astrocytes without synapses: transmitter (G-ChI) or IP3 (NEST)."""
    model, n = settings.model, settings.n_astrocytes
    spikes = settings.protocol.pre(n, settings.seed)
    if spikes is None:
        return ()
    codes = {GChI: eq.ON_TRANSMITTER, InwardCurrent: eq.ON_IP3}
    code = next((code for kind, code in codes.items() if isinstance(model, kind)), None)
    if code is None:
        raise ValueError(
            f"protocol must not have spikes for a {type(model).__name__}, which has no receptor, got "
            f"{type(settings.protocol).__name__}"
        )
    source = Source(name="presynaptic", n=n, spikes=on_grid(spikes, settings.dt_s, settings.duration_s))
    code, each = eq.suffixed(code, values.arrays, "_post"), np.arange(n)
    arguments = dict(on_pre=code, namespace=values.scalars)
    input_ = Pathway(
        name="input", code=(code,), source="presynaptic", target="astrocytes", i=each, j=each, arguments=arguments
    )
    return source, input_
