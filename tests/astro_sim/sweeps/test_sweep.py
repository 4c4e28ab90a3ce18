"""Sweeps: the same numbers as one by one, whatever the cut; nothing lost and nothing run twice after a kill."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from brian2 import Hz, ms, second, umolar
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_sim.models.astrocytes import AstrocyteNetwork, ChI
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import chain
from astro_sim.parameters.presets import AM, FM
from astro_sim.protocols.pulses import BiasPulse
from astro_sim.protocols.trains import Poisson
from astro_sim.simulation.run import simulate
from astro_sim.sweeps import conditions
from astro_sim.sweeps import run as run_module
from astro_sim.sweeps.conditions import arguments, at
from astro_sim.sweeps.folder import manifest
from astro_sim.sweeps.run import load_sweep, run_sweep
from astro_sim.sweeps.sweep import Sweep


def small(**changes) -> Sweep:
    """2 x 3 conditions of a pipette-driven astrocyte, for 2 s."""
    standard = dict(
        model=ChI(astrocyte=FM, stim=1),
        axes={"I_bias": [0.4, 0.8] * umolar, "astrocyte.calcium.O_P": [0.8, 0.9, 1.0] * umolar / second},
        settings={"duration": 2 * second, "record_every": 100 * ms},
        record=("C", "I"),
        target="numpy",
    )
    return Sweep(**(standard | changes))


def synapses(**changes) -> Sweep:
    """2 x 3 conditions with spikes and gliotransmission, two repeats of each."""
    standard = dict(
        model=TripartiteSynapses(plasticity=None),
        protocol=Poisson(rate=1 * Hz, length=5 * second),
        axes={"gliotransmission.alpha": [0, 1], "protocol.rate": [1, 4, 16] * Hz},
        repeats=2,
        settings={"record_every": 100 * ms},
        record=("C", "r_S"),
        target="numpy",
    )
    return Sweep(**(standard | changes))


def condition_times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("batch-*/*.nc")}


@pytest.fixture(scope="module")
def whole():
    return run_sweep(small())


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_equals_single_runs(whole):
    assert dict(whole.sizes) == {"condition": 6, "time": 21, "repeat": 1}
    assert whole["I_bias"].values.tolist() == [0.4] * 3 + [0.8] * 3 and whole["I_bias"].attrs["units"] == "uM"
    for condition in (1, 5):
        alone = simulate(**at(small(), [condition], None), target="numpy")
        for name in ("C", "I"):
            difference = whole[name].isel(condition=condition, repeat=0).values - alone[name].values[:, 0]
            assert np.abs(difference).max() < 1e-12


@pytest.mark.slow
def test_the_cut_into_runs_changes_nothing(whole):
    pieces = run_sweep(small(elements_per_run=4))
    assert len(small(elements_per_run=4).builds[0]) == 2
    for name in ("C", "I"):
        assert np.abs(pieces[name] - whole[name]).max() < 1e-12


@pytest.mark.slow
def test_what_cannot_be_an_element_gets_its_own_run():
    axes = {"duration": [1, 2] * second, "I_bias": [0.4, 0.8] * umolar}
    sweep = small(axes=axes, settings={"record_every": 100 * ms})
    assert sweep.element_axes == ("I_bias",) and len(sweep.builds) == 2
    result = run_sweep(sweep)
    short, long = result["C"].isel(condition=0, repeat=0), result["C"].isel(condition=2, repeat=0)
    assert result["duration"].values.tolist() == [1, 1, 2, 2]
    assert np.isnan(short[-1]) and np.abs(short[:11] - long[:11]).max() < 1e-12


@pytest.mark.slow
def test_presets_are_an_axis():
    sweep = small(axes={"astrocyte": [FM, AM], "I_bias": [0.4, 0.8] * umolar})
    assert sweep.element_axes == ("I_bias",)
    result = run_sweep(sweep)
    assert result["astrocyte"].values.tolist() == ["fm", "fm", "am", "am"]
    assert np.abs(result["C"].isel(condition=1) - result["C"].isel(condition=3)).max() > 1e-3


@pytest.mark.slow
def test_networks_are_copied():
    network = Sweep(
        model=AstrocyteNetwork(topology=chain(3)),
        protocol=BiasPulse(sources=(1,), length=3 * second),
        axes={"astrocyte.ip3.Omega_5P": [0.05, 0.2] / second},
        repeats=2,
        record=("I",),
        target="numpy",
    )
    result = run_sweep(network)
    assert result["I"].dims == ("condition", "time", "repeat", "cell") and result.sizes["cell"] == 3
    assert arguments(network, network.builds[0][0])["protocol"].whole.sources == (1, 4, 7, 10)
    alone = simulate(**at(network, [1], None), target="numpy")["I"].values
    for repeat in (0, 1):
        assert np.abs(result["I"].values[1, :, repeat] - alone).max() < 1e-12


@pytest.mark.slow
def test_repeats_draw_their_own_spikes_and_the_seed_fixes_them():
    brief = Poisson(rate=1 * Hz, length=2 * second)
    first, again, other = (run_sweep(synapses(protocol=brief, seed=seed)) for seed in (1, 1, 2))
    assert first["r_S"].equals(again["r_S"]) and not first["r_S"].equals(other["r_S"])
    assert not np.array_equal(first["r_S"].values[2, :, 0], first["r_S"].values[2, :, 1])
    assert first["n_releases"].dims == ("condition", "repeat")


def test_poisson_conditions_are_what_they_are_alone_whatever_the_cut():
    whole, pieces = run_sweep(synapses()), run_sweep(synapses(elements_per_run=4))
    assert whole["r_S"].equals(pieces["r_S"])
    for condition in (1, 5):
        one = at(synapses(), [condition], None)
        one["model"] = dataclasses.replace(one["model"], n_synapses=2)
        alone = simulate(**one, target="numpy")["r_S"].values
        np.testing.assert_allclose(whole["r_S"].values[condition], alone, atol=1e-12)


def mean_calcium(recording):
    return recording[["C"]].mean("time")


def last_calcium(recording):
    return recording[["C"]].isel(time=-1)


def test_what_is_kept_can_be_reduced(tmp_path, whole):
    result = run_sweep(small(reduce=mean_calcium), tmp_path)
    assert result["C"].dims == ("condition", "repeat")
    assert np.abs(result["C"] - whole["C"].mean("time")).max() < 1e-12


# --- the cut ---------------------------------------------------------------------------------------------------------


@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3), repeats=st.integers(1, 4), limit=st.integers(1, 60), sigma=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_every_condition_is_in_one_batch(sizes, repeats, limit, sigma):
    a, b, c = sizes
    axes = {
        "gliotransmission.alpha": np.linspace(0, 1, a),
        "protocol.rate": np.linspace(1, 5, b) * Hz,
        "record_every": np.arange(1, c + 1) * ms,
    }
    model = TripartiteSynapses()
    if sigma:
        axes["plasticity.sigma"] = [0.0, 2.8]
    sweep = Sweep(model=model, protocol=Poisson(rate=1 * Hz), axes=axes, repeats=repeats, elements_per_run=limit)
    batches = [batch for build in sweep.builds for batch in build]
    real = [condition for batch in batches for condition in batch.conditions[: batch.n]]
    assert sorted(real) == list(range(sweep.n_conditions))
    assert [batch.index for batch in batches] == list(range(len(batches)))
    others = [path for path in axes if path not in sweep.element_axes]
    for build in sweep.builds:
        assert len({len(batch.conditions) for batch in build}) == 1
        for batch in build:
            assert len(batch.conditions) * repeats <= max(limit, repeats)
            assert len({tuple(sweep.position(c, path) for path in others) for c in batch.conditions}) == 1
        # one build has one protocol, element for element
        drives = {tuple(sweep.position(c, "protocol.rate") for c in batch.conditions) for batch in build}
        assert len(drives) == 1


def test_a_protocol_too_large_for_one_run_is_cut_too():
    sweep = synapses(elements_per_run=4)
    assert [[batch.conditions for batch in build] for build in sweep.builds] == [[(0, 1), (3, 4)], [(2, 5)]]


# --- kill and resume -------------------------------------------------------------------------------------------------


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
    assert runs == [0, 1, 2] and list(manifest(tmp_path)["conditions"]) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"folder must hold all 6 conditions, got 4; run the sweep again"):
        load_sweep(sweep, tmp_path)
    before = condition_times(tmp_path)
    result = run_sweep(sweep, tmp_path)
    assert runs == [0, 1, 2, 2]  # only what was missing ran
    assert before.items() <= condition_times(tmp_path).items()
    assert not list(tmp_path.glob(".partial-*")) and (tmp_path / "manifest.json").exists()
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


# --- side by side ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_build_many_runs(monkeypatch):
    builds = []
    original = CPPStandaloneDevice.build
    monkeypatch.setattr(CPPStandaloneDevice, "build", lambda *a, **k: (builds.append(1), original(*a, **k))[1])
    uptake = {"astrocyte.calcium.O_P": [0.8, 1.0] * umolar / second}  # which moves the initial state too
    sweep = synapses(axes=synapses().axes | uptake, elements_per_run=6)
    compiled = run_sweep(dataclasses.replace(sweep, target="cpp_standalone"), n_jobs=2)
    assert len(builds) == 1 and len(sweep.builds) == 1 and len(sweep.builds[0]) == 4
    interpreted = run_sweep(sweep)
    for name in compiled.data_vars:
        assert np.abs(compiled[name] - interpreted[name]).max() < 1e-9


@pytest.mark.slow
def test_processes_on_one_machine(whole):
    result = run_sweep(small(elements_per_run=2), n_jobs=2)
    assert np.abs(result["C"] - whole["C"]).max() < 1e-12


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


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 0}, r"repeats must be an integer of at least 1, got 0"),
        ({"axes": {}}, r"axes must be lists of values, at least one, got \{\}"),
        ({"axes": {"nothing": [1]}}, r"axes must name fields of model or protocol, got 'nothing' for a ChI"),
        ({"axes": {"I_bias": [1] * second}}, r"ChI.I_bias must have the dimension of M"),
        ({"settings": {"length": 1}}, r"settings must be among .*, got 'length'"),
        ({"protocol": Poisson(rate=[1, 2] * Hz)}, r"protocol must hold no arrays, got 2 elements; use axes"),
        ({"axes": {"dt": [1, 2] * Hz}}, r"dt must have the dimension of s"),
        ({"axes": {"duration": [1, 2] * second}}, r"axes must not be settings as well, got 'duration' in both"),
    ],
)
def test_what_cannot_be_swept(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("changes", [{"model": None}, {"protocol": None}])
def test_what_is_no_model_or_protocol_is_refused(changes):
    with pytest.raises(
        TypeError,
        match=r"model and protocol must be of astro_sim.models.astrocytes and astro_sim.protocols.trains, got",
    ):
        small(**changes)


def test_shared_astrocytes_cannot_be_swept():
    model = TripartiteSynapses(astrocyte_index=np.array([0, 0, 1]))
    with pytest.raises(ValueError, match=r"model must have one astrocyte for each synapse, got an astrocyte_index"):
        Sweep(model=model, axes={"release.U_0__star": [0.3]})


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


def test_a_cluster_needs_a_folder():
    with pytest.raises(ValueError, match=r"folder must be given with a client, got None"):
        run_sweep(small(), client=object())
