"""Astrocytes against independent solutions and closed forms."""

import numpy as np
import pytest
import reference as ref
from brian2 import Hz, ms, pA, second, umolar

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import AstrocyteNetwork, ChI, GChI, InwardCurrent, LiRinzel
from astro_sim.models.topology import chain, edge_list, grid, ring
from astro_sim.parameters.presets import AM, FM, LINEAR, NEST, NEURON, RECTIFYING
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pulses import BiasPulse, DistanceSweep
from astro_sim.protocols.trains import Poisson, Train
from astro_sim.simulation.arguments import check_settings
from astro_sim.simulation.run import simulate
from astro_sim.simulation.synapses import describe


def parts(model, protocol=None, **times):
    """The descriptions by name; no Brian2 object is made."""
    times = dict.fromkeys(("duration", "dt", "astrocyte_dt", "record_every")) | times
    return {part.name: part for part in describe(check_settings(model, protocol, seed=0, initial="published", **times))}


def run(*arguments, **settings):
    return simulate(*arguments, **{"target": "numpy", **settings})


def test_li_rinzel_against_lsoda():
    recording = run(LiRinzel(astrocyte=NEST, I=[0.3, 0.5] * umolar), duration=40 * second, initial="published")
    for k, I in enumerate((0.3, 0.5)):
        expected = ref.li_rinzel(ref.NEST, I, [0.073, 0.793], recording["time"].values)
        np.testing.assert_allclose(recording["C"][:, k], expected[:, 0], atol=1e-6)
        np.testing.assert_allclose(recording["h"][:, k], expected[:, 1], atol=1e-6)


def test_rk4_converges_with_the_fourth_power_of_the_step():
    expected = ref.li_rinzel(ref.NEST, 0.5, [0.2, 0.7], np.array([0.0, 8.0]))[-1, 0]
    errors = []
    for dt in (160, 80, 40):
        start = {"C": 0.2 * umolar, "h": 0.7}
        recording = run(LiRinzel(astrocyte=NEST), duration=8 * second, dt=dt * ms, initial=start, record=["C"])
        errors.append(abs(float(recording["C"][-1, 0]) - expected))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 4, atol=0.4)


def test_chi_against_lsoda_with_and_without_exogenous_flow():
    model = ChI(astrocyte=FM, I_bias=[0.0, 0.0, 1.0] * umolar, stim=[0, 1, 1])
    start = {"C": 0.05 * umolar, "h": 0.9, "I": 0.1 * umolar}  # off I = I_bias, where J_ex jumps
    recording = run(model, duration=40 * second, initial=start)
    for k, bias in enumerate((None, 0.0, 1.0)):
        expected = ref.chi(ref.FM, bias, [0.05, 0.9, 0.1], recording["time"].values)
        np.testing.assert_allclose(recording["C"][:, k], expected[:, 0], atol=2e-5)
        np.testing.assert_allclose(recording["I"][:, k], expected[:, 2], atol=2e-5)


@pytest.mark.parametrize("update, tolerance", [("published", 1e-6), ("event", 1e-4)])
def test_g_chi_under_regular_input_against_lsoda(update, tolerance):
    # figure 2 of Stimberg et al. 2019: 0.5 Hz, dose rho_c Y_T = 500 uM
    protocol = Poisson(rate=0.5 * Hz, length=15 * second, timing="regular")
    recording = run(GChI(astrocyte=AM, update=update), protocol, dt=1 * ms, initial="published")
    spikes = protocol.pre(1, 0).time_s + 1e-3  # a spike acts at the end of its step
    expected = ref.g_chi(ref.AM, spikes, 500.0, [0, 0.9, 0, 0, 0], recording["time"].values)
    for k, name in enumerate(("C", "h", "I")):
        np.testing.assert_allclose(recording[name][:, 0], expected[:, k], atol=tolerance)


def test_receptor_step_allows_ten_milliseconds():
    protocol = Poisson(rate=0.5 * Hz, length=20 * second, timing="regular")
    fine, coarse = (run(GChI(astrocyte=AM), protocol, dt=dt * ms, record_every=0.1 * second) for dt in (1, 10))
    np.testing.assert_allclose(coarse["C"], fine["C"], atol=0.015)  # the steps end up to 10 ms later


