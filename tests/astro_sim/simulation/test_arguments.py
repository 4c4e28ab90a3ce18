"""What is refused before a run, and where a run ends."""

import dataclasses

import brian2 as b2
import numpy as np
import pytest
from brian2 import mmolar, ms, second, umolar

from astro_sim.models.astrocytes import AstrocyteNetwork, ChI, GChI, InwardCurrent, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import chain, edge_list, ring
from astro_sim.parameters.presets import AM, FM, NEST, PLASTICITY, RELEASE
from astro_sim.parameters.variants import variant
from astro_sim.simulation.arguments import check_settings
from astro_sim.simulation.run import simulate

STP = TripartiteSynapses(astrocyte=None, gliotransmission=None, plasticity=None, release=RELEASE)
NOISELESS = variant(PLASTICITY["DP"], source="this study", sigma=0)


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


@pytest.mark.parametrize("record_every_s", [1e-3, 0.5, 50])
def test_the_state_at_the_duration_is_sampled(record_every_s):
    """The end lies beyond the last sample by more than Brian2 takes for equal; else the sample came by chance."""
    times = dict(duration=100 * second, dt=None, astrocyte_dt=None, record_every=record_every_s * second)
    settings = check_settings(LiRinzel(astrocyte=AM, I=0.5 * umolar), None, seed=0, initial="published", **times)
    beyond = float(settings.end) - settings.duration_s
    assert b2.Clock.epsilon_dt * record_every_s < beyond < record_every_s * (1 + 1e-9)
    if record_every_s == 50:
        recording = simulate(LiRinzel(astrocyte=AM, I=0.5 * umolar), **times, record=["C"], target="numpy")
        assert recording["time"].values.tolist() == [0, 50, 100]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(duration=1e-4 * second), "duration must be at least dt = 0.001 s, got 0.0001 s"),
        (dict(duration=None), "duration must be given where no protocol is given, got None"),
        (dict(duration=1 * mmolar), "duration must have the dimension of s"),
        (dict(duration=-1 * second), "duration must be positive"),
        (dict(dt=float("nan") * second), "dt must be finite"),
        (dict(seed=-1), r"seed must be an integer from 0 to 2\*\*32 - 1, got -1"),
        (dict(seed=0.5), "seed must be an integer from 0"),
        (dict(seed=2**40), "seed must be an integer from 0"),
        (dict(record=["C", "Ca"]), "record must hold variables among .*'C'.*, got 'Ca'"),
        (dict(record_every=1.5 * ms), "record_every must be a multiple of dt"),
        (dict(record_every=10 * second), "record_every must not exceed duration = 1.0 s, got 10.0 s"),
        (dict(target="gpu"), "target must be one of"),
        (dict(initial="zero"), "initial must be 'fixed_point', 'published' or a mapping"),
        (dict(initial={"Ca": 1}), "initial must set variables among"),
        (dict(initial={"C": 1.0}), r"initial\['C'\] must have the dimension of M"),
        (dict(initial={"C": -1 * umolar}), r"initial\['C'\] must not be negative"),
        (dict(initial={"C": float("nan") * umolar}), r"initial\['C'\] must be finite"),
        (dict(initial={"C": 1.7 * umolar}), r"initial\['C'\] must be at most C_T/\(1 \+ rho_A\)"),
        (dict(initial={"C": [0.1, 0.2] * umolar}), r"initial\['C'\] must have one value for each of 1 astro"),
        (dict(initial={"h": 1.1}), r"initial\['h'\] must be at most 1, got 1.1"),
        (dict(initial={"rho": 1}), r"initial must set variables of the model, \['C', 'I', 'h'\], got 'rho'"),
        (dict(initial={"Gamma_S": 1}), "initial must set variables of the model, .*, got 'Gamma_S'"),
    ],
)
def test_bad_arguments_give_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        run(ChI(astrocyte=AM), **{"duration": 1 * second, **arguments})
    assert "\n" not in str(error.value)


