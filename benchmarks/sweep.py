"""What a sweep costs: 100 and 1000 conditions in one run each, against runs one by one.

    python benchmarks/sweep.py [--file benchmarks/results/sweep.md]

The rates of a Poisson input onto tripartite synapses without plasticity (`fm`, gliotransmission closed, 20 s), one
repeat each. Times are wall-clock seconds of `run_sweep`, files and assembly of the result included.
"""

import argparse
import os
import platform
import time
from pathlib import Path

from brian2 import Hz, second

from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.trains import Poisson, log_rates
from astro_sim.sweeps.run import run_sweep
from astro_sim.sweeps.sweep import Sweep

SEPARATE = 3  # runs one by one that are timed; the cost of 1000 is 1000/3 of theirs


def seconds(n_conditions: int) -> float:
    """Time of one sweep over so many rates."""
    sweep = Sweep(
        model=TripartiteSynapses(plasticity=None),
        protocol=Poisson(rate=1 * Hz, length=20 * second),
        axes={"protocol.rate": log_rates(0.1 * Hz, 100 * Hz, n_conditions)},
        settings={"record_every": 1 * second},
        record=("r_S", "C"),
    )
    begin = time.perf_counter()
    run_sweep(sweep)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--file", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    hundred, thousand = seconds(100), seconds(1000)
    alone = sum(seconds(1) for _ in range(SEPARATE)) / SEPARATE
    table = "\n".join(
        [
            "# What a sweep costs",
            "",
            "`python benchmarks/sweep.py --file benchmarks/results/sweep.md`: rates of a Poisson input onto tripartite "
            "synapses without plasticity, 20 s each.",
            "",
            f"{platform.machine()}, {os.cpu_count()} cores under a load of {os.getloadavg()[1]:.0f}, "
            f"Python {platform.python_version()}, C++ standalone, build included",
            "",
            "| conditions | how | seconds |",
            "|---|---|---|",
            f"| 100 | one run | {hundred:.1f} |",
            f"| 1000 | one run | {thousand:.1f} |",
            f"| 1 | one run (mean of {SEPARATE}) | {alone:.1f} |",
            f"| 1000 | one by one (1000 times the line above) | {1000 * alone:.0f} |",
            "",
            f"1000 conditions in one run take {thousand / hundred:.1f} times as long as 100, and are "
            f"{1000 * alone / thousand:.0f} times faster than one by one.",
        ]
    )
    print(table)
    if arguments.file:
        arguments.file.parent.mkdir(parents=True, exist_ok=True)
        arguments.file.write_text(table + "\n")


if __name__ == "__main__":
    main()
