"""Astrocytes described: which equations a model is made of, its gap junctions, neurons and direct input."""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
from brian2 import nmolar, pamp, second

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import ChI, GChI, InwardCurrent, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.protocol import Bias, Spikes
from astro_sim.simulation.arguments import Settings
from astro_sim.simulation.description import ASTROCYTE_SIDE, Group, Monitor, Part, Pathway, Regularly, Source
from astro_sim.simulation.initial import astrocyte_state

FOREVER = 1e9 * second

RELEASES = Monitor("release_monitor", "astrocytes")


def describe_astrocytes(settings: Settings) -> tuple[Part, ...]:
    """The astrocytes of a model, if it has any: cells, gap junctions, their neurons and their direct input."""
    model: Any = settings.model
    if model.astrocyte is None:
        return () if model.gliotransmission is None else describe_imposed(settings)
    constants = astrocyte_constants(settings)
    junctions = describe_junctions(settings)
    neurons = describe_neurons(settings, constants)
    input_ = describe_input(settings, constants)
    return (*describe_cells(settings, constants), *junctions, *neurons, *input_)


def astrocyte_constants(settings: Settings) -> dict[str, b2.Quantity]:
    """Constants of the astrocytes, with the IP3 pulse of the protocol."""
    model: Any = settings.model
    constants: dict[str, Any] = {"nM": nmolar, "pA": pamp}  # units that the equations of NEST name
    for table in (*model.astrocyte_tables(), model):
        constants |= table.quantities()
    constants.pop("I", None)  # the clamped IP3 of Li-Rinzel is a state, not a constant
    if getattr(model, "gliotransmission", None) is not None:
        constants |= {name: getattr(model.gliotransmission, name) for name in ASTROCYTE_SIDE}
    if getattr(model, "release", None) is not None:
        constants["Omega_c"] = model.release.Omega_c
    if not isinstance(model, ChI):
        return constants
    if model.topology is not None:  # a junction reads the arrays of the cell that it ends on
        constants |= {name: value for name, value in model.coupling.quantities().items() if np.ndim(value)}
    given = settings.protocol.bias(settings.n_astrocytes)
    bias = given or Bias(model.I_bias, 0 * second, FOREVER)
    if given is not None:
        if np.any(np.asarray(model.stim)):
            raise ValueError("stim must be 0 where the protocol brings an IP3 pulse, got a constant I_bias as well")
        driven = np.ones(settings.n_astrocytes) if bias.sink else np.sign(np.asarray(bias.I_bias))
        constants |= {"I_bias": bias.I_bias, "stim": b2.Quantity(driven)}
    constants |= {"t_on": bias.start, "t_width": bias.width, "sink": float(bias.sink)}
    constants["t_period"] = FOREVER if bias.period is None else bias.period
    missing = sorted(name for name in ("F_ex", "I_Theta", "omega_I") if name not in constants)
    if missing and np.any(np.asarray(constants["stim"])):
        what = "stim must be 0 for" if given is None else "protocol must not bring an IP3 pulse to"
        raise ValueError(f"{what} the astrocyte {settings.model.astrocyte.name!r}, whose source gives no {missing[0]}")
    return constants


def describe_junctions(settings: Settings) -> tuple[Part, ...]:
    """Gap junctions, both directions of every edge."""
    model = settings.model
    if not isinstance(model, ChI) or model.topology is None:
        return ()
    constants = model.coupling.quantities()
    for name, value in constants.items():
        if np.ndim(value) and name not in ("F", "F_lin"):
            raise ValueError(f"{name} must be one value for all gap junctions, got an array")
    i, j = model.topology.directed
    if not len(i):
        return ()
    code = {"model": eq.GAP_JUNCTIONS[model.coupling.kind]}
    return (Pathway("junctions", "astrocytes", "astrocytes", i, j, clock="astrocyte", code=code, constants=constants),)


def describe_neurons(settings: Settings, constants: dict[str, b2.Quantity]) -> tuple[Part, ...]:
    """One neuron per astrocyte, which receives its slow inward current."""
    model, n, each = settings.model, settings.n_astrocytes, np.arange(settings.n_astrocytes)
    if not isinstance(model, InwardCurrent) or model.neuron is None:
        return ()
    for name, value in model.neuron.quantities().items():
        if np.ndim(value):
            raise ValueError(f"NeuronParameters.{name} must be one value, got an array")
    neurons = Group(
        "neurons",
        dim="neuron",
        n=n,
        code={"model": eq.NEURON, "threshold": eq.NEURON_THRESHOLD, "reset": eq.NEURON_RESET},
        options={"refractory": model.neuron.tau_r, "method": "exact"},
        constants=model.neuron.quantities(),
        recordable={"v": "mV"},
        initial={"v": float(model.neuron.E_l)},
    )
    current = Pathway("current", "astrocytes", "neurons", each, each, code={"model": eq.SIC_SEEN}, constants=constants)
    return neurons, current, Monitor("spike_monitor", "neurons")


