"""The fast form equals the equations, in values and gradients; limits, masks, causality and cost are as stated."""

import math

import pytest
import torch
from torch.nn import functional as F

from rmaat.layers.attention import AstromorphicAttention, phi
from rmaat.layers.reference import position_kernel
from rmaat.layers.scans import causal_product, decay_scan, distance_filter
from rmaat.layers.softmax import SoftmaxAttention

pytestmark = pytest.mark.usefixtures("float64")

VARIANTS = [
    {},
    {"position": "free"},
    {"position": "none"},
    {"feedback": False},
    {"neuron": False},
    {"alpha": 1.0, "m_scale": 3.0},
    {"alpha": 0.0},
    {"position_scale": 0.0},
    {"output": False},
    {"grid": (3, 7)},
    {"grid": (7, 3), "position": "free"},
    {"n_memory": 3},
    {"n_memory": 3, "memory_position": "learned"},
    {"causal": True},
    {"causal": True, "position": "free", "feedback": False},
    {"causal": True, "n_memory": 2, "n_write": 2, "memory_position": "learned"},
]


def build(n_tokens=21, seed=0, **options):
    torch.manual_seed(seed)
    return AstromorphicAttention(10, 2, n_tokens, **options)


def gradients(y, x, module, weight):
    return torch.autograd.grad((y * weight).sum(), [x, *module.parameters()])


@pytest.mark.parametrize(
    "options, masked", [*((options, True) for options in VARIANTS), ({}, False), ({"causal": True}, False)], ids=str
)
def test_fast_equals_reference_in_values_and_gradients(options, masked):
    attention = build(**options)
    x = torch.randn(2, attention.n_memory + 21 + attention.n_write, 10, requires_grad=True)
    mask = torch.rand(x.shape[:2]) > 0.4 if masked else None
    fast, plain = attention(x, mask), attention.reference(x, mask)
    weight = torch.randn_like(x) * (1 if mask is None else mask[..., None])  # read-outs of padding mean nothing
    torch.testing.assert_close(fast * (weight != 0), plain * (weight != 0), rtol=1e-12, atol=1e-12)
    pairs = zip(gradients(fast, x, attention, weight), gradients(plain, x, attention, weight), strict=True)
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("causal", [False, True])
def test_sizes_around_the_blocks_of_the_scans(n, causal):
    attention = build(n, causal=causal)
    x = torch.randn(1, n, 10, requires_grad=True)
    weight = torch.randn_like(x)
    fast, plain = attention(x), attention.reference(x)
    torch.testing.assert_close(fast, plain, rtol=1e-11, atol=1e-12)
    pairs = zip(gradients(fast, x, attention, weight), gradients(plain, x, attention, weight), strict=True)
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-11)


def test_alpha_one_without_r_is_katharopoulos():
    attention = build(37, alpha=1.0, position="none", m_scale=1.0, output=False)
    x = torch.randn(3, 37, 10)
    q, k, v = attention.qkv(x).unflatten(-1, (3, 2, 5)).permute(2, 0, 3, 1, 4)
    similarity = phi(q) @ phi(k).transpose(-1, -2)
    expected = (similarity @ v / similarity.sum(-1, keepdim=True)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x), expected, rtol=1e-12, atol=1e-12)
    unit_gain = build(37, alpha=1.0, position="none", output=False)  # m = n^(1 - alpha) = 1
    torch.testing.assert_close(unit_gain(x), expected, rtol=1e-12, atol=1e-12)


def test_m_restores_the_gain_of_alpha_one():
    x = torch.randn(2, 512, 10)

    def size(**options):
        return build(512, position="none", output=False, **options)(x).square().mean().sqrt().item()

    linear, unit, raw = size(alpha=1.0), size(alpha=0.25), size(alpha=0.25, m_scale=1.0)
    assert unit == pytest.approx(linear, rel=0.5)
    assert raw == pytest.approx(unit * 512**0.75, rel=1e-9)


def test_each_flag_switches_its_own_term():
    x = torch.randn(1, 21, 10)
    full, no_r = build(output=False), build(output=False, position="none")
    no_neuron, no_feedback = build(output=False, neuron=False), build(output=False, feedback=False)
    torch.testing.assert_close(no_r(x) + no_neuron(x), full(x))  # H = H_neuron + H_astro
    q, k, _ = full.qkv(x).unflatten(-1, (3, 2, 5)).permute(2, 0, 3, 1, 4)
    response = (phi(q) * phi(k).sum(-2, keepdim=True) ** 0.25).sum(-1).transpose(1, 2)  # C, (batch, tokens, heads)
    torch.testing.assert_close(no_feedback(x) / response.repeat_interleave(5, dim=-1), full(x))  # P = 1 / C
    linear_response = build(output=False, alpha=1.0, m_scale=21**0.75)
    assert not torch.allclose(linear_response(x), full(x))


