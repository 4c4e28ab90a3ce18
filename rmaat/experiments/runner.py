"""The loop over a grid of runs: skips runs that have a result and carries out the others until time is over."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeVar

Run = TypeVar("Run")
Result = dict[str, Any]


def run_grid(
    runs: Iterable[Run],
    read: Callable[[Run], Result | None],
    carry_out: Callable[[Run, float | None], Result | None],
    max_seconds: float | None = None,
) -> list[Result]:
    """Results of all runs that have one, from earlier or from now.

    Parameters
    ----------
    read : gives the result of an earlier run, None if there is none; raises ValueError if it has other settings. It is
        called for all runs before the first is carried out.
    carry_out : gets a run and the seconds that are left; writes and returns its result, None if it is not finished.
    """
    started, runs, results = perf_counter(), list(runs), []
    for run in runs:
        read(run)
    for run in runs:
        result = read(run)
        left = None if max_seconds is None else max_seconds - (perf_counter() - started)
        if result is None and (left is None or left > 0):
            result = carry_out(run, left)
        if result is not None:
            results.append(result)
    return results


def grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """The items by their key, in order of first appearance."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)
