"""The macro-model of RMAAT and its parent: published behaviours, independent solutions, the Lyapunov function."""

import dataclasses
import json

import numpy as np
import pytest
from brian2 import ms, second
from scipy.integrate import solve_ivp

from astro_sim.parameters.variants import variant
from astro_sim.rate_networks.macro import MACRO, CycledInput, MacroParameters, layout, simulate_macro
from astro_sim.rate_networks.naam import NAAM, corrupt, energy, recall, simulate_naam, tutorial_start
from astro_sim.simulation.recording import load_recording, save_recording


def change(**changes) -> MacroParameters:
    return variant(MACRO, source="this study", **changes)


@pytest.fixture(scope="module")
def recording():
    return simulate_macro()


def at_cycle_ends(recording) -> np.ndarray:
    """Mean of the long-term process at 0 and at the end of every cycle."""
    ends = recording.attrs["cycle_s"] * np.arange(recording.attrs["n_cycles"] + 1)
    return recording["p_l"].sel(time=ends, method="nearest", tolerance=1e-3).mean("synapse").values


# --- macro-model -----------------------------------------------------------------------------------------------------


def test_integration_accumulation_saturation(recording):
    assert recording.sizes == {"time": 601, "neuron": 6, "synapse": 9, "other_synapse": 9, "axis": 2}
    course = recording["p_l"].mean("synapse")
    for cycle in range(6):  # integration: every burst lifts the long-term process
        begin = float(course.sel(time=50 * cycle))
        assert float(course.sel(time=50 * cycle + 5)) > begin + 1e-3
    increments = np.diff(at_cycle_ends(recording))
    assert increments.size == 6 and np.all(increments > 0)  # accumulation
    assert np.all(np.diff(increments) < 0) and increments[-1] < 0.1 * increments[0]  # saturation


def test_a_stationary_drive_gives_a_geometric_approach(recording):
    # an exact first-order integrator: once every cycle is alike, increments shrink by exp(-cycle gamma_l / tau_p_l)
    increments = np.diff(at_cycle_ends(recording))
    ratio = increments[2:] / increments[1:-1]
    assert ratio == pytest.approx(np.exp(-0.5), rel=2e-3)


def test_each_burst_fades_from_the_short_term_process(recording):
    p_s = recording["p_s"].max("synapse")
    for cycle in range(6):
        assert float(p_s.sel(time=50 * cycle + 49)) < 0.05 * float(p_s.sel(time=50 * cycle + 5))


def test_unequal_positions_give_distinct_short_term_processes_and_equal_ones_uniform():
    protocol = CycledInput(n_cycles=1, cycle=10 * second)
    scattered = np.random.default_rng(0).uniform(0, 3, (6, 3))
    distinct = simulate_macro(protocol=protocol, where=layout("A", scattered))["p_s"].sel(time=6).values
    assert np.diff(np.sort(distinct)).min() > 1e-6 and np.ptp(distinct) > 0.02 * distinct.mean()
    uniform = simulate_macro(protocol=protocol, where=layout("A", np.ones((6, 2))))["p_s"].sel(time=6).values
    assert np.ptp(uniform) < 1e-14 and uniform.mean() > distinct.mean()  # the nearer, the stronger the coupling


def test_coupling_follows_distance():
    where = layout("B")
    T = where.coupling(change(T_0=0.8, scale=2.0))
    apart = np.linalg.norm(where.processes[:, None] - where.processes[None], axis=-1)
    assert T.shape == (81, 81) and pytest.approx(T) == 0.8 * np.exp(-2 * apart) / 81
    assert np.allclose(T, T.T)


