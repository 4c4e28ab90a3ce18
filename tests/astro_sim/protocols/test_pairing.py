"""Pairings: bursts in cycles, lags, tetanus, theta bursts, silence after induction."""

import dataclasses

import numpy as np
import pytest
from brian2 import Hz, ms, second

from astro_sim.protocols.pairing import (
    ContinuousPairing,
    CycledPairing,
    RetentionAfterInduction,
    STDPWindow,
    Tetanus,
    ThetaBurst,
)
from astro_sim.protocols.protocol import Protocol, spike_times
from astro_sim.protocols.pulses import BiasPulse, Releases


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
