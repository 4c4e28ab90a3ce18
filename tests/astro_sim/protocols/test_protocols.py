"""Protocols: the times that they give, per element and per seed."""

import dataclasses

import numpy as np
import pytest
from brian2 import Hz, ms, second, umolar

from astro_sim.protocols.pairing import (
    ContinuousPairing,
    CycledPairing,
    RetentionAfterInduction,
    STDPWindow,
    Tetanus,
    ThetaBurst,
)
from astro_sim.protocols.protocol import Protocol, Spikes, spike_times
from astro_sim.protocols.pulses import BiasPulse, DistanceSweep, GammaSweep, Releases
from astro_sim.protocols.trains import AstrocyteResponse, PairedPulse, Poisson, RateSweep, Recovery, Train, log_rates
from astro_sim.simulation.network import on_grid


def test_train_recovery_and_paired_pulse():
    train = Train(rate=[10, 20] * Hz, n_pulses=3, start=0.5 * second)
    np.testing.assert_allclose(train.pre(2, 0).of(1), [0.5, 0.55, 0.6])
    assert train.n_elements == 2 and train.duration == 0.8 * second
    recovery = Recovery(rate=10 * Hz, n_pulses=2, delay=[0.5, 2] * second)
    np.testing.assert_allclose(recovery.pre(2, 0).of(1), [0, 0.1, 2.1])
    assert float(recovery.duration) == pytest.approx(2.2)
    pair = PairedPulse(interval=[10, 30] * ms)
    np.testing.assert_allclose(pair.pre(2, 0).of(1), [0, 0.03])


def test_rate_sweep_repeats_each_rate():
    sweep = RateSweep(rates=log_rates(1 * Hz, 100 * Hz, 3), repeats=2, length=20 * second)
    np.testing.assert_allclose(np.asarray(sweep.rate_per_element), [1, 1, 10, 10, 100, 100])
    counts = np.bincount(sweep.pre(6, 1).index, minlength=6)
    assert np.all(np.abs(counts - 20 * np.asarray(sweep.rate_per_element)) < 5 * np.sqrt(counts))
    assert sweep.n_elements == 6 and AstrocyteResponse(rates=1 * Hz).n_elements == 20