@pytest.mark.parametrize("reading", ["A", "B"])
def test_against_an_independent_solution(reading):
    where, n = layout(reading), 9 if reading == "B" else 6
    n_synapses, duration = len(where.pre), 12.0
    T = where.coupling(MACRO)
    fan_in = np.bincount(where.post, minlength=n)

    def rates(t, state):
        x, s, p_s, p_l = np.split(state, np.cumsum([n, n_synapses, n_synapses]))
        f = np.tanh(0.6 * x)
        current = np.bincount(where.post, np.tanh(0.6 * s) * f[where.pre], minlength=n) / np.maximum(fan_in, 1)
        return np.concatenate(
            [
                (-x + current + (t % 10 < 3)) / 0.1,
                (-s + f[where.pre] * f[where.post] + np.tanh(0.6 * p_s)) / 0.3,
                (-p_s + T @ np.tanh(0.6 * p_s) + np.tanh(0.6 * s)) / 5,
                (-p_l + np.tanh(0.6 * s)) / 100,
            ]
        )

    state = np.zeros(n + 3 * n_synapses)
    for a, b in ((0, 3), (3, 10), (10, duration)):  # the drive jumps between these
        inside = (a + b) / 2
        shape = solve_ivp(lambda t, y, m=inside: rates(m, y), (a, b), state, method="LSODA", rtol=1e-9, atol=1e-12)
        state = shape.y[:, -1]
    exact = np.split(state, np.cumsum([n, n_synapses, n_synapses]))
    errors = []
    for dt in (20, 10):
        protocol = CycledInput(n_cycles=2, cycle=10 * second, burst=3 * second)
        run = simulate_macro(protocol=protocol, where=where, dt=dt * ms).sel(time=duration)
        pairs = zip(("x", "s", "p_s", "p_l"), exact, strict=True)
        errors.append([np.abs(run[name].values - value).max() for name, value in pairs])
    coarse, fine = np.array(errors)
    assert np.all(coarse[1:] < 5e-3)
    assert coarse[1:] / fine[1:] == pytest.approx([2, 2, 2], rel=0.15)  # Euler: first order


def test_the_long_term_process_only_listens(recording):
    slower = simulate_macro(change(tau_p_l=300 * second))
    for name in ("x", "s", "p_s"):
        assert np.array_equal(slower[name], recording[name])
    assert slower["p_l"].max() < recording["p_l"].max()


@pytest.mark.slow
def test_both_readings_saturate_over_sixteen_cycles():
    for reading in "AB":
        protocol = CycledInput(n_cycles=16, cycle=5 * second, burst=1 * second)
        fast = change(tau_p_s=0.5 * second, tau_p_l=10 * second)
        increments = np.diff(at_cycle_ends(simulate_macro(fast, protocol, where=layout(reading))))
        assert increments.size == 16 and np.all(increments > 0) and np.all(np.diff(increments) < 0)


