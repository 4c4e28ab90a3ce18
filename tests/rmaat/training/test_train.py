"""Training: exact resume, equality of accumulation and processes, tasks, models, and refusals."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rmaat.config import ModelConfig
from rmaat.models.zoo import NAMES
from rmaat.training.evaluation import evaluate
from rmaat.training.train import train

NETWORK = ModelConfig(
    vocab_size=2, d_model=16, n_heads=2, n_layers=1, d_ff=16, segment_len=4, n_memory=2, pooling="each", dropout=0.1
)

TASK = {"n_segments": 3, "segment_len": 4, "n_symbols": 4, "n_train": 100, "n_validation": 40, "n_test": 40}


def weights(run):
    """All tensors of the best and of the last checkpoint."""
    (last,) = (run / "last").glob("*.safetensors")
    return load_file(run / "model" / "model.safetensors") | load_file(last)


def assert_equal(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def log_of(run, key="loss"):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line[key] for line in lines if key in line}


@pytest.mark.parametrize("leg", [1, 5, 7])
def test_legs_end_with_the_same_weights_as_one_run(config, tmp_path, leg):
    """Bit for bit, with dropout, across epochs, on and off the steps of checks and checkpoints."""
    whole = train(config)
    legs = replace(config, run=tmp_path / "legs", max_steps=leg)
    for _ in range(-(-24 // leg)):
        assert not (legs.run / "metrics.json").exists()
        train(legs)
    assert_equal(weights(whole), weights(legs.run))
    assert log_of(whole) == log_of(legs.run) and log_of(whole, "validation_accuracy") == log_of(
        legs.run, "validation_accuracy"
    )
    timeless = [json.loads((run / "metrics.json").read_text()) for run in (whole, legs.run)]
    for metrics in timeless:
        del metrics["seconds"], metrics["peak_bytes"]
    assert timeless[0] == timeless[1]


def test_a_finished_run_is_left_alone(config):
    train(config)
    before = {path: path.stat().st_mtime_ns for path in config.run.rglob("*") if path.is_file()}
    train(config)
    assert {path: path.stat().st_mtime_ns for path in config.run.rglob("*") if path.is_file()} == before


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}  # as in this process: another number sums in another order

CONFIG = """
import json, os, signal, sys
from pathlib import Path
from torch.optim import AdamW
from rmaat.config import ModelConfig
from rmaat.training.config import TrainConfig
from rmaat.training.train import train

fields = json.loads(sys.argv[1])
fields |= {name: Path(fields[name]) for name in ("run", "curves")}
config = TrainConfig(**fields | {"network": ModelConfig(**fields["network"])})
"""

TRAIN = f"{CONFIG}train(config)"


TRAIN_AND_DIE = f"""{CONFIG}
place, calls = sys.argv[2], int(sys.argv[3])
owner = {{"step": AdamW, "replace": os}}[place]
original = getattr(owner, place)

def fatal(*args, **options):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **options)

setattr(owner, place, fatal)
train(config)
"""


def as_json(config):
    return json.dumps(vars(config) | {"network": vars(config.network)}, default=str)


@pytest.mark.slow
def test_killed_at_random_steps_it_ends_with_the_same_weights(config, tmp_path):
    """SIGKILL before a random step's update or before a random file takes its place; the next leg goes on."""
    config = replace(config, steps=80, checkpoint_every=7, eval_every=13, log_every=1)
    whole, killed = train(config), replace(config, run=tmp_path / "killed")
    rng = np.random.default_rng(0)
    for place, most in (("step", 26), ("replace", 16)) * 2:  # two legs of at most 26 steps and two of 16 files: no end
        command = [sys.executable, "-c", TRAIN_AND_DIE, as_json(killed), place, str(rng.integers(1, most + 1))]
        assert subprocess.run(command, env=ONE_THREAD).returncode == -signal.SIGKILL
        assert not (killed.run / "metrics.json").exists()
    subprocess.run([sys.executable, "-c", TRAIN, as_json(killed)], env=ONE_THREAD, check=True)
    assert_equal(weights(whole), weights(killed.run))
    assert log_of(whole) == log_of(killed.run)


def test_time_limits(config, tmp_path):
    train(replace(config, time_budget_s=1e-9))
    assert json.loads((config.run / "last" / "loop.json").read_text())["step"] == 0
    assert not (config.run / "metrics.json").exists()
    stopped = replace(config, run=tmp_path / "stopped", stop_after_s=1e-9)
    train(replace(stopped, stop_after_s=None, max_steps=3))
    train(replace(config, run=tmp_path / "other", steps=3, warmup=1))
    with pytest.raises(ValueError, match=r"train.stop_after_s must be that of the run"):
        train(stopped)
    fresh = replace(stopped, run=tmp_path / "fresh")
    train(fresh)
    metrics = json.loads((fresh.run / "metrics.json").read_text())
    assert metrics["steps"] == 0 and metrics["test_accuracy"] <= 1


