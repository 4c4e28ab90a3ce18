"""The kernels equal the plain form, in values and gradients: under Triton's interpreter on a CPU, compiled on a GPU."""

import math
import os

import pytest
import torch

from rmaat.config import ModelConfig
from rmaat.kernels import switch, use_kernels
from rmaat.layers.attention import AstromorphicAttention
from rmaat.models.rmaat import RMAAT

HAS_GPU, HAS_TRITON = torch.cuda.is_available(), switch._found
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # set by tests/rmaat/conftest.py where there is no GPU

on_cpu = pytest.mark.skipif(not (HAS_TRITON and INTERPRETED), reason="needs Triton, with TRITON_INTERPRET=1")
on_gpu = pytest.mark.skipif(not (HAS_TRITON and HAS_GPU), reason="needs a GPU and Triton")
DEVICES = [pytest.param("cpu", marks=on_cpu), pytest.param("cuda", marks=[pytest.mark.gpu, on_gpu])]
pytestmark = [
    pytest.mark.parametrize("device", DEVICES),
    pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning"),  # the interpreter's own
]

TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 0.012, torch.float16: 0.002}  # of a tensor's norm: some roundings
LARGE = {"cpu": 1, "cuda": 100}  # times as many tokens


def relative(got, expected):
    return ((got.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-30)).item()


def inputs(device, dtype, batch, heads, n, d, n_read=None, seed=0):
    """q, k and v as the projection hands them on: views of one tensor, with the heads side by side."""
    torch.manual_seed(seed)
    q, k, v = torch.randn(batch, n, 3, heads, d).permute(2, 0, 3, 1, 4).to(device, dtype).unbind(0)
    return [q[:, :, :n_read], k, v]


