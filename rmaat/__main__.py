"""Long-context transformers whose memory and attention come from simulated astrocytes.

Add --debug to any command to see the traceback of an error."""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from astro_sim.curves.console import deferred, loading, parse, run_command

with loading():
    import tyro
    from tyro.conf import Positional, arg

    from astro_sim.curves.files import add_metrics, read_if_there
    from rmaat.config import ModelConfig
    from rmaat.experiments import bench
    from rmaat.experiments.arena import ExperimentConfig, run_experiments
    from rmaat.experiments.recall_grid import ProbeConfig, run_probe
    from rmaat.experiments.results import accuracy_tables
    from rmaat.training.config import TrainConfig

Run = Annotated[Positional[Path], arg(metavar="RUN", help="run directory, as `rmaat train` wrote it")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """What of your own files is read, and how; the options of the task `file`."""

    text: str | None = None
    """Column of the texts, by default "text"."""
    label: str | None = None
    """Column of the classes; without it the model learns to write on the texts. In .npz files the array, by default
    y."""
    validation: Path | None = None
    """File of the validation split, by default a drawn part of the data."""
    test: Path | None = None
    """File of the test split, by default a drawn part of the data."""
    tokenizer: Path | None = None
    """JSON file of a Hugging Face tokeniser (extra hf), by default bytes."""
    max_len: int | None = None
    """Most tokens of a sample; longer texts lose their end, or become several samples of a language model."""
    held_out: float | None = None
    """Share of the data drawn for each split without a file, by default 0.1."""
    quotes: bool = True
    """Off takes quotation marks of CSV and TSV files as they are: no field is quoted."""

    def options(self) -> dict[str, Any]:
        """Those that are given, as options of the task."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if self.quotes:
            del given["quotes"]
        return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


Own = Annotated[Columns, arg(name="")]

OWN_NETWORK = ModelConfig(vocab_size=2)  # with segments of 256 tokens, as ModelConfig has them by default


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


def show_card(
    file: Annotated[Positional[Path], arg(metavar="FILE")], columns: Own, data_dir: Path = Path("data"), seed: int = 0
) -> int:
    """Read your own file as `rmaat train --data FILE` does, and print the card: splits, lengths, classes, duplicates.

    Args:
        file: Table (.csv, .tsv, .jsonl, .parquet), plain text (.txt) or series (.npz, .ts).
        columns: What is read.
        data_dir: Where the task is kept once it is made.
        seed: Seed of the drawn splits.
    """
    return make_data("file", data_dir, seed, {"data": str(file), **columns.options()})


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
    if own["kind"] == "lm":
        perplexities = ", ".join(f"{result['model']} {math.exp(result['loss']):.4g}" for result in (own, *baselines))
        print(f"perplexity of a token: {perplexities}")
    print(f"{'majority class':<14} {own['majority_rate']:>16.1%}   {own['model']} gains {gain:+.1f} percentage points")
    for guess, rate in own["chance"].items():
        print(f"{'chance':<14} {rate:>16.1%}   guessing {guess}")
    if not all(result["same_data"] for result in (own, *baselines)):
        print("These are not the data of the training; metrics.json stays as it is.")
    elif baselines and split == "test" and "test_accuracy" in read_if_there(run_directory / "metrics.json"):
        add_metrics(run_directory, {"baselines": {result["model"]: result["accuracy"] for result in baselines}})
    if require_gain is not None and gain < require_gain:
        print(f"error: gain must be at least {require_gain:g} percentage points, got {gain:.1f}", file=sys.stderr)
        return 1
    return 0


def predict(
    run_directory: Run,
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    out: Path | None = None,
    text: str | None = None,
    batch_size: int = 32,
    device: str = "cpu",
) -> int:
    """Label and probabilities of each text or series of a file, in its order; any length of table fits into memory.

    Args:
        file: Table (.csv, .tsv, .jsonl, .parquet), plain text with a text a line (.txt), or series (.npz, .ts).
        out: File to write, .csv or .jsonl; by default CSV goes to standard output.
        text: Column of the texts, by default that of the training.
        batch_size: Texts that are computed at once.
        device: Where to compute.
    """
    from rmaat.training.prediction import Pipeline, predict_file

    n = predict_file(Pipeline(run_directory, device), file, out or sys.stdout, text=text, batch_size=batch_size)
    if out is not None:
        print(f"{out}: {n} predictions")
    return 0


def generate(
    run_directory: Run,
    prompt: str,
    n_tokens: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int | None = None,
    device: str = "cpu",
) -> int:
    """Let a language model write on: the prompt and what it adds.

    Args:
        prompt: The beginning of the text.
        n_tokens: Tokens to add.
        temperature: Divides the logits; 0 takes the likeliest token each time.
        top_k: Draw among so many likeliest tokens.
        seed: Seed of the draws, by default another one each time.
        device: Where to compute.
    """
    from rmaat.training.prediction import Pipeline

    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "seed": seed}
    print(Pipeline(run_directory, device).generate(prompt, n_tokens, **options))
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
    own = any(word.split("=")[0] == "--data" for word in argv)
    default = TrainConfig(network=OWN_NETWORK) if own else TrainConfig()
    if chosen.recipe is not None:
        default = load_recipe(chosen.recipe)

    def configured(
        columns: Own, config: Annotated[TrainConfig, arg(name="")] = default, data: Path | None = None
    ) -> TrainConfig:
        """Train.

        Args:
            data: Your own file, in place of the named task: a table (.csv, .tsv, .jsonl, .parquet), a text (.txt), or
                series of numbers with classes (.npz, .ts).
        """
        return _on_own_data(config, data, columns.options())

    description = (
        "Train a model from curve files; an interrupted run is continued where it stopped.\n\n"
        "--data FILE trains on your own file in place of a named task: a table (.csv, .tsv, .jsonl, .parquet) with a "
        "column of texts and one of labels, texts to write on (also .txt), or series of numbers with classes (.npz, "
        ".ts). Segments then have 256 tokens.\n\n"
        "--recipe FILE.toml takes the defaults below from a recipe, such as those of benchmarks/lra/. "
        "On a CPU the same seed gives the same weights bit for bit with the same number of threads (OMP_NUM_THREADS); "
        "another number changes the last bits of sums, and so, after many steps, the result."
    )
    run = train(parse(tyro.cli, configured, args=argv, prog="rmaat train", description=description))
    if not PartialState().is_main_process:
        return 0
    result = read_if_there(run / "metrics.json")
    if "test_accuracy" in result:
        print(f"{run}: test accuracy {result['test_accuracy']:.1%}, majority class {result['majority_rate']:.1%}")
        if read_if_there(run / "config.json").get("task", {}).get("kind") == "lm":
            print(f"perplexity of a token {math.exp(result['test_loss']):.4g}")
        if segments := result.get("segments"):
            print(f"test sequences fill {' to '.join(map(str, dict.fromkeys(segments)))} segments")
    else:
        print(f"{run}: leg ended; the same command continues it")
    return 0


def _on_own_data(config: TrainConfig, data: Path | None, options: dict[str, Any]) -> TrainConfig:
    """The configuration with the options of the task `file`, which it is of or which `data` makes it of."""
    if data is not None:
        options = {"data": str(data), **options}
        before = config.task_options if config.task == "file" else {}
        return dataclasses.replace(config, task="file", task_options={**before, **options})
    if options and config.task != "file":
        name = next(iter(options)).replace("_", "-")
        raise ValueError(f"--{name} must be left out without --data, got {options[name.replace('-', '_')]!r}")
    return dataclasses.replace(config, task_options={**config.task_options, **options})


GROUPS: dict[str, dict[str, Callable]] = {
    "data": {
        "make": deferred(make_data),
        "card": deferred(show_card),
        "check": deferred(check_data),
        "list": deferred(list_data),
    },
    "bench": {
        "recall": ProbeConfig,
        "lra": ExperimentConfig,
        "attention": bench.AttentionBench,
        "replay": bench.ReplayBench,
        "speed": bench.SpeedBench,
    },
}

COMMANDS = {
    "eval": deferred(evaluate_run),
    "predict": deferred(predict),
    "generate": deferred(generate),
    "trace": deferred(trace_run),
    "report": deferred(report_run),
}

OVERVIEW = f"""{__doc__}

commands:
  data make|card|check|list   generate a task's data, describe your own, check downloaded files, list the tasks
  train                  train a model from curve files, on a named task or on your own file (--data FILE)
  eval RUN               accuracy of a run beside majority class and baselines
  predict RUN FILE       label and probabilities of each text or series of a file
  generate RUN           a language model writes on (--prompt TEXT)
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
