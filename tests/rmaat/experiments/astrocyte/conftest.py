import pytest

from rmaat.experiments.astrocyte.grid import Grid

TOY = """
steps = 3
batch_size = 4
warmup = 1
checks = 1
seeds = [0, 1]
lrs = [4e-3]
[network]
d_model = 16
n_heads = 2
n_layers = 1
d_ff = 16
segment_len = 4
n_memory = 0
norm = "pre"
position = "none"
conv_len = 2
[tasks.recall]
task = "recall"
options = { n_segments = 4, segment_len = 4, n_train = 40, n_validation = 8, n_test = 8 }
tests = { "6 segments" = { n_segments = 6, n_test = 16 } }
[tasks.mqar]
task = "mqar"
options = { length = 16, n_pairs = 2, vocab_size = 20, n_train = 20, n_validation = 4, n_test = 4 }
[models.population]
text = "simulated"
network = { synapses = "hebbian" }
[models.none]
text = "none"
network = { synapses = "hebbian", synaptic_rates = "none" }
[models.ssm]
text = "state-space model"
model = "ssm"
whole = true
[[stages]]
tasks = ["recall"]
models = ["population", "none"]
[[stages]]
tasks = ["recall", "mqar"]
models = ["population", "ssm"]
shares = [0.1]
"""


@pytest.fixture
def toy_file(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(TOY)
    return path


@pytest.fixture
def toy(toy_file):
    return Grid.load(toy_file)
