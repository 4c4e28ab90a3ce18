"""Every baseline is what its name says, trains by its own backpropagation, and can be given the same budget."""

import dataclasses

import pytest
import torch

from rmaat import RMAAT, ModelConfig
from rmaat.layers.state_space import StateSpaceLayer
from rmaat.models.zoo import NAMES, UNSEGMENTED, build_model, count_parameters, match_parameters, model_config

SMALL = {"vocab_size": 11, "n_classes": 3, "d_model": 12, "n_heads": 2, "d_ff": 20, "segment_len": 6, "n_memory": 3}
RECURRENT = [name for name in NAMES if name not in UNSEGMENTED]


@pytest.fixture
def build(curves):
    def model(name, seed=0, **options):
        torch.manual_seed(seed)
        return build_model(name, ModelConfig(**{**SMALL, "max_len": 24, **options}), curves).double().eval()

    return model


def draw(*shape, seed=0):
    return torch.randint(1, SMALL["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def test_names_are_configurations():
    config = ModelConfig(**SMALL, relaxation_rate=0.5, cached_memories=True)
    expected = {
        "rmaat": ("astromorphic", "relax", "amrb", 3),
        "rmaat-paper": ("astromorphic", "scale", "amrb", 3),
        "rmt": ("softmax", "replace", "bptt", 3),
        "rmt-amrb": ("softmax", "replace", "amrb", 3),
        "rlt": ("linear", "replace", "bptt", 3),
        "rlt-amrb": ("linear", "replace", "amrb", 3),
        "linear": ("linear", "replace", "bptt", 0),
        "softmax": ("softmax", "replace", "bptt", 0),
        "at": ("astromorphic", "replace", "bptt", 0),
        "memformer": ("softmax", "replace", "amrb", 3),
        "rate": ("softmax", "attend", "bptt", 3),
        "tlb": ("softmax", "replace", "bptt", 3),
        "ssm": ("softmax", "replace", "bptt", 0),
    }
    got = {name: model_config(name, config) for name in NAMES}
    assert {n: (c.attention, c.memory_update, c.backprop, c.n_memory) for n, c in got.items()} == expected
    assert got["rmaat"] == config and got["rmaat-paper"].timescales == "single"
    assert got["at"].segment_len == 96  # 16 segments, when max_len is not given
    image = model_config("at", dataclasses.replace(config, grid=(2, 3), max_len=20))
    assert image.grid == (7, 3) and image.segment_len == 21
    with pytest.raises(ValueError, match=r"model must be one of rmaat, rmaat-paper, .*, got 'rnn'"):
        model_config("rnn", config)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_and_padding_reaches_nothing(build, name):
    model = build(name)
    tokens, lengths = draw(3, 20), torch.tensor([20, 3, 11])
    logits = model(tokens, lengths)
    assert logits.shape == (3, 3)
    alone = torch.cat([model(tokens[i : i + 1, :n]) for i, n in enumerate(lengths.tolist())])
    torch.testing.assert_close(logits, alone, rtol=1e-9, atol=1e-10)
    logits.square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_language_models_are_causal(build, name):
    model = build(name, task="lm")
    tokens = draw(2, 20)
    changed = tokens.clone()
    changed[:, 9] = tokens[:, 9] % 10 + 1
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(after[:, :9], before[:, :9], rtol=1e-9, atol=1e-10)
    assert not torch.allclose(after[:, 9], before[:, 9])
    assert not torch.allclose(after[:, 19], before[:, 19])


@pytest.mark.parametrize("name", RECURRENT)
def test_replay_and_streaming(build, name):
    model = build(name)
    tokens = draw(2, 20)
    state = model.initial_state(2, n_segments=4)
    for segment in tokens.split(6, dim=1):
        logits, state = model.step(segment, state)
    torch.testing.assert_close(logits, model(tokens))
    gradients = []
    for backprop in ("amrb", "bptt"):
        torch.manual_seed(0)
        config = dataclasses.replace(model.config, backprop=backprop)
        same = type(model)(config, model.constants.curves).double()
        torch.manual_seed(1)
        same(tokens).square().sum().backward()
        gradients.append([parameter.grad for parameter in same.parameters()])
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["rate", "memformer", "tlb", "ssm", "at"])
def test_checkpoints_know_their_class(build, tmp_path, name):
    model = build(name).float()
    loaded = RMAAT.from_pretrained(model.save_pretrained(tmp_path))
    assert type(loaded) is type(model)
    assert torch.equal(loaded(draw(2, 20)), model(draw(2, 20)))


def test_memory_reaches_from_the_first_to_the_last_segment(build):
    tokens = draw(1, 24)
    changed = tokens.clone()
    changed[:, 0] = tokens[:, 0] % 10 + 1
    for name in RECURRENT:
        model = build(name)
        assert not torch.allclose(model(changed), model(tokens)), name


def test_budgets_match_within_ten_percent(curves):
    config = ModelConfig(**{**SMALL, "d_model": 32, "d_ff": 64, "segment_len": 64, "max_len": 256})
    matched = match_parameters(NAMES, config, curves)
    sizes = {name: count_parameters(build_model(name, matched[name], curves))["total"] for name in NAMES}
    assert max(sizes.values()) < 1.1 * min(sizes.values())
    unmatched = {name: count_parameters(build_model(name, config, curves)) for name in NAMES}
    largest = max(unmatched, key=lambda name: unmatched[name]["total"])
    assert matched[largest].d_ff == 64 and all(c.d_ff >= 64 and c.d_model == 32 for c in matched.values())
    assert unmatched["rmaat"]["R"] == 2 * 32 * 64 and unmatched["at"]["R"] == 2 * 32 * 256
    assert unmatched["rmt"]["R"] == unmatched["rlt"]["R"] == 0


def test_a_budget_of_no_models_is_refused(curves):
    with pytest.raises(ValueError, match=r"^names must hold at least one model, got none$"):
        match_parameters([], ModelConfig(**SMALL), curves)


@pytest.mark.parametrize("causal", [False, True])
def test_state_space_layer_is_its_recurrence(causal):
    """The convolution equals x_{l+1} = exp(dt A) x_l + (exp(dt A) - 1) / A u_l, token by token, both ways."""
    torch.manual_seed(0)
    layer = StateSpaceLayer(3, n_modes=4, causal=causal).double()
    u = torch.randn(2, 13, 3, dtype=torch.float64)
    a = torch.complex(-layer.log_decay.exp(), layer.frequency)
    decay = torch.exp(a * layer.log_dt.exp()[:, None])

    def run(u, c):
        state, y = torch.zeros(2, 3, 4, dtype=torch.complex128), []
        for t in range(u.shape[1]):
            state = decay * state + (decay - 1) / a * u[:, t, :, None]
            y.append(2 * (torch.view_as_complex(c) * state).sum(-1).real)
        return torch.stack(y, dim=1)

    y = run(u, layer.c[0]) + layer.d * u
    if not causal:  # the backward state has not seen the token itself
        later = run(u.flip(1), layer.c[1]).flip(1)
        y = y + torch.nn.functional.pad(later[:, 1:], (0, 0, 0, 1))
    expected = torch.nn.functional.glu(layer.out(torch.nn.functional.gelu(y)), dim=-1)
    torch.testing.assert_close(layer(u), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["memformer", "tlb"])
def test_slots_are_needed(build, name):
    with pytest.raises(ValueError, match=f"n_memory must be at least 1 for {name}, got 0"):
        build(name, n_memory=0)


@pytest.mark.parametrize("name", UNSEGMENTED)
def test_models_over_the_whole_input_refuse_a_longer_one(name, build):
    model = build(name)
    assert model(draw(2, 24)).shape == (2, 3)
    with pytest.raises(ValueError, match="tokens must be at most max_len = 24 long without memory tokens, got 30"):
        model(draw(2, 30))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_state_space_model_runs_in_half_precision(dtype, build):
    whole, half = build("ssm"), build("ssm").to(dtype)
    torch.testing.assert_close(half(draw(2, 24)).double(), whole(draw(2, 24)), rtol=0.1, atol=0.05)
