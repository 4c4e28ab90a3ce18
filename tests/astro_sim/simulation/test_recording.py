"""Recordings: samples, provenance and files."""

import json

import numpy as np
import pytest
from brian2 import ms, second

from astro_sim.models.astrocytes import ChI, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import AM
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.simulation.recording import RecordingFileError, load_recording, save_recording
from astro_sim.simulation.run import simulate


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


def test_samples_stop_short_of_a_duration_that_the_interval_does_not_divide():
    recording = run(LiRinzel(), duration=1.0005 * second, record_every=0.3 * second)
    np.testing.assert_allclose(recording["time"], [0, 0.3, 0.6, 0.9])
    recording = run(LiRinzel(), duration=1.0005 * second, record_every=1 * ms)
    assert float(recording["time"][-1]) == 1.001  # between two steps: the later one


def test_recording_survives_a_file(tmp_path):
    recording = run(ChI(astrocyte=AM), duration=1 * second)
    save_recording(recording, tmp_path / "folder" / "recording.nc")
    again = load_recording(tmp_path / "folder" / "recording.nc")
    assert recording.identical(again)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["recording.nc"]


def test_a_file_that_is_no_recording_says_so(tmp_path):
    with pytest.raises(RecordingFileError, match="does not exist"):
        load_recording(tmp_path / "nothing.nc")
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(RecordingFileError, match="must be a recording"):
        load_recording(tmp_path / "text.nc")
    recording = run(ChI(astrocyte=AM), duration=1 * second)
    recording.attrs["version"] = 99
    save_recording(recording, tmp_path / "new.nc")
    with pytest.raises(RecordingFileError, match="version 1"):
        load_recording(tmp_path / "new.nc")


def test_provenance_holds_every_parameter_with_its_unit():
    recording = run(TripartiteSynapses(n_synapses=2), CycledPairing(n_cycles=1), duration=10 * ms, seed=7)
    attrs = recording.attrs
    parameters = json.loads(attrs["parameters"])
    assert parameters["astrocyte.calcium.O_P"] == {"value": pytest.approx(0.9), "unit": "uM/s"}
    assert parameters["gliotransmission.O_G"] == {"value": pytest.approx(1.5), "unit": "1/(uM s)"}
    assert parameters["plasticity.theta_p"] == {"value": 1.3, "unit": "1"}
    assert parameters["release.source"] == "this study"
    assert json.loads(attrs["protocol"])["n_cycles"] == 1
    assert attrs["seed"] == 7 and attrs["dt_s"] == 0.001 and attrs["astrocyte_dt_s"] == 0.01
    assert len(attrs["equations_sha256"]) == 64
    other = run(TripartiteSynapses(n_synapses=2, gliotransmission=None), CycledPairing(), duration=10 * ms)
    assert other.attrs["equations_sha256"] != attrs["equations_sha256"]
