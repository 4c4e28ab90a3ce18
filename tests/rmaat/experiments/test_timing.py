"""Timing of function calls, and the bytes that autograd keeps."""

import numpy as np
import torch
from torch import nn

from rmaat.experiments.timing import SavedBytes, interleaved, peak_bytes


def test_contenders_take_turns_in_alternating_order():
    turns = []
    calls = {name: (lambda name=name: turns.append(name)) for name in "ab"}
    seconds = interleaved(calls, repeats=2, warmup=1)
    assert turns == ["a", "b", "b", "a", "a", "b"]
    assert all(taken.shape == (2,) for taken in seconds.values())


def test_the_ratio_of_a_contender_that_works_four_times_as_long_is_four():
    x = torch.randn(300, 300)
    once, four = (lambda n=n: [x @ x for _ in range(n)] for n in (20, 80))
    seconds = interleaved({"once": once, "four": four}, repeats=9, warmup=1)
    assert 2.5 < np.median(seconds["four"] / seconds["once"]) < 6


def test_saved_bytes_of_a_chain_are_its_intermediate_results():
    x = torch.randn(10, 100, requires_grad=True)

    def call():
        x.sin().exp().sum().backward()  # sin keeps x, exp keeps its result

    assert peak_bytes(call) == 2 * x.numel() * 4


def test_parameters_and_repeated_storages_are_not_counted():
    layer, x = nn.Linear(50, 50, bias=False), torch.randn(10, 50, requires_grad=True)

    def call():
        (layer(x) * layer(x)).sum().backward()

    # the input once, though both products keep it; the two results
    assert peak_bytes(call, "cpu", layer.parameters()) == 3 * x.numel() * 4


def test_saved_bytes_are_released_with_the_graph():
    with SavedBytes() as saved:
        for _ in range(3):
            torch.randn(100, requires_grad=True).sin().sum().backward()
    assert saved.now == 0 and saved.peak == 400
