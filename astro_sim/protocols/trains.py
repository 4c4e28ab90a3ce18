"""Trains of presynaptic spikes: regular, paired and Poisson, at one rate or many, or at given times.

A protocol gives spike times (:meth:`Protocol.pre`, :meth:`Protocol.post`), imposed gliotransmitter releases
(:meth:`Protocol.releases`) or an IP3 pulse (:meth:`Protocol.bias`) for `n` elements. Where a field may hold an array,
it has one value per element: a sweep is one protocol and one run. All draws come from the seed that is passed.

    >>> from brian2 import Hz, second
    >>> Train(rate=2 * Hz, n_pulses=3).pre(1, seed=0).time_s.tolist()
    [0.0, 0.5, 1.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, second

from astro_sim.parameters.units import (
    Dimension,
    Rate,
    RateConstant,
    Time,
    TimeConstant,
    check_count,
    check_quantity,
    default,
)
from astro_sim.protocols.protocol import Protocol, Spikes, ragged, spike_times, spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Train(Protocol):
    """``n_pulses`` at ``rate`` from ``start``."""

    rate: RateConstant
    n_pulses: int = 10
    start: Time = default(0 * second)

    @property
    def duration(self) -> b2.Quantity:
        return np.max(self.start + self.n_pulses / self.rate)

    def pre(self, n: int, seed: int) -> Spikes:
        rate, start = spread(self.rate, n), spread(self.start, n)
        return ragged([start[i] + np.arange(self.n_pulses) / rate[i] for i in range(n)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Recovery(Protocol):
    """A train, then one test pulse ``delay`` after its last pulse."""

    rate: RateConstant
    delay: TimeConstant
    n_pulses: int = 10
    margin: ClassVar[Any] = 100 * ms

    @property
    def duration(self) -> b2.Quantity:
        return np.max((self.n_pulses - 1) / self.rate + self.delay) + self.margin

    def pre(self, n: int, seed: int) -> Spikes:
        rate, delay = spread(self.rate, n), spread(self.delay, n)
        trains = [np.arange(self.n_pulses) / rate[i] for i in range(n)]
        return ragged([np.append(train, train[-1] + delay[i]) for i, train in enumerate(trains)])


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedPulse(Protocol):
    """Two pulses, ``interval`` apart; the ratio of their releases is the paired-pulse ratio."""

    interval: TimeConstant
    margin: ClassVar[Any] = 100 * ms

    @property
    def duration(self) -> b2.Quantity:
        return np.max(self.interval) + self.margin

    def pre(self, n: int, seed: int) -> Spikes:
        return ragged([np.array([0.0, interval]) for interval in spread(self.interval, n)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Poisson(Protocol):
    """Presynaptic spikes at ``rate`` for ``length``; ``timing`` may also be regular."""

    rate: RateConstant
    length: TimeConstant = default(150 * second)
    timing: str = "poisson"

    def pre(self, n: int, seed: int) -> Spikes:
        rng = np.random.default_rng((seed, 0))
        rate, length = spread(self.rate, n), spread(self.length, n)
        return ragged([spike_times(rate[i], length[i], self.timing, rng) for i in range(n)])


@dataclass(frozen=True, kw_only=True, eq=False)
class SpikeTimes(Protocol):
    """Your own spikes: ``times[k]`` are those of element k, in any order.

    ``length`` is 100 ms more than the last spike unless it is given.

    >>> SpikeTimes(times=([0.1, 0.4] * second, [] * second)).pre(2, seed=0).of(0).tolist()
    [0.1, 0.4]
    """

    times: Sequence[b2.Quantity]
    length: TimeConstant | None = None
    margin: ClassVar[Any] = 100 * ms

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.times, b2.Quantity) or not len(self.times):
            raise ValueError(f"SpikeTimes.times must hold one array of times for each element, got {self.times!r}")
        rule = Dimension(second, "s")
        trains = tuple(
            check_quantity(f"SpikeTimes.times[{k}]", train, rule) if np.size(train) else np.empty(0) * second
            for k, train in enumerate(self.times)
        )
        last = np.max(np.concatenate([np.atleast_1d(train) for train in trains]), initial=0) * second
        length = last + self.margin if self.length is None else self.length
        if np.ndim(length) or length <= last:
            raise ValueError(f"SpikeTimes.length must be one time, later than the last spike at {last}, got {length!r}")
        object.__setattr__(self, "times", trains)
        object.__setattr__(self, "length", length)

    @property
    def n_elements(self) -> int:
        return len(self.times)

    def pre(self, n: int, seed: int) -> Spikes:
        return ragged([np.sort(np.atleast_1d(np.asarray(train, dtype=float))) for train in self.times])


@dataclass(frozen=True, kw_only=True, eq=False)
class RateSteps(Protocol):
    """Spikes whose rate changes in steps: each of ``rates`` holds for ``step``, one after the other, in every element.

    ``timing`` may also be regular, from the beginning of each step.
    """

    rates: Rate
    step: TimeConstant = default(10 * second)
    timing: str = "poisson"

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.ndim(self.step):
            raise ValueError(f"RateSteps.step must be one time, got {self.step!r}")

    @property
    def n_elements(self) -> None:
        """Any number: the array of rates goes through time."""
        return None

    @property
    def duration(self) -> b2.Quantity:
        return np.size(self.rates) * self.step

    def pre(self, n: int, seed: int) -> Spikes:
        rng, step = np.random.default_rng((seed, 0)), float(self.step)
        rates = np.atleast_1d(np.asarray(self.rates, dtype=float))

        def train() -> np.ndarray:
            return np.concatenate([k * step + spike_times(r, step, self.timing, rng) for k, r in enumerate(rates)])

        return ragged([train() for _ in range(n)])


def log_rates(low: b2.Quantity, high: b2.Quantity, n: int) -> b2.Quantity:
    """``n`` rates spaced evenly in the logarithm, in Hz."""
    for name, rate in (("low", low), ("high", high)):
        if check_quantity(name, rate, Dimension(Hz, "1/s", "positive")).ndim:
            raise ValueError(f"{name} must be one rate, got {rate!r}")
    check_count("n", n)
    return np.geomspace(float(low / Hz), float(high / Hz), n) * Hz


@dataclass(frozen=True, kw_only=True, eq=False)
class RateSweep(Protocol):
    """Every rate of ``rates``, each on ``repeats`` elements: element k has rate ``rates[k // repeats]``."""

    rates: RateConstant
    repeats: int = 1
    length: TimeConstant = default(150 * second)
    timing: str = "poisson"

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.ndim(self.length):
            raise ValueError(f"{type(self).__name__}.length must be one time, got {self.length!r}")

    @property
    def n_elements(self) -> int:
        return np.size(self.rates) * self.repeats

    @property
    def rate_per_element(self) -> b2.Quantity:
        """Rate of every element, shape ``(len(rates) * repeats,)``."""
        return np.repeat(np.atleast_1d(np.asarray(self.rates)), self.repeats) * Hz

    def pre(self, n: int, seed: int) -> Spikes:
        return Poisson(rate=self.rate_per_element, length=self.length, timing=self.timing).pre(n, seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class AstrocyteResponse(RateSweep):
    """A rate sweep long enough for the calcium response, whose first ``discard`` seconds are a transient."""

    repeats: int = 20
    discard: Time = default(30 * second)

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.any(self.discard >= self.length):
            raise ValueError(
                f"AstrocyteResponse.discard must be less than length = {self.length!r}, got {self.discard!r}"
            )
