"""Gliotransmitter releases and IP3 pulses that are imposed on astrocytes."""

from __future__ import annotations

from dataclasses import dataclass

import brian2 as b2
import numpy as np
from brian2 import Hz, second, umolar

from astro_sim.parameters.units import Concentration, RateConstant, Time, TimeConstant, check_count, default
from astro_sim.protocols.protocol import Bias, Protocol, Spikes, ragged, spread
from astro_sim.protocols.trains import Train


@dataclass(frozen=True, kw_only=True, eq=False)
class Releases(Protocol):
    """Gliotransmitter releases imposed every ``period`` from ``start``, ``n_releases`` of them (Gamma accumulation)."""

    period: TimeConstant = default(10 * second)
    n_releases: int = 1
    start: Time = default(1 * second)

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

    @property
    def _test(self) -> Train:
        first = self.start + (self.n_releases - 1) * self.period + self.delay
        return Train(rate=self.rate, n_pulses=self.n_pulses, start=first)

    @property
    def duration(self) -> b2.Quantity:
        return self._test.duration

    def pre(self, n: int, seed: int) -> Spikes:
        return self._test.pre(n, seed)


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

    def bias(self, n: int) -> Bias:
        for source in self.sources:
            if not 0 <= source < n:
                raise ValueError(f"{type(self).__name__}.sources must be astrocyte indices below {n}, got {source}")
        amplitude = np.zeros(n)
        amplitude[list(self.sources)] = np.asarray(self.I_bias)
        return Bias(b2.Quantity(amplitude, dim=umolar.dim), self.start, self.width, self.period, self.sink)


@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceSweep(BiasPulse):
    """One pulsed source; the peaks of IP3 and calcium against distance from it are the spatial kernel."""
