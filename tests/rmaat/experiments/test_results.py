"""Results: damaged files, tables and charts."""

import json
from dataclasses import replace

import pytest

from rmaat.experiments import results
from rmaat.experiments.arena import ExperimentConfig
from rmaat.experiments.results import load_results, render_experiments

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
