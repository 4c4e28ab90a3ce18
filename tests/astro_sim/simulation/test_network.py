"""What is recorded, and what a refused run leaves behind."""

import gc

import pytest
from brian2 import Hz, ms, second
from brian2.utils.logger import catch_logs

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import AstrocyteNetwork, ChI, GChI, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import chain
from astro_sim.parameters.presets import LINEAR
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pairing import ContinuousPairing
from astro_sim.protocols.pulses import DistanceSweep
from astro_sim.simulation.arguments import check_settings
from astro_sim.simulation.description import Part
from astro_sim.simulation.network import build, make, prepare, suffixed
from astro_sim.simulation.run import device, simulate
from astro_sim.simulation.synapses import describe


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


def test_one_variable_may_be_named_alone():
    assert list(run(LiRinzel(), duration=1 * second, record="C").data_vars) == ["C"]


def test_a_refused_run_leaves_no_warning_of_brian_behind():
    with catch_logs() as logs:
        for _ in range(2):
            with pytest.raises(ValueError, match="record must hold"):
                run(ChI(), duration=1 * second, record="Ca")
        gc.collect()
    assert [message for _, _, message in logs if "getting deleted" in message] == []


def test_the_hashed_text_is_that_of_the_equations_in_objects():
    """Brian2 sorts the equations of an object that it makes, so their text is another before."""
    alone = TripartiteSynapses(astrocyte=None, gliotransmission=None, release=None, update="published", n_synapses=2)
    protocol = ContinuousPairing(length=1 * second)
    settings = check_settings(alone, protocol, None, 0, None, None, None, "fixed_point")
    parts = describe(settings)
    synapses = parts[-1]
    before = [str(text) for text in synapses.code.values()]
    with device("numpy"):
        network = build(parts, settings, None)
        assert network.code == tuple(str(text) for text in synapses.code.values()) != tuple(before)
        network.run(10 * ms, namespace={})


def test_the_step_of_the_receptor_is_hashed():
    settings = check_settings(GChI(), None, 1 * second, 0, None, None, None, "published")
    with device("numpy"):
        network = build(describe(settings), settings, None)
        assert network.code[-1].endswith(eq.RECEPTOR_STEP + eq.TRANSMITTER_STEP)
        network.run(10 * ms, namespace={})


def test_constants_that_differ_between_cells_are_read_from_the_end_that_holds_them():
    coupling = variant(LINEAR, source="this study", F_lin=[0.1, 0.2, 0.3] * Hz)
    settings = check_settings(
        AstrocyteNetwork(topology=chain(3), coupling=coupling), DistanceSweep(), None, 0, None, None, None, "published"
    )
    groups = {part.name: part for part in describe(settings)}
    junctions = prepare(groups["junctions"], groups, settings)
    assert "-F_lin_post*(I_post - I_pre)" in junctions.code["model"] and not junctions.constants


def test_an_unknown_part_is_refused():
    with pytest.raises(TypeError, match="part must be a Source, Monitor, Group or Pathway"):
        make(Part(name="nothing"), {}, {})


def test_suffixes_touch_whole_names_only():
    assert suffixed("U_A*U_A2 + x_A", {"U_A", "x_A"}, "_pre") == "U_A_pre*U_A2 + x_A_pre"
    assert suffixed("U_A", set(), "_pre") == "U_A"
