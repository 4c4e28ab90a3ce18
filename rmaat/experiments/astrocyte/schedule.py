"""Carry out a grid in several processes, each with a device of its own choice; nothing that is finished is lost.

Every finished run is written at once, as a JSON file, whole or not at all. A run with a file is done, so that the same
command goes on where it was stopped, and to repeat a run one deletes its file. A file of other settings is refused.
"""

import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from astro_sim.curves.files import read_json, write_text
from rmaat.config import check_count
from rmaat.experiments.astrocyte.grid import Cell, Grid
from rmaat.experiments.astrocyte.stack import train_stack
from rmaat.experiments.runner import end_with_parent, grouped
from rmaat.training.machine import require_device

NEEDED = "cell tests validation_accuracy steps chance parameters carried_bytes settings".split()

STACK = {"cpu": 3, "cuda": 36}  # runs trained together, unless told: a GPU has room for many


@dataclass(frozen=True, kw_only=True)
class Work:
    """How a grid is carried out; ValueError for wrong values."""

    results: Path
    """Folder of the results."""
    workers: int = 1
    """Processes on the CPU, of one thread each; with one, and none on a GPU, the runs are trained in this process."""
    gpu_workers: int = 0
    """Processes that share the GPU."""
    stack: int | None = None
    """Most runs of one structure that a process trains together; by default 3 on the CPU and 36 on a GPU."""
    max_seconds: float | None = None
    """Stop after so many seconds. Runs that are not finished are dropped; the same command begins them again."""

    def __post_init__(self) -> None:
        check_count("workers + gpu_workers", self.workers + self.gpu_workers)
        if self.gpu_workers:
            require_device("cuda")
        if self.stack is not None:
            check_count("stack", self.stack)


def read_result(path: Path) -> dict[str, Any]:
    """The result of one run; ValueError if the file is damaged."""
    result = read_json(path, "delete it")
    if missing := [name for name in NEEDED if name not in result]:
        raise ValueError(f"{path} must hold a whole result, got no {missing[0]}; delete it")
    return result


def load_results(folder: Path | str) -> list[dict[str, Any]]:
    """All results in the folders of tasks below this one."""
    return [read_result(path) for path in sorted(Path(folder).glob("*/*.json"))]


def finished(grid: Grid, cell: Cell, folder: Path) -> bool:
    """Whether a run has a result; ValueError if it is of other settings than the grid's."""
    path = folder / cell.file
    if not path.exists():
        return False
    was, now = read_result(path)["settings"], grid.settings(cell)
    if changed := [name for name in now if was.get(name) != now[name]]:
        got = f"{changed[0]} {was.get(changed[0])!r:.200} instead of {now[changed[0]]!r:.200}"
        raise ValueError(f"{path} must be of the grid as it is, got {got}; delete it or choose another folder")
    return True


def open_jobs(grid: Grid, folder: Path) -> list[list[Cell]]:
    """The runs that have no result, those of one structure and stage together, in the order of the stages."""
    jobs: list[list[Cell]] = []
    for stage in grid.cells():
        jobs += grouped((cell for cell in stage if not finished(grid, cell, folder)), grid.structure).values()
    return jobs


def carry_out(grid: Grid, work: Work, report: Callable[[str], object] = lambda line: None) -> list[dict[str, Any]]:
    """Train what has no result yet; all results of the grid, from earlier or from now.

    `report` is told lines of progress. If runs fail, the others are carried out all the same, and a ValueError is
    raised at the end.
    """
    jobs = open_jobs(grid, work.results)
    total = sum(map(len, grid.cells()))
    report(f"{total - sum(map(len, jobs))} of {total} runs are done; {sum(map(len, jobs))} to do")
    until = None if work.max_seconds is None else time.time() + work.max_seconds
    run = _run_here if work.workers == 1 and not work.gpu_workers else _run_in_processes
    failed = run(grid, work, jobs, until, report) if jobs else []
    done = [read_result(path) for cell in chain(*grid.cells()) if (path := work.results / cell.file).exists()]
    report(f"{len(done)} of {total} runs are done")
    if failed:
        raise ValueError(f"every run must reach its end, got {', '.join(failed)} failed; the same command tries again")
    return done


