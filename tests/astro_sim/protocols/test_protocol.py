"""Protocols: spikes on the time grid, and refusals in one sentence."""

import numpy as np
import pytest
from brian2 import Hz, ms, second, umolar

from astro_sim.protocols.pairing import CycledPairing
from astro_sim.protocols.protocol import Spikes
from astro_sim.protocols.pulses import BiasPulse, DistanceSweep
from astro_sim.protocols.trains import AstrocyteResponse, PairedPulse, Poisson, RateSweep, Train, log_rates
from astro_sim.simulation.network import on_grid


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
