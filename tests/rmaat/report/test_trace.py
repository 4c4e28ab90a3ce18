"""A checkpoint tells where each of its constants comes from, and a report shows it."""

import hashlib
import re
import shutil

import pytest

from rmaat import RMAAT, CurveFileError, ModelConfig, retention_factors
from rmaat.report.trace import trace


@pytest.fixture
def checkpoint(tmp_path, curves):
    def save(**options):
        config = ModelConfig(vocab_size=9, n_classes=3, segment_len=8, n_memory=4, max_len=48, **options)
        RMAAT(config, curves).save_pretrained(tmp_path / "run" / "model")
        return tmp_path / "run"

    return save


def test_each_constant_is_traced_to_its_own_curve_file(checkpoint, curves):
    derived = {entry.name: entry for entry in trace(checkpoint())}
    assert set(derived) == {"alpha", "position_scale", "retention"}
    for name, curve in (("alpha", "stp_calcium"), ("position_scale", "stp_spatial"), ("retention", "ltp_population")):
        steps = dict(derived[name].steps)
        digest = hashlib.sha256(curves[curve].text.encode()).hexdigest()[:12]
        assert steps["curve file"] == f"{curve}.toml, sha256 {digest}"
        assert list(steps) == [
            "equations",
            "preset",
            "protocol",
            "simulation",
            "fit",
            "curve file",
            "constant",
            "layer",
        ]


def test_headlines_carry_value_and_standard_error(checkpoint):
    derived = {entry.name: entry.headline for entry in trace(checkpoint())}
    assert derived["alpha"] == "alpha = 0.3 ± 0.003"
    assert derived["position_scale"] == "position scale = 0.1 ± 0.001 per token"
    assert "for 4 memory tokens per segment" in derived["retention"]


def test_the_paper_preset_lists_the_retention_factors_of_the_longest_input(checkpoint, curves):
    headline = {entry.name: entry.headline for entry in trace(checkpoint(preset="paper"))}["retention"]
    listed = [float(number) for number in re.findall(r"0\.\d{3}", headline)]
    assert listed == pytest.approx(retention_factors(curves["ltp"], 6).tolist(), abs=6e-4)


@pytest.mark.parametrize("rule", ["replace", "gated", "attend"])
def test_a_rule_without_a_curve_has_no_retention_to_trace(checkpoint, rule):
    assert {entry.name for entry in trace(checkpoint(memory_update=rule))} == {"alpha", "position_scale"}
    assert trace(checkpoint(memory_update=rule, attention="softmax")) == []


def test_lines_run_from_the_layer_down_to_the_equations(checkpoint):
    lines = trace(checkpoint())[0].lines()
    assert lines[1].startswith("  <- layer") and lines[-1].startswith("  <- equations")


def test_an_override_says_that_no_simulation_stands_behind_it(checkpoint):
    derived = {entry.name: entry for entry in trace(checkpoint(alpha=0.5))}["alpha"]
    assert [step.kind for step in derived.steps] == ["configuration", "layer"]
    assert "set by hand" in derived.steps[0].text


def test_a_checkpoint_without_its_curve_files_is_refused(checkpoint):
    run = checkpoint()
    shutil.rmtree(run / "model" / "curves")
    with pytest.raises(CurveFileError, match="must carry the curve files that it was trained from in curves/"):
        trace(run)


def test_curve_files_are_not_blamed_for_damaged_weights(checkpoint):
    weights = checkpoint(alpha=0.5, position_scale=0.1, relaxation_rate=0.4) / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"model.safetensors must be a whole safetensors file"):
        trace(weights.parent)


def test_there_is_no_trace_of_no_segment(checkpoint):
    with pytest.raises(ValueError, match=r"^n_segments must be an integer of at least 1, got 0$"):
        trace(checkpoint(), n_segments=0)
