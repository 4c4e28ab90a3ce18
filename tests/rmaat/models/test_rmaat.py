"""The model: constants from curves, segments and padding, streaming, checkpoints, and what it refuses."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from rmaat import RMAAT, ModelConfig, load_curves, retention_factors
from rmaat.layers.block import Dropout
from rmaat.memory.retention import relax_weights

SMALL = {"vocab_size": 11, "n_classes": 3, "d_model": 12, "n_heads": 2, "d_ff": 20, "segment_len": 6, "n_memory": 3}
T_FREE = ["relax", "consolidate", "replace", "gated", "attend"]


@pytest.fixture
def build(curves):
    """A small model in double precision, in evaluation mode; options go to its configuration."""

    def model(seed=0, **options):
        torch.manual_seed(seed)
        return RMAAT(ModelConfig(**{**SMALL, **options}), curves).double().eval()

    return model


def draw(*shape, seed=0):
    return torch.randint(1, SMALL["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def test_constants_come_from_the_curves(build, curves):
    model = build()
    attention = model.blocks[0].attention
    assert attention.alpha == 0.3 and attention.position_scale == pytest.approx(0.25 / 2.5)
    rates = model.constants.retention.rates
    torch.testing.assert_close(rates, 50 * 0.07 * torch.logspace(-2, 0, 3, dtype=torch.float64))
    single = build(retention="single").constants.retention.rates
    torch.testing.assert_close(single, torch.tensor([0.4], dtype=torch.float64))
    paper = build(preset="paper")
    assert (paper.config.memory_update, paper.config.timescales) == ("scale", "single")
    torch.testing.assert_close(paper.constants.retention.table(5)[1][:, 0], retention_factors(curves["ltp"], 5))


def test_population_of_either_rule(build):
    """Each memory token follows its own rate; the first of consolidate's segments is taken in whole."""
    tokens = draw(2, 24)
    relaxed, consolidated = (build(memory_update=rule, retention="population") for rule in ("relax", "consolidate"))
    assert torch.equal(relaxed.constants.retention.rates, consolidated.constants.retention.rates)
    assert not torch.allclose(relaxed(tokens), consolidated(tokens))
    keep, take = consolidated.constants.retention.table(6)
    assert keep.shape == (6, 3) and torch.equal(take[0], torch.ones(3, dtype=torch.float64))
    assert bool((take[5].diff() < 0).all())  # the faster a token saturates, the less it still takes in


def test_provenance_names_origins_and_overrides(build):
    record = build().provenance()
    assert record["overridden"] == [] and record["extrapolated"] is None
    assert record["origins"]["alpha"] == "curve stp_calcium: exponent"
    changed = build(alpha=0.2, position_scale=0.0, relaxation_rate=0.5).provenance(4)
    assert changed["overridden"] == ["alpha", "position_scale", "retention"]
    assert changed["relaxation_rates"] == [0.5] and changed["alpha"] == 0.2


def test_extrapolation_is_recorded(build):
    model = build(memory_update="scale")
    assert not model.provenance(16)["extrapolated"] and model.provenance(17)["extrapolated"]
    assert build(memory_update="scale", max_len=6 * 17).provenance()["extrapolated"]
    assert not build().provenance(1000)["extrapolated"]  # relax reads no curve beyond its range


def test_only_needed_curves_are_needed():
    bare = {"alpha": 0.3, "position_scale": 0.1}
    for options in (bare | {"memory_update": "replace"}, {"attention": "softmax", "memory_update": "gated"}):
        assert RMAAT(ModelConfig(**SMALL, **options), {}).constants.curves == {}


def test_missing_and_wrong_curves_are_refused(curves):
    with pytest.raises(ValueError, match="curves must hold 'stp_calcium' for alpha, got none; or override it"):
        RMAAT(ModelConfig(**SMALL), {})
    with pytest.raises(ValueError, match=r"curves must be a dict of names to curves, got str; load_curves\(folder\)"):
        RMAAT(ModelConfig(**SMALL), "rmaat/data")
    with pytest.raises(ValueError, match="curve 'stp_calcium' must have the form power_law to give alpha, got sat"):
        RMAAT(ModelConfig(**SMALL), {**curves, "stp_calcium": curves["ltp"]})


def test_a_seed_draws_the_weights_that_the_committed_results_began_with():
    torch.manual_seed(0)
    model = RMAAT(ModelConfig(**SMALL, alpha=0.3, position_scale=0.1, relaxation_rate=0.5), {})
    expected = {"memory": 30.8109, "blocks.0.attention.qkv.weight": 99.3456, "blocks.0.feed_forward.0.weight": 33.0477}
    expected |= {"blocks.1.feed_forward.2.weight": 2.6009, "head.3.weight": 6.7088}
    sizes = {name: model.get_parameter(name).abs().sum().item() for name in expected}
    assert sizes == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["ltp", "ltp_population", "stp_calcium", "stp_spatial"])