def test_bad_kinds_of_arguments_give_one_sentence():
    with pytest.raises(TypeError, match="model must be one of the dataclasses"):
        run("ChI", duration=1 * second)
    with pytest.raises(TypeError, match="protocol must be one of"):
        run(ChI(), "train")
    with pytest.raises(TypeError, match="initial must be 'fixed_point'"):
        run(ChI(), duration=1 * second, initial=3)
    with pytest.raises(TypeError, match=r"initial\['C'\] must be a number with the dimension of M, got 'a'"):
        run(ChI(), duration=1 * second, initial={"C": "a"})


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: ChI(astrocyte="fm"), "ChI.astrocyte must be AstrocyteParameters, got 'fm'; see get_preset"),
        (lambda: ChI(astrocyte=None), "ChI.astrocyte must be AstrocyteParameters, got None; see get_preset"),
        (lambda: ChI(topology="ring"), "ChI.topology must be Topology, got 'ring'"),
        (lambda: ChI(coupling=None), "ChI.coupling must be CouplingParameters, got None"),
        (lambda: GChI(release=None), "GChI.release must be ReleaseParameters, got None"),
        (lambda: InwardCurrent(neuron=RELEASE), "InwardCurrent.neuron must be NeuronParameters, got ReleaseParameters"),
        (lambda: TripartiteSynapses(plasticity="DP"), "plasticity must be PlasticityParameters, got 'DP'"),
        (lambda: TripartiteSynapses(gliotransmission=RELEASE), "gliotransmission must be GliotransmissionParameters"),
        (lambda: dataclasses.replace(STP, release=NOISELESS), "release must be ReleaseParameters"),
        (lambda: dataclasses.replace(FM, ip3=FM.calcium), "AstrocyteParameters.ip3 must be IP3Parameters"),
    ],
)
def test_tables_in_the_wrong_place_give_one_sentence(build, message):
    with pytest.raises(TypeError, match=message):
        build()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: ChI(astrocyte=NEST), "ChI.astrocyte must have a table 'ip3', got preset 'nest'"),
        (lambda: GChI(update="fast"), "GChI.update must be one of"),
        (lambda: ChI(n_astrocytes=0), "ChI.n_astrocytes must be an integer of at least 1"),
        (lambda: LiRinzel(I=-1 * umolar), "LiRinzel.I must not be negative"),
        (lambda: AstrocyteNetwork(n_astrocytes=3), "n_astrocytes must be that of the topology, 11, got 3"),
        (lambda: chain(3) and edge_list(3, [(0, 3)]), "edges must be astrocyte indices below 3"),
        (lambda: edge_list(3, [(1, 1)]), "edges must join two astrocytes"),
        (lambda: edge_list(3, [(0, 1), (1, 0)]), "edges must hold every pair once"),
        (lambda: edge_list(3, [(0, 1.5)]), r"edges must be integers of shape \(n_edges, 2\), got float64 of shape"),
        (lambda: edge_list(3, [(0, 1, 2), (1, 2, 0)]), r"edges must be integers of shape .* of shape \(2, 3\)"),
        (lambda: ring(2), "n must be an integer of at least 3"),
        (lambda: TripartiteSynapses(loop="half"), "loop must be 'closed' or 'open'"),
        (lambda: TripartiteSynapses(release=None), "release must be given where there are astrocytes"),
        (
            lambda: TripartiteSynapses(release=None, plasticity=None, astrocyte=None, gliotransmission=None),
            "must have release or plasticity",
        ),
        (
            lambda: TripartiteSynapses(astrocyte=dataclasses.replace(FM, receptor=None)),
            "astrocyte must have a table 'receptor' where loop='closed', got 'fm'; use loop='open'",
        ),
        (
            lambda: TripartiteSynapses(release=variant(RELEASE, source="this study", U_0__star=[0, 0.3])),
            "release.U_0__star must be positive where there is plasticity",
        ),
        (
            lambda: TripartiteSynapses(astrocyte_index=np.array([0, 5]), n_astrocytes=2),
            "astrocyte_index must be indices below 2, got 5",
        ),
        (lambda: TripartiteSynapses(astrocyte_index=np.array([-1])), "astrocyte_index must not be negative, got -1"),
        (lambda: TripartiteSynapses(astrocyte_index=np.array([0.5])), "astrocyte_index must be a list of integers"),
        (lambda: TripartiteSynapses(astrocyte_index=np.array([0]), n_synapses=2), "astrocyte_index must have 2 values"),
    ],
)
def test_bad_models_give_one_sentence(build, message):
    with pytest.raises(ValueError, match=message):
        build()
