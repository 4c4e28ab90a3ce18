"""Benchmarks: what is measured, in which order, and that the numbers mean what their names say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rmaat.experiments import bench
from rmaat.experiments.bench import AttentionBench, ReplayBench, SpeedBench

SMALL = {"repeats": 3, "warmup": 1, "d_model": 8, "n_heads": 2, "n_layers": 1, "n_memory": 2, "batch_size": 2}


def test_replay_saves_less_and_has_the_same_gradients():
    rows = bench.bench_replay(ReplayBench(segments=(2, 8), segment_len=16, **SMALL))
    by = {(row["n_segments"], row["contender"]): row for row in rows}
    growth = {kind: by[8, kind]["peak_bytes"] / by[2, kind]["peak_bytes"] for kind in ("bptt", "amrb")}
    assert growth["bptt"] > 2 and growth["amrb"] < 1.5
    assert all(by[n, "amrb"]["gradient_error"] < 1e-5 for n in (2, 8))
    assert all(by[n, "bptt"]["ratio"] == 1 for n in (2, 8))


def test_gradient_error_sees_a_wrong_gradient():
    torch.manual_seed(0)
    exact, wrong = (nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3)) for _ in range(2))
    tokens, labels = torch.randint(5, (2, 3)), torch.randint(3, (2,))
    assert bench.gradient_error(wrong, exact, tokens, labels) == 0
    wrong[2].weight.register_hook(lambda grad: 1.5 * grad)
    assert bench.gradient_error(wrong, exact, tokens, labels) > 0.1


def test_attention_has_every_case_and_softmax_grows_fastest():
    rows = bench.bench_attention(AttentionBench(lengths=(64, 512), **{**SMALL, "repeats": 5}))
    assert len(rows) == 2 * 2 * 3 and {row["contender"] for row in rows} == {"softmax", "linear", "astromorphic"}
    assert all(row["ratio"] == 1 for row in rows if row["contender"] == "softmax")


def test_speed_matches_parameters_and_its_table_is_complete():
    config = SpeedBench(models=("softmax", "rmt", "rlt-amrb"), shapes=((64, 16),), **SMALL)
    rows = bench.bench_speed(config)
    sizes = [row["parameters"] for row in rows]
    assert max(sizes) < 1.1 * min(sizes)
    text = bench.bench_table(rows)
    assert text.count("\n| ") == 4 and "time as a ratio to softmax" in text and "load average" in text
    assert json.loads(json.dumps(rows)) == rows


def test_speed_with_equal_d_ff_leaves_the_parameters_apart():
    config = SpeedBench(models=("softmax", "rmaat"), shapes=((64, 16),), equal="d_ff", **SMALL)
    softmax, rmaat = bench.bench_speed(config)
    assert softmax["equal"] == "d_ff" and softmax["parameters"] < rmaat["parameters"]


def test_threads_are_what_they_were_before():
    torch.set_num_threads(2)
    bench.bench_attention(AttentionBench(lengths=(16,), **SMALL))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("repeats", 0, "repeats must be at least 1 and warmup 0, got 0 and 2"),
        ("device", "tpu", "device must be 'cpu' or 'cuda', got 'tpu'"),
        ("dtype", "float16", "dtype must be 'float32' or 'bfloat16', got 'float16'"),
    ],
)
def test_wrong_settings_are_refused(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AttentionBench(**{field: value})


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^device must be 'cpu' where no GPU is found, got 'cuda'$"):
        AttentionBench(device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_benchmarks_run_on_a_gpu():
    rows = bench.bench_replay(ReplayBench(segments=(2, 8), segment_len=16, device="cuda", **SMALL))
    assert all(row["peak_bytes"] > 0 and row["seconds"] > 0 for row in rows)


@pytest.mark.slow
def test_a_gpu_session_runs_dry_and_goes_on_where_it_stopped(tmp_path):
    def leg(**variables):
        places = {"OUT": tmp_path / "out", "DATA": tmp_path / "data", "RESUME": tmp_path / "out" / "session.tar.gz"}
        settings = {"DRY": 1, "PYTHON": sys.executable, "OMP_NUM_THREADS": 1, "MODELS": "rmt", "LEG": 400}
        settings = {name: str(value) for name, value in (settings | places | variables).items()}
        script = Path(__file__).parents[3] / "benchmarks" / "gpu_session.sh"
        done = subprocess.run([script], env=os.environ | settings, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    first = leg(STAGES="train")
    assert "recall rmt-s0: training" in first and "accuracy" in first
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["session.log", "session.tar.gz"]
    second = leg(STAGES="train", SEEDS="0 1")
    assert "rmt-s0: training" not in second and "rmt-s1: training" in second
