"""Change parameters by name, from text: ``{"O_P": "1.08 uM/s", "gamma_p": "x1.2"}``.

What a configuration file or a command line can say: a number with its unit, or ``x`` and a factor on the value.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import operator
import re
from collections.abc import Mapping
from typing import Any

import brian2 as b2
import numpy as np

from astro_sim.parameters.tables import THIS_STUDY, AstrocyteParameters
from astro_sim.parameters.units import Checked, Table

AT_MOST_ONE = ("U_0__star", "U_A", "alpha")

Factors = Mapping[str, np.ndarray]


def scaled(tables: Mapping[str, Any], factors: Factors, repeats: int) -> dict[str, Any]:
    """Tables with one value per element: element k belongs to parameter set ``k // repeats``.

    Parameters
    ----------
    tables : mapping
        Parameter tables by the name of the model's field.
    factors : mapping of str to ndarray, shape (n_sets,)
        Symbol -> factor on its published value, in every table that has it.
    repeats : int
        Elements per parameter set.
    """
    changed = {}
    for name, table in tables.items():
        own = symbols({name: table})
        base = table.quantities()
        arrays = {
            symbol: b2.Quantity(np.repeat(factor, repeats) * float(base[symbol]), dim=b2.get_dimensions(base[symbol]))
            for symbol, factor in factors.items()
            if symbol in own
        }
        changed[name] = variant(table, source=THIS_STUDY, **arrays) if arrays else table
    return changed


UNITS = {
    "M": b2.molar, "mM": b2.mmolar, "uM": b2.umolar, "nM": b2.nmolar,
    "molar": b2.molar, "mmolar": b2.mmolar, "umolar": b2.umolar, "nmolar": b2.nmolar,
    "s": b2.second, "second": b2.second, "ms": b2.ms, "Hz": b2.Hz,
}  # fmt: skip

OPERATORS = {ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}


def parse_quantity(text: str) -> b2.Quantity:
    """A number with its unit, such as ``0.9 uM/s``, ``0.2/(uM*s)``, ``50 ms`` or ``0.3``.

    Raises
    ------
    ValueError
        For anything but numbers, units and ``* / **``.
    """

    def value(node: ast.AST) -> Any:
        """Number or quantity that a part of the expression stands for; ValueError for what is neither."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return node.value
        if isinstance(node, ast.Name) and node.id in UNITS:
            return UNITS[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        raise ValueError

    try:
        product = re.sub(r"^(\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(?=[A-Za-z])", r"\1*", str(text))
        return b2.Quantity(value(ast.parse(product.strip(), mode="eval").body))
    except (ValueError, SyntaxError, TypeError, ZeroDivisionError, b2.DimensionMismatchError):
        units = ", ".join(UNITS)
        raise ValueError(f"value must be a number and units ({units}) joined by * / **, got {text!r}") from None


def vary(tables: Mapping[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """Copies of parameter tables with symbols changed.

    Parameters
    ----------
    tables : mapping of str to Table, AstrocyteParameters or None
    changes : mapping of str to str
        Symbol -> new value with its unit, or ``x`` and a factor: ``"x1.2"``. A symbol that several tables have is
        changed in all of them.

    Raises
    ------
    ValueError
        For a symbol that no table has, or a value of the wrong dimension.
    """
    changed = dict(tables)
    for symbol, text in changes.items():
        owners = [key for key, table in changed.items() if symbol in _quantities(table)]
        if not owners:
            raise ValueError(f"overrides must name one of {', '.join(symbols(tables))}, got {symbol!r}")
        factor = re.fullmatch(r"\s*x\s*([\d.]+(?:[eE][-+]?\d+)?)\s*", str(text))
        for key in owners:
            old = _quantities(changed[key])[symbol]
            new = old * float(factor[1]) if factor else parse_quantity(text)
            if not np.all(np.asarray(new) == np.asarray(old)):
                changed[key] = variant(changed[key], source=THIS_STUDY, **{symbol: new})
    return changed


def symbols(tables: Mapping[str, Any]) -> list[str]:
    """All symbols that can be changed in `tables`, sorted."""
    return sorted(set().union(*(_quantities(table) for table in tables.values())))


def _quantities(table: Table | AstrocyteParameters | None) -> dict[str, b2.Quantity]:
    return {} if table is None else table.quantities()


def element(table: Any, k: int) -> Any:
    """The table of element ``k``, with every array replaced by its value there."""
    arrays = {name: value[k] for name, value in table.quantities().items() if np.ndim(value)}
    return dataclasses.replace(table, **arrays) if arrays else table


def variant(parameters: Any, *, source: str, **changes: Any) -> Any:
    """A copy of a table, or of an astrocyte, with some symbols changed and its own source.

    Parameters
    ----------
    parameters : Table or AstrocyteParameters
        What is varied.
    source : str
        Where the new numbers come from; ``"this study"`` for a choice of one's own. To any other source of an
        astrocyte those of the tables that stay are added.
    **changes
        Symbol to value, with unit; one value or one per element. In an astrocyte a symbol that several tables share
        is changed in all of them.

    Returns
    -------
    Table or AstrocyteParameters
        Of the same class.
    """
    if isinstance(parameters, Table):
        known = parameters.kinds()
        unknown = set(changes) - set(known)
        if unknown:
            raise ValueError(f"{min(unknown)} must be a symbol of {type(parameters).__name__}, one of {sorted(known)}")
        return dataclasses.replace(parameters, source=source, **changes)
    if not isinstance(parameters, AstrocyteParameters):
        raise TypeError(f"parameters must be a table or AstrocyteParameters, got {type(parameters).__name__}")
    symbols = {symbol for table in parameters.tables() for symbol in table.kinds()}
    unknown = set(changes) - symbols
    if unknown:
        raise ValueError(f"{min(unknown)} must be a symbol of {parameters.name!r}, one of {sorted(symbols)}")
    replaced: dict[str, Any] = {}
    for field in dataclasses.fields(parameters):
        table = getattr(parameters, field.name)
        if isinstance(table, Table):
            own = {symbol: value for symbol, value in changes.items() if symbol in table.kinds()}
            replaced[field.name] = dataclasses.replace(table, source=source, **own) if own else table
    if source != THIS_STUDY:
        source = "; ".join(dict.fromkeys([source, *(table.source for table in replaced.values())]))
    return dataclasses.replace(parameters, source=source, **replaced)


def changed(thing: Any, path: str, value: Any) -> Any:
    """A copy of nested dataclasses with the field at ``path`` (such as ``release.U_0__star``) replaced."""
    name, _, rest = path.partition(".")
    fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    if name not in fields:
        raise ValueError(f"axes must name fields of model or protocol, got {path!r} for a {type(thing).__name__}")
    new = changed(getattr(thing, name), rest, value) if rest else value
    own = {"source": THIS_STUDY} if hasattr(thing, "source") else {}
    return dataclasses.replace(thing, **own, **{name: new})


def is_element(thing: Any, path: str, values: Any) -> bool:
    """Whether the field at ``path`` is a quantity that may differ between the elements of one run."""
    *tables, name = path.split(".")
    owner = functools.reduce(getattr, tables, thing)
    if not isinstance(owner, Checked) or name not in owner.kinds():
        return False
    try:
        changed(owner, name, b2.Quantity(list(values)))
    except ValueError:  # every value alone is fine: this field takes no array
        return False
    return True
