"""When the kernels are taken, and what is said where they cannot be."""

import importlib.util

import pytest
import torch

from rmaat.kernels import switch, usable, use_kernels
from rmaat.layers.attention import AstromorphicAttention

KEYS = torch.zeros(2, 2, 5, 16)


@pytest.fixture
def triton_found(monkeypatch):
    monkeypatch.setattr(switch, "_found", True)


def test_a_cpu_takes_the_plain_form_unless_told_otherwise(triton_found):
    with use_kernels("auto"):
        assert not usable(KEYS)
    with use_kernels("on"):
        assert usable(KEYS)
        with use_kernels("off"):
            assert not usable(KEYS)
        assert usable(KEYS)


@pytest.mark.parametrize(
    "dtype, d, expected",
    [
        (torch.bfloat16, 128, True),
        (torch.bfloat16, 136, False),
        (torch.float32, 64, True),
        (torch.float32, 72, False),
        (torch.float64, 16, False),
    ],
    ids=str,
)
def test_what_the_kernels_take(triton_found, dtype, d, expected):
    with use_kernels("on"):
        assert usable(torch.zeros(1, 1, 3, d, dtype=dtype)) is expected
        assert not usable(torch.zeros(0, 1, 3, d, dtype=dtype))


def test_what_torch_func_maps_or_differentiates_takes_the_plain_form(triton_found):
    taken = []
    with use_kernels("on"):
        torch.func.vmap(lambda k: taken.append(usable(k)) or k)(KEYS)
        torch.func.grad(lambda k: taken.append(usable(k)) or k.sum())(KEYS)
    assert taken == [False, False]


def test_wrong_modes_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"^mode must be 'auto', 'on' or 'off', got 'yes'$"), use_kernels("yes"):
        pass
    monkeypatch.setattr(switch, "_found", False)
    message = r"^mode must not be 'on' without Triton; install it: pip install 'astro-rmaat\[gpu\]'$"
    with pytest.raises(ValueError, match=message), use_kernels("on"):
        pass


def test_the_environment_sets_the_mode(monkeypatch):
    def loaded(mode):
        monkeypatch.setenv("RMAAT_KERNELS", mode)
        spec = importlib.util.spec_from_file_location("switch_anew", switch.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    assert not loaded("off").usable(KEYS) and loaded("auto")._mode == "auto"
    message = r"^the environment variable RMAAT_KERNELS must be 'auto', 'on' or 'off', got 'maybe'$"
    with pytest.raises(ValueError, match=message):
        loaded("maybe")


def test_causal_attention_takes_the_plain_form(monkeypatch):
    monkeypatch.setattr(AstromorphicAttention, "_fused", None)
    layer = AstromorphicAttention(32, 2, 5, causal=True)
    with use_kernels("on" if switch._found else "auto"):
        assert layer(torch.randn(1, 5, 32)).shape == (1, 5, 32)
