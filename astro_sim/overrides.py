"""Change parameters by name, from text: ``{"O_P": "1.08 uM/s", "gamma_p": "x1.2"}``.

What a configuration file or a command line can say: a number with its unit, or ``x`` and a factor on the value.
"""

import ast
import operator
import re
from collections.abc import Mapping
from typing import Any

import brian2 as b2
import numpy as np

from astro_sim.quantities import Table
from astro_sim.tables import THIS_STUDY, AstrocyteParameters, variant

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