def _run_here(
    grid: Grid, work: Work, jobs: list[list[Cell]], until: float | None, report: Callable[[str], object]
) -> list[str]:
    """Train the jobs one after the other until no time is left; names of those that failed."""
    failed = []
    while jobs and (until is None or time.time() < until):
        cells = _next(jobs, work.stack or STACK["cpu"])
        try:
            report(f"{_name(cells)}: {_train(grid, cells, work.results, 'cpu', until, report)}")
        except (ValueError, RuntimeError, OSError) as error:
            failed.append(_name(cells))
            report(f"{_name(cells)}: failed, {' '.join(str(error).split())}")
    return failed


def _next(jobs: list[list[Cell]], most: int) -> list[Cell]:
    """Take up to so many runs from the first job."""
    cells, jobs[0] = jobs[0][:most], jobs[0][most:]
    jobs[:] = [job for job in jobs if job]
    return cells


def _run_in_processes(
    grid: Grid, work: Work, jobs: list[list[Cell]], until: float | None, report: Callable[[str], object]
) -> list[str]:
    """Give each process the next job until none or no time is left; names of jobs that failed."""
    context = multiprocessing.get_context("spawn")
    failed: list[str] = []
    lines = context.SimpleQueue()
    devices = ["cuda"] * work.gpu_workers + ["cpu"] * work.workers
    with ExitStack() as stack:
        listener = threading.Thread(target=_pass_on, args=(lines, report))
        listener.start()
        stack.callback(listener.join)
        stack.callback(lines.put, None)

        def begin() -> ProcessPoolExecutor:
            pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(lines,))
            stack.callback(pool.shutdown)
            return pool

        slots = [(begin(), device) for device in devices]
        running: dict[Future, tuple[ProcessPoolExecutor, str, list[Cell]]] = {}
        idle = list(slots)
        while True:
            while idle and jobs and (until is None or time.time() < until):
                pool, device = idle.pop(0)
                cells = _next(jobs, work.stack or STACK[device])
                lines.put(f"{_name(cells)}: begun on {device}")
                running[pool.submit(_train, grid, cells, work.results, device, until)] = pool, device, cells
            if not running:
                return failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, device, cells = running.pop(future)
                if (error := future.exception()) is None:
                    lines.put(f"{_name(cells)}: {future.result()}")
                    idle.append((pool, device))
                else:  # a process that was killed takes no further job
                    failed.append(_name(cells))
                    lines.put(f"{_name(cells)}: failed, {' '.join(str(error).split())}")
                    idle.append((begin(), device))


_lines: Any = None


def _begin(lines: Any) -> None:
    """The first thing in a new process."""
    global _lines
    _lines = lines
    end_with_parent()
    torch.set_num_threads(1)


def _pass_on(lines: Any, report: Callable[[str], object]) -> None:
    while (line := lines.get()) is not None:
        report(line)


def _train(
    grid: Grid,
    cells: Sequence[Cell],
    folder: Path,
    device: str,
    until: float | None,
    report: Callable[[str], object] | None = None,
) -> str:
    """Train in this process and write the results; what became of it in words."""
    left = None if until is None else until - time.time()
    begun, name, say = time.perf_counter(), _name(cells), report or _lines.put
    results = train_stack(grid, cells, device, left, lambda line: say(f"{name}: {line}"))
    if results is None:
        return "stopped for want of time and dropped"
    for cell, result in zip(cells, results, strict=True):
        write_text(folder / cell.file, json.dumps(result, indent=1) + "\n")
    best = max(result["tests"]["test"] for result in results)
    return f"done in {time.perf_counter() - begun:.0f} s, test accuracy up to {best:.3f}"


def _name(cells: Sequence[Cell]) -> str:
    models = list(dict.fromkeys(cell.model for cell in cells))
    shares = ", ".join(f"{share:g}" for share in dict.fromkeys(cell.share for cell in cells))
    return f"{cells[0].task}, {' '.join(models)} (share {shares}, {len(cells)} runs)"