def test_early_stopping(config):
    train(replace(config, lr=1e-12, eval_every=2, patience=3))
    metrics = json.loads((config.run / "metrics.json").read_text())
    assert metrics["best_step"] == 2 and metrics["steps"] == 8


# --- the gradient of a batch is that of all its samples ------------------------------------------------------------


RAGGED = TASK | {"n_train": 97}  # the last batch of an epoch is one sample, too few for all micro-batches


def test_accumulated_micro_batches_are_the_whole_batch(config, tmp_path):
    config = replace(config, task_options=RAGGED, network=replace(NETWORK, dropout=0.0), lr=1e-3, log_every=1)
    whole = train(config)
    accumulated = train(replace(config, run=tmp_path / "accumulated", batch_size=4, accumulate=4))
    assert log_of(whole) == pytest.approx(log_of(accumulated), rel=1e-5)
    a, b = weights(whole), weights(accumulated)
    assert max(float((a[name] - b[name]).abs().max()) for name in a if name.startswith("model/")) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("backprop", ["amrb", "bptt"])
def test_two_processes_are_one_with_the_doubled_batch(config, tmp_path, backprop):
    network = replace(NETWORK, dropout=0.0, backprop=backprop)
    config = replace(config, task_options=RAGGED, network=network, lr=1e-3, log_every=1)
    one = train(config)
    script = tmp_path / "script.py"
    script.write_text(TRAIN)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(script), as_json(replace(config, run=tmp_path / "two", batch_size=8))]
    done = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    two = tmp_path / "two"
    assert log_of(one) == pytest.approx(log_of(two), rel=1e-5)
    assert log_of(one, "validation_accuracy") == log_of(two, "validation_accuracy")
    assert json.loads((two / "metrics.json").read_text())["processes"] == 2
    a, b = weights(one), weights(two)
    assert max(float((a[name] - b[name]).abs().max()) for name in a if name.startswith("model/")) < 1e-4