def test_poisson_depends_on_the_seed_only():
    protocol = Poisson(rate=[5, 5] * Hz, length=10 * second)
    first, again, other = (protocol.pre(2, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.time_s, again.time_s)
    assert len(first.time_s) != len(other.time_s) or not np.allclose(first.time_s, other.time_s)
    assert not np.array_equal(first.of(0), first.of(1))


def test_cycles_have_a_burst_at_the_start_of_each():
    cycles = CycledPairing(rate=1 * Hz, n_cycles=3)
    np.testing.assert_allclose(cycles.pre(1, 0).of(0), [k * 50 + n for k in range(3) for n in range(5)])
    np.testing.assert_allclose(cycles.post(1, 0).of(0) - cycles.pre(1, 0).of(0), 0.01)
    assert cycles.duration == 150 * second


def test_jittered_bursts_have_the_mean_number_of_pairs():
    cycles = CycledPairing(rate=0.3 * Hz, n_cycles=2, timing="jittered")
    times = cycles.pairs(500, 1)
    assert len(times.time_s) / 1000 == pytest.approx(1.5, abs=0.06)
    assert np.all(times.time_s % 50 < 5)


@pytest.mark.parametrize("rate, length, n", [(1, 5, 5), (0.5, 5, 3), (100, 0.29, 29), (3, 1, 3), (7, 1 / 7, 1)])
def test_regular_times_fill_a_half_open_interval(rate, length, n):
    assert len(spike_times(rate, length, "regular", np.random.default_rng(0))) == n
    assert len(spike_times(0, length, "regular", np.random.default_rng(0))) == 0


def test_negative_lags_put_the_postsynaptic_spike_first():
    window = STDPWindow(lags=[-20, 0, 20] * ms, repeats=2, n_pairs=3)
    pre, post = window.pre(6, 0), window.post(6, 0)
    for element, lag in enumerate([-0.02, -0.02, 0, 0, 0.02, 0.02]):
        np.testing.assert_allclose(post.of(element) - pre.of(element), lag, atol=1e-12)
    assert window.n_elements == 6 and pre.time_s.min() >= 0 and post.time_s.min() >= 0


def test_tetanus_and_theta_bursts():
    tetanus = Tetanus(n_trains=2)
    assert len(tetanus.pre(1, 0).time_s) == 200
    np.testing.assert_allclose(tetanus.pre(1, 0).of(0)[[0, 99, 100]], [0, 0.99, 10])
    theta = ThetaBurst()
    np.testing.assert_allclose(theta.pre(1, 0).of(0)[:5], [0, 0.01, 0.02, 0.03, 0.2])
    assert len(theta.pre(1, 0).time_s) == 40


def test_retention_is_induction_and_silence():
    protocol = RetentionAfterInduction(induction=ContinuousPairing(length=10 * second), follow=20 * second)
    assert protocol.duration == 30 * second
    assert protocol.pre(1, 0).time_s.max() < 10 and len(protocol.post(1, 0).time_s) == 10


def test_retention_keeps_what_else_the_induction_does():
    pulse = RetentionAfterInduction(induction=BiasPulse(sources=(1,), length=30 * second)).bias(3)
    np.testing.assert_allclose(np.asarray(pulse.I_bias), [0, 1e-3, 0])
    releases = RetentionAfterInduction(induction=Releases(n_releases=2)).releases(1)
    np.testing.assert_allclose(releases.of(0), [1, 11])
    for induction in (BiasPulse(length=10 * second), BiasPulse(period=30 * second)):
        with pytest.raises(ValueError, match="induction must bring one IP3 pulse that ends with it"):
            RetentionAfterInduction(induction=induction).bias(1)
    for induction in ("tetanus", Protocol()):
        with pytest.raises(TypeError, match="induction must be a protocol that ends, got"):
            RetentionAfterInduction(induction=induction)


def test_an_stdp_window_can_be_varied():
    window = STDPWindow(lags=[-20, 20] * ms, repeats=2)
    assert dataclasses.replace(window, n_pairs=5).n_elements == 4
    other = dataclasses.replace(window, lags=[1, 2, 3] * ms, repeats=1)
    np.testing.assert_allclose(np.asarray(other.lag), [1e-3, 2e-3, 3e-3])
    with pytest.raises(TypeError, match="unexpected keyword argument 'lag'"):
        STDPWindow(lag=10 * ms)


def test_imposed_releases():
    np.testing.assert_allclose(Releases(n_releases=3).releases(1).of(0), [1, 11, 21])
    sweep = GammaSweep(delay=[1, 100] * second, n_pulses=2)
    np.testing.assert_allclose(sweep.pre(2, 0).of(1), [101, 101.05])
    assert len(sweep.releases(2).time_s) == 2


def test_bias_reaches_its_sources():
    bias = BiasPulse(sources=(1, 3), I_bias=[1, 2] * umolar).bias(5)
    np.testing.assert_allclose(np.asarray(bias.I_bias), [0, 1e-3, 0, 2e-3, 0])
    assert DistanceSweep().bias(1).width == 20 * second


def test_spikes_that_share_a_step_move_to_the_next_free_one():
    spikes = Spikes(np.array([0, 0, 0, 1, 0, 1]), np.array([0.0101, 0.0099, 0.01, 0.01, 0.011, 0.5]))
    grid = on_grid(spikes, 1e-3, 0.4)
    np.testing.assert_allclose(grid.of(0), [0.010, 0.011, 0.012, 0.013])
    np.testing.assert_allclose(grid.of(1), [0.010])  # the other is past the end
    with pytest.raises(ValueError, match="spike times must not be negative"):
        on_grid(Spikes(np.array([0]), np.array([-1.0])), 1e-3, 1.0)
    assert len(on_grid(Spikes(np.empty(0, int), np.empty(0)), 1e-3, 1.0).time_s) == 0


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Train(rate=-1 * Hz), "Train.rate must be positive"),
        (lambda: Train(rate=1 * second), "Train.rate must have the dimension of 1/s"),
        (lambda: Train(rate=1 * Hz, n_pulses=0), "Train.n_pulses must be an integer of at least 1, got 0"),
        (lambda: Train(rate=[1, 2] * Hz, start=[1, 2, 3] * second), r"arrays of one length, got lengths \[2, 3\]"),
        (lambda: Poisson(rate=1 * Hz, timing="random"), "Poisson.timing must be one of"),
        (lambda: RateSweep(rates=1 * Hz, length=[1, 2] * second), "RateSweep.length must be one time"),
        (lambda: CycledPairing(burst=60 * second), "CycledPairing.burst must not exceed cycle"),
        (lambda: CycledPairing(n_cycles=1.5), "CycledPairing.n_cycles must be an integer"),
        (lambda: PairedPulse(interval=float("nan") * second), "PairedPulse.interval must be finite"),
        (lambda: BiasPulse(sources=(2,)).bias(2), "BiasPulse.sources must be astrocyte indices below 2, got 2"),
        (lambda: log_rates(10 * ms, 100 * ms, 3), r"low must have the dimension of 1/s, got 10\. \* msecond"),
        (lambda: log_rates(1 * Hz, 0 * Hz, 3), "high must be positive"),
        (lambda: log_rates(0.1, 10, 3), "low must have the dimension of 1/s, got 0.1"),
        (lambda: log_rates([1, 2] * Hz, 10 * Hz, 3), "low must be one rate"),
        (lambda: log_rates(1 * Hz, 10 * Hz, 0), "n must be an integer of at least 1, got 0"),
        (lambda: AstrocyteResponse(rates=1 * Hz, length=10 * second), "discard must be less than length = 10"),
        (lambda: DistanceSweep(sources=5), "DistanceSweep.sources must be different astrocytes, at least one, got 5"),
        (lambda: DistanceSweep(sources=()), "sources must be different astrocytes"),
        (lambda: DistanceSweep(sources=(1, 1)), "sources must be different astrocytes"),
        (lambda: BiasPulse(width=30 * second, period=10 * second), "BiasPulse.width must not exceed period = 10"),
        (lambda: BiasPulse(sources=(-1,)), "BiasPulse.sources must be an integer of at least 0"),
        (lambda: BiasPulse(I_bias=[1, 2] * umolar), "BiasPulse.I_bias must have one value, or one per source"),
        (lambda: BiasPulse(width=[1, 2] * second), "BiasPulse.width must be one time"),
    ],
)
def test_wrong_protocols_give_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
