"""The run folder: its files, locks, damaged checkpoints, and runs of another configuration."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from astro_sim.curves.files import add_metrics, locked
from rmaat.config import ModelConfig
from rmaat.training.evaluation import evaluate
from rmaat.training.train import train

NETWORK = ModelConfig(
    vocab_size=2, d_model=16, n_heads=2, n_layers=1, d_ff=16, segment_len=4, n_memory=2, pooling="each", dropout=0.1
)


def log_of(run, key="loss"):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line[key] for line in lines if key in line}


def test_a_folder_is_trained_in_by_one_process_at_a_time(config, tmp_path):
    config.run.mkdir(parents=True)
    with locked(config.run / ".lock"), pytest.raises(ValueError, match="run must be a folder that no other process tr"):
        train(config)
    with pytest.raises(OSError, match=r"a_file must be writable, on a disk with room, got File exists$"):
        (tmp_path / "a_file").touch()
        train(replace(config, run=tmp_path / "a_file"))
    (config.run / ".lock").touch()  # as a killed process leaves it
    assert json.loads((train(config) / "metrics.json").read_text())["segments"] == [3, 3]
    assert not (config.run / ".lock").exists()


def test_a_training_goes_into_the_folder_of_its_simulations(config):
    """`astro-sim curves --out FOLDER`, then `rmaat train --run FOLDER`: one metrics.json with the seconds of both."""
    add_metrics(config.run, {"seconds": {"simulate and fit": 2.5}})
    seconds = json.loads((train(config) / "metrics.json").read_text())["seconds"]
    assert seconds["simulate and fit"] == 2.5 and seconds["train"] > 0


def test_resuming_drops_what_was_logged_beyond_the_checkpoint(config):
    train(replace(config, max_steps=12))
    log = config.run / "log.jsonl"
    expected = log.read_text()
    log.write_text(expected + '{"step": 15, "loss": 1.0}\n{"step": 20, "lo')
    train(replace(config, max_steps=1))
    assert log.read_text() == expected


def test_run_folder(config, curve_folder):
    train(config)
    files = {str(path.relative_to(config.run)) for path in config.run.rglob("*") if path.is_file()}
    curve_names = {"ltp", "ltp_population", "stp_calcium", "stp_spatial"}
    assert {"config.json", "log.jsonl", "metrics.json", "last/loop.json", "model/model.safetensors"} <= files
    assert {f"curves/{name}.toml" for name in curve_names} <= files
    assert {Path(name).suffix for name in files} == {".json", ".jsonl", ".toml", ".safetensors"}  # nothing pickled
    for name in curve_names:
        assert (config.run / "curves" / f"{name}.toml").read_bytes() == (curve_folder / f"{name}.toml").read_bytes()
    metrics = json.loads((config.run / "metrics.json").read_text())
    assert metrics["task"] == "recall" and metrics["model"] == "rmaat" and metrics["seed"] == 0
    assert metrics["steps"] == 24 and metrics["parameters"] > 1000 and metrics["peak_bytes"] > 1e7
    assert metrics["seconds"]["train"] > 0 and metrics["device"].startswith("cpu")
    tested, checked = evaluate(config.run), evaluate(config.run, "validation")
    assert tested["accuracy"] == metrics["test_accuracy"] and tested["majority_rate"] == metrics["majority_rate"]
    assert (
        checked["accuracy"] == metrics["validation_accuracy"] == max(log_of(config.run, "validation_accuracy").values())
    )
    assert tested["n"] == 40


def test_another_configuration_in_the_same_folder(config, curve_folder):
    train(replace(config, max_steps=2))
    with pytest.raises(ValueError, match=r"train.lr must be that of the run in .*, 0.01, got 0.02; choose another run"):
        train(replace(config, lr=0.02))
    with pytest.raises(ValueError, match=r"network.n_memory must be that of the run"):
        train(replace(config, network=replace(NETWORK, n_memory=3)))
    path = curve_folder / "ltp.toml"
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(ValueError, match=r"curves.ltp must be that of the run"):
        train(config)


def test_another_number_of_processes_is_another_training(config):
    train(replace(config, max_steps=2))
    path = config.run / "config.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"processes": 2}))
    with pytest.raises(ValueError, match=r"^processes must be that of the run in .*, 2, got 1; choose another run"):
        train(config)
    del record["processes"]  # of a time when it was not written down
    path.write_text(json.dumps(record))
    train(config)


def test_half_written_files_of_a_killed_leg_are_removed(config):
    train(replace(config, max_steps=2))
    (config.run / "model" / "curves").mkdir(parents=True)
    names = "model/.config.json.x1 model/.model.safetensors.x1 model/curves/.ltp.toml.x1".split()
    names += ".log.jsonl.x1 .metrics.json.x1 last/.step-00000002.safetensors.x1 last/.loop.json.x1".split()
    names += ["curves/.ltp.toml.x1", ".gitignore"]
    for name in names:
        (config.run / name).touch()
    train(replace(config, max_steps=2))
    assert [path.name for path in config.run.rglob(".*")] == [".gitignore"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named_by_the_log(config, monkeypatch):
    train(replace(config, max_steps=2))
    opened = Path.open

    def full(path, *args, **more):
        return opened(Path("/dev/full") if args[:1] == ("ab",) else path, *args, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match=r"log.jsonl must be writable, on a disk with room, got No space left on device$"):
        train(config)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named_by_the_board(tmp_path, monkeypatch):
    from rmaat.training.run_folder import Board

    opened = Path.open

    def full(path, *args, **more):
        return opened(Path("/dev/full") if args[:1] == ("wb",) else path, *args, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match=r"must be writable, on a disk with room, got No space left on device$"):
        Board(tmp_path, 1)


def test_other_curves_in_the_folder(config, curves):
    curves["ltp"].save(config.run / "curves" / "other.toml")
    with pytest.raises(
        ValueError, match=r"curves must hold the curves to train from alone, got another other; remove it"
    ):
        train(config)


def test_curves_that_are_there_already(config, curve_folder):
    """The simulator writes its curves into the run's folder; training then starts from them."""
    config.run.mkdir()
    curve_folder.rename(config.run / "curves")
    train(replace(config, curves=config.run / "curves", steps=4))
    assert (config.run / "metrics.json").exists()


def test_damaged_checkpoint(config):
    train(replace(config, max_steps=6))
    (path,) = (config.run / "last").glob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"last must hold a whole checkpoint, got .*; delete"):
        train(config)
    path.unlink()
    with pytest.raises(ValueError, match=r"last must hold a whole checkpoint, got .*; delete"):
        train(config)


@pytest.mark.parametrize("content", ['{"tr', "{}"])
def test_a_damaged_configuration_is_not_continued(config, content):
    train(replace(config, max_steps=2))
    (config.run / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config.json must be a whole JSON file|train.accumulate must be that of"):
        train(config)
