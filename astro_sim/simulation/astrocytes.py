"""Astrocytes as Brian2 objects: which equations a model is made of, its gap junctions and its direct input."""

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
from astro_sim.simulation.initial import astrocyte_state
from astro_sim.simulation.network import ASTROCYTE_SIDE, Build, Values, add_side

FOREVER = 1e9 * second


def astrocyte_values(build: Build, n: int) -> tuple[Values, bool]:
    """Constants of the astrocytes, and whether the exogenous IP3 flow is needed."""
    model, values = build.model, Values(n, "astrocytes")
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
    bias = build.protocol.bias(n)
    pulse = dict(t_on=0 * second, t_width=FOREVER, t_period=FOREVER, sink=0.0)
    if bias is not None:
        if values.any("stim"):
            raise ValueError("stim must be 0 where the protocol brings an IP3 pulse, got a constant I_bias as well")
        values.scalars.pop("I_bias", None), values.scalars.pop("stim", None)
        driven = np.ones(n) if bias.sink else np.sign(np.asarray(bias.I_bias))
        values.add({"I_bias": bias.I_bias, "stim": b2.Quantity(driven)}, model.kinds())
        period = FOREVER if bias.period is None else bias.period
        pulse = dict(t_on=bias.start, t_width=bias.width, t_period=period, sink=float(bias.sink))
    values.scalars.update(pulse)
    exogenous = values.any("stim")
    missing = {"F_ex", "I_Theta", "omega_I"} - set(values.scalars | values.arrays)
    if exogenous and missing:
        what = "stim must be 0 for" if bias is None else "protocol must not bring an IP3 pulse to"
        raise ValueError(f"{what} the astrocyte {build.model.astrocyte.name!r}, whose source gives no {min(missing)}")
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


def add_astrocytes(build: Build, n: int) -> Any:
    """The group of astrocytes, in the detail that the model asks for."""
    model, parts = build.model, parts_of(build.model)
    values, exogenous = astrocyte_values(build, n)
    stochastic = values.any("noise")
    equations = astrocyte_equations(model, stochastic, exogenous)
    events: dict[str, Any] = {}
    if parts.releases:
        again = model.gliotransmission.refractory
        events = dict(threshold=eq.THRESHOLD, refractory=eq.THRESHOLD if again is None else again)
        events["reset"] = release_reset(model)
    group = b2.NeuronGroup(
        n,
        equations + values.declarations(),
        method="milstein" if stochastic else "rk4",
        namespace={**values.scalars, "nM": nmolar},
        clock=build.astrocyte_clock,
        **events,
    )
    values.assign(group)
    build.add("astrocytes", group, equations, *(str(part) for part in events.values()))
    build.set_state(group, **astrocyte_state(model, n, build.initial, build.protocol.bias(n)))
    offer_fluxes(build, group, n, exogenous)
    if parts.senses:
        build.offer(group, "astrocyte", n, Gamma_A="1", J_beta="uM/s", **({} if parts.synaptic else {"Y_S": "uM"}))
        build.set_state(group, Gamma_A=0.0, **({} if parts.synaptic else {"Y_S": 0.0}))
    if parts.stepped:
        before, after = (eq.MISSED_STEP, "") if parts.synaptic else (eq.NOTHING_MISSED, eq.TRANSMITTER_STEP)
        code = before + eq.RECEPTOR_STEP + after
        group.run_regularly(code, clock=build.astrocyte_clock, when="groups", order=-1)  # just before rk4
        build.code.append(code)
    if parts.releases:
        offer_release(build, group, n)
    return group


def offer_fluxes(build: Build, group: Any, n: int, exogenous: bool) -> None:
    """Make calcium, IP3 and their fluxes recordable."""
    model = build.model
    build.offer(group, "astrocyte", n, C="uM", h="1", I="uM", J_r="uM/s", J_l="uM/s", J_p="uM/s")
    if isinstance(model, ChI):
        build.offer(group, "astrocyte", n, J_delta="uM/s", J_3K="uM/s", J_5P="uM/s")
        build.offer(group, "astrocyte", n, **({"J_ex": "uM/s"} if exogenous else {}))
        build.offer(group, "astrocyte", n, **({} if model.topology is None else {"J_gjc": "uM/s"}))
    if isinstance(model, InwardCurrent):
        build.offer(group, "astrocyte", n, I_SIC="1")


