"""Training of many models: which runs there are, resuming, failures, and results of other settings."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from rmaat.config import ModelConfig
from rmaat.experiments.arena import ExperimentConfig, carry_out, run_experiments
from rmaat.experiments.results import load_results
from rmaat.experiments.variants import VARIANTS
from rmaat.models.zoo import NAMES, build_model, count_parameters
from rmaat.training.config import load_recipe

RECIPES = Path(__file__).parents[3] / "benchmarks" / "lra"

SEGMENTS = {"listops": 8, "text": 8, "retrieval": 8, "image": 2, "pathfinder32": 4}  # of a document, for retrieval

LONGEST = {"listops": 2000, "text": 4000, "retrieval": 4000, "image": 1024, "pathfinder32": 1024}

LONGEST |= {"listops-300": 300, "pathfinder-small": 1024, "digits": 64, "digits-long": 64, "recall": 64}

RECIPE = """
task = "recall"
model = "{model}"
steps = {steps}
batch_size = 8
warmup = 0
eval_every = 2
task_options = {{ n_segments = 2, segment_len = 4, n_train = 64, n_validation = 16, n_test = 32 }}
network = {{ segment_len = 4, n_memory = 2, d_model = 8, n_heads = 2, n_layers = 1, d_ff = {d_ff} }}
"""


@pytest.fixture
def config(tmp_path, curves):
    for name, curve in curves.items():
        curve.save(tmp_path / "curves" / f"{name}.toml")
    (tmp_path / "lra" / "recall").mkdir(parents=True)
    for model, d_ff in (("rmaat", 8), ("rmt", 10)):
        text = RECIPE.format(model=model, steps=4, d_ff=d_ff)
        (tmp_path / "lra" / "recall" / f"{model}.toml").write_text(text)
    places = {"recipes": tmp_path / "lra", "results": tmp_path / "results", "work": tmp_path / "runs"}
    return ExperimentConfig(
        tasks=("recall",), models=("rmaat", "rmt"), seeds=(0,), curves=tmp_path / "curves", data_dir=tmp_path, **places
    )


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr("rmaat.experiments.arena._in_fresh_process", carry_out)


def test_every_task_has_a_recipe_for_every_model():
    for folder in sorted(RECIPES.iterdir()):
        assert {path.stem for path in folder.glob("*.toml")} >= set(NAMES), folder.name
        for path in folder.glob("*.toml"):
            recipe = load_recipe(path)
            assert path.stem in (recipe.model, f"{recipe.model}-synaptic", "paper")


@pytest.mark.parametrize("task", SEGMENTS)
def test_recipes_have_the_papers_segments_and_the_small_size(task):
    for model in NAMES:
        network = load_recipe(RECIPES / task / f"{model}.toml").network
        assert -(-LONGEST[task] // network.segment_len) == SEGMENTS[task]
        assert (network.d_model, network.n_layers) == (64, 2)


def test_the_paper_recipe_cuts_listops_into_segments_of_1024():
    recipe = load_recipe(RECIPES / "listops" / "paper.toml")
    assert recipe.model == "rmaat-paper" and recipe.network.segment_len == 1024


@pytest.mark.parametrize("task", [path.name for path in sorted(RECIPES.iterdir())])
def test_models_of_a_task_have_equal_sizes_and_training(task, curves):
    sizes, trainings = {}, set()
    for model in NAMES:
        path = RECIPES / task / f"{model}.toml"
        recipe = tomllib.loads(path.read_text())
        kind = "match" if task == "retrieval" else "classify"
        network = ModelConfig(vocab_size=257, max_len=LONGEST[task], task=kind, **recipe["network"])
        sizes[model] = count_parameters(build_model(model, network, curves))["total"]
        trainings.add((recipe["steps"], recipe["batch_size"], repr(recipe.get("task_options"))))
    assert max(sizes.values()) < 1.1 * min(sizes.values()), sizes
    assert len(trainings) == 1


def test_less_input_is_only_for_tasks_with_such_an_option(config):
    ablations = replace(config, study="ablations", variants=("half-the-input",), models=())
    assert list(ablations.runs()) == []
    text = replace(ablations, tasks=("text",), recipes=RECIPES)
    (run,) = text.runs()
    assert run.train.task_options["max_len"] == 2000


def test_variants_that_are_the_model_itself_are_not_trained_but_kept(config):
    study = replace(config, study="ablations", models=(), variants=("relax", "relax-population", "post-norm"))
    assert [run.variant for run in study.runs()] == ["relax"]
    path = config.results / "recall" / "rmaat--post-norm-s0.json"
    path.parent.mkdir(parents=True)
    path.touch()
    assert [run.variant for run in study.runs()] == ["relax", "post-norm"]
    memory = replace(config, study="memory", models=(), tasks=("listops",), recipes=RECIPES)
    assert "memory-16" not in [run.variant for run in memory.runs()]


@pytest.mark.parametrize("change", [{"seeds": (0, 0)}, {"seeds": ()}, {"models": ()}, {"tasks": ()}])
def test_each_choice_is_made_at_least_once_and_no_more(config, change):
    ((name, values),) = change.items()
    with pytest.raises(
        ValueError, match=rf"^{name} must be at least one, each once, got {'0, 0' if values else 'none'}$"
    ):
        replace(config, **change)


def test_unknown_variants_and_missing_recipes_are_named(config):
    with pytest.raises(ValueError, match=r"^variants must be of the study models \(\), got 'no-P'$"):
        list(replace(config, variants=("no-P",)).runs())
    with pytest.raises(ValueError, match=r"^recipes must have a file for every task and model, got no .*ssm\.toml$"):
        list(replace(config, models=("ssm",)).runs())


def test_runs_once_and_renders(config, in_process):
    lines = []
    results = run_experiments(config, lines.append)
    assert [result["model"] for result in results] == ["rmaat", "rmt"] and len(lines) == 4
    needed = "task model seed accuracy majority_rate steps parameters seconds peak_bytes device".split()
    assert all(name in result for name in needed for result in results)
    assert results[0]["segments"] == [2, 2] and results[0]["steps"] == 4
    assert run_experiments(config, lines.append) == results and len(lines) == 4
    assert load_results(config.results) == results
    text = (config.results / "README.md").read_text()
    assert text.startswith("# Test accuracy on recall\n")
    assert "| rmaat |" in text and "always the commonest class" in text and (config.results / "recall.svg").exists()


def test_a_stopped_run_goes_on_to_the_same_result(config, in_process, tmp_path):
    whole = run_experiments(replace(config, models=("rmt",)))
    cut = replace(config, models=("rmt",), work=tmp_path / "cut", results=tmp_path / "cut-results")
    assert run_experiments(replace(cut, changes={"max_steps": 2})) == []
    assert (tmp_path / "cut" / "recall" / "rmt-s0" / "last" / "loop.json").exists()
    resumed = run_experiments(cut)
    for name in ("accuracy", "validation_accuracy", "steps", "fingerprint"):
        assert resumed[0][name] == whole[0][name]


def test_a_run_that_fails_does_not_stop_the_others(config, in_process):
    recipe = config.recipes / "recall" / "rmaat.toml"
    recipe.write_text(recipe.read_text() + "accumulate = 100\n")  # more than there are samples
    lines = []
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^every run must reach its end, got recall rmaat-s0 failed; "):
            run_experiments(config, lines.append)
        assert "| rmt |" in (config.results / "README.md").read_text()
    assert lines[1].startswith("recall rmaat-s0: failed, ") and lines[3].startswith("recall rmt-s0: accuracy ")


@pytest.mark.parametrize("earlier", [{}, {"lr": 0.1, "max_steps": 2}, {"lr": 0.1}])
def test_without_a_result_a_run_is_trained_again(config, in_process, earlier):
    """Its folder is finished, or of other settings."""
    config = replace(config, models=("rmt",))
    run_experiments(replace(config, changes=earlier))
    (run,) = config.runs()
    run.path.unlink(missing_ok=True)
    mark = run.train.run / "mark"
    mark.touch()
    (result,) = run_experiments(config)
    assert not mark.exists() and result["steps"] == 4
    assert json.loads((run.train.run / "config.json").read_text())["train"]["lr"] == run.train.lr


def test_changes_and_unmatched_sizes_reach_the_training(config):
    (run,) = replace(config, models=("rmt",), changes={"steps": 7, "device": "cpu"}).runs()
    assert run.train.steps == 7 and run.train.device == "cpu" and run.train.network.d_ff == 10
    (run,) = replace(config, models=("rmt",), unmatched=True).runs()
    assert run.train.network.d_ff == 8 and run.path.stem == "rmt--unmatched-s0"


def test_the_fingerprint_changes_with_the_settings_but_not_with_the_place(config):
    (run,) = replace(config, models=("rmt",)).runs()
    places = {"work": Path("elsewhere"), "changes": {"device": "cpu", "max_steps": 3}}
    (moved,) = replace(config, models=("rmt",), **places).runs()
    (other,) = replace(config, models=("rmt",), changes={"lr": 5e-4}).runs()
    assert run.fingerprint == moved.fingerprint != other.fingerprint


def test_results_of_other_settings_are_refused(config, in_process):
    config = replace(config, models=("rmt",))
    (run,), (result,) = config.runs(), run_experiments(config)
    recipe = config.recipes / "recall" / "rmt.toml"
    recipe.write_text(recipe.read_text().replace("d_ff = 10", "d_ff = 12"))
    message = r"rmt-s0.json must be a result of the recipe, changes and curves as they are, got steps 4 instead of 2, "
    with pytest.raises(ValueError, match=message + r"network.d_ff 10 instead of 12; delete it or choose another"):
        run_experiments(replace(config, models=("rmaat", "rmt"), changes={"steps": 2}))
    assert not (config.work / "recall" / "rmaat-s0").exists()  # refused before anything is trained
    del result["settings"]["patience"], result["settings"]["network"]["grid"]  # of a time before there were such fields
    run.path.write_text(json.dumps(result | {"fingerprint": "older"}))
    assert run.result()


def test_results_of_other_curves_are_refused_where_the_model_reads_them(config, in_process):
    run_experiments(config)
    path = config.curves / "ltp_population.toml"
    path.write_text(path.read_text() + "# changed\n")
    assert len(run_experiments(replace(config, models=("rmt",)))) == 1  # follows no curve
    message = r"rmaat-s0.json must be .* as they are, got curves.ltp_population '\w{12}' instead of '\w{12}'; delete it"
    with pytest.raises(ValueError, match=message):
        run_experiments(config)


@pytest.mark.parametrize(("folder", "models"), [("lra", NAMES), ("deviation", ("rmaat",))])
def test_committed_results_are_of_todays_recipes(folder, models):
    recipes, results = RECIPES.parent / folder, RECIPES.parent / "results" / folder
    there = set(results.glob("*/*.json"))
    places = {"tasks": tuple({path.parent.name for path in there}), "recipes": recipes, "results": results}
    for study, unmatched in product(VARIANTS, (False, True)):
        config = ExperimentConfig(models=models, study=study, unmatched=unmatched, **places)
        there -= {run.path for run in config.runs() if run.path.exists() and run.result()}
    assert not there


@pytest.mark.slow
def test_each_run_has_a_process_of_its_own(config):

    results = run_experiments(replace(config, models=("rmt",)))
    assert len(results) == 1 and results[0]["peak_bytes"] > 0
    assert json.loads((config.work / "recall" / "rmt-s0" / "metrics.json").read_text())["steps"] == 4


def result(model, accuracy, seed=0, task="listops", **more):
    base = {"task": task, "model": model, "variant": "", "seed": seed, "accuracy": accuracy, "majority_rate": 0.17}
    base |= {"steps": 100, "parameters": 1000, "parameters_of_R": 10, "seconds_per_step": 0.5, "peak_bytes": 2**20}
    return base | {"segments": [2, 8], "device": "cpu", "settings": {"seed": seed, "lr": 1e-3}} | more


KILLED_RUNNER = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from rmaat.experiments.runner import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_a_killed_runner_leaves_no_training_behind(tmp_path):
    script = tmp_path / "runner.py"
    script.write_text(KILLED_RUNNER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as runner:
        child = int(runner.stdout.readline())
        assert _runs(child)
        runner.kill()
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    outlived = _runs(child)
    if outlived:
        os.kill(child, signal.SIGKILL)
    assert not outlived


def _runs(process):
    """Whether the process is there and has not ended; one that nobody has waited for has."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
