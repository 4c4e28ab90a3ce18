"""Synaptic memory: the fast forms against plain ones, and a state that carries everything over a segment's border."""

import pytest
import torch

from rmaat import RMAAT, ModelConfig
from rmaat.layers.attention import AstromorphicAttention
from rmaat.layers.reference import delta_reference
from rmaat.layers.synapses import ShortConvolution, SynapticAttention, delta_product

pytestmark = pytest.mark.usefixtures("float64")

SMALL = dict(vocab_size=12, d_model=16, n_heads=2, d_ff=24, segment_len=6, dropout=0.0)
KINDS = [
    {"synapses": "hebbian"},
    {"synapses": "delta"},
    {"synapses": "hebbian", "conv_len": 4},
    {"synapses": "delta", "conv_len": 3, "n_memory": 0},
    {"synapses": "retention", "conv_len": 2},
    {"synapses": "gated_delta", "conv_len": 4},
    {"synapses": "none", "conv_len": 4},
    {"attention": "softmax", "memory_update": "replace", "conv_len": 4},
]
WITHOUT_H = KINDS[-2:]


@pytest.fixture
def build(curves):
    def build(**options):
        torch.manual_seed(0)
        return RMAAT(ModelConfig(**{**SMALL, "n_memory": 2, **options}), curves)

    return build


