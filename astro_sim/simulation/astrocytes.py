"""Astrocytes described: which equations a model is made of, its gap junctions, neurons and direct input."""

from __future__ import annotations

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
    Regularly,
    Source,
    Values,
    joined,
    on_grid,
    split,
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
        values.add_table(table, without="I")  # the clamped IP3 of Li-Rinzel is a state, not a constant
    if getattr(model, "gliotransmission", None) is not None:
        values.add_table(model.gliotransmission, ASTROCYTE_SIDE)
    if getattr(model, "release", None) is not None and "Omega_c" not in values:
        values.add_table(model.release, ("Omega_c",))
    if not isinstance(model, ChI):
        return values, False
    if model.topology is not None:  # a junction reads the arrays of the cell that it ends on
        values.add_table(model.coupling, split(model.coupling.quantities())[0])
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
    missing = sorted(name for name in ("F_ex", "I_Theta", "omega_I") if name not in values)
    if exogenous and missing:
        what = "stim must be 0 for" if bias is None else "protocol must not bring an IP3 pulse to"
        raise ValueError(f"{what} the astrocyte {settings.model.astrocyte.name!r}, whose source gives no {missing[0]}")
    return values, exogenous


def receptor(model: Any) -> tuple[b2.Equations, str]:
    """Equations of the receptor and its transmitter, and their step in closed form; both empty without a receptor."""
    synaptic = isinstance(model, TripartiteSynapses)
    if not (isinstance(model, GChI) or (synaptic and model.needs_receptor)):
        return b2.Equations(""), ""
    if model.update == "published":
        return eq.RECEPTOR + (eq.TRANSMITTER_STEPPED if synaptic else eq.TRANSMITTER), ""
    if synaptic:
        return eq.RECEPTOR_STEPPED + eq.TRANSMITTER_SEEN, eq.MISSED_STEP + eq.RECEPTOR_STEP
    step = eq.NOTHING_MISSED + eq.RECEPTOR_STEP + eq.TRANSMITTER_STEP
    return eq.RECEPTOR_STEPPED + eq.TRANSMITTER_STEPPED, step


def resources(model: Any) -> tuple[b2.Equations, str, dict[str, str], dict[str, float]]:
    """Gliotransmitter: equations, what a release does, and units and initial values of the variables."""
    if model.update == "published":
        equations, reset = eq.RESOURCES + eq.GLIOTRANSMITTER, eq.ON_GLIOTRANSMITTER + eq.ON_RELEASE
        return equations, reset, {"x_A": "1", "G_A": "uM"}, {"x_A": 1.0, "G_A": 0.0}
    return eq.RESOURCES, eq.ON_RELEASE, {"x_A": "1"}, {"x_A": 1.0}


def describe_cells(settings: Settings, values: Values, exogenous: bool) -> tuple[Part, ...]:
    """The group of astrocytes, in the detail that the model asks for, and its releases."""
    model: Any = settings.model
    n, stochastic = settings.n_astrocytes, values.any("noise")
    initial: dict[str, Any] = astrocyte_state(model, n, settings.start, settings.protocol.bias(n))
    units = {
        "C": "uM",
        "h": "1:h_clipped" if stochastic else "1",
        "I": "uM",
        "J_r": "uM/s",
        "J_l": "uM/s",
        "J_p": "uM/s",
    }
    events: dict[str, Any] = {}
    regularly = None
    sensing, step = receptor(model)
    equations = eq.CALCIUM_STOCHASTIC if stochastic else eq.CALCIUM
    if isinstance(model, ChI):
        coupled = model.topology is not None
        equations += eq.ip3(receptor=len(sensing) > 0, exogenous=exogenous, junctions=coupled)
        fluxes = "J_delta", "J_3K", "J_5P", *(["J_ex"] if exogenous else []), *(["J_gjc"] if coupled else [])
        units |= dict.fromkeys(fluxes, "uM/s")
    else:
        equations += eq.IP3_CLAMPED if isinstance(model, LiRinzel) else eq.IP3_POOL
        units |= {"I_SIC": "1"} if isinstance(model, InwardCurrent) else {}
    if len(sensing):
        own = {} if isinstance(model, TripartiteSynapses) else {"Y_S": "uM"}
        equations += sensing
        units |= {"Gamma_A": "1", "J_beta": "uM/s", **own}
        initial |= {"Gamma_A": 0.0, **dict.fromkeys(own, 0.0)}
    if step:
        regularly = Regularly(code=step, clock="astrocyte", when="groups", order=-1)  # just before rk4
    releases = getattr(model, "gliotransmission", None) is not None
    if releases:
        more, reset, released, filled = resources(model)
        again = model.gliotransmission.refractory
        events = dict(threshold=eq.THRESHOLD, refractory=eq.THRESHOLD if again is None else again, reset=reset)
        equations, units, initial = equations + more, units | released, initial | filled
    cells = Group(
        name="astrocytes",
        code=(equations, *events.values(), *([step] if step else [])),
        clock="astrocyte",
        dim="astrocyte",
        n=n,
        recordable=units,
        initial=initial,
        arrays=values.arrays,
        arguments=dict(
            model=equations + values.declarations(),
            method="milstein" if stochastic else "rk4",
            namespace={**values.scalars, "nM": nmolar},
            **events,
        ),
        regularly=regularly,
    )
    return (cells, RELEASES) if releases else (cells,)


