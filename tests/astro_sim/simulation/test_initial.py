"""Where a run starts: at rest, as published, or as asked for."""

import dataclasses

import numpy as np
import pytest
from brian2 import ms, second, umolar

from astro_sim.dynamics.vector_fields import calcium_rates, ip3_rate, micromolar_seconds
from astro_sim.models.astrocytes import ChI, GChI, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import FM, GLIOTRANSMISSION, NEST, RELEASE, get_preset
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pulses import Releases
from astro_sim.simulation.run import simulate

STP = TripartiteSynapses(astrocyte=None, gliotransmission=None, plasticity=None, release=RELEASE)
GLIO = dataclasses.replace(STP, gliotransmission=GLIOTRANSMISSION)


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


@pytest.mark.parametrize(
    "preset, stim, F_ex, expected",
    [
        ("fm", 0, 2.0, {"C": 0.4353, "I": 0.9975}),
        ("fm", 1, 2.0, {"C": 0.0298, "I": 0.198}),
        ("fm", 1, 0.09, {"C": 0.0325, "I": 0.287}),
        ("am", 0, 2.0, {"C": 0.0544, "I": 0.0608, "h": 0.7857}),
    ],
)
def test_rest_is_the_fixed_point_and_stays(preset, stim, F_ex, expected):
    astrocyte = variant(get_preset(preset), source="this study", F_ex=F_ex * umolar / second)
    recording = run(ChI(astrocyte=astrocyte, stim=stim), duration=20 * second)
    for name, value in expected.items():
        assert float(recording[name][0, 0]) == pytest.approx(value, rel=5e-3)
        np.testing.assert_allclose(recording[name], recording[name][0, 0], rtol=1e-9)


def test_without_exogenous_flow_fm_spikes_once_when_it_starts_from_zero():
    recording = run(ChI(astrocyte=FM), duration=60 * second, initial="published", record_every=10 * ms)
    C, time = recording["C"][:, 0].values, recording["time"].values
    crossings = time[1:][(C[:-1] < 0.5) & (C[1:] >= 0.5)]
    np.testing.assert_allclose(crossings, [17.36], rtol=5e-3)


def test_every_element_has_its_own_fixed_point():
    calcium = variant(NEST.calcium, source="this study", Omega_L=[0.11, 0.05, 0.11] / second)
    astrocyte = dataclasses.replace(NEST, source="this study", calcium=calcium)
    recording = run(LiRinzel(astrocyte=astrocyte, I=0.2 * umolar), duration=5 * second)
    np.testing.assert_allclose(recording["C"], np.broadcast_to(recording["C"][0], recording["C"].shape), rtol=1e-9)
    assert recording["C"][0, 0] == recording["C"][0, 2] != recording["C"][0, 1]


def test_a_cell_whose_fixed_point_is_unstable_starts_as_published_and_cycles():
    levels = [0.1, 0.5] * umolar  # at rest; V2 of VALIDATION.md: the cell cycles every 11.5 s
    recording = run(LiRinzel(astrocyte=NEST, I=levels), duration=60 * second, record_every=0.1 * second)
    C = recording["C"].values
    np.testing.assert_allclose(C[:, 0], C[0, 0], rtol=1e-9)
    assert C[0, 1] == pytest.approx(0.073) and float(recording["h"][0, 1]) == pytest.approx(0.793)
    rises = recording["time"].values[1:][(C[:-1, 1] < 0.25) & (C[1:, 1] >= 0.25)]
    np.testing.assert_allclose(np.diff(rises)[1:], 11.5, rtol=0.02)


@pytest.mark.parametrize("name", ["Omega_C", "Omega_L", "O_P", "C_T"])
@pytest.mark.parametrize("model", [ChI(), ChI(stim=1, I_bias=0.5 * umolar), LiRinzel()])
def test_a_knocked_out_flux_leaves_the_cell_a_rest(model, name):
    knocked = variant(FM, source="this study", **{name: 0 * getattr(FM.calcium, name)})
    recording = run(dataclasses.replace(model, astrocyte=knocked), duration=20 * second)
    state = [float(recording[variable][0, 0]) for variable in "ChI"]
    p = micromolar_seconds(knocked.calcium, knocked.ip3)
    calcium, gate = calcium_rates(*state, p)
    I_bias = 0.5 if getattr(model, "stim", 0) else None
    ip3 = 0 if isinstance(model, LiRinzel) else ip3_rate(state[0], state[2], p, I_bias=I_bias)
    np.testing.assert_allclose([calcium, gate, ip3], 0, atol=1e-12)
    for variable in "ChI":
        np.testing.assert_allclose(recording[variable], recording[variable][0, 0], rtol=1e-9)


def test_without_uptake_and_leak_there_is_no_rest():
    adrift = variant(FM, source="this study", O_P=0 * umolar / second, Omega_L=0 / second)
    with pytest.raises(ValueError, match=r"initial must not be 'fixed_point' where .*; use 'published'"):
        run(ChI(astrocyte=adrift), duration=1 * second)
    assert np.isfinite(run(ChI(astrocyte=adrift), duration=1 * second, initial="published")["C"]).all()


def test_transmitter_may_be_there_from_the_start():
    recording = run(GChI(), duration=50 * ms, dt=10 * ms, initial={"Y_S": 2 * umolar}, record="Y_S")
    np.testing.assert_allclose(recording["Y_S"][:, 0], 2 * np.exp(-40 * recording["time"]), rtol=1e-12)
    model = dataclasses.replace(GLIO, update="published")
    recording = run(model, Releases(), duration=50 * ms, initial={"G_A": 2 * umolar}, record=["G_A"])
    np.testing.assert_allclose(recording["G_A"][:, 0], 2 * np.exp(-60 * recording["time"]), rtol=1e-12)
