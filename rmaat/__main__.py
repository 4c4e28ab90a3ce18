"""Long-context transformers whose memory and attention come from simulated astrocytes.

Add --debug to any command to see the traceback of an error."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from astro_sim.curves.console import deferred, loading, parse, run_command

with loading():
    import tyro
    from tyro.conf import Positional, arg

    from astro_sim.curves.files import add_metrics, read_if_there
    from rmaat.experiments import bench
    from rmaat.experiments.arena import ExperimentConfig, run_experiments
    from rmaat.experiments.recall_grid import ProbeConfig, run_probe
    from rmaat.experiments.results import accuracy_tables
    from rmaat.training.config import TrainConfig

Run = Annotated[Positional[Path], arg(metavar="RUN", help="run directory, as `rmaat train` wrote it")]


def make_data(
    task: Positional[str],
    data_dir: Path = Path("data"),
    seed: int = 0,
    options: dict[str, bool | int | float | str] | None = None,
) -> int:
    """Generate a task's data, or read its official files, and print the task's card.

    What is generated is kept under DATA_DIR, and so are the images of Pathfinder's release once they are read.

    Args:
        task: Name of the task; `rmaat data list` shows them.
        data_dir: Where official files lie and generated data are kept.
        seed: Seed of everything that is drawn.
        options: Options of the task, as pairs: --options max_length 600 n_train 20000.
    """
    from rmaat.tasks import load_task

    loaded = load_task(task, data_dir, seed=seed, progress=True, **(options or {}))
    print(json.dumps(dict(loaded.card), indent=2))
    return 0


def check_data(folder: Positional[Path]) -> int:
    """Say which of the Long Range Arena's official files a folder holds, and what is missing or damaged.

    The exit status is 1 if something is damaged, or nothing is there.

    Args:
        folder: The folder that you downloaded to.
    """
    from rmaat.tasks.lra.check import check

    findings = check(folder)
    for finding in findings:
        print(f"{finding.state:<7}  {finding.task:<12} {finding.message}")
    states = {finding.state for finding in findings}
    return 0 if "ok" in states and "damaged" not in states else 1


def list_data() -> int:
    """List the tasks by name."""
    from rmaat import tasks

    print(f"{tasks.__doc__}\nAll names: {', '.join(tasks.TASKS)}")
    return 0


def evaluate_run(
    run_directory: Run,
    split: str = "test",
    require_gain: float | None = None,
    device: str = "cpu",
    data_dir: Path | None = None,
) -> int:
    """Accuracy of a run on one split, beside the majority-class rate and the run's baselines.

    Args:
        split: train, validation or test.
        require_gain: Exit with status 1 unless accuracy exceeds the majority-class rate by this many percentage points.
        device: Where to compute.
        data_dir: Where the task's files lie, if not where they were in training.
    """
    from rmaat.training.evaluation import evaluate

    folders = [run_directory, *sorted(path.parent for path in run_directory.glob("baselines/*/config.json"))]
    own, *baselines = (evaluate(folder, split, device=device, data_dir=data_dir) for folder in folders)
    gain = 100 * (own["accuracy"] - own["majority_rate"])
    print(f"{'model':<14} {split + ' accuracy':>16}   ({own['task']}, {own['n']} samples)")
    for result in (own, *baselines):
        print(f"{result['model']:<14} {result['accuracy']:>16.1%}")
    print(f"{'majority class':<14} {own['majority_rate']:>16.1%}   {own['model']} gains {gain:+.1f} percentage points")
    if not all(result["same_data"] for result in (own, *baselines)):
        print("These are not the data of the training; metrics.json stays as it is.")
    elif baselines and split == "test" and "test_accuracy" in read_if_there(run_directory / "metrics.json"):
        add_metrics(run_directory, {"baselines": {result["model"]: result["accuracy"] for result in baselines}})
    if require_gain is not None and gain < require_gain:
        print(f"error: gain must be at least {require_gain:g} percentage points, got {gain:.1f}", file=sys.stderr)
        return 1
    return 0


def trace_run(run_directory: Run, segments: int | None = None) -> int:
    """Print each derived constant of a checkpoint with its chain down to the simulation and its equations.

    Args:
        segments: Number of segments T whose retention factors are shown; by default that of the task's longest input.
    """
    from rmaat.report.trace import trace

    derived = trace(run_directory, n_segments=segments)
    for constant in derived:
        print("\n".join(constant.lines()), end="\n\n")
    if not derived:
        print("No constant of this model comes from a curve.")
    return 0


def report_run(run_directory: Run, title: str | None = None) -> int:
    """Write one self-contained report.html with the result, the origin of the constants, figures and curves.

    Args:
        title: Heading of the page.
    """
    from rmaat.report.figures import draw_figures
    from rmaat.report.page import report

    draw_figures(run_directory)
    print(report(run_directory, title=title))
    return 0


def _benchmark(config: Any) -> int:
    match config:
        case ProbeConfig():
            run_probe(config, _say)
            _say((config.out / "recall.md").read_text())
        case ExperimentConfig():
            _say(accuracy_tables(run_experiments(config, _say)))
        case bench.AttentionBench():
            _say(bench.bench_table(bench.bench_attention(config)))
        case bench.ReplayBench():
            _say(bench.bench_table(bench.bench_replay(config)))
        case bench.SpeedBench():
            _say(bench.bench_table(bench.bench_speed(config)))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _train(argv: list[str]) -> int:
    """Train a model; the defaults are those of a recipe where `--recipe FILE.toml` is given."""
    from accelerate import PartialState

    from rmaat.training.config import load_recipe
    from rmaat.training.train import train

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--recipe")
    try:
        chosen, argv = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ValueError("--recipe must be followed by a file, got nothing") from error
    default = TrainConfig() if chosen.recipe is None else load_recipe(chosen.recipe)
    description = (
        "Train a model from curve files; an interrupted run is continued where it stopped.\n\n"
        "--recipe FILE.toml takes the defaults below from a recipe, such as those of benchmarks/lra/. "
        "On a CPU the same seed gives the same weights bit for bit with the same number of threads (OMP_NUM_THREADS); "
        "another number changes the last bits of sums, and so, after many steps, the result."
    )
    config = parse(tyro.cli, TrainConfig, default=default, args=argv, prog="rmaat train", description=description)
    run = train(config)
    if not PartialState().is_main_process:
        return 0
    result = read_if_there(run / "metrics.json")
    if "test_accuracy" in result:
        print(f"{run}: test accuracy {result['test_accuracy']:.1%}, majority class {result['majority_rate']:.1%}")
        if segments := result.get("segments"):
            print(f"test sequences fill {' to '.join(map(str, dict.fromkeys(segments)))} segments")
    else:
        print(f"{run}: leg ended; the same command continues it")
    return 0


GROUPS: dict[str, dict[str, Callable]] = {
    "data": {"make": deferred(make_data), "check": deferred(check_data), "list": deferred(list_data)},
    "bench": {
        "recall": ProbeConfig,
        "lra": ExperimentConfig,
        "attention": bench.AttentionBench,
        "replay": bench.ReplayBench,
        "speed": bench.SpeedBench,
    },
}

COMMANDS = {"eval": deferred(evaluate_run), "trace": deferred(trace_run), "report": deferred(report_run)}

OVERVIEW = f"""{__doc__}