RELEASES = Monitor(name="release_monitor", of="astrocytes")


def describe_imposed(settings: Settings, releases: Spikes) -> tuple[Part, ...]:
    """Astrocytes without calcium, which release when the protocol says so."""
    model: Any = settings.model
    n = settings.n_astrocytes
    values = Values(n, "astrocytes")
    values.add_table(model.gliotransmission, ASTROCYTE_SIDE)
    equations, reset, recordable, initial = resources(model)
    equations, reset = eq.IMPOSED + equations, reset + eq.AFTER_IMPOSED
    events = dict(threshold=eq.THRESHOLD, reset=reset)
    cells = Group(
        name="astrocytes",
        code=(equations, *events.values()),
        dim="astrocyte",
        n=n,
        recordable=recordable,
        initial=initial,
        arrays=values.arrays,
        arguments=dict(model=equations + values.declarations(), method="exact", namespace=values.scalars, **events),
    )
    # a kick is noticed one step later: send it one step before
    early = Spikes(releases.index, np.maximum(releases.time_s - settings.dt_s, 0))
    source = Source(name="imposed", n=n, spikes=on_grid(early, settings.dt_s, settings.duration_s))
    kick, each = eq.suffixed(eq.ON_IMPOSED, values.arrays, "_post"), np.arange(n)
    kicks = joined("imposing", "imposed -> astrocytes", each, each, values.scalars, on_pre=kick)
    return cells, source, kicks, RELEASES


def describe_junctions(settings: Settings) -> tuple[Part, ...]:
    """Gap junctions, both directions of every edge."""
    model = settings.model
    if not isinstance(model, ChI) or model.topology is None:
        return ()
    arrays, scalars = split(model.coupling.quantities())
    if set(arrays) - {"F", "F_lin"}:
        raise ValueError(f"{arrays[0]} must be one value for all gap junctions, got an array")
    text = eq.suffixed(eq.GAP_JUNCTIONS[model.coupling.kind], arrays, "_post")
    i, j = model.topology.directed
    if not len(i):
        return ()
    return (joined("junctions", "astrocytes -> astrocytes", i, j, scalars, model=text, clock="astrocyte"),)


def describe_neurons(settings: Settings, values: Values) -> tuple[Part, ...]:
    """One neuron per astrocyte, which receives its slow inward current."""
    model, n = settings.model, settings.n_astrocytes
    if not isinstance(model, InwardCurrent) or model.neuron is None:
        return ()
    arrays, scalars = split(model.neuron.quantities())
    if arrays:
        raise ValueError(f"NeuronParameters.{arrays[0]} must be one value, got an array")
    events = dict(threshold=eq.NEURON_THRESHOLD, reset=eq.NEURON_RESET)
    neurons = Group(
        name="neurons",
        code=(eq.NEURON, *events.values()),
        dim="neuron",
        n=n,
        recordable={"v": "mV"},
        initial={"v": float(model.neuron.E_l)},
        arguments=dict(model=eq.NEURON, refractory=model.neuron.tau_r, method="exact", namespace=scalars, **events),
    )
    text, each = eq.suffixed(eq.SIC_SEEN, values.arrays, "_pre"), np.arange(n)
    namespace = {**values.scalars, "pA": pamp, "nM": nmolar}
    current = joined("current", "astrocytes -> neurons", each, each, namespace, model=text)
    return neurons, current, Monitor(name="spike_monitor", of="neurons")


def describe_input(settings: Settings, values: Values) -> tuple[Part, ...]:
    """Spikes of the protocol onto astrocytes without synapses: transmitter (G-ChI) or IP3 (NEST)."""
    model, n = settings.model, settings.n_astrocytes
    spikes = settings.protocol.pre(n, settings.seed)
    if spikes is None:
        return ()
    if not isinstance(model, GChI | InwardCurrent):
        raise ValueError(
            f"protocol must not have spikes for a {type(model).__name__}, which has no receptor, got "
            f"{type(settings.protocol).__name__}"
        )
    source = Source(name="presynaptic", n=n, spikes=on_grid(spikes, settings.dt_s, settings.duration_s))
    text = eq.ON_TRANSMITTER if isinstance(model, GChI) else eq.ON_IP3
    code, each = eq.suffixed(text, values.arrays, "_post"), np.arange(n)
    return source, joined("input", "presynaptic -> astrocytes", each, each, values.scalars, on_pre=code)
