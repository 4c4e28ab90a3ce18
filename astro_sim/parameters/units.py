"""Checked quantities: what parameter tables, protocols and models are made of.

A field of a :class:`Checked` dataclass is annotated with its dimension; the value is checked when the object is built,
for dimension, sign, shape and NaN, so that a wrong number never reaches a compiler. A field holds one value or a
one-dimensional array with one value per element (astrocyte or synapse).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import brian2 as b2
import numpy as np
from brian2 import amp, farad, mmolar, second, siemens, volt


def default(value: Any) -> Any:
    """Default of a dataclass field that is a quantity."""
    return dataclasses.field(default_factory=lambda: value)


class Dimension(NamedTuple):
    """Unit of a field, the text that names it, and its sign rule: ``positive``, ``non-negative`` or ``any``."""

    unit: Any
    label: str
    sign: str = "non-negative"


def _kind(unit: Any, label: str, sign: str = "non-negative") -> Any:
    return Annotated[b2.Quantity, Dimension(unit, label, sign)]


Concentration = _kind(mmolar, "M")

Affinity = _kind(mmolar, "M", "positive")

Flux = _kind(mmolar / second, "M/s")

Rate = _kind(1 / second, "1/s")

RateConstant = _kind(1 / second, "1/s", "positive")

BindingRate = _kind(1 / (mmolar * second), "1/(M s)")

Time = _kind(second, "s")

TimeConstant = _kind(second, "s", "positive")

SignedTime = _kind(second, "s", "any")

Voltage = _kind(volt, "V", "any")

Conductance = _kind(siemens, "S", "positive")

Capacitance = _kind(farad, "F", "positive")

Current = _kind(amp, "A", "any")

Number = _kind(b2.Quantity(1.0), "1")

PositiveNumber = _kind(b2.Quantity(1.0), "1", "positive")


def check_quantity(name: str, value: Any, kind: Dimension) -> b2.Quantity:
    """Return ``value`` as a float Quantity of dimension ``kind``; raise one sentence when it cannot be one."""
    got = f"got {value}" if isinstance(value, b2.Quantity) and value.is_dimensionless else f"got {value!r}"
    try:
        quantity = b2.Quantity(value)
        array = np.array(quantity, dtype=float)
    except (TypeError, ValueError, b2.DimensionMismatchError) as error:
        raise TypeError(f"{name} must be a number with the dimension of {kind.label}, {got}") from error
    if quantity.dim is not kind.unit.dim:
        raise ValueError(f"{name} must have the dimension of {kind.label}, {got}")
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name} must be one value or one value per element, got an array of shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, {got}")
    if kind.sign == "positive" and np.any(array <= 0):
        raise ValueError(f"{name} must be positive, {got}")
    if kind.sign == "non-negative" and np.any(array < 0):
        raise ValueError(f"{name} must not be negative, {got}")
    return b2.Quantity(array, dim=quantity.dim)


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise one sentence unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checked:
    """Base of every frozen dataclass whose fields carry dimensions."""

    def __post_init__(self) -> None:
        for name, kind in self.kinds().items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_quantity(f"{type(self).__name__}.{name}", value, kind))

    @classmethod
    def kinds(cls) -> dict[str, Dimension]:
        """Map every field with a dimension to its :class:`Dimension`."""
        found = {}
        for name, hint in get_type_hints(cls, include_extras=True).items():
            for part in (hint, *get_args(hint)):  # an optional field is a union with None
                if hasattr(part, "__metadata__"):
                    found[name] = part.__metadata__[0]
        return found

    def quantities(self) -> dict[str, b2.Quantity]:
        """Map symbol to value, for the fields that are set."""
        return {name: getattr(self, name) for name in self.kinds() if getattr(self, name) is not None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Table(Checked):
    """A parameter table: constants of one mechanism, and the source of the numbers."""

    source: str

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source:
            raise ValueError(f"{type(self).__name__}.source must name where the numbers come from, got {self.source!r}")
        super().__post_init__()
