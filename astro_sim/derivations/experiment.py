"""The experiments that curves are derived from: frozen dataclasses of plain values that can be run.

An experiment is stored whole in the curve file, so that the file can be verified by running it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from astro_sim.curves.curve import Axis
from astro_sim.parameters.variants import vary
from astro_sim.simulation.recording import Recording
from astro_sim.simulation.run import simulate

LARGEST = 100_000  # of any number of an experiment: elements, cycles, seconds, Hz; more fits no memory


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all experiments have."""

    committed: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Committed curves that come from this experiment: name -> fields that differ from the defaults."""
    seed: int = 1
    """Of every draw."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Parameters that differ from the published ones, by symbol: a value with its unit, or x and a factor."""

    def __post_init__(self) -> None:
        """Check types and sizes, since an experiment may come from somebody else's curve file."""
        for item in fields(self):
            value, kind = getattr(self, item.name), dict if item.name == "overrides" else type(item.default)
            allowed = (int, float) if kind is float else kind
            if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
                raise ValueError(f"{item.name} must be of type {kind.__name__}, got {value!r:.60}")
            most = 2**32 - 1 if item.name == "seed" else LARGEST
            if kind in (int, float) and not 0 <= value <= most:
                raise ValueError(f"{item.name} must be from 0 to {most}, got {value:g}")
        if any(not isinstance(text, str) for pair in self.overrides.items() for text in pair):
            raise ValueError(f"overrides must map symbols to text such as 'x1.2', got {self.overrides!r:.100}")

    def published(self) -> dict[str, Any]:
        """Parameter tables before overrides, by the name of the model's field."""
        raise NotImplementedError

    def tables(self) -> dict[str, Any]:
        """Parameter tables with overrides."""
        return vary(self.published(), self.overrides)

    def arguments(self) -> dict[str, Any]:
        """What `astro_sim.simulation.run.simulate` is called with, besides seed and target."""
        raise NotImplementedError

    def simulate(self, target: str = "auto") -> Recording:
        """Run the experiment on a Brian2 target."""
        return simulate(**self.arguments(), seed=self.seed, target=target)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Log-spaced rates that `n_synapses` share equally: synapse k has rate number ``k // repeats``."""

    n_synapses: int
    n_rates: int
    low_hz: float
    high_hz: float

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]  # of the Experiment beside it
        if self.n_rates < 3 or self.n_synapses % self.n_rates or self.n_synapses < 3 * self.n_rates:
            raise ValueError(
                "n_synapses must be a multiple, at least 3, of n_rates, which must be at least 3, got "
                f"{self.n_synapses} synapses for {self.n_rates} rates"
            )

    @property
    def repeats(self) -> int:
        """Synapses per rate."""
        return self.n_synapses // self.n_rates

    def rates_hz(self) -> np.ndarray:
        """The rates, shape ``(n_rates,)``."""
        return np.geomspace(self.low_hz, self.high_hz, self.n_rates)


TIME, RATE = Axis("t", "s"), Axis("nu", "Hz")
