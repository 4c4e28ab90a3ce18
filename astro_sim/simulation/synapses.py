"""From a model to its network: the synapses, and how they are joined to their astrocytes."""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
from brian2 import second

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import ChI
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.protocol import Spikes
from astro_sim.simulation.astrocytes import add_astrocytes, add_direct_input, add_imposed, add_junctions, add_neurons
from astro_sim.simulation.network import ASTROCYTE_SIDE, SYNAPSE_SIDE, Build, Values, add_side

ADVANCE_PERIOD = 1 * second  # efficacy is brought to the present at least this often


def assemble(build: Build, n_synapses: int, n_astrocytes: int, record_clock: b2.Clock) -> None:
    """Fill ``build`` with the objects of its model."""
    model = build.model
    imposed = check_input(build, n_astrocytes)
    if not isinstance(model, TripartiteSynapses):
        astrocytes = add_astrocytes(build, n_astrocytes)
        add_junctions(build, astrocytes)
        add_neurons(build, astrocytes, n_astrocytes)
        add_direct_input(build, astrocytes, n_astrocytes)
        return
    synapses = add_synapses(build, n_synapses, record_clock)
    index = np.arange(n_synapses) if model.astrocyte_index is None else model.astrocyte_index
    if model.astrocyte is not None:
        astrocytes = add_astrocytes(build, n_astrocytes)
        add_junctions(build, astrocytes)
        if model.loop == "closed":
            add_sensing(build, synapses, astrocytes, index)
    elif model.gliotransmission is not None:
        if imposed is None:
            raise ValueError(
                "astrocyte must be given where there is gliotransmission, got None; or use a protocol that imposes "
                "releases, such as Releases"
            )
        astrocytes = add_imposed(build, n_astrocytes, imposed)
    if model.gliotransmission is not None:
        add_gliotransmission(build, astrocytes, synapses, index)


def check_input(build: Build, n_astrocytes: int) -> Spikes | None:
    """Raise one sentence for input that nothing in the model would notice; return the imposed releases."""
    model, protocol = build.model, build.protocol
    given = f"{type(protocol).__name__} for {type(model).__name__}"
    imposed = protocol.releases(n_astrocytes)
    if imposed is not None and getattr(model, "gliotransmission", None) is None:
        raise ValueError(f"protocol must not impose releases where there is no gliotransmission, got {given}")
    if imposed is not None and model.astrocyte is not None:
        raise ValueError("protocol must not impose releases on astrocytes that have calcium; set astrocyte=None")
    metabolic = isinstance(model, ChI) and model.astrocyte is not None
    if not metabolic and protocol.bias(n_astrocytes) is not None:
        raise ValueError(f"protocol must not bring an IP3 pulse where there is no IP3 metabolism, got {given}")
    return imposed


def add_sensing(build: Build, synapses: Any, astrocytes: Any, index: np.ndarray) -> None:
    """Transmitter of the synapses reaches the astrocyte that covers them."""
    release = build.model.release.quantities()
    arrays = [name for name, value in release.items() if np.ndim(value)]
    text = eq.SENSING
    if build.model.update == "event":
        text += "\n" + eq.suffixed(eq.SENSING_RELEASED, arrays, "_pre")
    namespace = {name: value for name, value in release.items() if name not in arrays}
    each = np.arange(len(index))
    sensing = build.pathway("sensing", synapses, astrocytes, each, index, text, model=text, namespace=namespace)
    for updater in sensing.summed_updaters.values():
        updater.order = -2  # before the receptor's step, which is at -1


def add_synapses(build: Build, n: int, record_clock: b2.Clock) -> Any:
    """The synapses, each between one presynaptic and one postsynaptic train of spikes."""
    model, event = build.model, build.model.update == "event"
    values = Values(n, "synapses")
    for table in (model.release, model.plasticity):
        if table is not None:
            values.add({k: v for k, v in table.quantities().items() if k != "D"}, table.kinds())
    if model.gliotransmission is not None:
        add_side(values, model.gliotransmission, SYNAPSE_SIDE)
    noisy = values.any("sigma")
    equations, on_pre, on_post = synapse_code(model, noisy)
    synapses = connect_synapses(build, n, values, equations, on_pre, on_post)
    if model.plasticity is not None and event:
        # efficacy moves by itself between spikes: bring it to the present for every sample, and once a second
        slow = float(record_clock.dt) > float(ADVANCE_PERIOD)
        clock = b2.Clock(ADVANCE_PERIOD, name="advance_clock") if slow else record_clock
        synapses.run_regularly(eq.plasticity_step(noisy), clock=clock, when="start", order=-10)
    return synapses


