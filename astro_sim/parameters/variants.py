"""The ways to change a published number.

- `variant` changes symbols of one table or astrocyte to quantities: what a module or a notebook writes.
- `vary` changes symbols of all tables of an experiment, by text (a command line) or by arrays of factors (a screening).
- `variant_at` changes a field of a model or a protocol, named by its path: what a sweep does.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from astro_sim.parameters.tables import THIS_STUDY, AstrocyteParameters
from astro_sim.parameters.units import Table, parse_quantity


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
    """
    if not isinstance(parameters, Table | AstrocyteParameters):
        raise TypeError(f"parameters must be a table or AstrocyteParameters, got {type(parameters).__name__}")
    fields = {"": parameters} if isinstance(parameters, Table) else vars(parameters)
    tables: dict[str, Any] = {name: table for name, table in fields.items() if isinstance(table, Table)}
    known = {symbol for table in tables.values() for symbol in table.kinds()}
    if unknown := set(changes) - known:
        owner = type(parameters).__name__ if isinstance(parameters, Table) else repr(parameters.name)
        raise ValueError(f"{min(unknown)} must be a symbol of {owner}, one of {sorted(known)}")
    if isinstance(parameters, Table):
        return dataclasses.replace(parameters, source=source, **changes)
    for name, table in tables.items():
        own = {symbol: value for symbol, value in changes.items() if symbol in table.kinds()}
        tables[name] = dataclasses.replace(table, source=source, **own) if own else table
    if source != THIS_STUDY:
        source = "; ".join(dict.fromkeys([source, *(table.source for table in tables.values())]))
    return dataclasses.replace(parameters, source=source, **tables)


def vary(tables: Mapping[str, Any], changes: Mapping[str, Any], repeats: int = 1) -> dict[str, Any]:
    """Copies of several tables with symbols changed, each in every table that has it.

    Parameters
    ----------
    tables : mapping
        Tables, astrocytes or None, by the name of the model's field.
    changes : mapping
        Symbol -> its new value with a unit (``"1.08 uM/s"``) or a factor on its old value: one (``"x1.2"``), or an
        array of shape ``(n_sets,)``, which gives element k the factor of parameter set ``k // repeats``.
    """
    varied = dict(tables)
    for symbol, change in changes.items():
        owners = [name for name, table in varied.items() if table is not None and symbol in table.quantities()]
        if not owners:
            raise ValueError(f"overrides must name one of {', '.join(symbols(tables))}, got {symbol!r}")
        for name in owners:
            old = varied[name].quantities()[symbol]
            if isinstance(change, np.ndarray):
                new = old * np.repeat(change, repeats)
            elif factor := re.fullmatch(r"\s*x\s*([\d.]+(?:[eE][-+]?\d+)?)\s*", str(change)):
                new = old * float(factor[1])
            else:
                new = parse_quantity(change)
            if not np.array_equal(np.asarray(new), np.asarray(old)):
                varied[name] = variant(varied[name], source=THIS_STUDY, **{symbol: new})
    return varied


def symbols(tables: Mapping[str, Any]) -> list[str]:
    """All symbols that `vary` can change in `tables`, sorted."""
    return sorted({symbol for table in tables.values() if table is not None for symbol in table.quantities()})


def variant_at(thing: Any, path: str, value: Any) -> Any:
    """A copy of nested dataclasses with the field at ``path`` (such as ``release.U_0__star``) replaced."""
    name, _, rest = path.partition(".")
    if name not in getattr(thing, "__dataclass_fields__", {}):
        raise ValueError(f"axes must name fields of model or protocol, got {path!r} for a {type(thing).__name__}")
    new = variant_at(getattr(thing, name), rest, value) if rest else value
    own = {"source": THIS_STUDY} if hasattr(thing, "source") else {}
    return dataclasses.replace(thing, **own, **{name: new})
