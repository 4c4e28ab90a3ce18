"""What does the astrocyte bring? Train the grid in benchmarks/astrocyte/grid.toml, and write its page.

    python benchmarks/astrocyte.py run --workers 14 --max-seconds 540
    python benchmarks/astrocyte.py run --workers 0 --gpu-workers 4
    python benchmarks/astrocyte.py page

Finished runs are kept; the same command goes on with the others.
"""

import argparse
import sys
import time
from pathlib import Path

from rmaat.experiments.astrocyte.grid import Grid
from rmaat.experiments.astrocyte.schedule import Work, carry_out, load_results

ROOT = Path(__file__).resolve().parents[1]
GRID = ROOT / "benchmarks/astrocyte/grid.toml"
RESULTS = ROOT / "benchmarks/results/astrocyte"
PAGE = ROOT / "docs/what-the-astrocyte-brings.md"


def main() -> None:
    options = _parser().parse_args()
    try:
        options.command(options)
    except ValueError as error:
        sys.exit(f"error: {error}")


def run(options: argparse.Namespace) -> None:
    changes = {name: getattr(options, name) for name in ("steps", "batch_size", "seeds", "lrs")}
    only = {"only_tasks": options.tasks, "only_models": options.models}
    grid = Grid.load(options.grid, **{name: value for name, value in changes.items() if value is not None}, **only)
    work = {name: getattr(options, name) for name in ("results", "workers", "gpu_workers", "stack", "max_seconds")}
    begun = time.perf_counter()
    carry_out(grid, Work(**work), lambda line: print(f"{time.perf_counter() - begun:6.0f} s  {line}", flush=True))


def page(options: argparse.Namespace) -> None:
    from rmaat.experiments.astrocyte.analysis import write_page

    print(write_page(options.page, Grid.load(options.grid), load_results(options.results)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    trains = commands.add_parser("run", help="train what has no result yet")
    trains.set_defaults(command=run)
    writes = commands.add_parser("page", help="bring the tables of the page up to date")
    writes.set_defaults(command=page)
    writes.add_argument("--page", type=Path, default=PAGE, help="the page, with markers around its tables")
    for command in (trains, writes):
        command.add_argument("--grid", type=Path, default=GRID, help="the grid, a TOML file")
        command.add_argument("--results", type=Path, default=RESULTS, help="folder of the results, a JSON file a run")
    trains.add_argument("--workers", type=int, default=1, help="processes on the CPU, of one thread each")
    trains.add_argument("--gpu-workers", type=int, default=0, help="processes that share the GPU")
    trains.add_argument(
        "--stack", type=int, help="most runs that a process trains together; by default 3 on the CPU, 36 on a GPU"
    )
    trains.add_argument("--max-seconds", type=float, help="stop after so many seconds and drop what is not finished")
    trains.add_argument("--steps", type=int, help="steps of a run, in place of the grid's")
    trains.add_argument("--batch-size", type=int, help="samples of a step, in place of the grid's")
    trains.add_argument("--seeds", type=int, nargs="+", help="in place of the grid's")
    trains.add_argument("--lrs", type=float, nargs="+", help="learning rates, in place of the grid's")
    trains.add_argument("--tasks", nargs="+", help="only these tasks of the grid")
    trains.add_argument("--models", nargs="+", help="only these models of the grid")
    return parser


if __name__ == "__main__":
    main()