def synapse_code(model: TripartiteSynapses, noisy: bool) -> tuple[b2.Equations, str, str]:
    """Equations of the synapses, and what pre- and postsynaptic spikes do."""
    event = model.update == "event"
    equations, on_pre, on_post = b2.Equations(""), "", ""
    modulated = model.gliotransmission is not None
    if modulated:
        equations += eq.PRESYNAPTIC_REDUCED if event else eq.PRESYNAPTIC
        on_pre += eq.PRESYNAPTIC_STEP if event else ""
    if model.plasticity is not None:
        equations += eq.PLASTICITY_EVENTS if event else eq.plasticity(noisy)
        advance = eq.plasticity_step(noisy) if event else ""
        on_pre, on_post = on_pre + advance, advance + eq.ON_POST_CALCIUM
    if model.release is not None:
        equations += eq.RELEASE + (eq.CLEFT if event else eq.CLEFT_CLOCKED)
        on_pre += eq.on_release(modulated)
    if model.plasticity is not None:
        on_pre += eq.ON_PRE_CALCIUM if model.release is not None else eq.ON_PRE_CALCIUM_ALONE
    return equations, on_pre, on_post


def connect_synapses(build: Build, n: int, values: Values, equations: b2.Equations, on_pre: str, on_post: str) -> Any:
    """Create the synapses between the spikes of the protocol, in their initial state."""
    model, each = build.model, np.arange(n)
    none = Spikes(np.empty(0, dtype=int), np.empty(0))
    source = build.spike_source("presynaptic", build.protocol.pre(n, build.seed) or none, n)
    target, pathways = source, {"on_pre": on_pre}
    if model.plasticity is not None:
        target = build.spike_source("postsynaptic", build.protocol.post(n, build.seed) or none, n)
        pathways["on_post"] = on_post
    # Heun for the additive noise of the efficacy; without plasticity everything is linear
    method = "exact" if model.plasticity is None else ("heun" if values.any("sigma") else "rk2")
    synapses = build.pathway(
        "synapses",
        source,
        target,
        each,
        each,
        equations,
        *pathways.values(),
        model=equations + values.declarations(),
        namespace=values.scalars,
        method=method,
        **pathways,
    )
    values.assign(synapses)
    if model.plasticity is not None:
        synapses.pre.delay = model.plasticity.D
        build.offer(synapses, "synapse", n, c="1", rho="1")
        build.set_state(synapses, c=0.0, rho=0.0)
    if model.release is not None:
        build.offer(synapses, "synapse", n, u_S="1:u_S_now", x_S="1:x_S_now", Y_S="uM:Y_S_now", r_S="1")
        build.offer(synapses, "synapse", n, released="1", n_spikes="1")
        build.set_state(synapses, u_S=0.0, x_S=1.0)
    if model.gliotransmission is not None:
        build.offer(synapses, "synapse", n, Gamma_S="1:Gamma_S_now")
        build.set_state(synapses, Gamma_S=0.0)
    return synapses


def add_gliotransmission(build: Build, astrocytes: Any, synapses: Any, index: np.ndarray) -> None:
    """Releases of each astrocyte reach the synapses that it covers."""
    model = build.model
    each = np.arange(len(index))
    if model.update == "published":
        text = eq.GLIOTRANSMITTER_SEEN
        build.pathway("gliotransmission", astrocytes, synapses, index, each, text, model=text)
        return
    constants = model.gliotransmission.quantities()
    arrays = {name for name, value in constants.items() if np.ndim(value)}
    code = eq.suffixed(eq.ON_GLIOTRANSMISSION, {"Gamma_S", "t_Gamma", *(arrays & set(SYNAPSE_SIDE))}, "_post")
    code = eq.suffixed(code, {"x_A", *(arrays & set(ASTROCYTE_SIDE))}, "_pre")
    namespace = {name: value for name, value in constants.items() if name not in arrays}
    build.pathway("gliotransmission", astrocytes, synapses, index, each, code, on_pre=code, namespace=namespace)