commands:
  data make|check|list   generate a task's data, check downloaded files, list the tasks
  train                  train a model from curve files
  eval RUN               accuracy of a run beside majority class and baselines
  trace RUN              each derived constant with its chain down to the simulation
  report RUN             one self-contained page about a run
  bench {"|".join(GROUPS["bench"])}   retention probe, Long Range Arena, timings as ratios

`rmaat COMMAND --help` describes a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line, or a traceback with --debug."""
    return run_command(_run, argv, resumed=("train", "bench recall", "bench lra"))


def _run(argv: list[str]) -> int:
    name, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if name in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    if name == "train":
        return _train(rest)
    if name in GROUPS and rest and rest[0] in GROUPS[name]:
        chosen = parse(tyro.cli, GROUPS[name][rest[0]], prog=f"rmaat {name} {rest[0]}", args=rest[1:])
    elif name in GROUPS:
        chosen = parse(tyro.extras.subcommand_cli_from_dict, GROUPS[name], prog=f"rmaat {name}", args=rest)
    elif name in COMMANDS:
        chosen = parse(tyro.cli, COMMANDS[name], prog=f"rmaat {name}", args=rest)
    else:
        names = ", ".join(["train", *GROUPS, *COMMANDS])
        raise ValueError(f"command must be one of {names}, got {name!r}; see rmaat --help")
    return chosen() if callable(chosen) else _benchmark(chosen)


if __name__ == "__main__":
    sys.exit(main())
