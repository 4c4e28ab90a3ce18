"""Base class of the protocols: spike times, imposed releases and IP3 pulses for a number of elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np

from astro_sim.parameters.units import Checked, check_count

TIMINGS = ("regular", "jittered", "poisson")


@dataclass(frozen=True)
class Spikes:
    """Spikes of a population: ``index`` (which element) and ``time_s``, both of shape ``(n_spikes,)``."""

    index: np.ndarray
    time_s: np.ndarray

    def of(self, element: int) -> np.ndarray:
        """Spike times of one element in s, in order."""
        return np.sort(self.time_s[self.index == element])


@dataclass(frozen=True)
class Bias:
    """An IP3 pulse: reservoir concentration per element, and when it is on."""

    I_bias: b2.Quantity
    start: b2.Quantity
    width: b2.Quantity
    period: b2.Quantity | None = None
    sink: bool = False


def ragged(trains: list[np.ndarray]) -> Spikes:
    """One array of times per element, put together."""
    counts = [len(train) for train in trains]
    return Spikes(np.repeat(np.arange(len(trains)), counts), np.concatenate([np.empty(0), *trains]))


def side_by_side(parts: Sequence[Spikes | None], each: int) -> Spikes | None:
    """Spikes of blocks of ``each`` elements as those of one population."""
    blocks = [(k * each, part) for k, part in enumerate(parts) if part is not None]
    if not blocks:
        return None
    index = np.concatenate([first + part.index for first, part in blocks])
    return Spikes(index, np.concatenate([part.time_s for _, part in blocks]))


def spread(value: Any, n: int) -> np.ndarray:
    """One float per element, in SI units."""
    return np.broadcast_to(np.asarray(value, dtype=float), (n,))


def spike_times(rate_hz: float, length_s: float, timing: str, rng: np.random.Generator) -> np.ndarray:
    """Times in [0, length): regular from 0, regular with a random phase (``jittered``), or Poisson."""
    if rate_hz == 0:
        return np.empty(0)
    if timing == "poisson":
        return np.sort(rng.uniform(0, length_s, rng.poisson(rate_hz * length_s)))
    phase = rng.uniform() if timing == "jittered" else 0.0
    # a hair is taken off so that 5 s at 1 Hz holds 5 spikes whatever the rounding
    return (phase + np.arange(max(0, np.ceil(rate_hz * length_s * (1 - 1e-12) - phase)))) / rate_hz


@dataclass(frozen=True, kw_only=True, eq=False)
class Protocol(Checked):
    """Base: nothing happens. Numbers of spikes, pairs and the like are integers of at least 1.

    ``timing`` fields are ``regular``, ``jittered`` (random phase) or ``poisson``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in dataclasses.fields(self):
            if field.type in ("int", int):
                check_count(f"{type(self).__name__}.{field.name}", getattr(self, field.name))
        timing = getattr(self, "timing", "regular")
        if timing not in TIMINGS:
            raise ValueError(f"{type(self).__name__}.timing must be one of {TIMINGS}, got {timing!r}")
        lengths = {len(value) for value in self.quantities().values() if np.ndim(value)}
        if len(lengths) > 1:
            raise ValueError(f"{type(self).__name__} must have arrays of one length, got lengths {sorted(lengths)}")

    @property
    def n_elements(self) -> int | None:
        """Number of elements that the arrays ask for; ``None`` if any number will do."""
        return next((len(value) for value in self.quantities().values() if np.ndim(value)), None)

    @property
    def duration(self) -> b2.Quantity | None:
        """Length of the protocol, by default the field ``length``; ``None`` if it has no end."""
        length = getattr(self, "length", None)
        return None if length is None else np.max(length)

    def pre(self, n: int, seed: int) -> Spikes | None:
        """Presynaptic spikes of ``n`` elements."""
        return None

    def post(self, n: int, seed: int) -> Spikes | None:
        """Postsynaptic spikes of ``n`` elements."""
        return None

    def releases(self, n: int) -> Spikes | None:
        """Gliotransmitter releases imposed on ``n`` astrocytes, instead of those that their calcium triggers."""
        return None

    def bias(self, n: int) -> Bias | None:
        """IP3 pulse given to ``n`` astrocytes."""
        return None

    def plot(self, n: int = 8, seed: int = 0, ax: Any = None) -> Any:
        """Draw the first elements: see `astro_sim.protocols.plotting.plot_protocol`."""
        from astro_sim.protocols.plotting import plot_protocol

        return plot_protocol(self, n=n, seed=seed, ax=ax)


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined(Protocol):
    """The spikes that each of ``parts`` would see alone, one after the other; all else is that of ``whole``."""

    whole: Protocol
    parts: tuple[Protocol, ...]

    @property
    def n_elements(self) -> int | None:
        each = [part.n_elements for part in self.parts if part.n_elements is not None]
        return sum(each) if len(each) == len(self.parts) else self.whole.n_elements

    @property
    def duration(self) -> b2.Quantity | None:
        return self.whole.duration

    def pre(self, n: int, seed: int) -> Spikes | None:
        each = n // len(self.parts)
        return side_by_side([part.pre(each, seed) for part in self.parts], each)

    def post(self, n: int, seed: int) -> Spikes | None:
        each = n // len(self.parts)
        return side_by_side([part.post(each, seed) for part in self.parts], each)

    def releases(self, n: int) -> Spikes | None:
        return self.whole.releases(n)

    def bias(self, n: int) -> Any:
        return self.whole.bias(n)
