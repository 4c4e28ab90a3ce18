"""Astrocytes as Brian2 objects: which equations a model is made of, its gap junctions and its direct input."""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
from brian2 import nmolar, second

from astro_sim import equations as eq
from astro_sim.building import ASTROCYTE_SIDE, Build, Values, add_side
from astro_sim.drive import Spikes
from astro_sim.models import ChI, GChI, InwardCurrent, LiRinzel, TripartiteSynapses
from astro_sim.rest import astrocyte_state

FOREVER = 1e9 * second


def astrocyte_values(build: Build, n: int) -> tuple[Values, bool]:
    """Constants of the astrocytes, and whether the exogenous IP3 flow is needed."""
    model, values = build.model, Values(n, "astrocytes")
    for table in (*model.astrocyte_tables(), model):
        values.add(table.quantities(), table.kinds())
    if getattr(model, "gliotransmission", None) is not None:
        add_side(values, model.gliotransmission, ASTROCYTE_SIDE)
    if getattr(model, "release", None) is not None and "Omega_c" not in values.scalars | values.arrays:
        values.add({"Omega_c": model.release.Omega_c}, model.release.kinds())
    if not isinstance(model, ChI):
        return values, False
    bias = build.protocol.bias(n)
    pulse = dict(t_on=0 * second, t_width=FOREVER, t_period=FOREVER, sink=b2.Quantity(0.0))
    if bias is not None:
        if values.any("stim"):
            raise ValueError("stim must be 0 where the protocol brings an IP3 pulse, got a constant I_bias as well")
        values.scalars.pop("I_bias", None), values.scalars.pop("stim", None)
        driven = np.ones(n) if bias.sink else np.sign(np.asarray(bias.I_bias))
        values.add({"I_bias": bias.I_bias, "stim": b2.Quantity(driven)}, model.kinds())
        period = FOREVER if bias.period is None else bias.period
        pulse = dict(t_on=bias.start, t_width=bias.width, t_period=period, sink=b2.Quantity(float(bias.sink)))
    values.scalars.update(pulse)
    exogenous = values.any("stim")
    if exogenous and "F_ex" not in values.scalars | values.arrays:
        raise ValueError(f"stim must be 0 for the astrocyte {model.astrocyte.name!r}, whose source gives no F_ex")
    return values, exogenous


def add_astrocytes(build: Build, n: int) -> Any:
    """The group of astrocytes, in the detail that the model asks for."""
    model = build.model
    values, exogenous = astrocyte_values(build, n)
    stochastic = values.any("noise")
    equations = eq.CALCIUM_STOCHASTIC if stochastic else eq.CALCIUM
    synaptic = isinstance(model, TripartiteSynapses)
    senses = isinstance(model, GChI) or (synaptic and model.needs_receptor)
    stepped = senses and model.update == "event"
    if isinstance(model, ChI):
        junctions = model.topology is not None
        equations += eq.ip3(receptor=senses, exogenous=exogenous, junctions=junctions)
        if junctions:
            values.add({k: v for k, v in model.coupling.quantities().items() if np.ndim(v)}, model.coupling.kinds())
    else:
        equations += eq.IP3_CLAMPED if isinstance(model, LiRinzel) else eq.IP3_POOL
    if senses:
        equations += eq.RECEPTOR_STEPPED if stepped else eq.RECEPTOR
        equations += eq.TRANSMITTER_STEPPED if stepped or synaptic else eq.TRANSMITTER
    gliotransmission = getattr(model, "gliotransmission", None)
    arguments: dict[str, Any] = {}
    if gliotransmission is not None:
        equations += eq.RESOURCES
        reset = eq.ON_RELEASE
        if model.update == "published":
            equations += eq.GLIOTRANSMITTER
            reset = eq.ON_GLIOTRANSMITTER + eq.ON_RELEASE
        again = eq.THRESHOLD if gliotransmission.refractory is None else gliotransmission.refractory
        arguments = dict(threshold=eq.THRESHOLD, refractory=again, reset=reset)
    if isinstance(model, LiRinzel):
        values.scalars.pop("I", None), values.arrays.pop("I", None)
    namespace = {**values.scalars, "nM": nmolar}
    group = b2.NeuronGroup(
        n,
        equations + values.declarations(),
        method="milstein" if stochastic else "rk4",
        namespace=namespace,
        clock=build.astrocyte_clock,
        **arguments,
    )
    values.assign(group)
    build.add("astrocytes", group, equations, *(str(part) for part in arguments.values()))
    state = astrocyte_state(model, n, build.initial, build.protocol.bias(n))
    build.set_state(group, **state)
    build.offer(group, "astrocyte", n, C="uM", h="1", I="uM", J_r="uM/s", J_l="uM/s", J_p="uM/s")
    if isinstance(model, ChI):
        build.offer(group, "astrocyte", n, J_delta="uM/s", J_3K="uM/s", J_5P="uM/s")
        if exogenous:
            build.offer(group, "astrocyte", n, J_ex="uM/s")
        if model.topology is not None:
            build.offer(group, "astrocyte", n, J_gjc="uM/s")
    if isinstance(model, InwardCurrent):
        build.offer(group, "astrocyte", n, I_SIC="1")
    if senses:
        build.offer(group, "astrocyte", n, Gamma_A="1", J_beta="uM/s", **({} if synaptic else {"Y_S": "uM"}))
        build.set_state(group, Gamma_A=0.0)
        if stepped:
            code = eq.RECEPTOR_STEP + ("" if synaptic else eq.TRANSMITTER_STEP)
            group.run_regularly(code, clock=build.astrocyte_clock, when="groups", order=-1)
            build.code.append(code)
    if gliotransmission is not None:
        build.offer(group, "astrocyte", n, x_A="1", **({"G_A": "uM"} if model.update == "published" else {}))
        build.set_state(group, x_A=1.0)
        build.add("release_monitor", b2.SpikeMonitor(group))
    return group


def add_imposed(build: Build, n: int, releases: Spikes) -> Any:
    """Astrocytes without calcium, which release when the protocol says so."""
    model, values = build.model, Values(n, "astrocytes")
    add_side(values, model.gliotransmission, ASTROCYTE_SIDE)
    equations = eq.IMPOSED + eq.RESOURCES
    reset = eq.ON_RELEASE + eq.AFTER_IMPOSED
    if model.update == "published":
        equations += eq.GLIOTRANSMITTER
        reset = eq.ON_GLIOTRANSMITTER + reset
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
    source = build.spike_source("imposed", releases, n)
    kick = eq.suffixed(eq.ON_IMPOSED, values.arrays, "_post")
    build.pathway("imposing", source, group, np.arange(n), np.arange(n), kick, on_pre=kick, namespace=values.scalars)
    build.offer(group, "astrocyte", n, x_A="1", **({"G_A": "uM"} if model.update == "published" else {}))
    build.set_state(group, x_A=1.0)
    build.add("release_monitor", b2.SpikeMonitor(group))
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
    namespace = {name: value for name, value in constants.items() if name not in arrays}
    i, j = model.topology.directed
    build.pathway(
        "junctions", astrocytes, astrocytes, i, j, text, model=text, namespace=namespace, clock=build.astrocyte_clock
    )


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
