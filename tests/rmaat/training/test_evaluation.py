"""Loss and accuracy of each kind of task, and of a run that is read back."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from rmaat.__main__ import evaluate_run
from rmaat.tasks import IGNORE_INDEX
from rmaat.training.evaluation import evaluate, load_run, loss_and_correct
from rmaat.training.train import train

LISTOPS = {"min_length": 10, "max_length": 30, "n_train": 40, "n_validation": 10, "n_test": 10}


def test_loss_and_correct_of_each_kind():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    loss, right, asked = loss_and_correct(logits, labels, torch.full((5,), 7), 4)
    assert torch.isclose(loss, -logits.log_softmax(1)[torch.arange(5), labels].sum())
    assert right == (logits.argmax(1) == labels).sum() and asked == 5

    lengths = torch.tensor([1, 4, 5, 8, 9])  # 1, 1, 2, 2, 3 segments of 4
    logits = torch.randn(5, 3, 3)
    loss, right, _ = loss_and_correct(logits, labels, lengths, 4)
    each = -logits.log_softmax(-1)[torch.arange(5)[:, None], torch.arange(3), labels[:, None]]
    expected = each[:2, 0].sum() + each[2:4, :2].mean(1).sum() + each[4].mean()
    assert torch.isclose(loss, expected)
    last = logits[torch.arange(5), torch.tensor([0, 0, 1, 1, 2])]
    assert right == (last.argmax(1) == labels).sum()

    logits, labels = torch.randn(2, 3, 4), torch.tensor([[IGNORE_INDEX, 1, 3], [IGNORE_INDEX, IGNORE_INDEX, 0]])
    loss, right, asked = loss_and_correct(logits, labels, torch.tensor([3, 3]), 4)
    chosen = torch.stack([logits[0, 1], logits[0, 2], logits[1, 2]])
    assert asked == 3 and right == (chosen.argmax(1) == torch.tensor([1, 3, 0])).sum()
    assert torch.isclose(loss, nn.functional.cross_entropy(chosen, torch.tensor([1, 3, 0]), reduction="sum"))


def test_weights_of_classes():
    logits, labels, lengths = torch.randn(4, 3), torch.tensor([0, 1, 2, 1]), torch.tensor([3, 9, 4, 6])
    weights, each = torch.tensor([2.0, 0.5, 1.0]), -logits.log_softmax(1)[torch.arange(4), labels]
    loss, _, _ = loss_and_correct(logits, labels, lengths, 4, weights)
    assert torch.isclose(loss, (each * weights[labels]).sum())
    segments = logits[:, None].expand(4, 3, 3)
    loss, _, _ = loss_and_correct(segments, labels, lengths, 4, weights)
    assert torch.isclose(loss, (each * weights[labels]).sum())


def test_draws_of_the_curves(config, tmp_path):
    drawn = replace(config, curve_draw=2, steps=4)
    train(drawn)
    other = train(replace(drawn, run=tmp_path / "other", curve_draw=0))
    model, record = load_run(config.run)
    again, _ = load_run(other)
    assert record["train"]["curve_draw"] == 2
    assert model.constants.alpha != again.constants.alpha
    assert model.constants.alpha == pytest.approx(0.3, rel=0.05)  # planted, with one per cent of standard error


def test_data_that_were_moved(config, tmp_path):
    train(replace(config, task="listops", task_options=LISTOPS, data_dir=tmp_path / "data", steps=4))
    first = evaluate(config.run)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert evaluate(config.run, data_dir=tmp_path / "moved") == first
    assert not (tmp_path / "data").exists()


def test_chance_stands_beside_the_result(config, capsys):
    """`config` trains on a task with a closed form for guessing."""
    assert evaluate(train(config))["chance"] == {"any symbol": 0.25}
    assert evaluate_run(config.run) == 0
    assert "chance                    25.0%   guessing any symbol" in capsys.readouterr().out


def test_folders_that_are_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"run must be a run directory with config.json, got .*; train it first"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", '{"train": {"mod', r"config.json must be a whole JSON file, got Unterminated string"),
        ("config.json", "[]", r"config.json must hold a JSON object, got \[\]"),
        ("config.json", "{}", r"config.json must hold train.model, got none; train the run again"),
        ("model/model.safetensors", "", r"model.safetensors must be a whole safetensors file, got .*header"),
    ],
)
def test_damaged_runs_are_named(config, name, content, message):
    train(replace(config, steps=4))
    (config.run / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        evaluate(config.run)


def test_weights_of_another_model(config):
    train(replace(config, steps=4))
    path = config.run / "model" / "config.json"
    path.write_text(path.read_text().replace('"d_ff": 16', '"d_ff": 17'))
    with pytest.raises(
        ValueError,
        match=r"model.safetensors must hold the weights of this model, got blocks.* of shape \(16,\), not \(17,\)",
    ):
        evaluate(config.run)
