"""Sweeps that fail, are killed, or run side by side: nothing lost and nothing run twice."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from small_sweeps import condition_times, small

from astro_sim.sweeps import conditions
from astro_sim.sweeps import run as run_module
from astro_sim.sweeps.folder import saved
from astro_sim.sweeps.run import load_sweep, run_sweep


@pytest.mark.slow
def test_a_failed_sweep_resumes_where_it_stopped(tmp_path, monkeypatch, whole):
    sweep, runs = small(elements_per_run=2), []
    original = conditions.split

    def breaking(sweep, batch, recording):
        runs.append(batch.index)
        for k, part in enumerate(original(sweep, batch, recording)):
            if len(runs) == 3 and k == 1:
                raise OSError("no space left")  # in the middle of writing a batch
            yield part

    monkeypatch.setattr(run_module, "split", breaking)
    with pytest.raises(OSError, match="no space left"):
        run_sweep(sweep, tmp_path)
    assert runs == [0, 1, 2] and list(saved(tmp_path)) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"folder must hold all 6 conditions, got 4; run the sweep again"):
        load_sweep(sweep, tmp_path)
    before = condition_times(tmp_path)
    result = run_sweep(sweep, tmp_path)
    assert runs == [0, 1, 2, 2]  # only what was missing ran
    assert before.items() <= condition_times(tmp_path).items()
    assert not list(tmp_path.glob(".partial-*")) and sorted(saved(tmp_path)) == [0, 1, 2, 3, 4, 5]
    assert np.abs(result["C"] - whole["C"]).max() < 1e-12
    assert run_sweep(sweep, tmp_path).equals(result) and load_sweep(sweep, tmp_path).equals(result)
    assert runs == [0, 1, 2, 2]  # a finished sweep runs nothing


KILLED = """
import sys
from brian2 import ms, second, umolar
from astro_sim.models.astrocytes import ChI
from astro_sim.sweeps import Sweep, run_sweep
import numpy as np

if __name__ == "__main__":
    run_sweep(
        Sweep(
            model=ChI(stim=1),
            axes={"I_bias": np.linspace(0.1, 1.2, 12) * umolar},
            settings={"duration": 2 * second, "record_every": 100 * ms},
            record=("C",),
            target="numpy",
            elements_per_run=1,
        ),
        sys.argv[1],
    )
"""


@pytest.mark.slow
def test_a_killed_sweep_resumes_where_it_stopped(tmp_path):
    script, folder = tmp_path / "killed.py", tmp_path / "sweep"
    script.write_text(textwrap.dedent(KILLED))
    process = subprocess.Popen([sys.executable, script, folder])
    try:
        deadline = time.monotonic() + 120
        while len(condition_times(folder)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(ValueError, match=r"folder must not be in use"):
            run_sweep(small(), folder)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    survived = condition_times(folder)
    assert 3 <= len(survived) < 12
    subprocess.run([sys.executable, script, folder], check=True)
    finished = condition_times(folder)
    assert survived.items() <= finished.items() and len(finished) == 12
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, script, fresh], check=True)
    for path in folder.glob("batch-*/*.nc"):
        assert path.read_bytes() == (fresh / path.relative_to(folder)).read_bytes()


@pytest.mark.slow
def test_processes_on_one_machine(whole):
    result = run_sweep(small(elements_per_run=2), n_jobs=2)
    assert np.abs(result["C"] - whole["C"]).max() < 1e-12


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(tmp_path):
    for n_jobs in (1, 2):
        run_sweep(small(elements_per_run=2), tmp_path / str(n_jobs), n_jobs=n_jobs)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.glob("batch-*/*.nc")}
        for folder in (tmp_path / "1", tmp_path / "2")
    )
    assert one == two and len(one) == 6


@pytest.mark.slow
def test_the_same_call_on_a_dask_cluster(tmp_path, whole):
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        result = run_sweep(small(elements_per_run=1), tmp_path, client=client)
    assert len(list(tmp_path.glob("batch-*"))) == 6
    assert np.abs(result["C"] - whole["C"]).max() < 1e-12


def test_a_cluster_needs_a_folder():
    with pytest.raises(ValueError, match=r"folder must be given with a client, got None"):
        run_sweep(small(), client=object())
