"""The report page of a run."""

import json
import re

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from rmaat import RMAAT, ModelConfig
from rmaat.report.page import report


@pytest.fixture
def checkpoint(tmp_path, curves):
    def save(**options):
        config = ModelConfig(vocab_size=9, n_classes=3, segment_len=8, n_memory=4, max_len=48, **options)
        RMAAT(config, curves).save_pretrained(tmp_path / "run" / "model")
        return tmp_path / "run"

    return save


def test_a_report_is_one_file_with_result_lineage_and_every_figure(checkpoint, curves):
    run = checkpoint()
    metrics = {
        "task": "listops",
        "model": "rmaat",
        "test_accuracy": 0.5,
        "majority_rate": 0.2,
        "parameters": 1234,
        "steps": 10,
    }
    (run / "metrics.json").write_text(json.dumps(metrics | {"seconds": {"train": 3.0}, "device": "cpu", "seed": 0}))
    (run / "figures").mkdir()
    caption = PngImagePlugin.PngInfo()
    caption.add_text("Description", "A caption with <brackets>.")
    for name in ("ltp", "loss"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(run / "figures" / f"{name}.png", pnginfo=caption)
    for name, curve in curves.items():
        curve.save(run / "curves" / f"{name}.toml")
    page = report(run).read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert "A caption with &lt;brackets&gt;." in page
    assert "30.0 percentage points above" in page
    assert page.count('<div class="chain">') == 3
    assert re.search(r'(?:src|href)="https?:', page) is None


def test_an_empty_folder_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"run must hold metrics.json or curves/, got neither in .*rmaat train --run"):
        report(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model": "rm', "must be a whole JSON file, got Unterminated string"),
        ('{"test_accuracy": 0.5}', "must hold model of a finished run, got none"),
    ],
)
def test_damaged_metrics_are_named(tmp_path, text, message):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match=rf"metrics\.json {message}"):
        report(tmp_path)