def test_noise_follows_the_seed():
    protocol, noisy = CycledInput(n_cycles=1, amplitude=0), change(sigma=0.1)
    first, again, other = (simulate_macro(noisy, protocol, seed=seed)["x"].values for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first[20:].std() == pytest.approx(0.1, rel=0.2)
    assert not simulate_macro(protocol=protocol)["p_l"].any()  # no input, no noise: nothing happens


def test_recording_knows_where_it_comes_from_and_survives_a_file(recording, tmp_path):
    assert recording["time"].attrs["units"] == "s" and recording["p_l"].attrs["units"] == "1"
    parameters = json.loads(recording.attrs["parameters"])
    assert parameters["tau_p_l"] == {"value": 100.0, "unit": "s"} and parameters["gain"]["value"] == 0.6
    assert recording.attrs["source"] == "this study, inferred"
    save_recording(recording, tmp_path / "macro.nc")
    assert load_recording(tmp_path / "macro.nc").identical(recording)


def test_macro_errors():
    with pytest.raises(ValueError, match=r"tau_p_l must exceed tau_p_s"):
        change(tau_p_l=1 * second)
    with pytest.raises(ValueError, match=r"CycledInput.burst must not exceed cycle"):
        CycledInput(burst=60 * second)
    with pytest.raises(ValueError, match=r"n_cycles must be an integer of at least 1, got 0"):
        CycledInput(n_cycles=0)
    with pytest.raises(ValueError, match=r"reading must be 'A' or 'B', got 'C'"):
        layout("C")
    with pytest.raises(ValueError, match=r"positions must have shape \(6, d\) in reading A, got \(9, 2\)"):
        layout("A", np.zeros((9, 2)))
    with pytest.raises(ValueError, match=r"dt must be at most a quarter of tau_n and tau_s, got 50\. ms"):
        simulate_macro(dt=50 * ms)
    with pytest.raises(ValueError, match=r"dt must have the dimension of s, got 0\.02"):
        simulate_macro(dt=0.02)
    with pytest.raises(ValueError, match=r"amplitude must be one number, or one for each of 6 neurons, got 2"):
        simulate_macro(protocol=CycledInput(amplitude=[1, 2]))
    with pytest.raises(ValueError, match=r"positions must be finite"):
        layout("A", np.full((6, 2), np.nan))
    with pytest.raises(ValueError, match=r"cycle must be a multiple of dt = 20\. ms, got 10\.01 s"):
        simulate_macro(protocol=CycledInput(cycle=10.01 * second))


# --- the parent model ------------------------------------------------------------------------------------------------


def memories(k, n, seed=0):
    return np.where(np.random.default_rng(seed).random((k, n)) < 0.5, -1.0, 1.0)


@pytest.mark.slow
def test_corrupted_memories_are_retrieved():
    stored = memories(4, 60)
    for k in range(4):
        x = corrupt(stored[k], 0.1, seed=k)
        assert np.any(x != stored[k])
        run = simulate_naam(stored, tutorial_start(x, stored), duration=10 * second, record_every=1 * second)
        assert np.array_equal(np.sign(run["x"][-1]), stored[k])


@pytest.mark.parametrize(("tau_n", "tau_s", "tau_p"), [(1, 1, 1), (1, 0.7, 2), (3, 0.5, 0.5)])
def test_energy_falls_monotonically(tau_n, tau_s, tau_p):
    rng = np.random.default_rng(5)
    stored = memories(2, 6)
    s, p = (state + state.T for state in rng.normal(0, 0.3, (2, 6, 6)))
    parameters = dataclasses.replace(NAAM, tau_n=tau_n * second, tau_s=tau_s * second, tau_p=tau_p * second)
    run = simulate_naam(stored, (rng.normal(0, 0.5, 6), s, p), parameters, duration=8 * second, dt=5 * ms)
    fall = np.diff(run["energy"])
    assert fall.max() < 1e-9 and run["energy"][-1] < run["energy"][0] - 1


def test_energy_derivative_is_the_closed_form():
    rng = np.random.default_rng(2)
    stored, gain = memories(3, 5), 5.0
    x = rng.normal(0, 0.3, 5)
    s, p = (state + state.T for state in rng.normal(0, 0.1, (2, 5, 5)))
    phi, g, psi = (np.tanh(gain * z) for z in (x, s, p))
    dx, ds, dp = -x + g @ phi, -s + np.outer(phi, phi) + psi, -p + recall(psi, stored) + g
    slopes = [np.sum(gain * (1 - f**2) * d**2) for f, d in ((phi, dx), (g, ds), (psi, dp))]
    exact = -slopes[0] - slopes[1] / 2 - slopes[2] / 2
    step = 1e-6
    ahead, behind = (energy(x + k * dx, s + k * ds, p + k * dp, stored) for k in (step, -step))
    assert (ahead - behind) / (2 * step) == pytest.approx(exact, rel=1e-6)


def test_recall_is_the_full_tensor():
    stored, psi = memories(3, 4), np.random.default_rng(0).normal(size=(4, 4))
    tensor = np.einsum("mi,mj,mk,ml->ijkl", stored, stored, stored, stored) / 4**3
    assert recall(psi, stored) == pytest.approx(np.einsum("ijkl,kl->ij", tensor, psi))
    assert np.allclose(tensor, tensor.transpose(2, 3, 0, 1))


def test_brian_integrates_the_equations_exactly_as_euler_does():
    stored = memories(3, 12)
    x, s, p = state = tutorial_start(corrupt(stored[0], 0.2, seed=1), stored)
    run = simulate_naam(stored, state, dataclasses.replace(NAAM, tau_s=2 * second), duration=5 * second)
    for _ in range(100):
        phi, g, psi = np.tanh(5 * x), np.tanh(5 * s), np.tanh(5 * p)
        x, s, p = (
            x + 0.05 * (-x + g @ phi),
            s + 0.025 * (-s + np.outer(phi, phi) + psi),
            p + 0.05 * (-p + recall(psi, stored) + g),
        )
    for name, value in (("s", s), ("p", p)):
        assert run[name].values == pytest.approx(value, abs=1e-12)
    assert run["x"][-1].values == pytest.approx(x, abs=1e-12)
    assert run["energy"][-1] == pytest.approx(energy(x, s, p, stored))


def test_naam_errors():
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 1\.5"):
        corrupt([1, -1], 1.5, seed=0)
    with pytest.raises(ValueError, match=r"memories must be an array \(K, N\) of \+1 and -1"):
        simulate_naam([[1, 0]], (np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))))
    with pytest.raises(ValueError, match=r"start must be x, s, p of shapes \(2,\)"):
        simulate_naam([[1, -1]], (np.zeros(3), np.zeros((2, 2)), np.zeros((2, 2))))