def test_tensorboard(config):
    """What TensorBoard reads is what the log has, and the steps of a killed leg beyond its checkpoint are gone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from rmaat.training.run_folder import Board

    train(replace(config, tensorboard=True, max_steps=10))
    lost = Board(config.run / "tensorboard", 11)
    lost.add(15, {"loss": 1e6})
    lost.close()
    train(replace(config, tensorboard=True))
    board = EventAccumulator(str(config.run / "tensorboard"))
    board.Reload()
    for name in ("loss", "validation_accuracy"):
        assert {scalar.step: scalar.value for scalar in board.Scalars(name)} == pytest.approx(log_of(config.run, name))


def test_it_learns(config):
    """A marked symbol of four, in the last of two segments or in the memory: far above chance in 80 steps."""
    options = TASK | {"n_segments": 2, "n_train": 2000, "n_test": 400, "twins": True}
    train(replace(config, task_options=options, steps=80, eval_every=80, network=replace(NETWORK, dropout=0.0)))
    metrics = json.loads((config.run / "metrics.json").read_text())
    assert metrics["test_accuracy"] > metrics["majority_rate"] + 0.3


@pytest.mark.parametrize(
    ("task", "network"),
    [("copy", {"pooling": "last"}), ("needle", {}), ("recall", {"pooling": "last", "backprop": "bptt"})],
)
def test_other_kinds_of_task(config, task, network):
    options = TASK | ({"n_copied": 2} if task == "copy" else {})
    train(replace(config, task=task, task_options=options, network=replace(NETWORK, **network), steps=6))
    losses = log_of(config.run)
    assert 0 < losses[5] < 3


@pytest.mark.parametrize("model", NAMES)
def test_every_model_by_name(config, model):
    """Trained, stopped, continued, and read back from its folder."""
    config = replace(config, model=model, steps=4, warmup=1, network=replace(NETWORK, pooling="last"))
    train(replace(config, max_steps=2))
    train(config)
    metrics = json.loads((config.run / "metrics.json").read_text())
    assert metrics["model"] == model and metrics["steps"] == 4
    assert evaluate(config.run)["accuracy"] == metrics["test_accuracy"]


def test_pairs_of_documents(config, tmp_path):
    folder = tmp_path / "data" / "tsv_data"
    folder.mkdir(parents=True)
    for name in ("train", "eval", "test"):
        rows = [f"{i % 2}.0\ta\tb\t{'xyz'[: i % 3 + 1]}\t{'pq' * (i % 2 * 3 + 1)}" for i in range(40)]
        (folder / f"new_aan_pairs.{name}.tsv").write_text("\n".join(rows) + "\n")
    network = replace(NETWORK, pooling="last")
    train(replace(config, task="retrieval", task_options={}, data_dir=tmp_path / "data", network=network, steps=40))
    assert json.loads((config.run / "metrics.json").read_text())["test_accuracy"] > 0.9


def test_bfloat16(config):
    train(replace(config, precision="bf16"))
    assert np.isfinite(list(log_of(config.run).values())).all()
    assert {tensor.dtype for name, tensor in weights(config.run).items() if "exp_avg" not in name} == {torch.float32}


def test_a_run_that_is_long_enough_is_compiled_and_goes_on_so(config, monkeypatch, capsys):
    compiled = []
    monkeypatch.setattr("rmaat.models.rmaat.RMAAT.compile", lambda model: compiled.append(model))
    monkeypatch.setattr("rmaat.training.train.has_cpp_compiler", lambda: True)
    train(replace(config, run=config.run / "short"))
    assert not compiled
    monkeypatch.setattr("rmaat.training.train.COMPILING", 1e-9)
    long = replace(config, run=config.run / "long", max_steps=2, progress=True)
    train(long)
    assert len(compiled) == 1 and "compiling: it takes up to" in capsys.readouterr().err
    monkeypatch.setattr("rmaat.training.train.COMPILING", 1e9)
    train(long)
    assert len(compiled) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled(config, tmp_path):
    plain = train(replace(config, network=replace(NETWORK, dropout=0.0), steps=10))
    compiled = train(replace(config, network=replace(NETWORK, dropout=0.0), steps=10, compile=True, run=tmp_path / "c"))
    assert log_of(plain) == pytest.approx(log_of(compiled), rel=1e-4)


def test_training_draws_nothing_outside(config):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(replace(config, steps=4))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "rmatt"}, "model must be one of"),
        ({"lr_scale": {"nothing": 2.0}}, "lr_scale must have keys that are in names of parameters"),
        ({"batch_size": 1, "accumulate": 101}, "the split must hold at least 101 samples"),
        ({"network": replace(NETWORK, memory_update="consolidate", retention="single")}, "curves must hold 'ltp'"),
    ],
)
def test_what_cannot_be_trained_leaves_no_run(config, curve_folder, fields, message):
    (curve_folder / "ltp.toml").unlink()
    with pytest.raises(ValueError, match=f"^{message}"):
        train(replace(config, **fields))
    assert not config.run.exists()


def test_divergence_is_named(config):
    with pytest.raises(ValueError, match=r"loss must stay finite, got nan at step 5; lower lr or raise warmup"):
        train(replace(config, lr=1e30, clip=0.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"eval_every": 5, "patience": 2},
            "validation loss must stay finite, got nan at step 5; lower lr or raise warmup",
        ),
        (
            {"eval_every": 50, "checkpoint_every": 4},
            "loss must stay finite, got nan at step 4; lower lr or raise warmup",
        ),
        ({"eval_every": 50, "max_steps": 3}, "loss must stay finite, got nan at step 3; lower lr or raise warmup"),
    ],
)
def test_nothing_is_kept_of_what_diverged(config, fields, message):
    fields = {"log_every": 50, "checkpoint_every": 50} | fields
    with pytest.raises(ValueError, match=f"^{message}$"):
        train(replace(config, lr=1e30, clip=0.0, warmup=0, **fields))
    assert not list(config.run.rglob("*.safetensors")) and not (config.run / "metrics.json").exists()


def test_no_gpu(config):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"^device must be 'cpu' where PyTorch finds no GPU, got 'cuda'$"):
        train(replace(config, device="cuda"))
    with pytest.raises(ValueError, match=r"^precision must be 'no' or 'bf16' on a CPU, got 'fp16'$"):
        train(replace(config, device="auto", precision="fp16"))
    with pytest.raises(ValueError, match=r"^device must be 'cpu' where PyTorch finds no GPU, got 'cuda:0'$"):
        evaluate(config.run, device="cuda:0")


def test_independent_samples_carry_no_state(config):
    with pytest.raises(ValueError, match=r"^carry_state must be False where samples come in random order, got True;"):
        train(replace(config, network=replace(config.network, carry_state=True)))


def test_real_valued_inputs(config, tmp_path):
    folder, rng = tmp_path / "data" / "cifar-10-batches-bin", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (3, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / f"{name}.bin")
    network = replace(NETWORK, segment_len=256)
    image = replace(config, task="image", task_options={"values": "real"}, data_dir=tmp_path / "data", steps=4)
    run = train(replace(image, network=network))
    record = json.loads((run / "config.json").read_text())
    assert record["network"]["n_features"] == 1 and record["network"]["vocab_size"] == 2
    assert np.isfinite(json.loads((run / "metrics.json").read_text())["test_loss"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu(config, precision):
    train(replace(config, device="cuda", precision=precision))
    metrics = json.loads((config.run / "metrics.json").read_text())
    assert metrics["peak_bytes"] > 0 and np.isfinite(list(log_of(config.run).values())).all()
