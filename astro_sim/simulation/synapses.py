"""The whole model described: synapses, and how they are joined to their astrocytes."""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
from brian2 import second

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import ChI
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.protocol import Spikes
from astro_sim.simulation import astrocytes
from astro_sim.simulation.arguments import Settings
from astro_sim.simulation.description import (
    ASTROCYTE_SIDE,
    SYNAPSE_SIDE,
    Part,
    Pathway,
    Regularly,
    Source,
    Values,
    joined,
    on_grid,
    split,
)

ADVANCE_PERIOD = 1 * second  # efficacy is brought to the present at least this often


def describe(settings: Settings) -> tuple[Part, ...]:
    """All parts of a model under a protocol; a pathway comes after its source and target."""
    model = settings.model
    imposed = check_input(settings)
    if not isinstance(model, TripartiteSynapses):
        return astrocytes.describe_astrocytes(settings)
    parts = list(describe_synapses(settings))
    index = np.arange(settings.n_synapses) if model.astrocyte_index is None else np.asarray(model.astrocyte_index)
    if model.astrocyte is not None:
        values, exogenous = astrocytes.astrocyte_values(settings)
        parts += astrocytes.describe_cells(settings, values, exogenous)
        parts += astrocytes.describe_junctions(settings)
        parts += [describe_sensing(model, index)] if model.loop == "closed" else []
    elif model.gliotransmission is not None:
        if imposed is None:
            raise ValueError(
                "astrocyte must be given where there is gliotransmission, got None; or use a protocol that imposes "
                "releases, such as Releases"
            )
        parts += astrocytes.describe_imposed(settings, imposed)
    if model.gliotransmission is not None:
        parts.append(describe_gliotransmission(model, index))
    return tuple(parts)


def check_input(settings: Settings) -> Spikes | None:
    """The imposed releases; ValueError for input that has no effect on the model."""
    model, protocol, n_astrocytes = settings.model, settings.protocol, settings.n_astrocytes
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


def describe_sensing(model: Any, index: np.ndarray) -> Pathway:
    """Transmitter of the synapses reaches the astrocyte that covers them."""
    arrays, scalars = split(model.release.quantities())
    text = eq.SENSING
    if model.update == "event":
        text += "\n" + eq.suffixed(eq.SENSING_RELEASED, arrays, "_pre")
    each = np.arange(len(index))  # sums come before the receptor's step, which is at -1
    return joined("sensing", "synapses -> astrocytes", each, index, scalars, model=text, sums_at=-2)


def describe_synapses(settings: Settings) -> tuple[Part, ...]:
    """The synapses, each between one presynaptic and one postsynaptic train of spikes, in their initial state."""
    model, n, each = settings.model, settings.n_synapses, np.arange(settings.n_synapses)
    values = Values(n, "synapses")
    for table in (model.release, model.plasticity):
        if table is not None:
            values.add_table(table, without="D")
    if model.gliotransmission is not None:
        values.add_table(model.gliotransmission, SYNAPSE_SIDE)
    noisy = values.any("sigma")
    equations, on_pre, on_post = synapse_code(model, noisy)
    sources = [train("presynaptic", settings.protocol.pre(n, settings.seed), settings)]
    pathways, delay, regularly = {"on_pre": on_pre}, None, None
    recordable, initial = {}, {}
    if model.plasticity is not None:
        sources.append(train("postsynaptic", settings.protocol.post(n, settings.seed), settings))
        pathways["on_post"], delay = on_post, model.plasticity.D
        recordable, initial = {"c": "1", "rho": "1"}, {"c": 0.0, "rho": 0.0}
        if model.update == "event":
            # efficacy moves by itself between spikes: bring it to the present for every sample, and once a second
            slow = settings.record_every_s > float(ADVANCE_PERIOD)
            clock = ADVANCE_PERIOD if slow else "record"
            regularly = Regularly(code=eq.plasticity_step(noisy), clock=clock, when="start", order=-10)
    if model.release is not None:
        recordable |= {"u_S": "1:u_S_now", "x_S": "1:x_S_now", "Y_S": "uM:Y_S_now", "r_S": "1"}
        recordable |= {"released": "1", "n_spikes": "1"}
        initial |= {"u_S": 0.0, "x_S": 1.0}
    if model.gliotransmission is not None:
        recordable["Gamma_S"], initial["Gamma_S"] = "1:Gamma_S_now", 0.0
    # Heun for the additive noise of the efficacy; without plasticity everything is linear
    method = "exact" if model.plasticity is None else ("heun" if noisy else "rk2")
    model_text = equations + values.declarations()
    synapses = Pathway(
        name="synapses",
        code=(equations, *pathways.values()),
        source=sources[0].name,
        target=sources[-1].name,
        i=each,
        j=each,
        dim="synapse",
        n=n,
        recordable=recordable,
        initial=initial,
        arrays=values.arrays,
        arguments=dict(model=model_text, namespace=values.scalars, method=method, **pathways),
        delay=delay,
        regularly=regularly,
    )
    return *sources, synapses


def train(name: str, spikes: Spikes | None, settings: Settings) -> Source:
    """The spikes of one side of the synapses; silence where the protocol has none."""
    spikes = spikes or Spikes(np.empty(0, dtype=int), np.empty(0))
    return Source(name=name, n=settings.n_synapses, spikes=on_grid(spikes, settings.dt_s, settings.duration_s))


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


def describe_gliotransmission(model: Any, index: np.ndarray) -> Pathway:
    """Releases of each astrocyte reach the synapses that it covers."""
    ends, each = "astrocytes -> synapses", np.arange(len(index))
    if model.update == "published":
        return joined("gliotransmission", ends, index, each, {}, model=eq.GLIOTRANSMITTER_SEEN)
    arrays, scalars = split(model.gliotransmission.quantities())
    code = eq.suffixed(eq.ON_GLIOTRANSMISSION, {"Gamma_S", "t_Gamma", *(set(arrays) & set(SYNAPSE_SIDE))}, "_post")
    code = eq.suffixed(code, {"x_A", *(set(arrays) & set(ASTROCYTE_SIDE))}, "_pre")
    return joined("gliotransmission", ends, index, each, scalars, on_pre=code)
