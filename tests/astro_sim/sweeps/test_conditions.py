"""Conditions as elements of one run: the same numbers as one by one, whatever the cut, in one build."""

import dataclasses

import numpy as np
import pytest
from brian2 import Hz, ms, second, umolar
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from small_sweeps import small, synapses

from astro_sim.models.astrocytes import AstrocyteNetwork
from astro_sim.models.topology import chain
from astro_sim.parameters.presets import AM, FM
from astro_sim.protocols.pulses import BiasPulse
from astro_sim.protocols.trains import Poisson
from astro_sim.simulation.run import simulate
from astro_sim.sweeps.conditions import arguments, at
from astro_sim.sweeps.run import run_sweep
from astro_sim.sweeps.sweep import Sweep


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


def test_what_is_kept_can_be_reduced(tmp_path, whole):
    result = run_sweep(small(reduce=mean_calcium), tmp_path)
    assert result["C"].dims == ("condition", "repeat")
    assert np.abs(result["C"] - whole["C"].mean("time")).max() < 1e-12


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
