"""Protocols of long-term plasticity: presynaptic spikes, each followed after ``lag`` by a postsynaptic one."""

from __future__ import annotations

from dataclasses import dataclass, field

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, second

from astro_sim.parameters.units import RateConstant, SignedTime, TimeConstant, default
from astro_sim.protocols.protocol import Bias, Protocol, Spikes, ragged, spike_times, spread
from astro_sim.protocols.trains import Poisson


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairing(Protocol):
    """Base of the protocols that pair every presynaptic spike with a postsynaptic one ``lag`` later (or earlier)."""

    lag: SignedTime = default(10 * ms)

    def pairs(self, n: int, seed: int) -> Spikes:
        """Times of the pairs, as seen by the first spike of each; ``seed`` is that of Poisson or jittered timing."""
        raise NotImplementedError

    def pre(self, n: int, seed: int) -> Spikes:
        pairs = self.pairs(n, seed)
        return Spikes(pairs.index, pairs.time_s + np.maximum(0, -spread(self.lag, n))[pairs.index])

    def post(self, n: int, seed: int) -> Spikes:
        pairs = self.pairs(n, seed)
        return Spikes(pairs.index, pairs.time_s + np.maximum(0, spread(self.lag, n))[pairs.index])


@dataclass(frozen=True, kw_only=True, eq=False)
class ContinuousPairing(Pairing):
    """Pairs at ``rate`` for ``length``."""

    rate: RateConstant = default(1 * Hz)
    length: TimeConstant = default(120 * second)
    timing: str = "regular"

    def pairs(self, n: int, seed: int) -> Spikes:
        return Poisson(rate=self.rate, length=self.length, timing=self.timing).pre(n, seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class CycledPairing(Pairing):
    """The cycles of RMAAT: ``n_cycles`` of ``cycle``, each with a burst of pairs at ``rate`` in its first ``burst``.

    With ``timing="jittered"`` each synapse has its own phase in each burst, so that the mean number of pairs is
    ``rate * burst`` also where that is not an integer.
    """

    rate: RateConstant = default(1 * Hz)
    n_cycles: int = 6
    cycle: TimeConstant = default(50 * second)
    burst: TimeConstant = default(5 * second)
    timing: str = "regular"

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.any(self.burst > self.cycle):
            raise ValueError(f"CycledPairing.burst must not exceed cycle = {self.cycle!r}, got {self.burst!r}")

    @property
    def duration(self) -> b2.Quantity:
        return np.max(self.n_cycles * self.cycle)

    def pairs(self, n: int, seed: int) -> Spikes:
        rng = np.random.default_rng((seed, 0))
        rate, cycle, burst = spread(self.rate, n), spread(self.cycle, n), spread(self.burst, n)
        trains = []
        for i in range(n):
            bursts = [k * cycle[i] + spike_times(rate[i], burst[i], self.timing, rng) for k in range(self.n_cycles)]
            trains.append(np.concatenate(bursts))
        return ragged(trains)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tetanus(Pairing):
    """``n_trains`` of ``n_pulses`` pairs at ``rate``, ``interval`` apart; followed to ``length``."""

    rate: RateConstant = default(100 * Hz)
    n_pulses: int = 100
    n_trains: int = 1
    interval: TimeConstant = default(10 * second)
    length: TimeConstant = default(60 * second)

    def pairs(self, n: int, seed: int) -> Spikes:
        rate, interval = spread(self.rate, n), spread(self.interval, n)
        pulse, train = np.arange(self.n_pulses), np.arange(self.n_trains)[:, None]
        return ragged([(train * interval[i] + pulse / rate[i]).ravel() for i in range(n)])


@dataclass(frozen=True, kw_only=True, eq=False)
class ThetaBurst(Tetanus):
    """Bursts of four pairs at 100 Hz, five bursts a second, ten bursts."""

    n_pulses: int = 4
    n_trains: int = 10
    interval: TimeConstant = default(200 * ms)


@dataclass(frozen=True, kw_only=True, eq=False)
class STDPWindow(Pairing):
    """``n_pairs`` at ``rate`` for every lag, each on ``repeats`` elements: element k has ``lags[k // repeats]``.

    ``lag``, one per element, follows from these.
    """

    lag: SignedTime = field(init=False, default_factory=lambda: 0 * second)
    lags: SignedTime = default(np.linspace(-100, 100, 21) * ms)
    repeats: int = 1
    n_pairs: int = 60
    rate: RateConstant = default(1 * Hz)

    def __post_init__(self) -> None:
        super().__post_init__()
        lag = np.repeat(np.atleast_1d(np.asarray(self.lags)), self.repeats)
        object.__setattr__(self, "lag", b2.Quantity(lag, dim=second.dim))

    @property
    def n_elements(self) -> int:
        return len(self.lag)

    @property
    def duration(self) -> b2.Quantity:
        return np.max(self.n_pairs / self.rate)

    def pairs(self, n: int, seed: int) -> Spikes:
        return ragged([np.arange(self.n_pairs) / rate for rate in spread(self.rate, n)])


@dataclass(frozen=True, kw_only=True, eq=False)
class RetentionAfterInduction(Protocol):
    """An induction protocol, and then silence for ``follow``."""

    induction: Protocol
    follow: TimeConstant = default(600 * second)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.induction, Protocol) or self.induction.duration is None:
            raise TypeError(
                f"RetentionAfterInduction.induction must be a protocol that ends, got {type(self.induction).__name__}"
            )

    @property
    def n_elements(self) -> int | None:
        return self.induction.n_elements

    @property
    def duration(self) -> b2.Quantity:
        return self.induction.duration + np.max(self.follow)

    def pre(self, n: int, seed: int) -> Spikes | None:
        return self.induction.pre(n, seed)

    def post(self, n: int, seed: int) -> Spikes | None:
        return self.induction.post(n, seed)

    def releases(self, n: int) -> Spikes | None:
        return self.induction.releases(n)

    def bias(self, n: int) -> Bias | None:
        bias = self.induction.bias(n)
        if bias is not None and (bias.period is not None or bias.start + bias.width > self.induction.duration):
            raise ValueError(
                "RetentionAfterInduction.induction must bring one IP3 pulse that ends with it, got one of "
                f"{bias.width} from {bias.start}, period {bias.period}, in {self.induction.duration}"
            )
        return bias
