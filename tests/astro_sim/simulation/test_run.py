"""Targets, progress, and what a run leaves unchanged."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import brian2 as b2
import numpy as np
import pytest
from brian2 import Hz, ms, second

from astro_sim.models.astrocytes import ChI
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import AM, PLASTICITY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pairing import ContinuousPairing, CycledPairing
from astro_sim.simulation import run as run_module
from astro_sim.simulation.run import build_folder, simulate

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
    left = [path.name for path in tmp_path.iterdir()]  # Brian2 keeps what a compiler says until the process ends
    assert [name for name in left if not name.startswith(("brian_stdout", "brian_stderr"))] == []


def test_progress_reports_to_standard_error(capfd):
    simulate(ChI(astrocyte=AM), duration=1 * second, target="numpy", progress=True)
    captured = capfd.readouterr()
    assert "100%" in captured.err and captured.out == ""


def test_ctrl_c_ends_a_simulation_instead_of_cutting_it_short(monkeypatch):
    def interrupt(*_):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module, "report", lambda *_: {"report": interrupt, "report_period": 1 * second})
    with pytest.raises(KeyboardInterrupt):
        run(ChI(astrocyte=AM), duration=1 * second)
    assert b2.prefs.core.stop_on_keyboard_interrupt


def test_build_folders_of_ended_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = f"astro-sim-{platform.node()}"
    names = [f"{here}-{ended.pid}-a", f"{here}-{os.getpid()}-b", f"astro-sim-elsewhere-{ended.pid}-c", f"{here}-notes"]
    for name in names:
        (tmp_path / name / "code_objects").mkdir(parents=True)
    made = Path(build_folder())
    assert sorted(tmp_path.iterdir()) == sorted([made, *(tmp_path / name for name in names[1:])])
    assert made.name.startswith(f"{here}-{os.getpid()}-")


def test_a_program_that_does_not_compile_is_one_sentence(tmp_path, monkeypatch):
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\necho 'x.cpp: fatal error: No space left on device' >&2; exit 2\n")
    make.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match=r"target must be one whose programs compile here, got 'x.cpp: .*No space"):
        simulate(ChI(astrocyte=AM), duration=1 * second, target="cpp_standalone")


def test_no_compiler_falls_back_to_numpy(monkeypatch, caplog):
    monkeypatch.setattr("astro_sim.simulation.run.shutil.which", lambda program: None)
    recording = simulate(ChI(astrocyte=AM), duration=1 * second)
    assert recording.attrs["target"] == "numpy"
    assert "no C++ compiler" in caplog.text
