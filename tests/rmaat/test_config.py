"""Configurations that contradict themselves, and numbers that are none, are refused in one sentence."""

import dataclasses
import math

import numpy as np
import pytest

from rmaat import ModelConfig
from rmaat.config import check_count, check_number

SMALL = {"vocab_size": 11, "d_model": 12, "n_heads": 2, "segment_len": 4, "n_memory": 3}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"memory_update": "relax"}, "memory_update must be 'scale' in preset='paper', got 'relax'; set it so, or"),
        ({"attention": "softmax"}, "attention must be 'astromorphic' in preset='paper', got 'softmax'"),
        ({"retention": "population"}, "retention must be 'single'"),
        ({"n_memory": 0}, "n_memory must be at least 1 in preset='paper', got 0"),
    ],
)
def test_the_paper_preset_is_neither_rewritten_nor_contradicted(options, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**{**SMALL, "preset": "paper", **options})
    paper = ModelConfig(**SMALL, preset="paper")
    assert (paper.memory_update, paper.timescales) == ("scale", "single")
    assert dataclasses.replace(paper, d_ff=9).memory_update == "scale"


def test_a_grid_has_rows_and_columns():
    with pytest.raises(ValueError, match=r"^grid must be \(rows, columns\) .* = segment_len = 4, got \(-2, -2\)$"):
        ModelConfig(**SMALL, grid=(-2, -2))


def test_counts_and_numbers():
    assert check_count("n", np.int64(3)) == 3 and check_count("n", 0, 0) == 0
    assert check_number("a", np.float32(0.5)) == 0.5 and check_number("a", 0, zero=True) == 0
    for value in (0, -1, 2.5, 2.0, True, "a", None, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"^n must be an integer of at least 1, got {value!r}$"):
            check_count("n", value)
    for value in (0, -1.5, True, "a", None, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"^a must be positive and finite, got {value!r}$"):
            check_number("a", value)
    with pytest.raises(ValueError, match=r"^a must be finite and at least 0, got -1$"):
        check_number("a", -1, zero=True)


@pytest.mark.parametrize(("name", "value"), [("alpha", 50.0), ("m_scale", 1e-300), ("m_scale", 1e300)])
def test_constants_that_overflow_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be from .* to .*, got {value:g}".replace("+", r"\+")):
        ModelConfig(vocab_size=4, **{name: value})