def gradients(associate, tensors, mask, weight, past=None):
    """Read-out, what is handed on, and the gradients of all tensors and of the past."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    before = None if past is None else tuple(tensor.detach().requires_grad_() for tensor in past)
    read, after = associate(*leaves[:3], mask, leaves[3] if len(leaves) > 3 else None, before)
    loss = (read * weight.to(read.dtype)).sum()
    if after is not None:
        loss = loss + sum(tensor.float().pow(2).mean() if tensor.ndim else 0 for tensor in after)
    asked = [*leaves, *(before or ())]
    found = torch.autograd.grad(loss, asked, allow_unused=True)
    return read, after, [torch.zeros_like(x) if g is None else g for x, g in zip(asked, found, strict=True)]


def compare(attention, device, dtype, d, n=40, n_read=None, masked=True, with_r=True, past=False, batch=2, heads=1):
    n = n * LARGE[device]
    tensors = inputs(device, dtype, batch, heads, n, d, n_read)
    if with_r:
        tensors.append(torch.rand(heads, n + 3, d).to(device, dtype) + 0.5)
    mask = None
    if masked:
        mask = torch.rand(batch, n, device=device) > 0.3
        mask[0] = False  # a sample of padding alone
    state = None
    if past:
        shapes = ((d, d), (1, d), (1, 1))
        state = tuple(
            torch.rand(batch, heads, *shape, device=device) * scale
            for shape, scale in zip(shapes, (1, n, n), strict=True)
        )
    weight = torch.randn(tensors[0].shape).to(device)
    with use_kernels("on"):
        assert switch.usable(tensors[1])
        got = gradients(attention.associate, tensors, mask, weight, state)
    exact = [tensor.double() for tensor in tensors]
    before = None if state is None else tuple(tensor.double() for tensor in state)
    expected = gradients(attention.associate, exact, mask, weight.double(), before)
    assert got[0].dtype == dtype and got[0].shape == expected[0].shape
    valid = slice(None) if mask is None or past else slice(1, None)  # without any valid token the read-out is 0
    limit = TOLERANCE[dtype]
    assert relative(got[0][valid], expected[0][valid]) < limit
    if mask is not None and not past:
        assert (got[0][0] == 0).all()
    names = ["q", "k", "v", *(["phi_r"] if with_r else []), *(["H", "keys", "n"] if past else [])]
    plain = None
    for i, name in enumerate(names):
        found, wanted = got[2][i], expected[2][i]
        assert torch.isfinite(found).all(), name
        error = relative(found, wanted)
        if error >= 3 * limit:  # small differences of large terms: then the plain form has that error, too
            plain = plain or gradients(attention.associate, tensors, mask, weight, state)[2]
            assert error < 2 * relative(plain[i], wanted), name
    if past:
        for found, wanted in zip(got[1], expected[1], strict=True):
            assert relative(found, wanted) < limit
        assert got[1][0].dtype == torch.float32


def attention(d, n_tokens=40, heads=1, **options):
    return AstromorphicAttention(d * heads, heads, n_tokens, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("d", [8, 16, 32, 64])
def test_widths_and_precisions(device, dtype, d):
    compare(attention(d, alpha=0.418), device, dtype, d)


@pytest.mark.parametrize(
    "options, case",
    [
        ({"alpha": 0.0}, {}),
        ({"alpha": 1.0, "m_scale": 1.0, "position": "none"}, {"with_r": False}),
        ({"alpha": 1.0}, {"masked": False}),
        ({"alpha": 0.418}, {"n_read": 5}),
        ({"alpha": 0.418, "position": "none"}, {"masked": False, "with_r": False, "n_read": 1}),
        ({"feedback": False}, {}),
        ({"neuron": False}, {}),
        ({"alpha": 0.418}, {"past": True}),
        ({"alpha": 0.418, "m_scale": 2.0}, {"past": True, "masked": False}),
        ({"alpha": 0.25}, {"n": 300, "batch": 1, "masked": False}),  # several programs share the tokens
        ({"alpha": 0.25}, {"n": 1}),
        ({"alpha": 0.25}, {"n": 64, "heads": 3}),
    ],
    ids=str,
)
def test_variants(device, options, case):
    compare(attention(16, heads=case.get("heads", 1), **options), device, torch.float32, 16, **case)


def test_a_width_between_the_powers_of_two(device):
    compare(attention(24), device, torch.bfloat16, 24)


def test_small_and_large_keys(device):
    """Keys near -30 have phi below 1e-12, keys near 30 a sum of 2,000: neither g nor C under- or overflows."""
    for shift in (-30.0, 30.0):
        q, k, v = inputs(device, torch.float32, 1, 1, 40, 16)
        tensors, weight = [q, k + shift, v], torch.randn(1, 1, 40, 16, device=device)
        layer = attention(16, heads=1, alpha=0.418, position="none")
        with use_kernels("on"):
            got = gradients(layer.associate, tensors, None, weight)
        expected = gradients(layer.associate, [tensor.double() for tensor in tensors], None, weight.double())
        for found, wanted in zip([got[0], *got[2]], [expected[0], *expected[2]], strict=True):
            assert relative(found, wanted) < 3e-4  # near 30 the rows of H are alike: dq is a small difference


def test_numbers_at_masked_tokens_do_not_matter(device):
    tensors = inputs(device, torch.float32, 2, 2, 40, 16)
    mask = torch.ones(2, 40, dtype=torch.bool, device=device)
    mask[:, 30:] = False
    for tensor in tensors[1:]:
        tensor[:, :, 30:] = math.nan
    layer = attention(16, position="none")
    with use_kernels("on"):
        read, _ = layer.associate(*tensors, mask, None)
        short, _ = layer.associate(*(tensor[:, :, :30] for tensor in tensors), None, None)
    torch.testing.assert_close(read[:, :, :30], short, rtol=1e-5, atol=1e-6)


def test_the_same_inputs_give_the_same_bits(device):
    n = 264 * LARGE[device]
    tensors = [*inputs(device, torch.bfloat16, 2, 1, n, 16), torch.rand(1, n, 16).to(device, torch.bfloat16)]
    weight = torch.randn(2, 1, n, 16, device=device)
    layer = attention(16, n_tokens=n)
    with use_kernels("on"):
        first, second = (gradients(layer.associate, tensors, None, weight) for _ in range(2))
    for a, b in zip([first[0], *first[2]], [second[0], *second[2]], strict=True):
        assert torch.equal(a, b)


def trained(model, tokens, device, dtype):
    torch.manual_seed(1)
    with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = model(tokens).float().square().mean()
    found = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
    return loss.item(), torch.cat([gradient.flatten() for gradient in found])


SIZES = {"vocab_size": 9, "n_classes": 3, "d_model": 32, "n_heads": 2, "n_layers": 1, "d_ff": 16, "n_memory": 4}
CONSTANTS = {"alpha": 0.4, "position_scale": 0.1, "relaxation_rate": 0.3, "dropout": 0.0}


SYNAPSES = {"synapses": "hebbian", "conv_len": 3, "synaptic_rates": "learned"}


@pytest.mark.parametrize(
    "dtype, limit, options",
    [
        (torch.float32, 1e-4, {"backprop": "amrb"}),
        (torch.bfloat16, 0.1, {"backprop": "amrb", "memory_position": "learned"}),
        (torch.float32, 1e-4, {"backprop": "bptt", **SYNAPSES}),
    ],
    ids=str,
)
def test_models_train_alike_with_and_without(device, dtype, limit, options, curves):
    torch.manual_seed(0)
    n = 24 * LARGE[device]
    model = RMAAT(ModelConfig(segment_len=n, **SIZES, **CONSTANTS, **options), curves).to(device)
    tokens = torch.randint(1, 9, (2, 2 * n + 5), device=device)
    tokens[0, n + 3 :] = 0
    results = []
    for mode in ("on", "off"):
        with use_kernels(mode):
            results.append(trained(model, tokens, device, dtype))
    (loss, found), (expected, wanted) = results
    assert loss == pytest.approx(expected, rel=limit) and relative(found, wanted) < limit
