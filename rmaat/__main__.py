"""Long-context transformers whose memory and attention come from simulated astrocytes.

Add --debug to any command to see the traceback of an error."""

import contextlib
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from rmaat.experiments import bench
from rmaat.experiments.arena import ExperimentConfig, run_experiments
from rmaat.experiments.recall_grid import ProbeConfig, run_probe
from rmaat.experiments.results import accuracy_tables
from rmaat.training.config import TrainConfig
from rmaat.training.run_folder import read_if_there

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
    from rmaat.training.run_folder import add_metrics

    folders = [run_directory, *sorted(path.parent for path in run_directory.glob("baselines/*/config.json"))]
    own, *baselines = (evaluate(folder, split, device=device, data_dir=data_dir) for folder in folders)
    gain = 100 * (own["accuracy"] - own["majority_rate"])
    print(f"{'model':<14} {split + ' accuracy':>16}   ({own['task']}, {own['n']} samples)")
    for result in (own, *baselines):
        print(f"{result['model']:<14} {result['accuracy']:>16.1%}")
    print(f"{'majority class':<14} {own['majority_rate']:>16.1%}   {own['model']} gains {gain:+.1f} percentage points")
    if split == "test" and "test_accuracy" in read_if_there(run_directory / "metrics.json"):
        accuracies = {result["model"]: result["accuracy"] for result in baselines}
        add_metrics(run_directory, {"test_accuracy": own["accuracy"], "baselines": accuracies})
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


class Recall(ProbeConfig):
    """Train every memory rule to recall one marked symbol and test it by the symbol's segment, at T and beyond."""

    def __call__(self) -> int:
        run_probe(self, _say)
        return _say((self.out / "recall.md").read_text())


class LongRangeArena(ExperimentConfig):
    """Train models, or variants of one, on tasks by their recipes, with several seeds; tables of their accuracy."""

    def __call__(self) -> int:
        return _say(accuracy_tables(run_experiments(self, _say)))


class Attention(bench.AttentionBench):
    """Time and memory of attention alone, forward, and forward with backward, over N tokens."""

    def __call__(self) -> int:
        return _say(bench.bench_table(bench.bench_attention(self)))


class Replay(bench.ReplayBench):
    """Time and memory of a training step with AMRB and with back-propagation through time."""

    def __call__(self) -> int:
        return _say(bench.bench_table(bench.bench_replay(self)))


class Speed(bench.SpeedBench):
    """Time and memory of a training step of every model, with matched parameters."""

    def __call__(self) -> int:
        return _say(bench.bench_table(bench.bench_speed(self)))


def _say(line: str) -> int:
    print(line, flush=True)
    return 0


def _deferred(function: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """A function with the same options that returns the call instead of making it, so that parsing comes first."""
    return wraps(function)(lambda *args, **options: partial(function, *args, **options))


def _train(argv: Sequence[str]) -> int:
    """Train a model; the defaults are those of a recipe where `--recipe FILE.toml` is given."""
    from accelerate import PartialState

    from rmaat.training.config import load_recipe
    from rmaat.training.train import train

    argv, recipe = _take_option(list(argv), "--recipe")
    default = TrainConfig() if recipe is None else load_recipe(Path(recipe))
    description = (
        "Train a model from curve files; an interrupted run is continued where it stopped.\n\n"
        "--recipe FILE.toml takes the defaults below from a recipe, such as those of benchmarks/lra/."
    )
    config = _parse(tyro.cli, TrainConfig, default=default, args=argv, prog="rmaat train", description=description)
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


def _take_option(argv: list[str], name: str) -> tuple[list[str], str | None]:
    """Remove `name VALUE` or `name=VALUE` from the arguments."""
    for k, word in enumerate(argv):
        if word == name:
            if k + 1 == len(argv):
                raise ValueError(f"{name} must be followed by a file, got nothing")
            return argv[:k] + argv[k + 2 :], argv[k + 1]
        if word.startswith(name + "="):
            return argv[:k] + argv[k + 1 :], word.split("=", 1)[1]
    return argv, None


GROUPS: dict[str, dict[str, Callable]] = {
    "data": {"make": _deferred(make_data), "check": _deferred(check_data), "list": _deferred(list_data)},
    "bench": {"recall": Recall, "lra": LongRangeArena, "attention": Attention, "replay": Replay, "speed": Speed},
}

COMMANDS = {"eval": _deferred(evaluate_run), "trace": _deferred(trace_run), "report": _deferred(report_run)}

OVERVIEW = f"""{__doc__}

commands:
  data make|check|list   generate a task's data, check downloaded files, list the tasks
  train                  train a model from curve files
  eval RUN               accuracy of a run beside majority class and baselines
  trace RUN              each derived constant with its chain down to the simulation
  report RUN             one self-contained page about a run
  bench {"|".join(GROUPS["bench"])}   retention probe, Long Range Arena, timings as ratios

`rmaat COMMAND --help` describes a command."""

EXPECTED = (ValueError, TypeError, OSError, RuntimeError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line, or a traceback with --debug."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # head, say, has read enough; what is left to write at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of a program that SIGPIPE ended
    except EXPECTED as error:
        if debug:
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def _run(argv: Sequence[str]) -> int:
    name, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if name in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    if name == "train":
        return _train(rest)
    if name in GROUPS and rest and rest[0] in GROUPS[name]:
        return _parse(tyro.cli, GROUPS[name][rest[0]], prog=f"rmaat {name} {rest[0]}", args=rest[1:])()
    if name in GROUPS:
        return _parse(tyro.extras.subcommand_cli_from_dict, GROUPS[name], prog=f"rmaat {name}", args=rest)()
    if name in COMMANDS:
        return _parse(tyro.cli, COMMANDS[name], prog=f"rmaat {name}", args=rest)()
    raise ValueError(f"command must be one of train, {', '.join([*GROUPS, *COMMANDS])}, got {name!r}; see rmaat --help")


def _parse(parse: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a parser of tyro; what it would draw as a box on standard error becomes the one line of a ValueError."""
    drawn = io.StringIO()
    try:
        with contextlib.redirect_stderr(drawn):
            return parse(*args, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        inside = drawn.getvalue().translate(dict.fromkeys(map(ord, "╭╮╰╯│"), " "))
        parts = [" ".join(part.split()).rstrip(".") for part in re.split("[-─]{3,}", inside)]
        raise ValueError("; ".join(filter(None, parts[1:]))) from None  # the first is the heading of the box


if __name__ == "__main__":
    sys.exit(main())