def offer_release(build: Build, group: Any, n: int) -> None:
    """Make gliotransmission recordable, and fill the resources."""
    published = build.model.update == "published"
    build.offer(group, "astrocyte", n, x_A="1", **({"G_A": "uM"} if published else {}))
    build.set_state(group, x_A=1.0, **({"G_A": 0.0} if published else {}))
    build.add("release_monitor", b2.SpikeMonitor(group))


def add_imposed(build: Build, n: int, releases: Spikes) -> Any:
    """Astrocytes without calcium, which release when the protocol says so."""
    model, values = build.model, Values(n, "astrocytes")
    add_side(values, model.gliotransmission, ASTROCYTE_SIDE)
    equations = eq.IMPOSED + release_equations(model)
    reset = release_reset(model) + eq.AFTER_IMPOSED
    group = b2.NeuronGroup(
        n,
        equations + values.declarations(),
        method="exact",
        threshold=eq.THRESHOLD,
        reset=reset,
        namespace=values.scalars,
        clock=build.clock,
    )
    values.assign(group)
    build.add("astrocytes", group, equations, eq.THRESHOLD, reset)
    # a kick is noticed one step later: send it one step before
    early = Spikes(releases.index, np.maximum(releases.time_s - float(build.clock.dt), 0))
    source = build.spike_source("imposed", early, n)
    kick = eq.suffixed(eq.ON_IMPOSED, values.arrays, "_post")
    build.pathway("imposing", source, group, np.arange(n), np.arange(n), kick, on_pre=kick, namespace=values.scalars)
    offer_release(build, group, n)
    return group


def add_junctions(build: Build, astrocytes: Any) -> None:
    """Gap junctions, both directions of every edge."""
    model = build.model
    if not isinstance(model, ChI) or model.topology is None:
        return
    constants = model.coupling.quantities()
    arrays = [name for name, value in constants.items() if np.ndim(value)]
    if set(arrays) - {"F", "F_lin"}:
        raise ValueError(f"{arrays[0]} must be one value for all gap junctions, got an array")
    text = eq.suffixed(eq.GAP_JUNCTIONS[model.coupling.kind], arrays, "_post")
    i, j = model.topology.directed
    if not len(i):
        return
    namespace = {name: value for name, value in constants.items() if name not in arrays}
    build.pathway(
        "junctions", astrocytes, astrocytes, i, j, text, model=text, namespace=namespace, clock=build.astrocyte_clock
    )


def add_neurons(build: Build, astrocytes: Any, n: int) -> None:
    """One neuron per astrocyte, which receives its slow inward current."""
    model = build.model
    if not isinstance(model, InwardCurrent) or model.neuron is None:
        return
    constants = model.neuron.quantities()
    arrays = [name for name, value in constants.items() if np.ndim(value)]
    if arrays:
        raise ValueError(f"NeuronParameters.{arrays[0]} must be one value, got an array")
    group = b2.NeuronGroup(
        n,
        eq.NEURON,
        threshold=eq.NEURON_THRESHOLD,
        reset=eq.NEURON_RESET,
        refractory=model.neuron.tau_r,
        method="exact",
        namespace=constants,
        clock=build.clock,
    )
    build.add("neurons", group, eq.NEURON, eq.NEURON_THRESHOLD, eq.NEURON_RESET)
    build.set_state(group, v=float(model.neuron.E_l))
    values, _ = astrocyte_values(build, n)
    text, each = eq.suffixed(eq.SIC_SEEN, values.arrays, "_pre"), np.arange(n)
    namespace = {**values.scalars, "pA": pamp, "nM": nmolar}
    build.pathway("current", astrocytes, group, each, each, text, model=text, namespace=namespace)
    build.offer(group, "neuron", n, v="mV")
    build.add("spike_monitor", b2.SpikeMonitor(group))


def add_direct_input(build: Build, astrocytes: Any, n: int) -> None:
    """Spikes of the protocol onto astrocytes without synapses: transmitter (G-ChI) or IP3 (NEST)."""
    spikes = build.protocol.pre(n, build.seed)
    if spikes is None:
        return
    codes = {GChI: eq.ON_TRANSMITTER, InwardCurrent: eq.ON_IP3}
    code = next((code for kind, code in codes.items() if isinstance(build.model, kind)), None)
    if code is None:
        raise ValueError(
            f"protocol must not have spikes for a {type(build.model).__name__}, which has no receptor, got "
            f"{type(build.protocol).__name__}"
        )
    values, _ = astrocyte_values(build, n)
    source = build.spike_source("presynaptic", spikes, n)
    code = eq.suffixed(code, values.arrays, "_post")
    each = np.arange(n)
    build.pathway("input", source, astrocytes, each, each, code, on_pre=code, namespace=values.scalars)