@pytest.mark.parametrize("unit", ["kHz", "banana"])
def test_a_curve_in_another_unit_is_refused(curves, name, unit):
    curve = curves[name]
    other = curves | {name: dataclasses.replace(curve, x=dataclasses.replace(curve.x, unit=unit))}
    rule = {"memory_update": "scale", "retention": "single"} if name == "ltp" else {}
    with pytest.raises(ValueError, match=rf"curve '{name}' must have x in .* to give .*, got {unit}"):
        RMAAT(ModelConfig(**SMALL, **rule), other)


@pytest.mark.parametrize("rule", ["relax", "scale", "consolidate"])
def test_a_model_built_without_storage_knows_its_constants(build, curves, rule):
    model, tokens = build(memory_update=rule, relaxation_rate=0.4), draw(2, 20)
    with torch.device("meta"):
        empty = RMAAT(model.config, curves).double().eval()
    empty.to_empty(device="cpu").load_state_dict(model.state_dict())
    assert torch.equal(empty(tokens), model(tokens))


@pytest.mark.parametrize("rule", ["relax", "scale", "consolidate", "replace"])
def test_memory_follows_the_rule(build, curves, rule):
    model = build(memory_update=rule)
    seen = []
    encode = model.encode

    def recorded(x, mask, memory, *rest):
        seen.append((memory, encode(x, mask, memory, *rest)))
        return seen[-1][1]

    model.encode = recorded
    model(draw(2, 24))
    for t in range(1, 4):
        (memory, (_, new, _)), (after, _) = seen[t - 1], seen[t]
        p = 1 - torch.exp(-0.4 * torch.arange(5, dtype=torch.float64))
        keep, take = (weight[:, None] for weight in relax_weights(50 * 0.07 * torch.logspace(-2, 0, 3).double()))
        expected = {
            "relax": keep * memory + take * new,
            "scale": retention_factors(curves["ltp"], 4)[t - 1] * new,
            "consolidate": p[t - 1] / p[t] * memory + (1 - p[t - 1] / p[t]) * new,
            "replace": new,
        }[rule]
        torch.testing.assert_close(after, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("task", ["classify", "match", "lm"])
@pytest.mark.parametrize("rule", ["scale", *T_FREE])
def test_padding_reaches_nothing(build, task, rule):
    if task == "lm" and rule == "scale":
        pytest.skip("scale reads T, which the padding's place decides")
    model = build(task=task, memory_update=rule)
    tokens = draw(2, 2, 15) if task == "match" else draw(2, 15)
    short = tokens[..., :8]
    padded = short.new_zeros(tokens.shape)
    padded[..., :8] = short
    expected = model(short)
    longer = model(padded)
    garbage = model(tokens, torch.full(tokens.shape[:-1], 8))
    for got in (longer, garbage):
        got = got[:, :8] if task == "lm" else got
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pooling", ["last", "memory", "mean"])
@pytest.mark.parametrize("rule", ["scale", *T_FREE])
def test_ragged_batch_equals_each_sample_alone(build, pooling, rule):
    model = build(memory_update=rule, pooling=pooling)
    tokens, lengths = draw(4, 20), torch.tensor([20, 1, 12, 7])
    together = model(tokens, lengths)
    behind = torch.arange(20) >= lengths[:, None]
    assert torch.equal(model(tokens.masked_fill(behind, -100), lengths), together)
    alone = torch.cat([model(tokens[i : i + 1, :n]) for i, n in enumerate(lengths.tolist())])
    torch.testing.assert_close(together, alone, rtol=1e-11, atol=1e-12)


POOLINGS = [("classify", pooling) for pooling in ("last", "memory", "mean", "each")]


@pytest.mark.parametrize("task, pooling", [*POOLINGS, ("lm", "last")])
@pytest.mark.parametrize("rule", ["scale", *T_FREE])
def test_streaming_equals_batch(build, task, pooling, rule):
    model = build(memory_update=rule, pooling=pooling, task=task)
    tokens = draw(3, 22)
    tokens[1, 15:] = 0
    if rule == "scale":
        tokens = tokens[::2]  # in a stream T is one number for all samples
    whole = model(tokens)
    state = model.initial_state(len(tokens), n_segments=4 if rule == "scale" else None)
    logits = []
    for segment in tokens.split(6, dim=1):
        step, state = model.step(segment, state)
        logits.append(step)
    if task == "lm":
        torch.testing.assert_close(torch.cat(logits, dim=1), whole)
    elif pooling == "each":
        torch.testing.assert_close(torch.stack(logits, dim=1), whole)
    else:
        torch.testing.assert_close(logits[-1], whole)


@pytest.mark.parametrize("length", [4, 6, 15, 18])
@pytest.mark.parametrize(
    "options",
    [{}, {"memory_update": "scale"}, {"pooling": "mean"}, {"task": "lm"}, {"n_memory": 0}, {"synapses": "hebbian"}],
    ids=str,
)
def test_whole_sequences_can_be_read_unchecked_and_mapped(build, length, options):
    model, tokens = build(backprop="bptt", **options), draw(2, 3, length)
    found = torch.func.vmap(model.read_whole)(tokens)
    torch.testing.assert_close(found, torch.stack([model(own) for own in tokens]))


def test_streaming_pairs_and_cached_memories(build):
    pair, cached = build(task="match"), build(cached_memories=True)
    nn.init.constant_(cached.cached_read.gamma, 0.7)
    for model, tokens in ((pair, draw(2, 2, 18)), (cached, draw(2, 18))):
        state = model.initial_state(2)
        for segment in tokens.split(6, dim=-1):
            logits, state = model.step(segment, state)
        torch.testing.assert_close(logits, model(tokens))
    assert len(state.cache) == 3


def test_cached_memories_start_as_the_plain_model(build):
    plain, cached = build(), build(cached_memories=True)
    cached.load_state_dict(plain.state_dict(), strict=False)
    tokens = draw(2, 30)
    torch.testing.assert_close(cached(tokens), plain(tokens))
    nn.init.constant_(cached.cached_read.gamma, 0.7)
    assert not torch.allclose(cached(tokens), plain(tokens))


def test_stream_state_has_constant_size(build):
    model, sizes = build(), set()
    state = model.initial_state(2)
    with torch.no_grad():
        for k in range(40):
            _, state = model.step(draw(2, 6, seed=k), state)
            sizes.add(sum(x.numel() for x in (state.memory, state.summary, state.count, state.seen)))
    assert len(sizes) == 1 and state.steps == 40 and state.cache == ()


def test_a_stream_computes_r_once_and_anew_after_any_change(build, monkeypatch):
    model, calls = build(n_layers=2), []
    model.eval()
    original = type(model).shared_tensors
    monkeypatch.setattr(type(model), "shared_tensors", lambda self: calls.append(1) or original(self))

    def stream(tokens):
        state = model.initial_state(2)
        for segment in tokens.split(6, dim=1):
            logits, state = model.step(segment, state)
        return logits

    tokens = draw(2, 18)
    with torch.no_grad():
        stream(tokens), stream(tokens)
        assert len(calls) == 1
        model.blocks[1].attention.projection.data.mul_(3)  # no version counter sees this
        changed = stream(tokens)
        assert len(calls) == 2
        torch.testing.assert_close(changed, model(tokens))
    assert stream(tokens).requires_grad and len(calls) == 6  # with a graph, R is a part of each step


@pytest.mark.parametrize("attention", ["astromorphic", "linear", "softmax"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_language_model_is_causal(build, attention, norm):
    model = build(task="lm", attention=attention, norm=norm)
    tokens = draw(2, 20)
    changed = tokens.clone()
    changed[:, 9] = tokens[:, 9] % 10 + 1
    before, after = model(tokens), model(changed)
    assert before.shape == (2, 20, 11)
    torch.testing.assert_close(after[:, :9], before[:, :9], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(after[:, 9], before[:, 9])
    assert not torch.allclose(after[:, 19], before[:, 19])  # through the memory of segments 2 and 3


def test_memory_carries_the_first_segment_to_the_last(build):
    model = build()
    tokens = draw(2, 24)
    changed = tokens.clone()
    changed[:, 0] = tokens[:, 0] % 10 + 1
    assert not torch.allclose(model(changed), model(tokens))
    cut = build(n_memory=0)
    torch.testing.assert_close(cut(changed), cut(tokens), rtol=0, atol=0)


@pytest.mark.parametrize("cached", [False, True])
def test_carried_state(build, cached):
    model = build(carry_state=True, cached_memories=cached)
    if cached:
        torch.nn.init.constant_(model.cached_read.gamma, 0.5)
    tokens = draw(2, 24)
    _, state = model(tokens[:, :12])
    assert not state.memory.requires_grad
    second, state = model(tokens[:, 12:], state=state)
    assert int(state.seen[0]) == 4
    whole, _ = model(tokens)
    torch.testing.assert_close(second, whole)
    assert not torch.allclose(second, model(tokens[:, 12:])[0])
    with pytest.raises(ValueError, match="state must be None with carry_state=False"):
        build()(tokens, state=state)


@pytest.mark.parametrize("pooling", ["last", "memory"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_token_outputs_that_nobody_reads_are_left_out(build, pooling, norm):
    model, tokens, lengths = build(pooling=pooling, norm=norm), draw(3, 30), torch.tensor([30, 4, 13])
    shapes = set()
    handle = model.blocks[-1].register_forward_hook(lambda module, args, result: shapes.add(result.shape[1]))
    left_out = model(tokens, lengths)
    handle.remove()
    assert shapes == ({3, 9} if pooling == "last" else {3})  # all nine where a sample ends
    model._reads_tokens = lambda ending: True
    torch.testing.assert_close(left_out, model(tokens, lengths), rtol=1e-12, atol=1e-12)


def test_segments_behind_the_longest_sample_are_not_run(build):
    model, tokens = build(), draw(2, 48)
    tokens[:, 13:] = 0
    runs = []
    handle = model.blocks[0].register_forward_hook(lambda *args: runs.append(1))
    model(tokens)
    handle.remove()
    assert len(runs) == 3
    assert build(task="lm")(tokens).shape == (2, 48, 11) and build(pooling="each")(tokens).shape == (2, 8, 3)


def test_dropout_drops_with_its_probability():
    torch.manual_seed(0)
    dropout, x = Dropout(0.3), torch.ones(999, 101, requires_grad=True)
    y = dropout(x)
    assert (y == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7], rel=1e-4)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    neighbours = torch.stack([(y[:, k:-1:4] == 0).flatten().float() for k in range(4)])  # the four parts of a word
    assert (torch.corrcoef(neighbours) - torch.eye(4)).abs().max() < 0.03
    assert torch.equal(Dropout(0.0)(x), x) and torch.equal(Dropout(0.3).eval()(x), x)
    assert bool(Dropout(1 - 1e-6)(x).isfinite().all())


def test_towers_are_shared(build):
    model = build(task="match")
    tokens = draw(3, 2, 15)
    seen = []
    handle = model.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(tokens), model(tokens.flip(1))
    handle.remove()
    a, b, product, difference = seen[0].chunk(4, dim=-1)
    torch.testing.assert_close(torch.cat([b, a, product, -difference], dim=-1), seen[1])


def test_deep_supervision_gives_every_segment(build):
    model = build(pooling="each")
    assert model(draw(2, 20)).shape == (2, 4, 3)


@pytest.mark.parametrize("options", [{}, {"preset": "paper"}, {"memory_update": "gated", "alpha": 0.2, "grid": (2, 3)}])
def test_checkpoints_reproduce_logits_bit_for_bit(build, tmp_path, options):
    model, tokens = build(**options), draw(2, 20)
    model.save_pretrained(tmp_path / "model")
    loaded = RMAAT.from_pretrained(tmp_path / "model")
    assert loaded.config == model.config and not loaded.training
    assert torch.equal(loaded(tokens), model(tokens))
    single = model.float()
    single.save_pretrained(tmp_path / "single")
    assert torch.equal(RMAAT.from_pretrained(tmp_path / "single")(tokens), single(tokens))
    record = json.loads((tmp_path / "model" / "config.json").read_text())
    assert record["provenance"] == model.provenance()
    for name, curve in model.constants.curves.items():
        assert (tmp_path / "model" / "curves" / f"{name}.toml").read_text() == curve.text


def test_checkpoints_keep_a_drawn_curve(curves, tmp_path):
    drawn = {**curves, "ltp_population": curves["ltp_population"].sample(3, seed=5)[2]}
    model = RMAAT(ModelConfig(**SMALL), drawn)
    loaded = RMAAT.from_pretrained(model.save_pretrained(tmp_path))
    assert torch.equal(loaded.constants.retention.rates, model.constants.retention.rates)
    fitted = RMAAT(ModelConfig(**SMALL), curves)
    assert not torch.equal(model.constants.retention.rates, fitted.constants.retention.rates)


def test_tied_weights_and_mixed_types_are_kept(build, tmp_path):
    model = build(task="lm")
    model.head[-1].weight = model.embedding.weight
    model.float().blocks[0].double()
    loaded = RMAAT.from_pretrained(model.save_pretrained(tmp_path))
    kinds = [(name, tensor.dtype) for name, tensor in model.state_dict().items()]
    assert [(name, tensor.dtype) for name, tensor in loaded.state_dict().items()] == kinds
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_a_changed_curve_is_not_saved_as_its_file(curves, tmp_path):
    curve = curves["ltp_population"]
    doubled = {name: 2 * value for name, value in curve.parameters.items()}
    for changes in ({"parameters": doubled}, {"x_range": (0.1, 1.0)}):
        model = RMAAT(ModelConfig(**SMALL), {**curves, "ltp_population": dataclasses.replace(curve, **changes)})
        with pytest.raises(ValueError, match=r"curve 'ltp_population' must be as in its file to be saved, got oth"):
            model.save_pretrained(tmp_path)


def test_loading_draws_no_random_numbers(build, tmp_path):
    folder = build().save_pretrained(tmp_path)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with torch.device("meta"):
        assert not RMAAT.from_pretrained(folder).memory.is_meta
    assert torch.equal(torch.rand(1), expected)


class Own(RMAAT):
    """A user's class."""


def test_a_subclass_of_ones_own_is_loaded_by_itself(curves, tmp_path):
    folder = Own(ModelConfig(**SMALL), curves).save_pretrained(tmp_path)
    assert type(Own.from_pretrained(folder)) is Own
    with pytest.raises(ValueError, match=r"config.json must be of a class of rmaat, got 'Own'; load it by that class"):
        RMAAT.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"colour": 1}}, r"config.json must be of this version of rmaat, got .*colour.*; save"),
        ({"config": {**SMALL, "n_heads": 5}}, r"config.json must be of this version of rmaat, got n_heads must divide"),
        ({"class": ["RMAAT"]}, r"config.json must be of a class of rmaat, got \['RMAAT'\]"),
        ({"curve_draws": []}, r"config.json must be of this version of rmaat, got 'list' object"),
        ({"curve_draws": {"nothing": [0, 0]}}, r"config.json must be of this version of rmaat, got 'nothing'; sav"),
        (
            {"config": {**SMALL, "n_layers": 10**7}},
            r"config.json must be the configuration of model.safetensors, got n_",
        ),
        (
            {"config": {**SMALL, "d_model": 10**30}},
            r"hold the weights of this model|must be of this version of rmaat, got",
        ),
        (
            {"config": {**SMALL, "d_ff": 40}},
            r"hold the weights of this model, got blocks.* of shape \(20,\), not \(40,\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(curves, tmp_path, changes, message):
    RMAAT(ModelConfig(**SMALL), curves).save_pretrained(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(record | changes))
    with pytest.raises(ValueError, match=message) as error:
        RMAAT.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"must hold config.json and model.safetensors, got no such folder or files"):
        RMAAT.from_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize("options", [{}, {"norm": "pre"}, {"grid": (2, 3)}, {"position": "free"}, {"feedback": False}])
def test_every_parameter_gets_a_gradient(build, options):
    model = build(**options)
    model(draw(2, 20)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), name


def test_first_memory_and_tokens_have_unit_size(curves):
    torch.manual_seed(0)
    model = RMAAT(ModelConfig(vocab_size=50, d_model=64, n_memory=64), curves)
    x = model.embedding(torch.arange(1, 50)) + model.sinusoids[:49]
    for tensor in (x, model.memory):
        assert tensor.square().mean().sqrt().item() == pytest.approx(1, abs=0.1)


def test_memory_keeps_its_size_over_many_segments(build):
    """Post-norm with relax neither dies nor grows; the paper's scale shrinks every memory by RF."""
    for options, low, high in (({}, 0.3, 2.0), ({"norm": "pre"}, 0.3, 2.0), ({"memory_update": "scale"}, 0.0, 0.5)):
        model = build(**options)
        state = model.initial_state(4, n_segments=20)
        with torch.no_grad():
            for k in range(20):
                _, state = model.step(draw(4, 6, seed=k), state)
        assert low < state.memory.square().mean().sqrt().item() < high


def test_packaged_curves_are_the_default(curves, monkeypatch):
    monkeypatch.setattr("rmaat.models.constants.load_curves", lambda: curves)
    assert RMAAT(ModelConfig(**SMALL)).constants.curves == {
        name: curves[name] for name in ("stp_calcium", "stp_spatial", "ltp_population")
    }
    assert callable(load_curves)


@pytest.mark.parametrize(
    "tokens, lengths, message",
    [
        (torch.zeros(2, 0, dtype=torch.long), None, r"tokens must be \(batch, length\) and not empty, got \(2, 0\)"),
        (torch.ones(6, dtype=torch.long), None, r"tokens must be \(batch, length\) and not empty, got \(6,\)"),
        (torch.ones(2, 6), None, "tokens must be a tensor of type int64, got torch.float32"),
        ([[1, 2]], None, "tokens must be a tensor of type int64, got list"),
        (torch.ones(2, 6, dtype=torch.long), [6, 6], "lengths must be a tensor of type int64, got list"),
        (torch.full((2, 6), 11), None, "tokens must be at least 0 and below vocab_size = 11, got 11 to 11"),
        (torch.full((2, 6), -1), None, "got -1 to -1"),
        (torch.ones(2, 6, dtype=torch.long), torch.tensor([6, 7]), "lengths must be 1 to 6, .* got 6 to 7"),
        (torch.ones(2, 6, dtype=torch.long), torch.tensor([0, 6]), "lengths must be 1 to 6, .* got 0 to 6"),
        (torch.ones(2, 6, dtype=torch.long), torch.tensor([6]), r"lengths must be \(2,\) like .* got \(1,\)"),
        (torch.zeros(2, 6, dtype=torch.long), None, r"each sequence must have at least one token .*, got 2 without"),
    ],
)
def test_wrong_inputs_are_refused(build, tokens, lengths, message):
    with pytest.raises(ValueError, match=message):
        build()(tokens, lengths)


def test_wrong_steps_are_refused(build):
    model, scale, pair = build(), build(memory_update="scale"), build(task="match")
    with pytest.raises(ValueError, match="segment must have at most 6 tokens, got 7"):
        model.step(draw(2, 7), model.initial_state(2))
    with pytest.raises(ValueError, match="tokens must be 3 sequences like the state, got 2"):
        model.step(draw(2, 6), model.initial_state(3))
    with pytest.raises(ValueError, match=r"n_segments must be given to initial_state .* got None at segment 1; a s"):
        scale.step(draw(2, 6), scale.initial_state(2))
    rollouts = build(memory_update="scale", carry_state=True)
    with pytest.raises(ValueError, match=r"got None at segment 2; a state from forward\(\) has none"):
        rollouts.step(draw(2, 6), rollouts(draw(2, 6))[1])
    with pytest.raises(ValueError, match="got 1 at segment 2"):
        scale.step(draw(2, 6), scale.step(draw(2, 6), scale.initial_state(2, 1))[1])
    for wrong in (0, 2.5, "3", True):
        with pytest.raises(ValueError, match=f"batch must be an integer of at least 1, got {wrong!r}"):
            model.initial_state(wrong)
        with pytest.raises(ValueError, match=f"n_segments must be an integer of at least 1, got {wrong!r}"):
            scale.initial_state(2, wrong)
    with pytest.raises(ValueError, match="n_segments must be an integer of at least 1, got -1"):
        model.provenance(-1)
    with pytest.raises(ValueError, match="config must be a ModelConfig, got dict"):
        RMAAT({"vocab_size": 11})
    with pytest.raises(ValueError, match=r"tokens must be \(batch, 2, length\) and not empty, got \(2, 6\)"):
        pair(draw(2, 6))


def test_a_curve_without_plateau_ends_where_it_was_observed(build, plant, curves):
    open_ended = plant("ltp", "power_law", 0.0, 800.0, amplitude=0.1, exponent=0.5)
    model = RMAAT(ModelConfig(**SMALL, memory_update="scale"), {**curves, "ltp": open_ended})
    model(draw(1, 96))
    with pytest.raises(ValueError, match=r"t must lie in the observed range \[0, 800\] s of curve 'ltp'"):
        model(draw(1, 97))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_heads": 5}, "n_heads must divide d_model, got n_heads=5 and d_model=12"),
        ({"vocab_size": 1}, "vocab_size must be an integer of at least 2, got 1"),
        ({"d_model": 12.0}, "d_model must be an integer of at least 1, got 12.0"),
        ({"n_memory": -1}, "n_memory must be an integer of at least 0, got -1"),
        ({"max_len": 0}, "max_len must be an integer of at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"alpha": -1.0}, "alpha must be finite and at least 0, got -1.0"),
        ({"m_scale": 0.0}, "m_scale must be positive and finite, got 0.0"),
        ({"seconds_per_segment": math.inf}, "seconds_per_segment must be positive and finite, got inf"),
        ({"attention": "sparse"}, "attention must be one of 'astromorphic', 'linear', 'softmax', got 'sparse'"),
        ({"memory_update": "keep"}, "memory_update must be one of 'scale', 'consolidate', .* got 'keep'"),
        ({"memory_update": "scale", "retention": "population"}, "retention must be 'single' with memory_upd"),
        ({"retention": "population", "relaxation_rate": 0.5}, "retention must be 'single' when relaxation_rate"),
        ({"grid": (2, 2)}, r"grid must be \(rows, columns\) with rows \* columns = segment_len = 6, got \(2, 2\)"),
        ({"neuron": False, "position": "none"}, "position must not be 'none' when neuron=False"),
        ({"pooling": "memory", "n_memory": 0}, "n_memory must be at least 1 with pooling='memory', got 0"),
        ({"pooling": "each", "task": "lm"}, "pooling must not be 'each' with task='lm'"),
        ({"carry_state": True, "task": "match"}, "carry_state must be False with task='match'"),
        ({"preset": "paper", "norm": "pre"}, "norm must be 'post' in preset='paper', got 'pre'"),
        ({"preset": "paper", "feedback": False}, "feedback must be True in preset='paper', got False"),
        ({"preset": "paper", "memory_update": "replace"}, "memory_update must be 'scale' in preset='paper', got 'repl"),
        ({"dropout": None}, "dropout must be a number, got None"),
        ({"alpha": "x"}, "alpha must be finite and at least 0, got 'x'"),
        ({"grid": (2.0, 2.0)}, r"grid must be \(rows, columns\) .*, got \(2.0, 2.0\)"),
        ({"feedback": "no"}, "feedback must be True or False, got 'no'"),
    ],
)
def test_configurations_that_make_no_model(options, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**{**SMALL, **options})


def test_configurations_survive_json_and_replace():
    config = ModelConfig(**SMALL | {"n_classes": np.int64(3)}, grid=np.array([2, 3]).tolist(), m_scale=np.float32(0.5))
    assert ModelConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert dataclasses.replace(config, memory_update="scale").timescales == "single"
    assert config.timescales == "population" and config.d_head == 6


def test_tokens_to_come_do_not_choose_which_cached_memory_is_read(build):
    model = build(task="lm", cached_memories=True).eval()
    torch.nn.init.constant_(model.cached_read.gamma, 0.5)
    tokens = draw(2, 18)
    changed = tokens.clone()
    changed[:, 16] = changed[:, 16] % 9 + 1
    assert not torch.equal(model(changed)[:, 16:], model(tokens)[:, 16:])
    torch.testing.assert_close(model(changed)[:, :16], model(tokens)[:, :16], rtol=0, atol=1e-12)


def test_cached_memories_of_empty_segments_count_once(build):
    model = build(cached_memories=True).eval()
    torch.nn.init.constant_(model.cached_read.gamma, 0.7)
    tokens = draw(2, 18)
    gap = torch.cat([tokens[:, :12], torch.zeros(2, 6, dtype=torch.long), tokens[:, 12:]], dim=1)
    torch.testing.assert_close(model(gap), model(tokens), rtol=0, atol=1e-12)


def test_rollouts_with_mean_pooling_are_one_sequence(build):
    model, whole = build(pooling="mean", carry_state=True).eval(), build(pooling="mean").eval()
    whole.load_state_dict(model.state_dict())
    tokens = draw(2, 18)
    _, state = model(tokens[:, :12])
    torch.testing.assert_close(model(tokens[:, 12:], state=state)[0], whole(tokens))


def test_a_stream_may_end_earlier_than_another(build):
    model = build(carry_state=True).eval()
    logits, state = model(draw(2, 6))
    later = torch.cat([draw(1, 6), torch.zeros(1, 6, dtype=torch.long)])
    torch.testing.assert_close(model(later, state=state)[0][1], logits[1])


def test_a_wrong_state_is_refused(build):
    model = build(carry_state=True)
    for wrong, message in (
        (model.initial_state(3), "tokens must be 3 sequences like"),
        ("x", "state must be what"),
        (build(carry_state=True).float().initial_state(2), "state must be of type torch.float64 like the model, got"),
    ):
        with pytest.raises(ValueError, match=message):
            model(draw(2, 6), state=wrong)


@pytest.mark.parametrize("backprop", ["amrb", "bptt"])
@pytest.mark.parametrize("length", [6, 20])
def test_every_rollout_has_all_gradients(build, backprop, length):
    """DDP waits for a gradient of every parameter, that of the initial memory in later rollouts too."""
    model = build(carry_state=True, backprop=backprop)
    state = None
    for _ in range(2):
        logits, state = model(draw(2, length), state=state)
        model.zero_grad()
        logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    assert not model.memory.grad.any()


def test_scale_has_the_schedule_of_the_rollout_whatever_the_state(build):
    model, tokens = build(memory_update="scale", carry_state=True).eval(), draw(2, 30)
    for n_segments in (None, 2, 5):
        logits, _ = model(tokens, state=model.initial_state(2, n_segments))
        torch.testing.assert_close(logits, model(tokens)[0], rtol=0, atol=0)


@pytest.mark.parametrize("options", [{"pooling": "mean"}, {"task": "lm"}])
@pytest.mark.parametrize("rule", ["gated", "attend"])
def test_everything_has_a_gradient_after_one_segment(build, rule, options):
    model = build(memory_update=rule, **options)
    model(draw(2, 6)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_damaged_checkpoint_is_named(build, tmp_path):
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    build().save_pretrained(tmp_path)
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"model.safetensors must be a whole safetensors file, got .*; write it again"):
        RMAAT.from_pretrained(tmp_path)
    config.write_text("{}")
    with pytest.raises(ValueError, match=r"config.json must hold class, got none; save the model again"):
        RMAAT.from_pretrained(tmp_path)
    config.write_text('{"class')
    with pytest.raises(ValueError, match=r"config.json must be a whole JSON file, got .*; write it again"):
        RMAAT.from_pretrained(tmp_path)


def test_changed_and_infinite_weights_are_named(build, tmp_path):
    build().save_pretrained(tmp_path)
    weights, tensors = tmp_path / "model.safetensors", load_file(tmp_path / "model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"model.safetensors must be an unchanged safetensors file, got another checks"
    ):
        RMAAT.from_pretrained(tmp_path)
    save_file(tensors, weights)  # by another program: no checksum
    RMAAT.from_pretrained(tmp_path)
    tensors["embedding.weight"][3] = torch.nan
    save_file(tensors, weights)
    with pytest.raises(ValueError, match=r"must hold finite weights, got NaN or infinity in embedding.weight; take an"):
        RMAAT.from_pretrained(tmp_path)


def draw_values(*shape, seed=0):
    return torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("task", ["classify", "match"])
def test_real_numbers_in_place_of_tokens(build, task):
    """Padding by lengths and by NaN is the same, reaches nothing, and a stream equals the whole."""
    model, pair = build(task=task, n_features=2), (2,) if task == "match" else ()
    values, lengths = draw_values(2, *pair, 15), torch.tensor([[15, 8], [3, 12]]) if pair else torch.tensor([15, 8])
    missing = values.clone()
    missing[torch.arange(15) >= lengths[..., None]] = torch.nan
    other = torch.where(missing.isnan(), 1e9, values)
    assert torch.equal(model(values, lengths), model(missing))
    assert torch.equal(model(other, lengths), model(missing))
    assert not torch.allclose(model(values + 0.1, lengths), model(missing))
    state = model.initial_state(2)
    for segment in values.split(6, dim=-2):
        logits, state = model.step(segment, state)
    torch.testing.assert_close(logits, model(values))


def test_replay_of_real_numbers_has_the_gradients_of_bptt(build):
    values, lengths, gradients = draw_values(3, 20), torch.tensor([20, 7, 13]), []
    for backprop in ("amrb", "bptt"):
        model = build(n_features=2, backprop=backprop)
        nn.functional.cross_entropy(model(values, lengths), torch.tensor([0, 1, 2])).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients[0])


