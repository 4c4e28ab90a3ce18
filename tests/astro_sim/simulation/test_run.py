"""Targets, progress, and what a run leaves unchanged."""

import brian2 as b2
import numpy as np
import pytest
from brian2 import Hz, ms, second

from astro_sim.models.astrocytes import ChI
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import AM, PLASTICITY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pairing import ContinuousPairing, CycledPairing
from astro_sim.simulation.run import simulate

NOISELESS = variant(PLASTICITY["DP"], source="this study", sigma=0)


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


def test_nothing_global_changes():
    def state():
        generator = b2.get_device().get_random_state()["numpy_state"][1].copy()
        return generator, b2.prefs.codegen.target, b2.defaultclock.dt_, b2.get_device()

    before = state()
    run(TripartiteSynapses(n_synapses=2), CycledPairing(), duration=100 * ms)
    after = state()
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.slow
def test_targets_agree_in_any_order():
    model = TripartiteSynapses(plasticity=NOISELESS, n_synapses=3)
    protocol = ContinuousPairing(rate=[1, 2, 4] * Hz, length=3 * second)
    targets = ("cpp_standalone", "numpy", "cython", "cpp_standalone", "numpy")
    recordings = [simulate(model, protocol, target=target) for target in targets]
    for recording, target in zip(recordings, targets, strict=True):
        assert recording.attrs["target"] == target
        for name in recording.data_vars:
            np.testing.assert_allclose(recording[name], recordings[0][name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.slow
def test_standalone_is_reproducible_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = TripartiteSynapses(n_synapses=20)
    first, again, other = (
        simulate(model, ContinuousPairing(length=2 * second), seed=seed, target="cpp_standalone") for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first["rho"].equals(other["rho"])
    assert list(tmp_path.iterdir()) == []


def test_progress_reports_to_standard_error(capfd):
    simulate(ChI(astrocyte=AM), duration=1 * second, target="numpy", progress=True)
    captured = capfd.readouterr()
    assert "100%" in captured.err and captured.out == ""


def test_no_compiler_falls_back_to_numpy(monkeypatch, caplog):
    monkeypatch.setattr("astro_sim.simulation.run.shutil.which", lambda program: None)
    recording = simulate(ChI(astrocyte=AM), duration=1 * second)
    assert recording.attrs["target"] == "numpy"
    assert "no C++ compiler" in caplog.text