def test_channel_noise_keeps_the_gate_bounded_and_depends_on_the_seed_only():
    model = GChI(astrocyte=AM, noise=[0.0, 1.0, 1.0])
    protocol = Poisson(rate=2 * Hz, length=1.5 * second, timing="regular")
    first, again, other = (run(model, protocol, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["C"], again["C"])
    assert not np.allclose(first["C"][:, 1], other["C"][:, 1])
    assert not np.allclose(first["C"][:, 1], first["C"][:, 2])
    np.testing.assert_allclose(first["C"][:, 0], other["C"][:, 0])


def test_no_noise_is_the_deterministic_model():
    quiet = run(ChI(astrocyte=AM, noise=0.0), duration=2 * second, dt=1 * ms, initial="published")
    noisy = run(ChI(astrocyte=AM, noise=[0.0, 1.0]), duration=2 * second, dt=1 * ms, initial="published")
    np.testing.assert_allclose(noisy["C"][:, 0], quiet["C"][:, 0], atol=2e-4)  # forward Euler against rk4


def test_gates_of_single_channels_have_the_variance_of_the_markov_process():
    """At fixed calcium each of n channels is open with probability h_inf, so the share of open ones is binomial."""
    leaky = variant(FM, source="this study", Omega_C=1e-3 / second, Omega_L=0.6 / second, O_2=2 / (umolar * second))
    channels = np.repeat([20.0, 200.0], 500)
    model = LiRinzel(astrocyte=leaky, I=0.3 * umolar, n_channels=channels)
    recording = run(model, duration=4 * second, seed=3, record=["h", "C"])  # six time constants of the gate
    C = float(recording["C"][-1].mean())
    Q_2 = 1.05 * (0.3 + 0.13) / (0.3 + 0.9434)
    h_inf = Q_2 / (Q_2 + C)
    for n, h in zip((20, 200), np.split(recording["h"].values[-1], 2), strict=True):
        expected = h_inf * (1 - h_inf) / n
        assert h.mean() == pytest.approx(h_inf, abs=4 * (expected / 500) ** 0.5)
        assert h.var() == pytest.approx(expected, rel=4 * (2 / 500) ** 0.5)


@pytest.mark.slow
def test_calcium_of_fluctuating_gates_agrees_with_gates_that_open_and_close_one_by_one():
    exact = ref.markov_gates(0.3, 100, 300, 40, ref.FM, np.random.default_rng(0))[20_000:]
    model = LiRinzel(astrocyte=FM, I=0.3 * umolar, n_channels=[100.0] * 300)
    recording = run(model, duration=40 * second, seed=0, record=["C"], initial={"C": 0.1 * umolar, "h": 0.7})
    C = recording["C"].sel(time=slice(20, None)).values
    assert C.mean() == pytest.approx(exact.mean(), rel=0.05)
    assert C.std() == pytest.approx(exact.std(), rel=0.1)


def test_noise_and_channels_exclude_each_other():
    with pytest.raises(ValueError, match=r"LiRinzel\.noise must be 0 where n_channels is given, got 1\.0; take one of"):
        LiRinzel(noise=1.0, n_channels=20)


def test_against_the_trajectory_of_nest():
    # rows of nest-simulator's test_astrocyte.dat: IP3, Ca (uM) and h; weight-1 spike at 10 ms
    start = {"I": 1 * umolar, "C": 1 * umolar, "h": 1.0}
    spike = Train(rate=1 * Hz, n_pulses=1, start=10 * ms)
    settings = dict(duration=100 * ms, dt=0.1 * ms, record_every=0.1 * ms, initial=start)
    recording = run(InwardCurrent(), spike, **settings)
    expected = {
        8.8: (0.998965633, 1.016157191, 0.998228213),
        99.9: (0.988529642, 1.150627858, 0.978758624),
        100.0: (0.98851804, 1.15074661, 0.97873636),
    }
    for time, row in expected.items():
        at = recording.sel(time=time / 1000, method="nearest")
        np.testing.assert_allclose([float(at["I"][0]), float(at["C"][0]), float(at["h"][0])], row, rtol=1e-6)


def test_slow_inward_current_is_the_logarithm_above_threshold():
    start = {"C": [0.2, 0.1, 0.1977] * umolar}
    recording = run(InwardCurrent(n_astrocytes=3), duration=1 * ms, initial=start)
    np.testing.assert_allclose(recording["I_SIC"][0], [np.log(3.31), 0, np.log(1.01)], rtol=1e-9, atol=1e-12)


def test_slow_inward_current_reaches_a_neuron():
    silent = variant(NEURON, source="this study", I_ex=0 * pA)
    model = InwardCurrent(neuron=silent, w_SIC=[0.0, 10.0, 50.0])
    recording = run(model, duration=300 * ms, initial={"C": 0.4 * umolar}, record=["v", "I_SIC"])
    # 10 pA times ln(203) / 9.99 nS = 5.3 mV: below threshold, 50 pA above it
    assert set(recording["spike_neuron"].values) == {2}
    np.testing.assert_allclose(recording["v"][:, 0], -60, atol=1e-9)
    depolarised = -60 + 10 * recording["I_SIC"][150, 1] / 9.99
    assert float(recording["v"][150, 1]) == pytest.approx(float(depolarised), abs=0.05)


def test_neuron_fires_at_its_closed_form_rate():
    recording = run(InwardCurrent(neuron=NEURON), duration=1 * second, dt=0.1 * ms, record=["v"])
    tau, drive = 198 / 9.99, 150 / 9.99  # ms, mV above rest
    interval = 5 + tau * np.log(drive / (drive - 10))
    np.testing.assert_allclose(np.diff(recording["spike_time"]), interval * 1e-3, atol=2e-4)


def test_fluxes_balance():
    names = ["C", "J_r", "J_l", "J_p"]
    recording = run(ChI(astrocyte=AM), duration=2 * second, initial="published", record=names, record_every=10 * ms)
    slope = np.gradient(recording["C"][:, 0], recording["time"])
    flux = (recording["J_r"] + recording["J_l"] - recording["J_p"])[:, 0]
    np.testing.assert_allclose(slope[5:-1], flux[5:-1], atol=2e-3)
    assert recording["J_p"].attrs["units"] == "uM/s"


@pytest.mark.parametrize("kind", ["linear", "rectifying"])
def test_a_chain_against_lsoda(kind):
    F = 0.5 if kind == "linear" else 0.9
    coupling = LINEAR if kind == "linear" else RECTIFYING
    changes = {"F_lin": F / second} if kind == "linear" else {"F": F * umolar / second}
    network = AstrocyteNetwork(topology=chain(5), coupling=variant(coupling, source="this study", **changes))
    protocol = DistanceSweep(sources=(1,), width=10 * second, length=20 * second)
    start = {"C": 0.05 * umolar, "h": 0.9, "I": 0.1 * umolar}
    recording = run(network, protocol, dt=5 * ms, initial=start, record=["C", "I"])
    arguments = (ref.AM, F, 5, 1, 1.0, 10.0, [0.05, 0.9, 0.1], recording["time"].values)
    expected = ref.chain(*arguments, rectifying=kind == "rectifying")
    np.testing.assert_allclose(recording["I"], expected[:, 2], atol=1e-3)
    np.testing.assert_allclose(recording["C"], expected[:, 0], atol=2e-3)


def test_linear_kernel_falls_exponentially_with_the_length_of_theory():
    topology = chain(15)
    for F, length in ((0.1, 1.039), (0.5, 2.254)):
        coupling = variant(LINEAR, source="this study", F_lin=F / second)
        network = AstrocyteNetwork(topology=topology, coupling=coupling)
        recording = run(network, DistanceSweep(sources=(7,), length=80 * second), record=["I"], dt=20 * ms)
        peak = (recording["I"].max("time") - recording["I"][0]).values[7:13]
        slope = np.polyfit(np.arange(6), np.log(peak), 1)[0]
        assert -1 / slope == pytest.approx(length, rel=0.15)


@pytest.mark.parametrize("coupling", [LINEAR, RECTIFYING])
def test_gap_junctions_conserve_ip3(coupling):
    network = AstrocyteNetwork(topology=ring(6), coupling=coupling)
    recording = run(network, BiasPulse(sources=(2,), length=5 * second), record=["J_gjc"], dt=10 * ms)
    assert float(abs(recording["J_gjc"]).max()) > 1e-4
    np.testing.assert_allclose(recording["J_gjc"].sum("astrocyte"), 0, atol=1e-12)


def test_grid_is_symmetric_and_an_edge_list_is_any_graph():
    square = run(AstrocyteNetwork(topology=grid(3, 3)), BiasPulse(sources=(4,), length=5 * second), record=["I"])
    final = square["I"][-1].values.reshape(3, 3)
    np.testing.assert_allclose(final, final.T, rtol=1e-12)
    np.testing.assert_allclose(final, final[::-1], rtol=1e-12)
    same = edge_list(9, [tuple(edge) for edge in grid(3, 3).edges])
    listed = run(AstrocyteNetwork(topology=same), BiasPulse(sources=(4,), length=5 * second), record=["I"])
    np.testing.assert_array_equal(square["I"], listed["I"])


@pytest.mark.parametrize("topology", [chain(1), grid(1, 1), edge_list(3, []), chain(1).copies(2)])
def test_a_network_without_edges_has_no_junction_current(topology):
    names = ["I", "J_gjc"]
    recording = run(AstrocyteNetwork(topology=topology), BiasPulse(length=1 * second), record=names)
    alone = run(ChI(astrocyte=AM), BiasPulse(length=1 * second), record=["I"])
    np.testing.assert_array_equal(recording["I"][:, 0], alone["I"][:, 0])
    assert not recording["J_gjc"].any()


def test_a_permeability_for_each_copy_is_one_run():
    F = np.repeat([0.1, 0.5], 4)
    coupling = variant(LINEAR, source="this study", F_lin=F / second)
    network = AstrocyteNetwork(topology=chain(4).copies(2), coupling=coupling)
    both = run(network, BiasPulse(sources=(0, 4), length=5 * second), record=["I"])
    for k, value in enumerate((0.1, 0.5)):
        coupling = variant(LINEAR, source="this study", F_lin=value / second)
        one = run(AstrocyteNetwork(topology=chain(4), coupling=coupling), BiasPulse(length=5 * second), record=["I"])
        np.testing.assert_allclose(both["I"][:, 4 * k : 4 * k + 4], one["I"], rtol=1e-12)


def test_the_parts_of_astrocytes_follow_the_model_and_the_protocol():
    assert list(parts(ChI(), duration=1 * second)) == ["astrocytes"]
    assert list(parts(GChI(), Train(rate=1 * Hz))) == ["astrocytes", "presynaptic", "input"]
    assert list(parts(AstrocyteNetwork(), BiasPulse())) == ["astrocytes", "junctions"]
    assert list(parts(AstrocyteNetwork(topology=chain(1)), BiasPulse())) == ["astrocytes"]
    spiking = parts(InwardCurrent(neuron=NEURON), duration=1 * second)
    assert list(spiking) == ["astrocytes", "neurons", "current", "spike_monitor"]
    assert spiking["spike_monitor"].of == spiking["current"].target == "neurons"


def test_the_description_of_cells_holds_their_arrays_and_units():
    cells = parts(ChI(astrocyte=FM, I_bias=[0.0, 0.5] * umolar, stim=1), duration=1 * second)["astrocytes"]
    assert (cells.n, cells.dim, cells.clock) == (2, "astrocyte", "astrocyte")
    np.testing.assert_allclose(cells.constants["I_bias"] / umolar, [0, 0.5])
    assert {name for name, value in cells.constants.items() if np.ndim(value)} == {"I_bias"}
    assert "O_P" in cells.constants
    assert cells.recordable["J_ex"] == "uM/s" and "J_gjc" not in cells.recordable
    assert list(cells.initial) == ["C", "h", "I"]


def test_the_receptor_is_stepped_in_closed_form_unless_it_is_published():
    stepped, published = (parts(GChI(update=u), duration=1 * second)["astrocytes"] for u in ("event", "published"))
    assert stepped.regularly.clock == "astrocyte" and stepped.regularly.code.endswith(eq.TRANSMITTER_STEP)
    assert published.regularly is None and "dGamma_A/dt" in str(published.code["model"])


def test_junctions_hold_both_directions_of_every_edge():
    junctions = parts(AstrocyteNetwork(topology=chain(3)), duration=1 * second)["junctions"]
    assert {(int(i), int(j)) for i, j in zip(junctions.i, junctions.j, strict=True)} == {(0, 1), (1, 0), (1, 2), (2, 1)}