def test_projected_numbers_have_the_size_of_embedded_tokens(curves):
    torch.manual_seed(0)
    model = RMAAT(ModelConfig(vocab_size=2, d_model=256, n_features=40), curves)
    assert model.embedding(torch.randn(2000, 40)).pow(2).mean().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    "values, lengths, message",
    [
        (
            torch.ones(2, 6, dtype=torch.long),
            None,
            "tokens must be a tensor of real numbers with n_features=2, got torch",
        ),
        (
            [[1.0]],
            None,
            "tokens must be a tensor of real numbers with n_features=2, got list, which is no torch tensor",
        ),
        (torch.ones(2, 6), None, r"tokens must be \(batch, length, 2\) and not empty, got \(2, 6\)"),
        (torch.ones(2, 6, 3), None, r"tokens must be \(batch, length, 2\) and not empty, got \(2, 6, 3\)"),
        (torch.ones(2, 6, 2), torch.tensor([6, 7]), "lengths must be 1 to 6, .* got 6 to 7"),
        (
            torch.tensor([[[1.0, torch.nan]]]),
            None,
            "tokens must be finite, or NaN in all features of a step, got others",
        ),
        (torch.full((1, 2, 2), torch.inf), None, "tokens must be finite, or NaN in all features of a step, got others"),
        (torch.full((2, 6, 2), torch.nan), None, r"each sequence must have at least one token .*, got 2 without"),
    ],
)
def test_wrong_numbers_are_refused(build, values, lengths, message):
    with pytest.raises(ValueError, match=message):
        build(n_features=2)(values, lengths)
    with pytest.raises(ValueError, match=r"n_features must be 0 with task='lm', which asks for tokens, got 2"):
        ModelConfig(vocab_size=2, n_features=2, task="lm")
