"""Sweeps of a few conditions, for tests."""

from brian2 import Hz, ms, second, umolar

from astro_sim.models.astrocytes import ChI
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import FM
from astro_sim.protocols.trains import Poisson
from astro_sim.sweeps.sweep import Sweep


def small(**changes) -> Sweep:
    """2 x 3 conditions of a pipette-driven astrocyte, for 2 s."""
    standard = dict(
        model=ChI(astrocyte=FM, stim=1),
        axes={"I_bias": [0.4, 0.8] * umolar, "astrocyte.calcium.O_P": [0.8, 0.9, 1.0] * umolar / second},
        settings={"duration": 2 * second, "record_every": 100 * ms},
        record=("C", "I"),
        target="numpy",
    )
    return Sweep(**(standard | changes))


def synapses(**changes) -> Sweep:
    """2 x 3 conditions with spikes and gliotransmission, two repeats of each."""
    standard = dict(
        model=TripartiteSynapses(plasticity=None),
        protocol=Poisson(rate=1 * Hz, length=5 * second),
        axes={"gliotransmission.alpha": [0, 1], "protocol.rate": [1, 4, 16] * Hz},
        repeats=2,
        settings={"record_every": 100 * ms},
        record=("C", "r_S"),
        target="numpy",
    )
    return Sweep(**(standard | changes))


def condition_times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("batch-*/*.nc")}
