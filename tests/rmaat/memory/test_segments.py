"""Tokens and states that a model cannot take are refused in one sentence."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from rmaat.memory.segments import State, check_state, check_tokens


@pytest.mark.parametrize("tokens", [np.ones((2, 6), dtype=np.int64), [[1, 2]], None])
def test_wrong_kinds_of_tokens_are_named(tokens):
    kind = type(tokens).__name__
    with pytest.raises(
        ValueError, match=f"^tokens must be a tensor of type int64, got {kind}, which is no torch tensor"
    ):
        check_tokens(tokens, None, 11)
    with pytest.raises(ValueError, match=r"^lengths must be a tensor of type int64, got torch.float32$"):
        check_tokens(torch.ones(2, 6, dtype=torch.int64), torch.ones(2), 11)


def test_a_state_of_a_model_of_other_sizes_is_refused():
    counts = torch.zeros(2, dtype=torch.int64)
    state = State(torch.zeros(2, 3, 8), torch.zeros(2, 8), counts, counts)
    check_state(state, 2, (3, 8), torch.float32)
    for n_memory, d_model in ((4, 8), (3, 6)):
        other = dataclasses.replace(state, memory=torch.zeros(2, n_memory, d_model))
        message = f"state must be of a model with (n_memory, d_model) = (3, 8), got one with ({n_memory}, {d_model})"
        with pytest.raises(ValueError, match=re.escape(message)):
            check_state(other, 2, (3, 8), torch.float32)
