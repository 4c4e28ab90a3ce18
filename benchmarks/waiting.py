"""What a person waits for: the steps that have a limit of time, beside it.

    python benchmarks/waiting.py [--file benchmarks/results/waiting.md]

Medians of CPU time on one core, after one turn that warms up (compiles what numba compiles).
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path

from astro_sim.dynamics.vector_fields import g_chi, time_course
from astro_sim.figures.explorer import explore
from astro_sim.parameters.presets import FM
from rmaat.tasks.listops import generate
from rmaat.tasks.pathfinder.task import LRA, Pathfinder

N_TREES, N_LISTOPS = 1000, 100_000


def steps() -> Iterator[tuple[str, float, float, Callable[[], object]]]:
    """Each step's name, limit in seconds, how many times a call does it, and the call."""
    panel, positions = explore(), cycle([0.2, 0.4, 0.6, 0.8])

    def move() -> None:
        panel.controls["ip3"].value = next(positions)

    yield "a slider of `explore()` moved: solved, drawn, sent as a picture", 0.5, 1, move
    model = g_chi(FM.calcium, FM.ip3, FM.receptor, Y_S=1.0, I_bias=0.7)
    yield "a minute of G-ChI by `time_course`", 0.5, 1, lambda: time_course(model, 60)
    images, index = Pathfinder(LRA[32], 0), count()
    yield "one image of Pathfinder 32 x 32", 0.01, 1, lambda: images.draw(next(index))
    seeds = count()
    share = N_TREES / N_LISTOPS
    yield "ListOps of 500 to 2000 tokens, 100 000 trees", 180.0, share, lambda: generate(N_TREES, seed=next(seeds))


def median_seconds(call: Callable[[], object], repeats: int = 15) -> float:
    """Median CPU time of a call."""
    taken = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return statistics.median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--file", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    rows = []
    for name, limit, share, call in steps():
        seconds = median_seconds(call) / share
        rows.append(f"| {name} | {seconds:.3g} | {limit:g} | {seconds / limit:.2f} |")
    table = "\n".join(
        [
            "# What a person waits for",
            "",
            "`python benchmarks/waiting.py`; "
            f"{platform.machine()}, one of {os.cpu_count()} cores under a load of {os.getloadavg()[1]:.0f}, "
            f"Python {platform.python_version()}",
            "",
            "| step | seconds | limit | share of it |",
            "|---|---:|---:|---:|",
            *rows,
        ]
    )
    print(table)
    if arguments.file:
        arguments.file.parent.mkdir(parents=True, exist_ok=True)
        arguments.file.write_text(table + "\n")


if __name__ == "__main__":
    main()
