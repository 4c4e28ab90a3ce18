"""What grids of runs share: the loop, which skips runs that have a result, groups of results, and Markdown tables."""

import json
import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from astro_sim.curves.files import write_text

Run = TypeVar("Run")
Result = dict[str, Any]


def check_choices(config: Any, *names: str) -> None:
    """Raise ValueError unless each of these fields lists at least one value, and none twice."""
    for name in names:
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} must be at least one, each once, got {', '.join(map(str, values)) or 'none'}")


def run_grid(
    runs: Iterable[Run],
    place: Callable[[Run], Path],
    read: Callable[[Run, Path], Result],
    carry_out: Callable[[Run, float | None], Result | None],
    max_seconds: float | None = None,
) -> list[Result]:
    """Results of all runs that have one, from earlier or from now.

    Parameters
    ----------
    place : the JSON file of a run's result.
    read : reads an earlier result; raises ValueError if it has other settings. It is called for all runs before the
        first is carried out.
    carry_out : gets a run and the seconds that are left; returns its result, None if it is not finished.
    """
    started, runs, results = perf_counter(), list(runs), []
    for run in runs:
        if place(run).exists():
            read(run, place(run))
    for run in runs:
        path = place(run)
        left = None if max_seconds is None else max_seconds - (perf_counter() - started)
        if path.exists():
            results.append(read(run, path))
        elif (left is None or left > 0) and (result := carry_out(run, left)) is not None:
            write_text(path, json.dumps(result, indent=1) + "\n")
            results.append(result)
    return results


def end_with_parent() -> None:
    """End this process as soon as its parent ends, also if the parent is killed, so that no run is trained twice."""

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """The items by their key, in order of first appearance."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
