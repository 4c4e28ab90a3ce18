"""A small run for tests of training."""

import pytest

from rmaat.config import ModelConfig
from rmaat.training.config import TrainConfig

NETWORK = ModelConfig(
    vocab_size=2, d_model=16, n_heads=2, n_layers=1, d_ff=16, segment_len=4, n_memory=2, pooling="each", dropout=0.1
)

TASK = {"n_segments": 3, "segment_len": 4, "n_symbols": 4, "n_train": 100, "n_validation": 40, "n_test": 40}


@pytest.fixture(scope="session")
def config_of(curves):
    """A function that makes, in a folder, a run of 24 steps in a third of a second; its epochs are 7 batches, the last
    ragged."""

    def make(folder):
        for name, curve in curves.items():
            curve.save(folder / "curves" / f"{name}.toml")
        return TrainConfig(
            run=folder / "run",
            task="recall",
            task_options=TASK,
            data_dir=None,
            curves=folder / "curves",
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

    return make


@pytest.fixture
def curve_folder(config, tmp_path):
    return tmp_path / "curves"


@pytest.fixture
def config(config_of, tmp_path):
    """The run in a folder of its own."""
    return config_of(tmp_path)
