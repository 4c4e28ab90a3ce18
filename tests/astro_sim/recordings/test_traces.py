"""Traces as tables, Suite2p folders and CaImAn files have them; other files end in one sentence."""

import h5py
import numpy as np
import pytest

from astro_sim.__main__ import main
from astro_sim.recordings.traces import read_traces
from astro_sim.simulation.recording import load_recording, save_recording

T = np.arange(600) / 10
BUMPS = np.exp(-(((T - 20) / 2) ** 2)) + np.exp(-(((T - 45) / 2) ** 2))


def suite2p(folder, cells=3, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    around = np.full((cells, T.size), 50.0)
    arrays = {
        "F": 100 * (1 + BUMPS) + 0.7 * around,
        "Fneu": around,
        "iscell": np.array([[1, 0.9]] * (cells - 1) + [[0, 0.1]]),
    }
    for name, array in (arrays | changes).items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    return folder


def test_a_suite2p_folder_gives_dff_of_its_cells(tmp_path):
    recording = read_traces(suite2p(tmp_path / "plane0"), rate_hz=10)
    assert recording["dFF"].dims == ("time", "cell") and recording["dFF"].shape == (600, 2)
    np.testing.assert_allclose(recording["dFF"][:, 0], BUMPS, atol=0.01)
    np.testing.assert_allclose(recording["time"], T)
    assert "2 of 3 regions" in recording.attrs["source"]
    save_recording(recording, tmp_path / "r.nc")
    assert load_recording(tmp_path / "r.nc").identical(recording)


def test_a_caiman_file_gives_its_accepted_components(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["estimates/F_dff"] = np.stack([BUMPS, 2 * BUMPS, 0 * BUMPS])
        file["estimates/idx_components"] = np.array([0, 1])
        file["params/data/fr"] = 10.0
    recording = read_traces(tmp_path / "a.hdf5")
    np.testing.assert_allclose(recording["dFF"].T, [BUMPS, 2 * BUMPS])
    np.testing.assert_allclose(recording["time"], T)


def test_a_table_has_one_column_per_cell(tmp_path):
    rows = [f"{t},{b},{2 * b},{3 * b}" for t, b in zip(T, BUMPS, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["Time (s),cell 1,cell 2,cell 3", *rows]))
    recording = read_traces(tmp_path / "t.csv")
    assert recording["cell"].values.tolist() == ["cell 1", "cell 2", "cell 3"]
    np.testing.assert_allclose(recording["dFF"][:, 2], 3 * BUMPS)


def test_the_command_writes_table_figure_and_recording(tmp_path, capsys):
    assert main(["events", str(suite2p(tmp_path / "p")), "--rate-hz", "10", "--out", str(tmp_path / "out")]) == 0
    assert "4 events in 2 elements and 0.998 min" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "events.csv", "events.png", "events.svg", "recording.nc",
    ]  # fmt: skip
    assert main(["events", str(tmp_path / "out" / "recording.nc"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "events.csv").read_text() == (tmp_path / "out" / "events.csv").read_text()


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {}, "how many frames a second. Give rate_hz"),
        ({}, {"rate_hz": -1}, "rate_hz must be positive, got -1"),
        ({"Fneu": np.ones((2, 3))}, {"rate_hz": 10}, "must be of the same cells and frames"),
        ({"iscell": np.zeros((3, 2))}, {"rate_hz": 10}, "must mark at least one cell, got none of 3"),
        ({"F": np.zeros((3, 600))}, {"rate_hz": 10}, "must be above 0 at rest for dF/F, got -35 in cell 0"),
        (
            {"F": np.array([{"a": 1}], dtype=object)},
            {"rate_hz": 10},
            r"F\.npy must be a NumPy array, got .*Python objects",
        ),
        ({"F": np.ones(3)}, {"rate_hz": 10}, r"must be a table of numbers \(regions, frames\), got float64 \(3,\)"),
    ],
)
def test_a_folder_that_is_not_right_gets_one_sentence(tmp_path, changes, options, message):
    with pytest.raises(ValueError, match=message) as error:
        read_traces(suite2p(tmp_path / "p", **changes), **options)
    assert "\n" not in str(error.value)


def test_other_files_get_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"must be a folder of Suite2p with F.npy in it, got none; did you mean"):
        suite2p(tmp_path / "s" / "plane0")
        read_traces(tmp_path / "s")
    (tmp_path / "x.hdf5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="must be an HDF5 file of CaImAn, got"):
        read_traces(tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["other"] = [1]
    with pytest.raises(ValueError, match=r"got it has no traces estimates/F_dff or estimates/C"):
        read_traces(tmp_path / "y.h5")
