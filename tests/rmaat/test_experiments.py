"""The experiment runner: which runs there are, that it resumes, and what its tables say."""

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
from rmaat.experiments import results
from rmaat.experiments.arena import ExperimentConfig, carry_out, run_experiments
from rmaat.experiments.results import load_results, render_experiments
from rmaat.experiments.variants import VARIANTS, Variant
from rmaat.models.zoo import NAMES, build_model, count_parameters
from rmaat.training.config import load_recipe

RECIPES = Path(__file__).parents[2] / "benchmarks" / "lra"
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
            assert path.stem in (recipe.model, "paper")


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


def test_variants_change_what_they_say():
    network = ModelConfig(vocab_size=4, segment_len=32)
    changed = {v.name: v.apply(network) for study in VARIANTS.values() for v in study}
    assert changed["no-P"] == replace(network, feedback=False)
    assert changed["segments-twice-as-long"].segment_len == 64
    assert changed["a-x0.25"].seconds_per_segment == 12.5 and changed["scale-x4"].cells_per_token == 1.0
    assert [changed[f"memory-{n}"].n_memory for n in (4, 8, 16, 32, 64)] == [4, 8, 16, 32, 64]
    assert changed["no-retention"].memory_update == "replace"
    unchanged = {"memory-16", "half-the-input", "quarter-of-the-input"}
    same = {name for name, other in changed.items() if other == network} - unchanged
    assert len(same) <= 2  # those that name the default's own norm and rule


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
    assert run.result() is not None


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
        there -= {run.path for run in config.runs() if run.result() is not None}
    assert not there


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"task": "rec', "must be a whole JSON file, got Unterminated string"),
        ("{}", "must hold a whole result, got no task; delete it$"),
        ('{"settings": {}, ', "must hold a whole result, got no settings; delete it$"),
        ('{"settings": {"x": 0}, "accuracy": "high", ', "must have a number as accuracy, got 'high'; delete it$"),
    ],
)
def test_damaged_results_are_named(config, text, message):
    (run,) = replace(config, models=("rmt",)).runs()
    run.path.parent.mkdir(parents=True)
    whole = json.dumps({name: value for name, value in result("rmt", 0.5).items() if f'"{name}"' not in text})
    run.path.write_text(text + whole[1:] if text.endswith(", ") else text)
    for read in (run.result, lambda: load_results(config.results)):
        with pytest.raises(ValueError, match=f"rmt-s0.json {message}"):
            read()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('steps = "abc"', "steps must be an integer, got 'abc'"),
        ("betas = 0.9", "betas must be 2 values, each a number, got 0.9"),
        ("run = 3", "run must be a path, got 3"),
        ("network = 3", "network must be a table, got 3"),
        ("task_options = []", r"task_options must be a table, got \[\]"),
        ("lr = -1.0", "lr must be positive and finite, got -1.0"),
    ],
)
def test_wrong_values_in_recipes_are_named_with_the_file(tmp_path, line, message):
    (tmp_path / "recipe.toml").write_text(line)
    with pytest.raises(ValueError, match=rf"recipe\.toml: {message}$"):
        load_recipe(tmp_path / "recipe.toml")


@pytest.mark.slow
def test_each_run_has_a_process_of_its_own(config):

    results = run_experiments(replace(config, models=("rmt",)))
    assert len(results) == 1 and results[0]["peak_bytes"] > 0
    assert json.loads((config.work / "recall" / "rmt-s0" / "metrics.json").read_text())["steps"] == 4


def result(model, accuracy, seed=0, task="listops", **more):
    base = {"task": task, "model": model, "variant": "", "seed": seed, "accuracy": accuracy, "majority_rate": 0.17}
    base |= {"steps": 100, "parameters": 1000, "parameters_of_R": 10, "seconds_per_step": 0.5, "peak_bytes": 2**20}
    return base | {"segments": [2, 8], "device": "cpu", "settings": {"seed": seed, "lr": 1e-3}} | more


