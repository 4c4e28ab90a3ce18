"""The table of validation targets, `targets.toml`, and the comparison of each with what the simulator gives.

A row holds a published or closed-form number, its tolerance and its primary source. Each target names the function
that measures its rows with the functions that users call; it returns numbers by row name, or in the order of the rows.
``astro-sim validate`` runs them all, writes ``VALIDATION.md`` and fails if one is off::

    validation = validate(["V7", "V8"])
    validation.passed, validation.markdown()
"""

from __future__ import annotations

import os
import pkgutil
import platform
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from typing import Any

import joblib
from tqdm import tqdm

from astro_sim.curves.files import write_text

KINDS = ("relative", "absolute", "range")

HEADER = "| target | what | published or closed form | computed | deviation | tolerance | pass |"


@dataclass(frozen=True)
class Target:
    """One number to be reproduced; `id`, `what`, `source` and `note` are those of the whole target, such as ``V7``.

    `name` says what this number is; `value` is the number, or for ``kind="range"`` the lowest and the highest admitted.
    """

    id: str
    what: str
    source: str
    note: str
    name: str
    value: Any
    kind: str
    tolerance: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind of {self.id}, {self.name!r} must be one of {KINDS}, got {self.kind!r}")


@dataclass(frozen=True)
class Check:
    """A target and what was computed."""

    target: Target
    computed: float

    @property
    def deviation(self) -> float:
        """Computed less target, over the target where it is relative; distance from the range where that is given."""
        value, found = self.target.value, self.computed
        if self.target.kind == "range":
            return max(value[0] - found, 0.0) or min(value[1] - found, 0.0)
        return (found - value) / abs(value) if self.target.kind == "relative" else found - value

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        if self.target.kind == "range":
            return bool(self.target.value[0] <= self.computed <= self.target.value[1])
        return bool(abs(self.deviation) <= self.target.tolerance)

    def row(self) -> str:
        """Row of the Markdown table."""
        target = self.target
        if target.kind == "range":
            value, tolerance = f"{target.value[0]:g} to {target.value[1]:g}", "range"
        else:
            value, tolerance = f"{target.value:.6g}", f"{target.tolerance:.4g} {target.kind[:3]}."
        deviation = f"{self.deviation:.1g}"
        if target.kind == "relative":
            deviation = f"{self.deviation:.0e}" if 0 < abs(self.deviation) < 1e-3 else f"{self.deviation:.1%}"
        mark = "yes" if self.passed else "**NO**"
        return f"| {target.id} | {target.name} | {value} | {self.computed:.6g} | {deviation} | {tolerance} | {mark} |"


@dataclass(frozen=True)
class Validation:
    """All checks, in the order of the table, and how long each target took (s)."""

    checks: tuple[Check, ...]
    seconds: Mapping[str, float]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def markdown(self) -> str:
        """The whole report: summary, one table, notes and sources."""
        by_id: dict[str, list[Check]] = {}
        for check in self.checks:
            by_id.setdefault(check.target.id, []).append(check)
        n_bad = len(self.failures)
        lines = [
            "# Validation",
            "",
            f"{len(by_id)} targets, {len(self.checks)} numbers, "
            + ("all within tolerance." if not n_bad else f"**{n_bad} outside tolerance.**"),
            f"Written by `astro-sim validate`: Brian2 {version('brian2')}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores.",
            "",
            HEADER,
            "|---|---|---|---|---|---|---|",
            *(check.row() for check in self.checks),
            "",
            "## Targets",
            "",
        ]
        for id_, checks in by_id.items():
            target = checks[0].target
            note = f" {target.note.strip()}" if target.note else ""
            lines.append(f"- **{id_}** {target.what}. *Source: {target.source}.*{note}")
        return "\n".join(lines) + "\n"


def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files("astro_sim.validation") / "targets.toml").read_text(encoding="utf-8"))


def load_targets() -> dict[str, tuple[Target, ...]]:
    """The table of targets that is installed with the package, by id."""
    targets = {}
    for id_, entry in _table().items():
        common = {key: entry.get(key, "") for key in ("what", "source", "note", "kind", "tolerance")}
        targets[id_] = tuple(Target(id=id_, **(common | row)) for row in entry["rows"])
    return targets


def measurements() -> dict[str, Callable[[], Any]]:
    """The function that measures each target, by id; it gives numbers by the name of the row, or in the rows' order."""
    return {
        id_: pkgutil.resolve_name(f"astro_sim.validation.{entry['measured_by']}") for id_, entry in _table().items()
    }


def measure(id_: str) -> tuple[Check, ...]:
    """Measure one target; ValueError if its measurement gives other numbers than the table asks for."""
    targets = load_targets()
    if id_ not in targets:
        raise ValueError(f"ids must be among {list(targets)}, got {id_!r}")
    found = measurements()[id_]()
    names = [target.name for target in targets[id_]]
    if (isinstance(found, Mapping) and set(names) != set(found)) or len(names) != len(found):
        raise ValueError(f"{id_} must measure {names}, got {list(found)}")
    if not isinstance(found, Mapping):
        found = dict(zip(names, found, strict=True))
    return tuple(Check(target, float(found[target.name])) for target in targets[id_])


def _timed(id_: str) -> tuple[str, tuple[Check, ...], float]:
    begin = time.perf_counter()
    return id_, measure(id_), time.perf_counter() - begin


def validate(ids: Iterable[str] | None = None, *, n_jobs: int = 2, progress: bool = False) -> Validation:
    """Measure targets, in `n_jobs` processes.

    `ids` are such as ``["V7", "V8"]``; all by default, which takes some minutes. `progress` is a bar on standard error.
    """
    table = _table()
    known = list(table)
    ids = known if ids is None else list(dict.fromkeys(ids))
    unknown = [id_ for id_ in ids if id_ not in known]
    if unknown or not ids:
        raise ValueError(f"ids must be among {known}, got {unknown[0] if unknown else ids!r}")
    run = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    longest_first = sorted(ids, key=lambda id_: not table[id_].get("long", False))
    results = run(joblib.delayed(_timed)(id_) for id_ in longest_first)
    bar = tqdm(results, total=len(ids), unit="target", disable=not progress, file=sys.stderr)
    done = {id_: (checks, seconds) for id_, checks, seconds in bar}
    return Validation(
        checks=tuple(check for id_ in known if id_ in done for check in done[id_][0]),
        seconds={id_: done[id_][1] for id_ in known if id_ in done},
    )


def write_validation(validation: Validation, path: str | os.PathLike[str]) -> None:
    """Write the report; the file appears whole or not at all."""
    write_text(path, validation.markdown())
