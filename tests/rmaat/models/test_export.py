"""An exported program gives the model's numbers, whatever the batch and the padding."""

import pytest
import torch
from torch.export import Dim

from rmaat import RMAAT, ModelConfig

SMALL = dict(vocab_size=20, n_classes=3, d_model=16, n_heads=2, d_ff=16, n_layers=1, segment_len=6, n_memory=2)

KINDS = [
    {},
    pytest.param({"task": "lm"}, marks=pytest.mark.slow),
    pytest.param({"task": "tag", "pooling": "mean"}, marks=pytest.mark.slow),
    pytest.param({"synapses": "delta", "conv_len": 4}, marks=pytest.mark.slow),
    pytest.param({"attention": "softmax", "memory_update": "gated", "cached_memories": True}, marks=pytest.mark.slow),
]

BATCH = ({0: Dim("batch")},)


def build(curves, **kind):
    torch.manual_seed(0)
    return RMAAT(ModelConfig(**SMALL | kind), curves).eval()


def draw(*lengths):
    tokens = torch.randint(1, 20, (len(lengths), 18), generator=torch.Generator().manual_seed(len(lengths)))
    return tokens.masked_fill(torch.arange(18) >= torch.tensor(lengths)[:, None], 0)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_program_gives_the_models_numbers(kind, curves):
    model = build(curves, **kind)
    program = torch.export.export(model, (draw(18, 9, 14),), dynamic_shapes=BATCH).module()
    for tokens in (draw(18, 9, 14), draw(2, 18, 6, 12, 17), draw(18, 18)):
        torch.testing.assert_close(program(tokens), model(tokens))


@pytest.mark.parametrize("rule", ["scale", "consolidate"])
def test_a_rule_that_follows_the_course_is_refused_in_one_sentence(rule, curves):
    with pytest.raises(ValueError, match=f"memory_update must be 'relax', .* to be exported, got '{rule}'"):
        torch.export.export(build(curves, memory_update=rule), (draw(18, 9, 14),))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_onnx_runtime_gives_the_models_numbers(curves, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    model, path = build(curves), tmp_path / "model.onnx"
    names = {"input_names": ["tokens"], "output_names": ["logits"]}
    torch.onnx.export(model, (draw(18, 9, 14),), path, dynamo=True, dynamic_shapes=BATCH, verbose=False, **names)
    tokens = draw(2, 18, 6, 12, 17)
    (logits,) = runtime.InferenceSession(path).run(None, {"tokens": tokens.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(tokens))
