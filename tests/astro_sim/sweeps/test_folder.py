"""The folder of a sweep: whose it is, and what is damaged there."""

import dataclasses

import pytest
from brian2 import second, umolar
from small_sweeps import small

from astro_sim.sweeps.run import run_sweep


def mean_calcium(recording):
    return recording[["C"]].mean("time")


def last_calcium(recording):
    return recording[["C"]].isel(time=-1)


def test_another_sweeps_folder_is_refused(tmp_path):
    sweep = small(axes={"I_bias": [0.4] * umolar}, settings={"duration": 1 * second})
    run_sweep(sweep, tmp_path)
    with pytest.raises(ValueError, match=r"folder must hold the same sweep, got another one"):
        run_sweep(dataclasses.replace(sweep, seed=1), tmp_path)


def test_another_reduction_is_another_sweep(tmp_path, monkeypatch):
    sweep = small(axes={"I_bias": [0.4] * umolar}, settings={"duration": 1 * second}, reduce=mean_calcium)
    run_sweep(sweep, tmp_path)
    monkeypatch.setattr(last_calcium, "__qualname__", "mean_calcium")  # as if its text had been edited
    with pytest.raises(ValueError, match=r"folder must hold the same sweep, got another one"):
        run_sweep(dataclasses.replace(sweep, reduce=last_calcium), tmp_path)
    with pytest.raises(ValueError, match=r"reduce must be a function of a module where a folder is given"):
        run_sweep(dataclasses.replace(sweep, reduce=lambda recording: recording), tmp_path / "other")


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_condition_is_run_again(tmp_path, damage):
    sweep = small(axes={"I_bias": [0.4, 0.8] * umolar}, settings={"duration": 1 * second})
    whole = run_sweep(sweep, tmp_path)
    file = next(tmp_path.glob("batch-*/condition-000001.nc"))
    file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:1000])
    assert run_sweep(sweep, tmp_path).equals(whole)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match=r"folder must hold a whole sweep.json, got a damaged one in .*; delete it"):
        run_sweep(sweep, tmp_path)
