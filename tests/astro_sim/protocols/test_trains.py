"""Spike trains: the times that they give, per element and per seed."""

import numpy as np
import pytest
from brian2 import Hz, ms, second

from astro_sim.protocols.trains import AstrocyteResponse, PairedPulse, Poisson, RateSweep, Recovery, Train, log_rates


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
