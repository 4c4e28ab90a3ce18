"""Sweeps: one call for a handful of conditions or for a cluster, resumed where it was killed.

Every swept quantity becomes a per-element array, so that conditions and repeats are elements of one vectorised run.
What does not fit into one run (`elements_per_run`) is cut into batches that share one build and run side by side
(`n_jobs`); what cannot be an element (steps, durations, counts, presets) gets a build for each value. On a Dask cluster
(`client`) each worker takes a share of the batches::

    sweep = Sweep(
        model=TripartiteSynapses(plasticity=None),
        protocol=Poisson(rate=1 * Hz, length=60 * second),
        axes={"protocol.rate": log_rates(0.1 * Hz, 100 * Hz, 50), "gliotransmission.alpha": [0, 0.5, 1]},
        repeats=20,
    )
    result = run_sweep(sweep, "runs/rates", n_jobs=4)
    result["r_S"].sel(...)   # dimensions condition, time, repeat; coordinates protocol.rate, gliotransmission.alpha

The folder holds one netCDF file for each condition. The conditions of a batch appear together, by the renaming of a
folder: after a kill at any moment each batch is there whole or not at all, and the same call runs the missing ones.
Batches are cut from the sweep alone, not from what is left of it, so that a resumed sweep gives what an uninterrupted
one gives. Every condition sees the spikes that it would see alone, with `simulate` and the same seed (common random
numbers), whatever the cut; the noise of channels and efficacies is drawn for a batch as a whole.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import brian2 as b2
import numpy as np

from astro_sim.models.astrocytes import Astrocytes
from astro_sim.parameters.units import Checked, check_count
from astro_sim.parameters.variants import variant_at
from astro_sim.protocols.protocol import Protocol
from astro_sim.simulation.arguments import check_time
from astro_sim.simulation.recording import Recording, describe, to_json
from astro_sim.sweeps.conditions import SETTINGS, STRUCTURAL, Batch, model_axes, owner_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """What is swept: the product of all axes, each condition repeated."""

    model: Astrocytes
    """As for `simulate`, without arrays; a network (a model with a topology) is copied for every element."""
    protocol: Protocol = field(default_factory=Protocol)
    axes: Mapping[str, Any]
    """Field -> values, such as ``"astrocyte.calcium.O_P"``, ``"I_bias"``, ``"protocol.rate"``, ``"duration"``."""
    repeats: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `simulate`: ``duration``, ``dt``, ``astrocyte_dt``, ``record_every``, ``initial``."""
    record: tuple[str, ...] | None = None
    seed: int = 0
    target: str = "auto"
    elements_per_run: int = 20_000
    """How many astrocytes or synapses are simulated at once, at most (one condition's repeats at least)."""
    reduce: Callable[[Recording], Recording] | None = None
    """From a condition's recording to what is kept of it, such as its mean over time; for a folder a function of a
    module, whose source belongs to what the folder is known by."""

    def __post_init__(self) -> None:
        check_count("repeats", self.repeats)
        check_count("elements_per_run", self.elements_per_run)
        if not isinstance(self.model, Astrocytes) or not isinstance(self.protocol, Protocol):
            kinds = f"{type(self.model).__name__} and {type(self.protocol).__name__}"
            raise TypeError(
                f"model and protocol must be of astro_sim.models.astrocytes and astro_sim.protocols.trains, got {kinds}"
            )
        if self.protocol.n_elements is not None:
            raise ValueError(f"protocol must hold no arrays, got {self.protocol.n_elements} elements; use axes")
        if getattr(self.model, "astrocyte_index", None) is not None:
            raise ValueError("model must have one astrocyte for each synapse, got an astrocyte_index")
        unknown = set(self.settings) - set(SETTINGS)
        if unknown:
            raise ValueError(f"settings must be among {SETTINGS}, got {min(unknown)!r}")
        if not self.axes or any(np.ndim(values) != 1 or len(values) == 0 for values in self.axes.values()):
            raise ValueError(f"axes must be lists of values, at least one, got {dict(self.axes)!r}")
        for path, values in self.axes.items():
            if path in self.settings:
                raise ValueError(f"axes must not be settings as well, got {path!r} in both")
            for value in values:  # a wrong name, unit or value fails here
                if path not in SETTINGS:
                    owner, name = owner_of(path)
                    variant_at(getattr(self, owner), name, value)
                elif path != "initial":
                    check_time(path, value)

    @cached_property
    def element_axes(self) -> tuple[str, ...]:
        """Axes whose values are elements of one run; the others have a build for each value."""
        able = [path for path in self.axes if path not in SETTINGS and self._is_element(path)]
        if self._count(able) * self.repeats * self.n_cells <= self.elements_per_run:
            return tuple(able)
        return tuple(path for path in able if path.rsplit(".", 1)[-1] not in STRUCTURAL)

    def _is_element(self, path: str) -> bool:
        """Whether an axis is a quantity that may differ between the elements of one run."""
        *tables, name = ".".join(owner_of(path)).split(".")
        owner = functools.reduce(getattr, tables, self)
        if not isinstance(owner, Checked) or name not in owner.kinds():
            return False
        try:
            dataclasses.replace(owner, **{name: b2.Quantity(list(self.axes[path]))})
        except ValueError:  # every value alone is fine: this field takes no array
            return False
        return True

    @property
    def n_cells(self) -> int:
        """Astrocytes of one repeat of one condition."""
        topology = getattr(self.model, "topology", None)
        return 1 if topology is None else topology.n

    @property
    def n_conditions(self) -> int:
        """Length of the product of all axes."""
        return self._count(self.axes)

    def _count(self, paths: Iterable[str]) -> int:
        return int(np.prod([len(self.axes[path]) for path in paths], dtype=int))

    def position(self, condition: int, path: str) -> int:
        """Which value of an axis a condition has; the last axis runs fastest."""
        lengths = [len(values) for values in self.axes.values()]
        return int(np.unravel_index(condition, lengths)[list(self.axes).index(path)])

    @cached_property
    def builds(self) -> list[list[Batch]]:
        """All batches; those of one list share a build."""
        per_run = max(1, self.elements_per_run // (self.repeats * self.n_cells))
        models = model_axes(self)
        drives = [path for path in self.element_axes if path not in models]
        others = [path for path in self.axes if path not in self.element_axes]
        grouped: dict[tuple, dict[tuple, list[int]]] = {}
        for condition in range(self.n_conditions):
            drive = tuple(self.position(condition, path) for path in drives)
            # a build has one protocol: conditions that differ in it stay together, as far as they fit
            chunk = int(np.ravel_multi_index(drive, [len(self.axes[p]) for p in drives])) // per_run if drives else 0
            build = (*(self.position(condition, path) for path in others), chunk)
            model = tuple(self.position(condition, path) for path in models)
            grouped.setdefault(build, {}).setdefault(model, []).append(condition)
        builds, index = [], itertools.count()
        for columns in grouped.values():
            together = max(1, per_run // len(next(iter(columns.values()))))
            rows, batches = list(columns.values()), []
            for start in range(0, len(rows), together):
                chosen = rows[start : start + together]
                n = sum(map(len, chosen))
                if len(rows) > together:  # all runs of a build have one size
                    chosen = chosen + [chosen[-1]] * (together - len(chosen))
                batches.append(Batch(next(index), tuple(c for row in chosen for c in row), n))
            builds.append(batches)
        return builds

    def fingerprint(self) -> str:
        """Hash of everything that the result depends on."""
        axes, settings = (
            {name: describe(value) for name, value in part.items()} for part in (self.axes, self.settings)
        )
        reduce = None if self.reduce is None else _source(self.reduce)
        versions = [importlib.metadata.version(name) for name in ("astro-rmaat", "brian2", "numpy")]
        parts = [describe(self.model), describe(self.protocol), axes, settings, self.repeats, self.record, self.seed]
        parts += [self.target, self.elements_per_run, reduce, versions]
        return hashlib.sha256(to_json(parts).encode()).hexdigest()


def _source(function: Callable) -> str:
    name = getattr(function, "__qualname__", repr(function))
    try:
        if not name.isidentifier():
            raise OSError
        return f"{function.__module__}.{name}: {inspect.getsource(function)}"
    except OSError:
        raise ValueError(f"reduce must be a function of a module where a folder is given, got {name}") from None
