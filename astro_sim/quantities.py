"""Checked quantities: what every parameter table is made of.

A field of a :class:`Table` is annotated with its dimension; the value is checked when the table is built, for
dimension, sign, shape and NaN, so that a wrong number never reaches a compiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_type_hints

import brian2 as b2
import numpy as np
from brian2 import mmolar, second


class Dimension(NamedTuple):
    """Unit of a field, the text that names it, and its sign rule."""

    unit: Any
    label: str
    positive: bool = False


def _kind(unit: Any, label: str, positive: bool = False) -> Any:
    return Annotated[b2.Quantity, Dimension(unit, label, positive)]


Concentration = _kind(mmolar, "M")
Affinity = _kind(mmolar, "M", positive=True)
Flux = _kind(mmolar / second, "M/s")
Rate = _kind(1 / second, "1/s")
BindingRate = _kind(1 / (mmolar * second), "1/(M s)")
Time = _kind(second, "s")
TimeConstant = _kind(second, "s", positive=True)
Number = _kind(b2.Quantity(1.0), "1")
PositiveNumber = _kind(b2.Quantity(1.0), "1", positive=True)


def check_quantity(name: str, value: Any, kind: Dimension) -> b2.Quantity:
    """Return ``value`` as a float Quantity of dimension ``kind``; raise one sentence when it cannot be one."""
    quantity = b2.Quantity(value)
    if quantity.dim is not kind.unit.dim:
        raise ValueError(f"{name} must have the dimension of {kind.label}, got {value!r}")
    array = np.asarray(quantity, dtype=float)
    if array.ndim > 1:
        raise ValueError(f"{name} must be one value or one value per element, got an array of shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if kind.positive and np.any(array <= 0):
        raise ValueError(f"{name} must be positive, got {value!r}")
    if np.any(array < 0):
        raise ValueError(f"{name} must not be negative, got {value!r}")
    return b2.Quantity(array.copy(), dim=quantity.dim)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """What all tables share: a source and the check of every field that has a dimension."""

    source: str
    rename: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError(f"{type(self).__name__}.source must name where the numbers come from, got {self.source!r}")
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
