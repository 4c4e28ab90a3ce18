"""Spike trains: the times that they give, per element and per seed."""

import numpy as np
import pytest
from brian2 import Hz, ms, second

from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.trains import (
    AstrocyteResponse,
    PairedPulse,
    Poisson,
    RateSteps,
    RateSweep,
    Recovery,
    SpikeTimes,
    Train,
    log_rates,
)
from astro_sim.simulation.run import simulate


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


def test_given_spikes_reach_their_elements():
    protocol = SpikeTimes(times=([0.4, 0.1] * second, [] * second, 20 * ms))
    spikes = protocol.pre(3, 0)
    assert [spikes.of(k).tolist() for k in range(3)] == [[0.1, 0.4], [], [0.02]]
    assert protocol.n_elements == 3 and float(protocol.duration) == pytest.approx(0.5)
    recording = simulate(
        TripartiteSynapses(astrocyte=None, gliotransmission=None), protocol, target="numpy", record=["r_S"]
    )
    assert [bool(recording["r_S"][:, k].any()) for k in range(3)] == [True, False, True]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"times": ()}, ValueError, "times must hold one array of times for each element"),
        ({"times": [1, 2] * second}, ValueError, "times must hold one array of times for each element"),
        ({"times": ([-1, 2] * second,)}, ValueError, r"times\[0\] must not be negative"),
        ({"times": ([1, 2] * Hz,)}, ValueError, r"times\[0\] must have the dimension of s"),
        ({"times": ([1, 2] * second,), "length": 2 * second}, ValueError, r"later than the last spike at 2\. s, got 2"),
    ],
)
def test_wrong_spike_times_get_one_sentence(fields, error, message):
    with pytest.raises(error, match=message):
        SpikeTimes(**fields)


def test_rates_change_in_steps():
    protocol = RateSteps(rates=[0, 100, 5] * Hz, step=20 * second)
    times = protocol.pre(2, 0).of(1)
    counts = np.histogram(times, [0, 20, 40, 60])[0]
    assert counts[0] == 0 and np.all(np.abs(counts[1:] - [2000, 100]) < 4 * np.sqrt([2000, 100]))
    assert protocol.duration == 60 * second and protocol.n_elements is None
    regular = RateSteps(rates=[1, 2] * Hz, step=2 * second, timing="regular")
    np.testing.assert_allclose(regular.pre(1, 0).time_s, [0, 1, 2, 2.5, 3, 3.5])