def describe_input(settings: Settings, constants: dict[str, b2.Quantity]) -> tuple[Part, ...]:
    """Spikes of the protocol onto astrocytes without synapses: transmitter (G-ChI) or IP3 (NEST)."""
    model, n, each = settings.model, settings.n_astrocytes, np.arange(settings.n_astrocytes)
    spikes = None if isinstance(model, TripartiteSynapses) else settings.protocol.pre(n, settings.seed)
    if spikes is None:
        return ()
    if not isinstance(model, GChI | InwardCurrent):
        raise ValueError(
            f"protocol must not have spikes for a {type(model).__name__}, which has no receptor, got "
            f"{type(settings.protocol).__name__}"
        )
    code = {"on_pre": eq.ON_TRANSMITTER if isinstance(model, GChI) else eq.ON_IP3}
    input_ = Pathway("input", "presynaptic", "astrocytes", each, each, code=code, constants=constants)
    return Source("presynaptic", n, spikes), input_


def describe_cells(settings: Settings, constants: dict[str, b2.Quantity]) -> tuple[Part, ...]:
    """The group of astrocytes, in the detail that the model asks for, and its releases."""
    model: Any = settings.model
    equations = eq.CALCIUM
    if model.stochastic:
        equations = eq.CALCIUM_STOCHASTIC if model.n_channels is None else eq.CALCIUM_CHANNELS
    fluxes = ["J_r", "J_l", "J_p"]
    recordable = {"C": "uM", "h": "1:h_clipped" if model.stochastic else "1", "I": "uM"}
    initial: dict[str, float] = {}
    sensing, step = receptor(model)
    if isinstance(model, ChI):
        coupled, exogenous = model.topology is not None, bool(np.any(np.asarray(constants["stim"])))
        equations += eq.ip3(receptor=len(sensing) > 0, exogenous=exogenous, junctions=coupled)
        fluxes += ["J_delta", "J_3K", "J_5P", *(["J_ex"] if exogenous else []), *(["J_gjc"] if coupled else [])]
    else:
        equations += eq.IP3_CLAMPED if isinstance(model, LiRinzel) else eq.IP3_POOL
        recordable |= {"I_SIC": "1"} if isinstance(model, InwardCurrent) else {}
    if len(sensing):
        equations += sensing
        fluxes.append("J_beta")
        recordable["Gamma_A"], initial["Gamma_A"] = "1", 0.0
        if isinstance(model, GChI):  # else the transmitter is that of the synapses
            recordable["Y_S"], initial["Y_S"] = "uM", 0.0
    events: dict[str, Any] = {}
    releases = getattr(model, "gliotransmission", None) is not None
    if releases:
        more, reset, released, filled = resources(model)
        equations, recordable, initial = equations + more, recordable | released, initial | filled
        again = model.gliotransmission.refractory
        events = dict(threshold=eq.THRESHOLD, refractory=eq.THRESHOLD if again is None else again, reset=reset)
    cells = Group(
        "astrocytes",
        dim="astrocyte",
        n=settings.n_astrocytes,
        clock="astrocyte",
        code={"model": equations, **events},
        options={"method": "milstein" if model.stochastic else "rk4"},
        constants=constants,
        recordable=recordable | dict.fromkeys(fluxes, "uM/s"),
        initial={**astrocyte_state(settings), **initial},
        regularly=Regularly(code=step, clock="astrocyte", when="groups", order=-1) if step else None,  # before rk4
    )
    return (cells, RELEASES) if releases else (cells,)


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


def describe_imposed(settings: Settings) -> tuple[Part, ...]:
    """Astrocytes without calcium, which release when the protocol says so."""
    model, n, each = settings.model, settings.n_astrocytes, np.arange(settings.n_astrocytes)
    equations, reset, recordable, initial = resources(model)
    constants = {name: getattr(model.gliotransmission, name) for name in ASTROCYTE_SIDE}
    cells = Group(
        "astrocytes",
        dim="astrocyte",
        n=n,
        code={"model": eq.IMPOSED + equations, "threshold": eq.THRESHOLD, "reset": reset + eq.AFTER_IMPOSED},
        options={"method": "exact"},
        constants=constants,
        recordable=recordable,
        initial=initial,
    )
    releases: Any = settings.protocol.releases(n)
    early = np.maximum(releases.time_s - settings.dt_s, 0)  # a kick is noticed one step later
    source = Source("imposed", n, Spikes(releases.index, early))
    code = {"on_pre": eq.ON_IMPOSED}
    kicks = Pathway("imposing", "imposed", "astrocytes", each, each, code=code, constants=constants)
    return cells, source, kicks, RELEASES
