"""Recipes with impossible numbers, checkpoints that were changed or lost pieces, weights that became NaN."""

import json
import logging
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmaat.__main__ import main
from rmaat.training.config import load_recipe
from rmaat.training.run_folder import checksum
from rmaat.training.train import train

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"betas": (2.0, 3.0)}, "betas must be at least 0 and below 1"),
        ({"betas": (-1.0, 0.9)}, "betas must be at least 0 and below 1"),
        ({"betas": (NAN, NAN)}, "betas must be at least 0 and below 1"),
        ({"weight_decay": NAN}, "weight_decay must be finite and at least 0, got nan"),
        ({"clip": INF}, "clip must be finite and at least 0, got inf"),
        ({"lr_scale": {"head": -5.0}}, "lr_scale of 'head' must be finite and at least 0, got -5.0"),
        ({"lr_scale": {"head": NAN}}, "lr_scale of 'head' must be finite and at least 0, got nan"),
        ({"seed": -1}, r"seed must be from 0 to 2\*\*63 - 1, got -1"),
        ({"task_seed": 10**30}, r"task_seed must be from 0 to 2\*\*63 - 1, got 1e\+30"),
    ],
)
def test_impossible_numbers_of_a_recipe_are_refused(config, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **changes)


@pytest.mark.parametrize("text", ["betas = [nan, nan]", "weight_decay = nan", "clip = -inf", "[lr_scale]\nx = nan"])
def test_a_recipe_file_is_checked_alike(tmp_path, text):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ValueError, match=r"recipe.toml: .* must be"):
        load_recipe(tmp_path / "recipe.toml")


@pytest.fixture
def begun(config):
    """A run at step 4 of 24."""
    train(replace(config, max_steps=4))
    return config


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"step": 2**63},
        {"step": 5},
        {"step": "4"},
        {"best_accuracy": NAN},
        {"best_accuracy": 1.5},
        {"best_step": -1},
        {"best_step": 9},
        {"batch": 10**30},
        {"checks_without_gain": 2**63},
        {"seconds": INF},
        {"finished": 1},
    ],
    ids=str,
)
def test_numbers_that_no_run_has_are_refused(begun, changes):
    path = begun.run / "last" / "loop.json"
    record = json.loads(path.read_text()) | changes
    del record["sha256"]
    path.write_text(json.dumps(record | {"sha256": checksum(record)}))
    with pytest.raises(ValueError, match=r"last must (hold a whole checkpoint|be at a step of this run).*; delete"):
        train(begun)


def test_a_changed_number_of_a_checkpoint_is_seen(begun):
    path = begun.run / "last" / "loop.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_accuracy": 0.5}))
    with pytest.raises(ValueError, match=r"last must hold a whole checkpoint, got a loop.json that was changed or"):
        train(begun)


def test_other_code_of_the_model_is_said(begun, tmp_path, monkeypatch, caplog):
    from rmaat.training import machine

    shutil.copytree(machine.PACKAGE, tmp_path / "rmaat", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(machine, "PACKAGE", tmp_path / "rmaat")
    train(replace(begun, max_steps=1))
    assert "was begun with" not in caplog.text
    rule = tmp_path / "rmaat" / "memory" / "retention.py"
    rule.write_text(rule.read_text().replace("1.0", "1.1"))
    train(replace(begun, max_steps=1))
    (message,) = caplog.messages
    assert "was begun with model code" in message and "may differ from that of a run without interruption" in message
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    train(replace(begun, max_steps=1))
    assert "was begun with threads 1 and goes on with 64" in caplog.text


def changed(run, change):
    """The last checkpoint's tensors, changed and written back without a checksum."""
    (path,) = (run / "last").glob("*.safetensors")
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: [tensors.pop(name) for name in list(tensors) if name.endswith("/step")],
        lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("optimizer/")],
        lambda tensors: tensors.pop("optimizer/0/exp_avg"),
        lambda tensors: tensors.pop("model/head.1.weight"),
        lambda tensors: tensors["model/head.1.weight"].fill_(NAN),
    ],
)
def test_missing_and_infinite_tensors_are_refused(begun, change):
    changed(begun.run, change)
    with pytest.raises(ValueError, match=r"last must hold"):
        train(begun)


def test_a_flipped_bit_of_a_checkpoint_is_seen(begun):
    (path,) = (begun.run / "last").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last must hold a whole checkpoint, got .*another checksum.*; delete"):
        train(begun)


def test_missing_pieces_are_refused_or_said(begun, tmp_path, caplog):
    curve = next((begun.run / "curves").glob("*.toml"))
    text = curve.read_text()
    curve.unlink()
    with pytest.raises(
        ValueError, match=r"must be the curve that the run was begun with, got none or another; restore"
    ):
        train(begun)
    curve.write_text(text)
    (begun.run / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r"must hold the config.json of the run that wrote last, got none; choose"):
        train(replace(begun, lr=0.5))
    shutil.move(tmp_path / "config.json", begun.run / "config.json")
    (begun.run / "last" / "loop.json").unlink()
    with caplog.at_level(logging.WARNING):
        train(replace(begun, max_steps=1))
    assert "holds weights but no loop.json: training starts from step 0 again" in caplog.text


def test_weights_that_become_infinite_do_not_replace_good_ones(begun, monkeypatch):
    from rmaat.training import train as module

    before = {path: path.read_bytes() for path in (begun.run / "last").iterdir()}
    original = module.optimizer_step

    def spoiling(model, *rest):
        found = original(model, *rest)
        with torch.no_grad():
            next(model.parameters()).fill_(NAN)
        return found

    monkeypatch.setattr(module, "optimizer_step", spoiling)
    with pytest.raises(
        ValueError, match=r"(loss|weights of .*) must stay finite, got nan at step 5; lower lr or raise"
    ):
        train(replace(begun, max_steps=1, checkpoint_every=1))
    assert {path: path.read_bytes() for path in (begun.run / "last").iterdir()} == before


def test_evaluation_leaves_the_result_of_training(config, capsys):
    train(config)
    path = config.run / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"test_accuracy": 0.125}))
    assert main(["eval", str(config.run)]) == 0
    assert json.loads(path.read_text())["test_accuracy"] == 0.125
    record = json.loads((config.run / "config.json").read_text())
    record["task"]["content_sha256"] = "of other data"
    (config.run / "config.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert main(["eval", str(config.run)]) == 0
    assert "These are not the data of the training; metrics.json stays as it is." in capsys.readouterr().out


def test_a_report_of_damaged_metrics_is_one_sentence(config, capsys):
    train(config)
    path = config.run / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": {}}))
    assert main(["report", str(config.run)]) == 2
    assert "metrics.json must hold seconds.train of a finished run, got none" in capsys.readouterr().err


def test_sigterm_ends_the_leg_after_a_step_with_a_checkpoint(config, tmp_path, monkeypatch):
    from rmaat.training import train as module

    whole, original, steps = train(replace(config, run=tmp_path / "whole")), module.optimizer_step, []

    def terminated(*arguments):
        steps.append(1)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(module, "optimizer_step", terminated)
    train(config)
    assert len(steps) == 5 and json.loads((config.run / "last" / "loop.json").read_text())["step"] == 5
    train(config)
    assert len(steps) == 24
    weights = [load_file(run / "model" / "model.safetensors") for run in (whole, config.run)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
