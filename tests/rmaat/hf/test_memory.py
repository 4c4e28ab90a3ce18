"""Memory for models of transformers: gradients of BPTT, padding without effect, curves in the folder, LoRA."""

import pytest
import torch

pytest.importorskip("transformers", reason="needs the extra hf")

import transformers

from rmaat.hf import MemoryModel, with_memory
from rmaat.hf.memory import MemoryConfig
from rmaat.memory.retention import Retention, population_rates, relax_weights

SMALL = dict(vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
GPT = dict(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=12)
DISTIL = dict(vocab_size=20, dim=16, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=32, num_labels=4)

MODELS = {
    "BertModel": lambda: transformers.BertConfig(**SMALL, max_position_embeddings=32),
    "GPT2LMHeadModel": lambda: transformers.GPT2Config(**GPT),
    "LlamaForCausalLM": lambda: transformers.LlamaConfig(**SMALL, num_key_value_heads=1, max_position_embeddings=32),
    "DistilBertForTokenClassification": lambda: transformers.DistilBertConfig(**DISTIL),
}

DECODERS = ("GPT2LMHeadModel", "LlamaForCausalLM")


def draw(*shape, seed=0):
    return torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def build(curves):
    def build(name, inside=None, **options):
        torch.manual_seed(0)
        model = getattr(transformers, name)(MODELS[name]()) if inside is None else inside
        if name == "BertModel":
            options = {"num_labels": 3} | options
        return with_memory(model, n_memory=2, segment_len=6, curves=curves, **options)

    return build


@pytest.fixture
def batch():
    """Fifteen tokens, nine, and eight behind padding."""
    ids, mask = draw(3, 15), torch.ones(3, 15, dtype=torch.long)
    mask[1, 9:], mask[2, :7] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def labels_of(name, batch):
    if name == "BertModel":
        return torch.tensor([0, 2, 1])
    ids = batch["input_ids"] % (4 if name.startswith("Distil") else 20)
    return ids.masked_fill(batch["attention_mask"] == 0, -100)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_bptt_with_dropout(name, build, batch):
    found = []
    for backprop in ("amrb", "bptt"):
        model = build(name, backprop=backprop).double().train()
        torch.manual_seed(1)
        model(**batch, labels=labels_of(name, batch)).loss.backward()
        found.append({key: value.grad for key, value in model.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys() and {"memory.weight"} < found[0].keys()
    for key in found[0]:
        torch.testing.assert_close(found[0][key], found[1][key], msg=key)
    assert found[0]["memory.weight"].abs().sum() > 0


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(name, build, batch):
    model, mask = build(name).eval(), batch["attention_mask"]
    logits = model(**batch).logits
    for row in range(3):
        valid = mask[row] == 1
        alone = model(batch["input_ids"][row][valid][None]).logits[0]
        torch.testing.assert_close(logits[row] if name == "BertModel" else logits[row, valid], alone)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_plain_loop(name, build):
    """The memory by hand, one segment after the other, as the module's docstring says."""
    model, ids = build(name).eval(), draw(2, 12)
    inside, causal = model.backbone, name in DECODERS
    rates = population_rates(model.constants.curves["ltp_population"], 2)
    keep, take = (weight.float()[:, None] for weight in relax_weights(rates))
    memory, outputs = model.memory.weight.expand(2, -1, -1), []
    for part in ids.split(6, dim=1):
        embedded = inside.get_input_embeddings()(part)
        x = torch.cat([memory, embedded, memory] if causal else [memory, embedded], dim=1)
        out = inside(inputs_embeds=x, output_hidden_states=True)
        last = out.hidden_states[-1]
        memory = keep * memory + take * (last[:, -2:] if causal else last[:, :2])
        outputs.append(out.logits[:, 2:8] if "logits" in out else last[:, 2:8])
    assert model.config.causal == causal
    found = model(ids)
    torch.testing.assert_close(found.memory, memory)
    if name == "BertModel":
        expected = model.classifier(torch.cat([outputs[-1].mean(1), memory.mean(1)], dim=-1))
    else:
        expected = torch.cat(outputs, dim=1)
    torch.testing.assert_close(found.logits, expected)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_reaches_what_is_written_far_behind(name, build):
    model, ids = build(name).eval(), draw(1, 20)
    other = ids.clone()
    other[0, 1] = (ids[0, 1] + 1) % 20
    before, after = model(ids).logits, model(other).logits
    if name in DECODERS:
        assert torch.equal(before[:, :1], after[:, :1])  # and a decoder never sees what is still to come
    assert not torch.equal(before[0, -1], after[0, -1])


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_brings_everything_back(name, build, batch, tmp_path):
    model = build(name, memory_update="consolidate", retention="single").eval()
    model.save_pretrained(tmp_path)
    assert [file.name for file in (tmp_path / "curves").iterdir()] == ["ltp.toml"]
    again = transformers.AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(again, MemoryModel) and again.provenance() == model.provenance()
    assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_the_model_keeps_its_weights_and_its_mode(build):
    inside = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT)).eval()
    before = {name: value.clone() for name, value in inside.state_dict().items()}
    model = build("GPT2LMHeadModel", inside)
    assert model.backbone is inside and not model.training
    assert all(torch.equal(value, before[name]) for name, value in inside.state_dict().items())
    spread = inside.get_input_embeddings().weight.std()
    torch.testing.assert_close(model.memory.weight.std(), spread, rtol=0.5, atol=0)


@pytest.mark.parametrize("rule", ["relax", "consolidate", "scale", "replace"])
def test_the_rules_are_those_of_the_retention(rule, build, curves):
    model, ids = build("BertModel", memory_update=rule, retention="single").eval(), draw(1, 18)
    assert model.constants.retention.rule == rule
    course = {"rates": torch.tensor([0.4], dtype=torch.float64)} if rule == "relax" else {"curve": curves["ltp"]}
    keep, take = Retention(rule, **course if rule != "replace" else {}).table(3)
    mine = model.constants.retention.table(3)
    torch.testing.assert_close((keep, take), mine)
    assert torch.isfinite(model(ids).logits).all()


def test_a_bare_model_gives_hidden_states(build, batch):
    found = build("BertModel", num_labels=None)(**batch)
    assert found.logits is None and found.last_hidden_state.shape == (3, 15, 16) and found.memory.shape == (3, 2, 16)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks for it by its old name
def test_lora_trains_its_own_weights_and_the_memory(build, batch):
    peft = pytest.importorskip("peft")
    found = []
    for backprop in ("amrb", "bptt"):
        model = build("LlamaForCausalLM", backprop=backprop)
        options = {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["memory"], "lora_dropout": 0.1}
        torch.manual_seed(2)
        model = peft.get_peft_model(model, peft.LoraConfig(r=2, init_lora_weights="gaussian", **options)).train()
        torch.manual_seed(1)
        model(**batch, labels=labels_of("LlamaForCausalLM", batch)).loss.backward()
        found.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert found[0] and all("lora" in name or "memory" in name for name in found[0])
    assert any("memory" in name for name in found[0]) and found[0].keys() == found[1].keys()
    for name, grad in found[0].items():
        torch.testing.assert_close(grad, found[1][name], msg=name)


def test_a_few_steps_learn(build, batch):
    model = build("GPT2LMHeadModel").train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-2), []
    for _ in range(12):
        loss = model(**batch, labels=labels_of("GPT2LMHeadModel", batch)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_mistakes_get_one_sentence(build, batch, curves):
    inside = transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**GPT, pad_token_id=0))
    with pytest.raises(ValueError, match="or have a head for each token"):
        with_memory(inside, 2, 6, curves)
    with pytest.raises(ValueError, match=r"segment_len \+ 2 n_memory must be at most the 12 positions .* got 14"):
        with_memory(transformers.GPT2Model(transformers.GPT2Config(**GPT)), 2, 10, curves)
    with pytest.raises(ValueError, match=r"modules_to_save=\['memory'\]"):
        with_memory(torch.nn.Linear(2, 2), 2, 6, curves)
    with pytest.raises(ValueError, match="encoder or a decoder"):
        with_memory(transformers.T5Model(transformers.T5Config(d_model=8, num_layers=1, vocab_size=9, d_ff=8)), 2, 6)
    with pytest.raises(ValueError, match="memory_update must be one of"):
        build("BertModel", memory_update="gated")
    with pytest.raises(ValueError, match="num_labels needs a model without a head"):
        build("GPT2LMHeadModel", num_labels=3)
    with pytest.raises(ValueError, match="leave a token to each sequence, got 3 without"):
        build("BertModel")(batch["input_ids"], torch.zeros_like(batch["attention_mask"]))


@pytest.mark.parametrize("name", ["pipeline", "AutoConfig", "no_such_class", ""])
def test_a_folder_cannot_name_anything_but_a_model(name):
    with pytest.raises(ValueError, match=f"backbone_class must be a model class of transformers, got '{name}'"):
        MemoryModel(MemoryConfig(backbone_class=name, backbone={"model_type": "bert"}))