def draw(*shape, seed=1):
    return torch.randint(1, 12, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kept", ["all", "some", "hardly any"])
@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n", [1, 7, 150])
def test_delta_in_chunks_is_delta_token_by_token(causal, n, correct, kept):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 5, requires_grad=True) for _ in range(3))
    beta, H = torch.rand(2, 3, n, 1, requires_grad=True), torch.randn(2, 3, 5, 5, requires_grad=True)
    unit = torch.nn.functional.normalize(k, dim=-1)
    free = torch.randn(2, 3, n, 1, requires_grad=True)
    log_keep = {"all": 0 * free, "some": -free.exp(), "hardly any": -100 - free.exp()}[kept]
    options = (beta, H, causal, None if kept == "all" else log_keep, correct)
    fast, slow = (form(q, unit, v, *options) for form in (delta_product, delta_reference))
    weights = [torch.randn_like(part) for part in fast]
    grads = [
        torch.autograd.grad(
            sum((part * w).sum() for part, w in zip(parts, weights, strict=True)) + 0 * free.sum(),
            (q, k, v, beta, H, free),
            retain_graph=True,
        )
        for parts in (fast, slow)
    ]
    for one, other in zip((*fast, *grads[0]), (*slow, *grads[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_a_delta_write_recalls_what_was_written_last():
    k = torch.nn.functional.normalize(torch.randn(1, 1, 1, 8), dim=-1)
    first, second = torch.randn(2, 1, 1, 1, 4)
    one = torch.ones(1, 1, 2, 1)
    _, H = delta_product(k, k.repeat(1, 1, 2, 1), torch.cat([first, second], 2), one, torch.zeros(1, 1, 8, 4), True)
    torch.testing.assert_close(k @ H, second)


@pytest.mark.parametrize("causal", [True, False])
def test_a_convolution_reaches_over_the_border_and_padding_is_zeros(causal):
    torch.manual_seed(0)
    conv = ShortConvolution(3, 4, causal=causal)
    x, none = torch.randn(2, 10, 3), torch.zeros(2, conv.before, 3)
    whole, tail = conv(x, None, none)
    first, between = conv(x[:, :6], None, none)
    second, end = conv(x[:, 6:], None, between)
    torch.testing.assert_close(second, whole[:, 6:])
    torch.testing.assert_close(first[:, : 6 - conv.behind], whole[:, : 6 - conv.behind])
    torch.testing.assert_close(end, tail)
    mask = torch.arange(10) < torch.tensor([[10], [4]])
    padded, _ = conv(x, mask, none)
    torch.testing.assert_close(padded[1, :4], conv(x[1:, :4], None, none[1:])[0][0])


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_segments_that_forget_nothing_are_one_long_causal_attention(alpha):
    torch.manual_seed(0)
    options = dict(alpha=alpha, position="none", causal=True)
    whole = AstromorphicAttention(16, 2, 12, **options)
    parts = SynapticAttention(16, 2, 6, rule="hebbian", rates=torch.zeros(2), **options)
    parts.load_state_dict(whole.state_dict())
    x = torch.randn(3, 12, 16)
    first, state = parts(x[:, :6])
    second, _ = parts(x[:, 6:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole(x))


@pytest.mark.parametrize("rule", ["hebbian", "delta"])
def test_each_head_keeps_its_share(rule):
    torch.manual_seed(0)
    layer = SynapticAttention(16, 2, 6, rule=rule, rates=torch.tensor([0.5, 2.0]), position="none")
    x = torch.randn(3, 6, 16)
    _, state = layer(x)
    _, later = layer(x, mask=torch.zeros(3, 6, dtype=torch.bool), state=state)  # a segment that writes nothing
    for before, after in zip(state, later, strict=True):
        torch.testing.assert_close(after, before * torch.exp(-torch.tensor([0.5, 2.0]))[:, None, None])


def test_retention_forgets_by_the_token_and_padding_forgets_nothing():
    torch.manual_seed(0)
    rates = torch.tensor([0.5, 2.0])
    layer = SynapticAttention(16, 2, 6, rule="retention", rates=rates, causal=True)
    _, (H,) = layer(torch.randn(3, 6, 16))
    with torch.no_grad():
        layer.qkv.weight[32:] = 0  # no values from here on
    _, (after,) = layer(torch.randn(3, 4, 16), torch.tensor([[True, True, False, False]] * 3), state=(H,))
    torch.testing.assert_close(after, H * torch.exp(-rates * 2 / 6)[:, None, None])


@pytest.mark.parametrize("task", ["lm", "classify"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_stream_is_the_batch(build, kind, task):
    model = build(task=task, **kind).eval()
    tokens = draw(3, 20)
    tokens[1, 9:] = 0
    whole, state, parts = model(tokens), model.initial_state(3), []
    for part in tokens.split(6, dim=1):
        logits, state = model.step(part, state)
        parts.append(logits)
    streamed = torch.cat(parts, 1) if task == "lm" else parts[-1]
    if task == "lm":
        torch.testing.assert_close(streamed[[0, 2]], whole[[0, 2]])
        torch.testing.assert_close(streamed[1, :9], whole[1, :9])
    else:
        torch.testing.assert_close(streamed, whole)
    torch.testing.assert_close(model(tokens[1:2, :9]), whole[1:2, :9] if task == "lm" else whole[1:2])


@pytest.mark.parametrize("rates", ["population", "learned"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_replay_has_the_gradients_of_backpropagation_through_time(build, kind, rates):
    tokens, grads = draw(3, 20), []
    tokens[1, 9:] = 0
    for backprop in ("amrb", "bptt"):
        model = build(backprop=backprop, task="lm", synaptic_rates=rates, **kind)
        model(tokens).square().sum().backward()
        grads.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        if kind in WITHOUT_H and name.endswith("log_rates"):
            continue
        torch.testing.assert_close(grad, grads[1][name], rtol=1e-9, atol=1e-10)
        assert bool(grad.any()), name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WITHOUT_H], ids=str)
def test_a_language_model_sees_nothing_to_come_and_remembers_all_before(build, kind):
    model, tokens = build(task="lm", **kind).eval(), draw(2, 18)
    later, earlier = tokens.clone(), tokens.clone()
    later[:, 13] = later[:, 13] % 11 + 1
    earlier[:, 2] = earlier[:, 2] % 11 + 1
    assert torch.equal(model(later)[:, :13], model(tokens)[:, :13])
    changed = (model(earlier) - model(tokens)).abs().amax((0, 2))
    assert changed[:2].max() == 0 and changed[13:].min() > 0  # two segments on


@pytest.mark.parametrize("rates", ["population", "single", "none", "loguniform", "retnet", "learned"])
def test_rates_and_where_they_come_from(build, rates):
    model = build(synapses="hebbian", synaptic_rates=rates)
    found = model.provenance()
    expected = {
        "population": [50 * 0.07 * 0.01, 50 * 0.07],
        "single": [0.4, 0.4],
        "none": [0.0, 0.0],
        "loguniform": [0.01, 2.0],
        "retnet": [
            -6 * torch.log1p(torch.tensor(-(2.0**-5))).item(),
            -6 * torch.log1p(torch.tensor(-(2.0**-6))).item(),
        ],
        "learned": [50 * 0.07 * 0.01, 50 * 0.07],
    }[rates]
    assert found["synaptic_rates"] == pytest.approx(expected)
    assert rates == "none" or rates in found["origins"]["synapses"] or "ltp" in found["origins"]["synapses"]


def test_synapses_are_of_linear_attention():
    with pytest.raises(ValueError, match="attention must not be 'softmax' with synapses"):
        ModelConfig(vocab_size=5, attention="softmax", synapses="hebbian")


def test_a_state_survives_a_rollout(build):
    model, tokens = build(task="lm", synapses="delta", conv_len=4, carry_state=True).eval(), draw(2, 24)
    whole, _ = model(tokens)
    first, state = model(tokens[:, :12])
    second, _ = model(tokens[:, 12:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_half_precision_keeps_the_state_in_float32(curves, kind):
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    model = RMAAT(ModelConfig(**{**SMALL, "n_memory": 2, "task": "lm", **kind}), curves)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(draw(2, 20))
        logits.float().square().sum().backward()
        _, state = model.step(draw(2, 6), model.initial_state(2))
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert all(tensor.dtype == torch.float32 for tensor in state.synapses)
    exact = model(draw(2, 20))
    assert (logits - exact).abs().max() < 0.1 * exact.abs().max()
