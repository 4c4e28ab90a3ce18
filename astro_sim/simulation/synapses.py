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
from astro_sim.simulation.arguments import Settings
from astro_sim.simulation.astrocytes import describe_astrocytes
from astro_sim.simulation.description import SYNAPSE_SIDE, Part, Pathway, Regularly, Source

ADVANCE_PERIOD = 1 * second  # efficacy is brought to the present at least this often

SILENCE = Spikes(np.empty(0, dtype=int), np.empty(0))


def describe(settings: Settings) -> tuple[Part, ...]:
    """All parts of a model under a protocol; a pathway comes after its source and target."""
    check_input(settings)
    return (*describe_synapses(settings), *describe_astrocytes(settings), *describe_signalling(settings))


def check_input(settings: Settings) -> None:
    """ValueError for input that has no effect on the model, and for gliotransmission without any input."""
    model, protocol, n_astrocytes = settings.model, settings.protocol, settings.n_astrocytes
    given = f"{type(protocol).__name__} for {type(model).__name__}"
    gliotransmission = getattr(model, "gliotransmission", None) is not None
    imposed = protocol.releases(n_astrocytes) is not None
    if imposed and not gliotransmission:
        raise ValueError(f"protocol must not impose releases where there is no gliotransmission, got {given}")
    if imposed and model.astrocyte is not None:
        raise ValueError("protocol must not impose releases on astrocytes that have calcium; set astrocyte=None")
    metabolic = isinstance(model, ChI) and model.astrocyte is not None
    if not metabolic and protocol.bias(n_astrocytes) is not None:
        raise ValueError(f"protocol must not bring an IP3 pulse where there is no IP3 metabolism, got {given}")
    if gliotransmission and model.astrocyte is None and not imposed:
        raise ValueError(
            "astrocyte must be given where there is gliotransmission, got None; or use a protocol that imposes "
            "releases, such as Releases"
        )


def describe_synapses(settings: Settings) -> tuple[Part, ...]:
    """The synapses, each between one presynaptic and one postsynaptic train of spikes, in their initial state."""
    model, n, each = settings.model, settings.n_synapses, np.arange(settings.n_synapses)
    if not isinstance(model, TripartiteSynapses):
        return ()
    constants: dict[str, Any] = {}
    for table in (model.release, model.plasticity):
        constants |= {} if table is None else table.quantities()
    delay = constants.pop("D", None)
    if model.gliotransmission is not None:
        constants |= {name: getattr(model.gliotransmission, name) for name in SYNAPSE_SIDE}
    noisy = model.plasticity is not None and bool(np.any(np.asarray(model.plasticity.sigma)))
    sources = [Source("presynaptic", n, settings.protocol.pre(n, settings.seed) or SILENCE)]
    regularly = None
    recordable, initial = {}, {}
    if model.plasticity is not None:
        post = settings.protocol.post(n, settings.seed) or SILENCE
        sources.append(Source("postsynaptic", n, post))
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
    synapses = Pathway(
        "synapses",
        sources[0].name,
        sources[-1].name,
        each,
        each,
        dim="synapse",
        n=n,
        code=synapse_code(model, noisy),
        # Heun for the additive noise of the efficacy; without plasticity everything is linear
        options={"method": "exact" if model.plasticity is None else "heun" if noisy else "rk2"},
        constants=constants,
        recordable=recordable,
        initial=initial,
        delay=delay,
        regularly=regularly,
    )
    return *sources, synapses


def synapse_code(model: TripartiteSynapses, noisy: bool) -> dict[str, Any]:
    """Equations of the synapses, and what pre- and postsynaptic spikes do."""
    event = model.update == "event"
    equations, on_pre, on_post = b2.Equations(""), "", {}
    modulated = model.gliotransmission is not None
    if modulated:
        equations += eq.PRESYNAPTIC_REDUCED if event else eq.PRESYNAPTIC
        on_pre += eq.PRESYNAPTIC_STEP if event else ""
    if model.plasticity is not None:
        equations += eq.PLASTICITY_EVENTS if event else eq.plasticity(noisy)
        advance = eq.plasticity_step(noisy) if event else ""
        on_pre, on_post = on_pre + advance, {"on_post": advance + eq.ON_POST_CALCIUM}
    if model.release is not None:
        equations += eq.RELEASE + (eq.CLEFT if event else eq.CLEFT_CLOCKED)
        on_pre += eq.on_release(modulated)
    if model.plasticity is not None:
        on_pre += eq.ON_PRE_CALCIUM if model.release is not None else eq.ON_PRE_CALCIUM_ALONE
    return {"model": equations, "on_pre": on_pre, **on_post}


def describe_signalling(settings: Settings) -> tuple[Part, ...]:
    """Transmitter of synapses reaches the astrocyte that covers them, and gliotransmitter of each its synapses."""
    if not isinstance(settings.model, TripartiteSynapses):
        return ()
    model: Any = settings.model
    each = np.arange(settings.n_synapses)
    index = each if model.astrocyte_index is None else np.asarray(model.astrocyte_index)
    event = model.update == "event"
    parts: list[Part] = []
    if model.needs_receptor:
        code = {"model": eq.SENSING + "\n" + eq.SENSING_RELEASED if event else eq.SENSING}
        constants = model.release.quantities()
        parts.append(  # sums come before the receptor's step, which is at -1
            Pathway("sensing", "synapses", "astrocytes", each, index, code=code, constants=constants, sums_at=-2)
        )
    if model.gliotransmission is not None:
        code = {"on_pre": eq.ON_GLIOTRANSMISSION} if event else {"model": eq.GLIOTRANSMITTER_SEEN}
        constants = model.gliotransmission.quantities() if event else {}
        parts.append(Pathway("gliotransmission", "astrocytes", "synapses", index, each, code=code, constants=constants))
    return tuple(parts)