def test_tables_show_mean_and_spread_beside_the_published_numbers():
    text = results.accuracy_tables([result("rmaat", 0.4), result("rmaat", 0.5, 1), result("rmt", 0.3)])
    assert "| rmaat | 45.0 ± 7.1 | 2 | 100 | 1,000 | 10 | 2 to 8 | 0.500 | 1 | cpu |" in text
    assert "| rmt | 30.0 | 1 |" in text and "| *always the commonest class* | 17.0 |" in text
    for name, value in (("S5", "62.15"), ("Mega", "63.14"), ("RMAAT", "38.9")):
        assert any(f"*published: {name}*" in line and value in line for line in text.splitlines())
    assert text.index("| rmaat |") < text.index("| rmt |")


def test_tables_of_other_tasks_have_no_published_numbers():
    assert "published" not in results.accuracy_tables([result("rmaat", 0.4, task="digits")])
    assert results.published_of("digits") == {} and results.published_of("listops")["S5"] == pytest.approx(0.6215)


def test_variants_stand_in_a_table_of_their_own_beside_their_model():
    found = [result("rmaat", 0.4), result("rmt", 0.3), result("rmaat", 0.5, variant="no-P")]
    models, variants = results.accuracy_tables(found).split("### Variants of rmaat on listops")
    assert "no-P" not in models and "| rmt |" in models and "published" in models
    assert variants.index("| rmaat (no-P) | 50.0") < variants.index("| rmaat | 40.0") and "rmt" not in variants
    assert "Variants" not in results.accuracy_tables(found[:2])
    assert results.accuracy_tables(found[2:]).count("| rmaat (no-P) |") == 1


def test_unmatched_models_stand_in_a_table_and_a_chart_of_their_own(tmp_path, monkeypatch):
    found = [result("rmaat", 0.4, variant="unmatched"), result("rmt", 0.3, variant="unmatched")]
    found += [result("rmaat", 0.5, variant="no-P--unmatched"), result("rmaat", 0.45), result("rmaat", 0.2, variant="x")]
    for k, each in enumerate(found):
        path = tmp_path / "listops" / f"{k}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(each))
    charts = []
    monkeypatch.setattr("rmaat.report.plots.plot_accuracy", lambda bars, published, *_, ax: charts.append([*bars]))
    text = render_experiments(tmp_path).read_text()
    plain, unmatched = text.split("### Unmatched d_ff on listops")
    unmatched, variants = unmatched.split("### Variants of rmaat on listops")
    assert [row in unmatched for row in ("| rmaat |", "| rmt |", "| rmaat (no-P) |", "published: S5")] == [True] * 4
    assert "(no-P" not in plain + variants and "| rmaat (x) |" in variants and "| rmt |" not in plain + variants
    assert charts == [["rmaat"], ["rmaat (no-P)", "rmaat", "rmt"], ["rmaat", "x"]]


def test_seeds_with_different_settings_are_marked():
    other = result("rmaat", 0.5, 1, settings={"seed": 1, "lr": 2e-3})
    assert "rmaat †" in results.accuracy_tables([result("rmaat", 0.4), other])
    assert "†" not in results.accuracy_tables([result("rmaat", 0.4), result("rmaat", 0.5, 1)])


def test_published_numbers_have_sources_and_are_per_cent():
    entries = results.load_published()
    assert len({entry["name"] for entry in entries}) == len(entries) and {"S5", "Mega"} <= {e["name"] for e in entries}
    for entry in entries:
        assert entry["source"] and all(10 < value < 100 for value in entry["accuracy"].values())


def test_the_published_table_ranks_all_models_by_the_mean_of_five_tasks():
    lines = results.published_table().splitlines()
    assert len(lines) == 2 + len(results.load_published())
    place = {name: k for k, line in enumerate(lines) for name in ("S5", "Mega", "RMAAT", "RMT") if f"*{name}*" in line}
    assert place["Mega"] < place["S5"] < place["RMAAT"] < place["RMT"]
    assert "| 62.15 | 89.31 | 91.4 | 88.0 | 95.33 | 85.2 |" in lines[place["S5"]]


def test_a_variant_scales_integers_to_integers():
    assert isinstance(Variant("x", scale={"segment_len": 2}).apply(ModelConfig(vocab_size=4)).segment_len, int)


KILLED_RUNNER = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from rmaat.experiments.arena import end_with_parent

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
