"""Checked quantities: what parameter tables, protocols and models are made of.

A field of a :class:`Checked` dataclass is annotated with its dimension; the value is checked when the object is built,
for dimension, sign, shape and NaN, so that a wrong number never reaches a compiler. A field holds one value or a
one-dimensional array with one value per element (astrocyte or synapse).
"""

import ast
import dataclasses
import operator
import re
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import brian2 as b2
import numpy as np
from brian2 import amp, farad, mmolar, second, siemens, volt


def default(value: Any) -> Any:
    """Default of a dataclass field that is a quantity."""
    return dataclasses.field(default_factory=lambda: value)


UNITS: dict[str, tuple[Any, str]] = {  # label of a dimension: its SI unit, and the unit of recordings
    "1": (b2.Unit(1.0), "1"),
    "M": (mmolar, "uM"),
    "M/s": (mmolar / second, "uM/s"),
    "1/s": (1 / second, "1/s"),
    "1/(M s)": (1 / (mmolar * second), "1/(uM s)"),
    "s": (second, "s"),
    "V": (volt, "V"),
    "S": (siemens, "S"),
    "F": (farad, "F"),
    "A": (amp, "A"),
}

RECORDED = {unit.dim: recorded for unit, recorded in UNITS.values()}  # unit of recordings, by dimension


class Dimension(NamedTuple):
    """Unit of a field, its label, and its rule: ``positive``, ``non-negative``, ``fraction`` (at most 1) or ``any``."""

    unit: Any
    label: str
    sign: str = "non-negative"


def _kind(label: str, sign: str = "non-negative") -> Any:
    return Annotated[b2.Quantity, Dimension(UNITS[label][0], label, sign)]


Concentration = _kind("M")
Affinity = _kind("M", "positive")
Flux = _kind("M/s")
Rate = _kind("1/s")
RateConstant = _kind("1/s", "positive")
BindingRate = _kind("1/(M s)")
Time = _kind("s")
TimeConstant = _kind("s", "positive")
SignedTime = _kind("s", "any")
Voltage = _kind("V", "any")
Conductance = _kind("S", "positive")
Capacitance = _kind("F", "positive")
Current = _kind("A", "any")
Number = _kind("1")
Fraction = _kind("1", "fraction")
PositiveNumber = _kind("1", "positive")

WRITTEN = {  # units that a command line may name
    "M": b2.molar, "mM": b2.mmolar, "uM": b2.umolar, "nM": b2.nmolar,
    "molar": b2.molar, "mmolar": b2.mmolar, "umolar": b2.umolar, "nmolar": b2.nmolar,
    "s": b2.second, "second": b2.second, "ms": b2.ms, "Hz": b2.Hz,
}  # fmt: skip

OPERATORS = {ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}


def parse_quantity(text: str) -> b2.Quantity:
    """A number with its unit, such as ``0.9 uM/s``, ``0.2/(uM*s)``, ``50 ms`` or ``0.3``."""

    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return float(node.value)
        if isinstance(node, ast.Name) and node.id in WRITTEN:
            return WRITTEN[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            left, right = value(node.left), value(node.right)
            if isinstance(node.op, ast.Pow) and abs(right) not in range(11):  # a whole power of a unit
                raise ValueError
            return OPERATORS[type(node.op)](left, right)
        raise ValueError

    try:
        if len(str(text)) > 100:
            raise ValueError
        product = re.sub(r"^(\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(?=[A-Za-z])", r"\1*", str(text))
        with np.errstate(all="ignore"):
            found = b2.Quantity(value(ast.parse(product.strip(), mode="eval").body))
        if not np.isfinite(found):
            raise ValueError
        return found
    except (ValueError, SyntaxError, TypeError, ArithmeticError, b2.DimensionMismatchError):
        rule = f"value must be a finite number and units ({', '.join(WRITTEN)}) joined by * / **"
        raise ValueError(f"{rule}, got {text!r:.60}") from None


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
    if kind.sign in ("non-negative", "fraction") and np.any(array < 0):
        raise ValueError(f"{name} must not be negative, {got}")
    if kind.sign == "fraction" and np.any(array > 1):
        raise ValueError(f"{name} must be at most 1, {got}")
    return b2.Quantity(array, dim=quantity.dim)


def check_count(name: str, value: Any, least: int = 1, most: int = 10**7) -> None:
    """Raise one sentence unless ``value`` is an integer from ``least`` to ``most``: more elements fit no memory."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r:.40}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value:g}")


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
