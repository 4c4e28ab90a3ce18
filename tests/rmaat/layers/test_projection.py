"""The feature map has the values and derivatives of elu(x) + 1."""

import pytest
import torch

from rmaat.layers.projection import phi
from rmaat.layers.reference import plain_phi

X = torch.tensor([-800.0, -30.0, -3.0, -1e-9, 1e-9, 0.5, 40.0], dtype=torch.float64)


def test_phi_has_the_values_and_the_gradient_of_the_published_form():
    found = []
    for feature_map in (phi, plain_phi):
        x = X.clone().requires_grad_()
        (first,) = torch.autograd.grad(feature_map(x).square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        found.append((feature_map(x), first, second))
    for got, expected in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-15)


def test_the_gradient_at_zero_is_one():
    x = torch.zeros(1, requires_grad=True)
    assert torch.autograd.grad(phi(x), x)[0] == 1


def test_small_values_keep_their_digits():
    """elu(x) + 1 rounds exp(x) to a multiple of 2^-53."""
    torch.testing.assert_close(phi(X[1:3]), X[1:3].exp(), rtol=1e-15, atol=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
def test_phi_works_in_transforms_of_functions():
    x, tangent = X.clone(), torch.linspace(-1, 1, 7, dtype=torch.float64)
    slope = phi(x).clamp_max(1)
    assert torch.equal(torch.func.vmap(torch.func.grad(phi))(x), slope)
    assert torch.equal(torch.func.jvp(phi, (x,), (tangent,))[1], slope * tangent)
    torch.testing.assert_close(torch.func.hessian(lambda z: phi(z).sum())(x).diagonal(), torch.where(x > 0, 0, x.exp()))
