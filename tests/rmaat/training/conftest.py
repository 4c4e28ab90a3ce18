"""A small run for tests of training."""

import pytest

from rmaat.config import ModelConfig
from rmaat.training.config import TrainConfig

NETWORK = ModelConfig(
    vocab_size=2, d_model=16, n_heads=2, n_layers=1, d_ff=16, segment_len=4, n_memory=2, pooling="each", dropout=0.1
)

TASK = {"n_segments": 3, "segment_len": 4, "n_symbols": 4, "n_train": 100, "n_validation": 40, "n_test": 40}


@pytest.fixture
def curve_folder(curves, tmp_path):
    for name, curve in curves.items():
        curve.save(tmp_path / "curves" / f"{name}.toml")
    return tmp_path / "curves"


@pytest.fixture
def config(curve_folder, tmp_path):
    """A run of 24 steps in a third of a second; its epochs are 7 batches, the last ragged."""
    return TrainConfig(
        run=tmp_path / "run",
        task="recall",
        task_options=TASK,
        data_dir=None,
        curves=curve_folder,
        network=NETWORK,
        steps=24,
        batch_size=16,
        warmup=4,
        lr=0.01,
        eval_every=10,
        log_every=5,
        checkpoint_every=6,
        device="cpu",
        progress=False,
        tensorboard=False,
    )
