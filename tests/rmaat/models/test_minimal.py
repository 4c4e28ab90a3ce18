"""The one-file version computes what the full model computes."""

import pytest
import torch
from torch.nn import functional as F

from rmaat import RMAAT, ModelConfig
from rmaat.layers.reference import position_kernel
from rmaat.models.minimal import MinimalRMAAT, distance_filter, replay_backward

pytestmark = pytest.mark.usefixtures("float64")


def pair(curves, rule, dropout=0.0):
    """The full and the minimal model with the same weights."""
    config = ModelConfig(
        vocab_size=13, n_classes=4, d_model=12, n_heads=3, n_layers=2, d_ff=10, segment_len=7, n_memory=3,
        memory_update=rule, dropout=dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    full = RMAAT(config, curves)
    constants = full.constants
    a = constants.retention.rates if rule == "relax" else torch.tensor([50.0 / curves["ltp"].parameters["tau"]])
    derived = {"alpha": constants.alpha, "scale": constants.position_scale, "a": a}
    minimal = MinimalRMAAT(13, 4, 12, 3, 2, 10, 7, 3, **derived, rule=rule, dropout=dropout)
    minimal.load_state_dict(full.state_dict())
    return full, minimal


@pytest.mark.parametrize("rule", ["relax", "scale"])
@pytest.mark.parametrize("n_segments", [1, 2, 5])
def test_logits_and_gradients_equal_the_full_model(curves, rule, n_segments):
    full, minimal = pair(curves, rule)
    tokens, labels = torch.randint(1, 13, (3, 7 * n_segments)), torch.tensor([0, 3, 1])
    logits = full(tokens)
    F.cross_entropy(logits, labels).backward()
    torch.testing.assert_close(minimal(tokens), logits, rtol=1e-11, atol=1e-12)
    loss = replay_backward(minimal, tokens, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels).detach(), rtol=1e-11, atol=1e-12)
    expected = dict(full.named_parameters())
    for name, parameter in minimal.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-9, atol=1e-11, msg=name)


def test_replay_equals_its_own_backpropagation_through_time(curves):
    _, minimal = pair(curves, "relax", dropout=0.3)
    tokens, labels = torch.randint(1, 13, (3, 28)), torch.tensor([0, 3, 1])
    gradients, states = [], []
    for way in ("replay", "through time"):
        minimal.zero_grad()
        torch.manual_seed(1)
        if way == "replay":
            replay_backward(minimal, tokens, labels)
        else:
            F.cross_entropy(minimal(tokens), labels).backward()
        gradients.append([parameter.grad for parameter in minimal.parameters()])
        states.append(torch.get_rng_state())
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(*states)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
def test_doubling_scan_is_the_kernel(n):
    z = torch.randn(2, n, 3)
    torch.testing.assert_close(distance_filter(z, 0.2), position_kernel(n, 0.2) @ z)


def test_the_file_stands_alone():
    """It imports torch and nothing of this project."""
    import rmaat.models.minimal as module

    with open(module.__file__) as file:
        lines = [line for line in file if line.startswith(("import ", "from "))]
    assert {line.split()[1].split(".")[0] for line in lines} == {"math", "typing", "torch"}
