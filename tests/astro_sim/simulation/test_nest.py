"""The NEST preset against a live NEST on its own astrocyte; needs the extra ``nest``."""

import numpy as np
import pytest
from brian2 import ms, umolar

from astro_sim.dynamics.vector_fields import micromolar_seconds
from astro_sim.models.astrocytes import InwardCurrent
from astro_sim.parameters.presets import NEST
from astro_sim.protocols.protocol import Protocol, Spikes
from astro_sim.simulation.run import simulate

nest = pytest.importorskip("nest", reason="NEST is not installed; it comes with the extra `nest`")
STEP_MS, DELAY_MS, DURATION_MS, WEIGHT = 0.1, 1.0, 1300.0, 300.0
SPIKES_MS = (50.0, 60.0, 61.0, 400.0, 1200.0, 1210.0, 1220.0)  # arrive at the astrocyte


class Given(Protocol):
    """The spikes above, a step earlier: NEST adds a spike at the end of a step, Brian2 after it."""

    def pre(self, n, seed):
        return Spikes(np.zeros(len(SPIKES_MS), dtype=int), (np.array(SPIKES_MS) - STEP_MS) * 1e-3)


def test_the_preset_is_that_of_the_model():
    p = micromolar_seconds(NEST.calcium, NEST.inward_current)
    ours = {
        "Ca_tot": p.C_T,
        "IP3_0": p.IP3_0,
        "Kd_IP3_1": p.d_1,
        "Kd_IP3_2": p.d_3,
        "Kd_act": p.d_5,
        "Kd_inh": p.d_2,
        "Km_SERCA": p.K_P,
        "SIC_scale": p.SIC_scale,
        "SIC_th": p.SIC_th,
        "delta_IP3": p.delta_IP3,
        "k_IP3R": p.O_2 / 1000,  # NEST counts in ms
        "rate_IP3R": p.Omega_C / 1000,
        "rate_L": p.Omega_L / 1000,
        "rate_SERCA": p.O_P / 1000,
        "ratio_ER_cyt": p.rho_A,
        "tau_IP3": p.tau_IP3 * 1000,
    }
    theirs = nest.GetDefaults("astrocyte_lr_1994")
    assert ours == pytest.approx({name: theirs[name] for name in ours})


@pytest.fixture(scope="module")
def theirs():
    """Recordings of NEST's astrocyte and of the current that reaches a neuron."""
    nest.ResetKernel()
    nest.resolution = STEP_MS
    astrocyte = nest.Create("astrocyte_lr_1994", params={"IP3": 0.4, "Ca_astro": 0.3, "h_IP3R": 0.7})
    neuron = nest.Create("aeif_cond_alpha_astro")
    source = nest.Create("spike_generator", params={"spike_times": [t - DELAY_MS for t in SPIKES_MS]})
    meter = nest.Create("multimeter", params={"record_from": ["IP3", "Ca_astro", "h_IP3R"], "interval": STEP_MS})
    current = nest.Create("multimeter", params={"record_from": ["I_SIC"], "interval": STEP_MS})
    nest.Connect(source, astrocyte, syn_spec={"weight": WEIGHT, "delay": DELAY_MS})
    nest.Connect(astrocyte, neuron, syn_spec={"synapse_model": "sic_connection", "delay": DELAY_MS})
    nest.Connect(meter, astrocyte)
    nest.Connect(current, neuron)
    nest.Simulate(DURATION_MS)
    return meter.events, current.events


@pytest.fixture(scope="module")
def ours():
    return simulate(
        InwardCurrent(w_IP3=WEIGHT),
        Given(),
        duration=DURATION_MS * ms,
        dt=STEP_MS * ms,
        record=["I", "C", "h", "I_SIC"],
        record_every=STEP_MS * ms,
        initial={"I": 0.4 * umolar, "C": 0.3 * umolar, "h": 0.7},
        target="numpy",
    ).isel(astrocyte=0)


@pytest.mark.slow
@pytest.mark.parametrize(("symbol", "name"), [("I", "IP3"), ("C", "Ca_astro"), ("h", "h_IP3R")])
def test_astrocyte(ours, theirs, symbol, name):
    events = theirs[0]
    expected = ours[symbol].sel(time=events["times"] * 1e-3, method="nearest").values
    np.testing.assert_allclose(events[name], expected, rtol=1e-12)


@pytest.mark.slow
def test_slow_inward_current(ours, theirs):
    events = theirs[1]
    arrived = events["times"] > DELAY_MS + STEP_MS / 2
    sent = (events["times"][arrived] - DELAY_MS) * 1e-3
    expected = ours["I_SIC"].sel(time=sent, method="nearest").values
    assert expected.min() > 4
    np.testing.assert_allclose(events["I_SIC"][arrived], expected, rtol=1e-12)
