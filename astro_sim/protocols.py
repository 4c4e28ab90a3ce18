"""What the presynapse is made to do, and what is done to the astrocyte: small frozen dataclasses that can be drawn.

A protocol gives spike times (:meth:`Protocol.pre`, :meth:`Protocol.post`), imposed gliotransmitter releases
(:meth:`Protocol.releases`) or an IP3 pulse (:meth:`Protocol.bias`) for `n` elements. Where a field may hold an array,
it has one value per element: a sweep is one protocol and one run. All draws come from the seed that is passed.

    >>> from brian2 import Hz, second
    >>> cycles = CycledPairing(rate=1 * Hz, n_cycles=2)
    >>> cycles.pre(1, seed=0).time_s.tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 50.0, 51.0, 52.0, 53.0, 54.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import brian2 as b2
import numpy as np
from brian2 import Hz, ms, second, umolar

from astro_sim.drive import Bias, Protocol, Spikes, default, ragged, spike_times, spread
from astro_sim.pairing import (
    ContinuousPairing,
    CycledPairing,
    Pairing,
    RetentionAfterInduction,
    STDPWindow,
    Tetanus,
    ThetaBurst,
)
from astro_sim.quantities import (
    Concentration,
    Dimension,
    RateConstant,
    Time,
    TimeConstant,
    check_count,
    check_quantity,
)

__all__ = [
    "AstrocyteResponse",
    "BiasPulse",
    "ContinuousPairing",
    "CycledPairing",
    "DistanceSweep",
    "GammaSweep",
    "PairedPulse",
    "Pairing",
    "Poisson",
    "Protocol",
    "RateSweep",
    "Recovery",
    "Releases",
    "RetentionAfterInduction",
    "STDPWindow",
    "Spikes",
    "Tetanus",
    "ThetaBurst",
    "Train",
    "log_rates",
]

# ---------------------------------------------------------------------------------------------------------------------
# Short-term plasticity
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Train(Protocol):
    """``n_pulses`` at ``rate`` from ``start``."""

    rate: RateConstant
    n_pulses: int = 10
    start: Time = default(0 * second)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("Train.n_pulses", self.n_pulses)

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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("Recovery.n_pulses", self.n_pulses)

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

    @property
    def duration(self) -> b2.Quantity:
        return np.max(self.length)

    def pre(self, n: int, seed: int) -> Spikes:
        rng = np.random.default_rng((seed, 0))
        rate, length = spread(self.rate, n), spread(self.length, n)
        return ragged([spike_times(rate[i], length[i], self.timing, rng) for i in range(n)])


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
        check_count(f"{type(self).__name__}.repeats", self.repeats)
        if np.ndim(self.length):
            raise ValueError(f"{type(self).__name__}.length must be one time, got {self.length!r}")

    @property
    def n_elements(self) -> int:
        """``repeats`` for each rate."""
        return np.size(self.rates) * self.repeats

    @property
    def duration(self) -> b2.Quantity:
        return self.length

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Releases(Protocol):
    """Gliotransmitter releases imposed every ``period`` from ``start``, ``n_releases`` of them (Gamma accumulation)."""

    period: TimeConstant = default(10 * second)
    n_releases: int = 1
    start: Time = default(1 * second)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"{type(self).__name__}.n_releases", self.n_releases)

    @property
    def duration(self) -> b2.Quantity:
        return np.max(self.start + self.n_releases * self.period)

    def releases(self, n: int) -> Spikes:
        start, period = spread(self.start, n), spread(self.period, n)
        return ragged([start[i] + period[i] * np.arange(self.n_releases) for i in range(n)])


@dataclass(frozen=True, kw_only=True, eq=False)
class GammaSweep(Releases):
    """Imposed releases, then a test train ``delay`` after the last: how release depends on Gamma_S."""

    delay: Time = default(1 * second)
    rate: RateConstant = default(20 * Hz)
    n_pulses: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("GammaSweep.n_pulses", self.n_pulses)

    @property
    def _test(self) -> Train:
        first = self.start + (self.n_releases - 1) * self.period + self.delay
        return Train(rate=self.rate, n_pulses=self.n_pulses, start=first)

    @property
    def duration(self) -> b2.Quantity:
        return self._test.duration

    def pre(self, n: int, seed: int) -> Spikes:
        return self._test.pre(n, seed)


# ---------------------------------------------------------------------------------------------------------------------
# Space
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class BiasPulse(Protocol):
    """IP3 flows into (and out of) some astrocytes from a reservoir at ``I_bias`` during a pulse.

    ``I_bias`` is one value, or one for each of ``sources``. ``sink=True`` keeps the flow on between pulses and in all
    other cells, towards a reservoir without IP3, as in Stimberg et al. 2019, figure 5; the default lets them alone.
    """

    sources: tuple[int, ...] = (0,)
    I_bias: Concentration = default(1 * umolar)
    start: Time = default(0 * second)
    width: TimeConstant = default(20 * second)
    period: TimeConstant | None = None
    length: TimeConstant = default(60 * second)
    sink: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        for field in ("start", "width", "period", "length"):
            if np.ndim(getattr(self, field)):
                raise ValueError(f"{name}.{field} must be one time, got {getattr(self, field)!r}")
        if self.period is not None and self.width > self.period:
            raise ValueError(f"{name}.width must not exceed period = {self.period!r}, got {self.width!r}")
        if np.ndim(self.sources) != 1 or not 0 < len(self.sources) == len(set(self.sources)):
            raise ValueError(f"{name}.sources must be different astrocytes, at least one, got {self.sources!r}")
        for source in self.sources:
            check_count(f"{name}.sources", source, least=0)
        if np.size(self.I_bias) not in (1, len(self.sources)):
            raise ValueError(f"{name}.I_bias must have one value, or one per source, got {self.I_bias!r}")

    @property
    def n_elements(self) -> None:
        """Any number: sources are given by index."""
        return None

    @property
    def duration(self) -> b2.Quantity:
        return self.length

    def bias(self, n: int) -> Bias:
        """The pulse on ``n`` astrocytes; ValueError for sources that are not among them."""
        for source in self.sources:
            if not 0 <= source < n:
                raise ValueError(f"{type(self).__name__}.sources must be astrocyte indices below {n}, got {source}")
        amplitude = np.zeros(n)
        amplitude[list(self.sources)] = np.asarray(self.I_bias)
        return Bias(b2.Quantity(amplitude, dim=umolar.dim), self.start, self.width, self.period, self.sink)


@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceSweep(BiasPulse):
    """One pulsed source; the peaks of IP3 and calcium against distance from it are the spatial kernel."""