def test_scan_is_its_recurrence_and_filter_its_matrix():
    z = torch.randn(2, 150, 3)
    expected, f = [], torch.zeros(2, 3)
    for i in range(150):
        f = math.exp(-0.03) * f + z[:, i]
        expected.append(f)
    torch.testing.assert_close(decay_scan(z, 0.03), torch.stack(expected, dim=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(distance_filter(z, 0.03), position_kernel(150, 0.03) @ z, rtol=1e-12, atol=1e-12)


def test_planar_kernels():
    manhattan = position_kernel(12, 0.5, (3, 4))
    assert manhattan[0, 6] == pytest.approx(math.exp(-0.5 * (1 + 2)))
    euclidean = position_kernel(12, 0.5, (3, 4), "euclidean")
    assert euclidean[0, 6] == pytest.approx(math.exp(-0.5 * 5**0.5))
    rows, columns = position_kernel(3, 0.5), position_kernel(4, 0.5)
    torch.testing.assert_close(manhattan, torch.kron(rows, columns))
    attention = build(12, grid=(3, 4))
    x = torch.randn(1, 12, 10)
    assert not torch.allclose(attention.reference(x), attention.reference(x, metric="euclidean"))


def test_padding_does_not_matter_whatever_it_holds():
    attention = build(position="free")
    x = torch.randn(2, 21, 10)
    mask = torch.arange(21) < torch.tensor([[21], [13]])
    other = torch.where(mask[..., None], x, 1e3 * torch.randn_like(x))
    torch.testing.assert_close(attention(x, mask)[mask], attention(other, mask)[mask], rtol=0, atol=0)
    short = attention(x[1:, :13])  # a shorter input takes the first rows of the full segment's R
    torch.testing.assert_close(attention(x, mask)[1, :13], short[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "options", [{}, {"alpha": 1.0}, {"alpha": 0.0}, {"feedback": False}, {"causal": True}, {"softmax": True}], ids=str
)
def test_nothing_valid_gives_finite_values_and_gradients(options):
    attention = SoftmaxAttention(10, 2) if "softmax" in options else build(**options)
    x = torch.randn(2, 21, 10, requires_grad=True)
    mask = torch.zeros(2, 21, dtype=torch.bool)
    mask[1, 3:] = True  # in causal attention the first three tokens see nothing either
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        y = attention.to(dtype)(x.to(dtype), mask)
        (grad,) = torch.autograd.grad(y[1].sum(), x)
        assert torch.isfinite(y).all() and torch.isfinite(grad).all()
        assert "softmax" in options or not y[0].any()


@pytest.mark.parametrize("module", ["astromorphic", "softmax"])
@pytest.mark.parametrize("masked", [False, True])
def test_some_may_read_what_all_have_written(module, masked):
    torch.manual_seed(0)
    attention = build(n_memory=3) if module == "astromorphic" else SoftmaxAttention(10, 2)
    x = torch.randn(2, 24, 10)
    mask = torch.rand(2, 24) > 0.3 if masked else None
    torch.testing.assert_close(attention(x, mask, n_read=5), attention(x, mask)[:, :5], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("position", ["tied", "free", "none"])
@pytest.mark.parametrize("module", ["astromorphic", "softmax"])
def test_causal_never_looks_ahead(module, position):
    if module == "astromorphic":
        attention = build(80, causal=True, position=position)
    else:
        attention = SoftmaxAttention(10, 2, causal=True)
    x = torch.randn(1, 80, 10)
    changed = x.clone()
    changed[:, 50:] = torch.randn(1, 30, 10)
    mask = torch.ones(1, 80, dtype=torch.bool)
    for got, expected in ((attention(changed), attention(x)), (attention(changed, mask), attention(x, mask))):
        torch.testing.assert_close(got[:, :50], expected[:, :50], rtol=1e-12, atol=1e-13)
        assert not torch.allclose(got[:, 50:], expected[:, 50:])


def test_causal_product_is_masked_attention():
    q, w, v = (torch.randn(2, 3, 130, d) for d in (4, 4, 6))
    expected = (q @ w.transpose(-1, -2)).tril() @ v
    torch.testing.assert_close(causal_product(q, w, v), expected, rtol=1e-11, atol=1e-11)


def test_softmax_masks_as_torch_does():
    torch.manual_seed(0)
    attention = SoftmaxAttention(10, 2)
    x, mask = torch.randn(2, 9, 10), torch.arange(9) < torch.tensor([[9], [4]])
    q, k, v = attention.qkv(x).unflatten(-1, (3, 2, 5)).permute(2, 0, 3, 1, 4)
    score = (q @ k.transpose(-1, -2) / 5**0.5).masked_fill(~mask[:, None, None], -torch.inf)
    expected = attention.out((score.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, mask), expected)


def saved_bytes(function):
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return total


@pytest.mark.parametrize("causal", [False, True])
def test_saved_bytes_grow_linearly(causal):
    def cost(n):
        attention = build(n, causal=causal)
        x = torch.randn(1, n, 10)
        return saved_bytes(lambda: attention(x))

    assert cost(4096) / cost(1024) < 4.2  # an N x N matrix would give 16


@pytest.mark.parametrize("position", ["tied", "free"])
@pytest.mark.parametrize("n, grid, scale", [(256, None, 0.1), (999, None, 0.02), (256, (16, 16), 0.1), (64, None, 0.0)])
def test_r_starts_small(n, grid, scale, position):
    torch.manual_seed(1)
    attention = AstromorphicAttention(64, 4, n, position_scale=scale, position=position, grid=grid)
    filtered = attention._filtered(attention.projection)
    if position == "tied":
        filtered = attention.projection @ (attention.projection.transpose(1, 2) @ filtered)
    assert 0.04 < filtered.square().mean().sqrt().item() < 0.25


def test_half_precision_follows_float32():
    torch.manual_seed(0)
    attention = AstromorphicAttention(32, 4, 512).float()
    x = torch.randn(2, 512, 32, dtype=torch.float32) * 3
    exact = attention(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = attention(x)
    assert half.dtype == torch.bfloat16
    assert (half - exact).norm() / exact.norm() < 0.05


def test_positions_are_shared_and_memory_rows_are_zero():
    attention = build(n_memory=3)
    phi_r = attention.positions()
    assert phi_r.shape == (2, 24, 5) and not phi_r[:, :3].any() and bool((phi_r[:, 3:] > 0).all())
    x = torch.randn(1, 24, 10)
    torch.testing.assert_close(attention(x, None, phi_r), attention(x), rtol=0, atol=0)
    assert build(position="none").positions() is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"d_model": 10, "n_heads": 3}, "n_heads must divide d_model, got n_heads=3 and d_model=10"),
        ({"n_tokens": 0}, "n_tokens must be an integer of at least 1, got 0"),
        ({"n_tokens": 3.5}, "n_tokens must be an integer of at least 1, got 3.5"),
        ({"n_memory": -1}, "n_memory must be an integer of at least 0, got -1"),
        ({"alpha": -0.1}, "alpha must be finite and at least 0, got -0.1"),
        ({"alpha": math.nan}, "alpha must be finite"),
        ({"alpha": None}, "alpha must be finite and at least 0, got None"),
        ({"position_scale": -1.0}, "position_scale must be finite and at least 0, got -1.0"),
        ({"m_scale": 0.0}, "m_scale must be positive and finite, got 0.0"),
        ({"m_scale": math.inf}, "m_scale must be positive and finite, got inf"),
        ({"position": "both"}, "position must be 'tied', 'free' or 'none', got 'both'"),
        ({"memory_position": "both"}, "memory_position must be 'none' or 'learned', got 'both'"),
        ({"position": "none", "neuron": False}, "position must not be 'none' when neuron=False"),
        ({"grid": (5.25, 4)}, r"grid must be \(rows, columns\) with .* got \(5.25, 4\)"),
        ({"grid": (3, 5)}, r"grid must be \(rows, columns\) with rows \* columns = n_tokens = 21, got \(3, 5\)"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AstromorphicAttention(**{"d_model": 10, "n_heads": 2, "n_tokens": 21, **options})


def test_wrong_inputs_are_refused():
    attention = build()
    with pytest.raises(ValueError, match=r"x must be \(batch, at most 21 tokens, 10\), got \(2, 22, 10\)"):
        attention(torch.randn(2, 22, 10))
    with pytest.raises(ValueError, match=r"mask must be \(2, 21\) like the tokens, got \(2, 20\)"):
        attention(torch.randn(2, 21, 10), torch.ones(2, 20, dtype=torch.bool))
    for module in (attention, SoftmaxAttention(10, 2)):
        with pytest.raises(ValueError, match=r"^mask must be a bool tensor, True at valid tokens, got torch.float64$"):
            module(torch.randn(2, 21, 10), torch.full((2, 21), -torch.inf))
    with pytest.raises(ValueError, match=r"^metric must be 'manhattan' or 'euclidean', got 'foo'$"):
        attention.reference(torch.randn(2, 21, 10), metric="foo")
    for causal in (build(causal=True), SoftmaxAttention(10, 2, causal=True)):
        with pytest.raises(ValueError, match=r"^n_read must be None in causal attention, got 2"):
            causal(torch.randn(2, 21, 10), n_read=2)


@pytest.mark.parametrize("n_read", [-1, 22])
def test_more_tokens_than_there_are_cannot_read(n_read):
    for module in (build(), SoftmaxAttention(10, 2)):
        with pytest.raises(ValueError, match=rf"^n_read must be 0 to 21, the number of tokens, got {n_read}$"):
            module(torch.randn(2, 21, 10), n_read=n_read)


def test_softmax_is_scaled_dot_product_attention():
    torch.manual_seed(0)
    attention = SoftmaxAttention(10, 2, causal=True)
    x = torch.randn(2, 9, 10)
    q, k, v = attention.qkv(x).unflatten(-1, (3, 2, 5)).permute(2, 0, 3, 1, 4)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x), attention.out(expected))
