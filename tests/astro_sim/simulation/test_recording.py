"""Recordings: samples, provenance and files."""

import json

import numpy as np
import pytest
from brian2 import ms, second, umolar

from astro_sim.models.astrocytes import ChI, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import AM
from astro_sim.protocols.pairing import CycledPairing
from astro_sim.simulation.recording import (
    RecordingFileError,
    SimulationError,
    load_recording,
    require_in_range,
    save_recording,
)
from astro_sim.simulation.run import simulate


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


def test_samples_stop_short_of_a_duration_that_the_interval_does_not_divide():
    recording = run(LiRinzel(), duration=1.0005 * second, record_every=0.3 * second)
    np.testing.assert_allclose(recording["time"], [0, 0.3, 0.6, 0.9])
    recording = run(LiRinzel(), duration=1.0005 * second, record_every=1 * ms)
    assert float(recording["time"][-1]) == 1.001  # between two steps: the later one


def test_a_full_disk_keeps_the_old_recording(tmp_path, full_disk):
    """HDF5 that meets a full disk itself ends the process with a segmentation fault."""
    path, recording = tmp_path / "recording.nc", run(ChI(astrocyte=AM), duration=1 * second)
    save_recording(recording, path)
    before = path.read_bytes()
    assert len(before) > 8000
    with full_disk(), pytest.raises(OSError, match=r"recording.nc must be writable, on a disk with room, got .*kept"):
        save_recording(recording, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


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


def test_a_damaged_file_is_a_sentence_or_the_same_recording(tmp_path):
    recording = run(ChI(astrocyte=AM), duration=1 * second)
    save_recording(recording, tmp_path / "whole.nc")
    whole, rng = (tmp_path / "whole.nc").read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        (tmp_path / "damaged.nc").write_bytes(damaged[: rng.integers(len(whole))] if rng.random() < 0.2 else damaged)
        try:
            assert load_recording(tmp_path / "damaged.nc").identical(recording)
        except RecordingFileError as error:
            assert "path must be a" in str(error)
            refused += 1
    assert refused > 10


def test_every_flipped_bit_is_seen_and_a_file_of_another_writer_is_read(tmp_path):
    recording = run(LiRinzel(), duration=1 * second)
    save_recording(recording, tmp_path / "recording.nc")
    content = (tmp_path / "recording.nc").read_bytes()
    for place in range(0, len(content) - 100, 997):
        (tmp_path / "flipped.nc").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(RecordingFileError, match=r"must be a recording, got .*: it was changed or damaged after"):
            load_recording(tmp_path / "flipped.nc")
    recording.to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    assert load_recording(tmp_path / "plain.nc").identical(recording)


def test_channel_noise_of_any_strength_keeps_the_gate_a_fraction():
    recording = run(LiRinzel(I=0.55 * umolar, n_astrocytes=20, noise=10.0), duration=5 * second, record=["h", "C"])
    assert 0 <= recording["h"].min() and recording["h"].max() <= 1 and np.ptp(recording["h"].values) > 0.1


def test_a_variable_that_leaves_its_range_is_named():
    recording = run(LiRinzel(n_astrocytes=3), duration=1 * second, record=["h", "J_r"])
    recording["h"][40, 2] = 1.5
    with pytest.raises(
        SimulationError, match=r"h must stay from 0 to 1, got 1.5 1 in astrocyte 2 at 0.04 s; take a smal"
    ):
        require_in_range(recording)
    recording["h"][40, 2], recording["J_r"][7, 0] = 1.0, np.nan
    with pytest.raises(SimulationError, match=r"J_r must stay finite, got nan uM/s in astrocyte 0 at 0.007 s"):
        require_in_range(recording)
