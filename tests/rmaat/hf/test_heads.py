"""RMAAT as models of transformers: the same numbers as RMAAT's own, saved with its curves, trained and resumed."""

import json

import pytest
import torch

pytest.importorskip("transformers", reason="needs the extra hf")

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Trainer,
    TrainingArguments,
)

from rmaat import RMAAT, ModelConfig, load_curves
from rmaat.hf import RMAATConfig, RMAATForCausalLM, RMAATForSequenceClassification, RMAATForTokenClassification

SIZES = dict(vocab_size=20, d_model=16, n_heads=2, n_layers=1, d_ff=16, segment_len=6, n_memory=2)

KINDS = [
    {},
    {"synapses": "delta", "conv_len": 4},
    {"memory_update": "gated", "cached_memories": True},
    {"memory_update": "scale"},
]

HEADS = {
    RMAATForSequenceClassification: AutoModelForSequenceClassification,
    RMAATForTokenClassification: AutoModelForTokenClassification,
    RMAATForCausalLM: AutoModelForCausalLM,
}


def draw(*shape, seed=0):
    return torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(seed))


def build(head, curves, **options):
    torch.manual_seed(0)
    return head(RMAATConfig(**SIZES | options), curves).eval()


@pytest.fixture(scope="module")
def ids():
    return draw(3, 15)


@pytest.fixture(scope="module")
def right():
    """All tokens of the first sequence, nine of the second, two of the third."""
    return (torch.arange(15) < torch.tensor([15, 9, 2])[:, None]).long()


