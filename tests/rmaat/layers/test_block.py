"""Dropout: what it draws, and that compiled code draws the same."""

import pytest
import torch

from rmaat.layers.block import Dropout, compiled_draw, draw_kept


def test_the_compiled_draw_is_the_plain_one():
    x = torch.zeros(3, 5, 7, dtype=torch.bfloat16)
    torch.manual_seed(1)
    plain, after = draw_kept(x, 0.3), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(compiled_draw(x, 0.3), plain) and torch.equal(torch.get_rng_state(), after)
    assert plain.dtype == x.dtype and plain.shape == x.shape
    assert compiled_draw(x.to("meta"), 0.3).shape == x.shape


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99999])
def test_dropout_keeps_the_mean(p):
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1_000_000))
    kept = 1 - min(round(p * 2**16), 2**16 - 1) / 2**16
    assert y.unique().tolist() == pytest.approx([0, 1 / kept])
    assert float((y > 0).float().mean()) == pytest.approx(kept, abs=5 * (kept * (1 - kept) / 1e6) ** 0.5)
