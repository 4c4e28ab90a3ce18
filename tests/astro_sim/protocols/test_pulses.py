"""Pulses: imposed releases, and IP3 at chosen cells."""

import numpy as np
from brian2 import second, umolar

from astro_sim.protocols.pulses import BiasPulse, DistanceSweep, GammaSweep, Releases


def test_imposed_releases():
    np.testing.assert_allclose(Releases(n_releases=3).releases(1).of(0), [1, 11, 21])
    sweep = GammaSweep(delay=[1, 100] * second, n_pulses=2)
    np.testing.assert_allclose(sweep.pre(2, 0).of(1), [101, 101.05])
    assert len(sweep.releases(2).time_s) == 2


def test_bias_reaches_its_sources():
    bias = BiasPulse(sources=(1, 3), I_bias=[1, 2] * umolar).bias(5)
    np.testing.assert_allclose(np.asarray(bias.I_bias), [0, 1e-3, 0, 2e-3, 0])
    assert DistanceSweep().bias(1).width == 20 * second