@pytest.mark.parametrize("head", HEADS)
def test_the_model_inside_gives_the_numbers(head, curves, ids, right):
    model = build(head, curves, num_labels=3)
    expected = model.model((ids + 1) * right)
    if head is RMAATForCausalLM:
        expected = expected[..., 1:]
    logits = model(ids, attention_mask=right).logits
    if head is not RMAATForSequenceClassification:
        logits, expected = logits[right == 1], expected[right == 1]
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("head", HEADS)
def test_padding_may_stand_anywhere(head, curves, ids):
    """On the left, in the middle, or with other ids in it."""
    model, mask = build(head, curves), torch.ones_like(ids)
    mask[0, :7], mask[1, 3:9], mask[2, ::2] = 0, 0, 0
    logits = model(torch.where(mask == 1, ids, draw(3, 15, seed=1)), attention_mask=mask).logits
    for row in range(3):
        alone = model(ids[row][mask[row] == 1][None]).logits[0]
        seen = logits[row] if head is RMAATForSequenceClassification else logits[row, mask[row] == 1]
        torch.testing.assert_close(seen, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("head", HEADS)
def test_a_folder_holds_weights_curves_and_provenance(head, kind, curves, ids, tmp_path):
    model = build(head, curves, num_labels=3, **kind)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    for name, curve in model.model.constants.curves.items():
        assert (tmp_path / "curves" / f"{name}.toml").read_text() == curve.text
    again = HEADS[head].from_pretrained(tmp_path).eval()
    assert type(again) is head and torch.equal(again(ids).logits, model(ids).logits)
    assert again.provenance() == model.provenance()
    assert json.loads((tmp_path / "config.json").read_text())["provenance"] == model.provenance()
    assert AutoConfig.from_pretrained(tmp_path).network("lm") == again.config.network("lm")


def test_a_drawn_curve_comes_back_as_that_draw(tmp_path, ids):
    model = build(RMAATForCausalLM, load_curves(draw=2, seed=5))
    model.save_pretrained(tmp_path)
    again = RMAATForCausalLM.from_pretrained(tmp_path)
    assert again.model.constants.alpha == model.model.constants.alpha
    assert again.model.constants.alpha != build(RMAATForCausalLM, None).model.constants.alpha


def test_other_curves_replace_those_of_the_folder(curves, tmp_path):
    build(RMAATForCausalLM, curves).save_pretrained(tmp_path)
    assert RMAATForCausalLM.from_pretrained(tmp_path).model.constants.alpha == 0.3
    assert RMAATForCausalLM.from_pretrained(tmp_path, curves=load_curves()).model.constants.alpha != 0.3


def test_a_head_of_another_size_begins_anew_and_the_rest_is_kept(curves, ids, tmp_path):
    model = build(RMAATForSequenceClassification, curves, num_labels=3)
    model.save_pretrained(tmp_path)
    options = {"num_labels": 5, "ignore_mismatched_sizes": True}
    other = RMAATForSequenceClassification.from_pretrained(tmp_path, **options).eval()
    assert other(ids).logits.shape == (3, 5) and torch.isfinite(other(ids).logits).all()
    assert torch.equal(other.model.embedding.weight, model.model.embedding.weight)
    assert 0 < other.model.head[-1].weight.std() < 1


def test_a_model_of_ours_changes_its_clothes_only(curves, ids):
    torch.manual_seed(0)
    own = RMAAT(ModelConfig(**SIZES | {"vocab_size": 21}, n_classes=4), curves).eval()
    model = RMAATForSequenceClassification.from_rmaat(own, id2label={0: "a", 1: "b", 2: "c", 3: "d"})
    assert torch.equal(model(ids).logits, own(ids + 1)) and model.config.id2label[3] == "d"
    with pytest.raises(ValueError, match="must be of task 'lm' for RMAATForCausalLM, got 'classify'"):
        RMAATForCausalLM.from_rmaat(own)


@pytest.mark.parametrize(
    ("labels", "options", "loss"),
    [
        (torch.tensor([0, 2, 1]), {"num_labels": 3}, torch.nn.functional.cross_entropy),
        (torch.tensor([0.5, -1.0, 2.0]), {"num_labels": 1}, lambda a, b: (a[:, 0] - b).square().mean()),
        (torch.eye(3), {"num_labels": 3}, torch.nn.functional.binary_cross_entropy_with_logits),
    ],
)
def test_one_label_numbers_and_many_labels(labels, options, loss, curves, ids):
    out = build(RMAATForSequenceClassification, curves, **options)(ids, labels=labels)
    torch.testing.assert_close(out.loss, loss(out.logits, labels))


def test_losses_of_tokens_ask_where_there_is_a_label(curves, ids, right):
    labels = (ids % 3).masked_fill(right == 0, -100)
    out = build(RMAATForTokenClassification, curves, num_labels=3)(ids, attention_mask=right, labels=labels)
    expected = torch.nn.functional.cross_entropy(out.logits[right == 1], labels[right == 1])
    torch.testing.assert_close(out.loss, expected)
    labels = ids.masked_fill(right == 0, -100)
    out = build(RMAATForCausalLM, curves)(ids, attention_mask=right, labels=labels)
    asked = right[:, 1:] == 1
    expected = torch.nn.functional.cross_entropy(out.logits[:, :-1][asked], ids[:, 1:][asked])
    torch.testing.assert_close(out.loss, expected)


def test_a_tagger_sees_its_whole_segment_and_earlier_ones(curves, ids):
    model, other = build(RMAATForTokenClassification, curves), ids.clone()
    other[:, 5] = (other[:, 5] + 1) % 20
    changed = (model(ids).logits != model(other).logits).any(-1).all(0)
    assert changed.all()  # tokens 0 to 4 by the segment, tokens 6 to 14 by the memory
    other = ids.clone()
    other[:, 6] = (other[:, 6] + 1) % 20
    assert torch.equal(model(ids).logits[:, :6], model(other).logits[:, :6])


def test_mistakes_get_one_sentence(curves, ids):
    model = build(RMAATForCausalLM, curves)
    with pytest.raises(ValueError, match="input_ids must be 0 to 19, got 20"):
        model(ids + torch.eye(3, 15, dtype=torch.long) * (20 - ids))
    with pytest.raises(ValueError, match="input_ids must be 0 to 19, got -1"):
        model(ids - ids - 1)
    with pytest.raises(ValueError, match=r"attention_mask must have the shape of input_ids, got \(3, 4\)"):
        model(ids, attention_mask=torch.ones(3, 4))
    with pytest.raises(ValueError, match="input_ids must be a tensor"):
        model(ids.tolist())
    with pytest.raises(ValueError, match="n_heads must divide d_model"):
        RMAATConfig(d_model=10, n_heads=3)
    with pytest.raises(ValueError, match="pooling must not be 'each'"):
        build(RMAATForSequenceClassification, curves, pooling="each")


# ---------------------------------------------------------------------------------------------------------------------
# Generation
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_greedy_search_carries_the_state_and_equals_the_whole_text(kind, curves, ids, monkeypatch):
    model = build(RMAATForCausalLM, curves, **kind)
    whole = model.generate(ids[:, :8], max_new_tokens=9, do_sample=False, use_cache=False)
    given = []
    forward = RMAAT.step
    monkeypatch.setattr(RMAAT, "step", lambda self, x, *rest: given.append(x.shape[1]) or forward(self, x, *rest))
    assert torch.equal(model.generate(ids[:, :8], max_new_tokens=9, do_sample=False), whole)
    assert given == ([] if kind.get("memory_update") == "scale" else [8, *[1] * 8])
    if given:
        assert torch.equal(model.model.generate(ids[:, :8] + 1, 9, temperature=0) - 1, whole)


def test_prompts_of_several_lengths_are_padded_on_the_left(curves, ids):
    model, mask = build(RMAATForCausalLM, curves), torch.ones_like(ids)
    mask[1, :6] = 0
    text = model.generate(ids, attention_mask=mask, max_new_tokens=5, do_sample=False, pad_token_id=0)
    alone = model.generate(ids[1:2, 6:], max_new_tokens=5, do_sample=False)
    assert torch.equal(text[1, 6:], alone[0])


def test_sampling_follows_the_seed_and_beams_the_probabilities(curves, ids):
    model, drawn = build(RMAATForCausalLM, curves), []
    for cache in (True, False):
        torch.manual_seed(3)
        options = {"do_sample": True, "top_k": 5, "temperature": 0.7, "use_cache": cache}
        drawn.append(model.generate(ids[:, :4], max_new_tokens=8, **options))
    assert torch.equal(*drawn)
    beams, greedy = (model.generate(ids, max_new_tokens=4, do_sample=False, num_beams=n) for n in (4, 1))
    score = lambda text: model(text[:, :-1]).logits.log_softmax(-1)[:, 14:].gather(2, text[:, 15:, None]).sum(1)  # noqa: E731
    assert (score(beams) >= score(greedy) - 1e-5).all()


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def trainer(folder, curves, **options):
    model = build(RMAATForSequenceClassification, curves, num_labels=2)
    lengths = torch.randint(3, 16, (24,), generator=torch.Generator().manual_seed(2)).tolist()
    rows = [{"input_ids": draw(n, seed=k), "label": int(draw(n, seed=k)[0] < 10)} for k, n in enumerate(lengths)]

    def collate(batch):
        ids = [row["input_ids"] for row in batch]
        pad = torch.nn.utils.rnn.pad_sequence
        mask = pad([torch.ones_like(x) for x in ids], batch_first=True)
        labels = torch.tensor([row["label"] for row in batch])
        return {"input_ids": pad(ids, batch_first=True), "attention_mask": mask, "labels": labels}

    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=6, per_device_train_batch_size=4, save_steps=3, learning_rate=1e-2,
        report_to=[], disable_tqdm=True, use_cpu=True, gradient_accumulation_steps=2, logging_steps=1, **options,
    )  # fmt: skip
    return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, data_collator=collate)


def test_the_trainer_resumes_to_the_same_weights(curves, tmp_path):
    whole = trainer(tmp_path / "whole", curves)
    whole.train()
    loaded = trainer(tmp_path / "other", curves)
    loaded.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    for (name, a), b in zip(whole.model.named_parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b), name
    started = build(RMAATForSequenceClassification, curves, num_labels=2).model.embedding.weight
    assert not torch.equal(whole.model.model.embedding.weight.cpu(), started)
    saved = RMAATForSequenceClassification.from_pretrained(tmp_path / "whole" / "checkpoint-6")
    assert saved.provenance() == whole.model.provenance()
    assert whole.evaluate()["eval_loss"] < 0.8
