"""Models by name, at the sizes of one configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from astro_sim.curves.curve import Curve
from rmaat.config import PAPER, ModelConfig
from rmaat.models.baselines import Memformer, StateSpaceModel, TemporalLatentBottleneck
from rmaat.models.constants import Constants
from rmaat.models.rmaat import R_NAMES, RMAAT

NAMES = (
    *("rmaat", "rmaat-paper", "rmt", "rmt-amrb", "rlt", "rlt-amrb"),
    *("linear", "softmax", "at", "memformer", "rate", "tlb", "ssm"),
)

UNSEGMENTED = ("linear", "softmax", "at", "ssm")


def build_model(name: str, config: ModelConfig, curves: Mapping[str, Curve] | None = None) -> RMAAT:
    """Build the model called `name`, one of `NAMES`, at the sizes of `config`."""
    classes = {"memformer": Memformer, "tlb": TemporalLatentBottleneck, "ssm": StateSpaceModel}
    return classes.get(name, RMAAT)(model_config(name, config), curves)


def model_config(name: str, config: ModelConfig) -> ModelConfig:
    """What `config` becomes for the model called `name`; "rmaat" takes it as it is."""
    if name not in NAMES:
        raise ValueError(f"model must be one of {', '.join(NAMES)}, got {name!r}")
    if name == "rmaat":
        return config
    if name == "rmaat-paper":
        return replace(config, preset="paper", relaxation_rate=None, **PAPER)
    backprop = "amrb" if name == "memformer" or name.endswith("-amrb") else "bptt"
    attention = {"at": "astromorphic", "linear": "linear", "rlt": "linear"}.get(name.removesuffix("-amrb"), "softmax")
    changes: dict[str, Any] = {"backprop": backprop, "attention": attention}
    changes |= {"memory_update": "attend" if name == "rate" else "replace", "retention": None, "relaxation_rate": None}
    changes |= {"preset": "default", "cached_memories": False, "synapses": "none", "conv_len": 1}
    config = replace(config, **changes)
    return _unsegmented(config) if name in UNSEGMENTED else config


def curves_read(name: str, config: ModelConfig, curves: Mapping[str, Curve] | None = None) -> dict[str, Curve]:
    """The curves among `curves` (None: the packaged ones) that the model called `name` reads, by name."""
    return Constants.resolve(model_config(name, config), curves).curves


def _unsegmented(config: ModelConfig) -> ModelConfig:
    length = config.max_len or 16 * config.segment_len
    grid = None
    if config.grid is not None:
        rows = -(-length // config.grid[1])
        grid, length = (rows, config.grid[1]), rows * config.grid[1]
    pooling = "mean" if config.pooling == "memory" else config.pooling
    max_len = config.max_len or length
    return replace(config, segment_len=length, n_memory=0, grid=grid, pooling=pooling, max_len=max_len)


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Learned numbers: in total, and those of R, which grow with the segment's length."""
    total = sum(parameter.numel() for parameter in model.parameters())
    of_r = sum(parameter.numel() for name, parameter in model.named_parameters() if name.endswith(R_NAMES))
    return {"total": total, "R": of_r}


def carried_bytes(model: RMAAT, n_tokens: int) -> int:
    """Bytes that a sample's `n_tokens` tokens leave behind for the tokens after them, at the model's precision.

    These are the memory tokens and the state of the synapses and convolutions; of a state-space model its modes (one
    complex number each) and of attention over the whole input H and the summed keys if it is linear, else all keys and
    values, which grow with `n_tokens`. What the head's pooling gathers is left out: it is the same for all models.
    """
    config, state = model.config, model.initial_state(1)
    carried = sum(tensor.numel() * tensor.element_size() for tensor in (state.memory, *state.synapses))
    size = model.embedding.weight.element_size()
    if isinstance(model, StateSpaceModel):
        return carried + sum(2 * size * block.attention.log_decay.numel() for block in model.blocks)
    unsegmented = config.n_memory == 0 and config.synapses == "none" and config.segment_len >= (config.max_len or 1e9)
    if not unsegmented:
        return carried
    layer = 2 * n_tokens * config.d_model
    if config.attention != "softmax":
        layer = config.n_heads * (config.d_head**2 + config.d_head + 1)
    return carried + config.n_layers * layer * size


def match_parameters(
    names: Iterable[str], config: ModelConfig, curves: Mapping[str, Curve] | None = None
) -> dict[str, ModelConfig]:
    """Raise d_ff of all but the largest of the named models until each comes nearest to the largest one's parameters.

    The result is for :func:`build_model`, by name; d_model and n_layers stay as they are.
    """
    matched = match_sizes({name: (name, config) for name in names}, curves)
    return {name: config for name, (_, config) in matched.items()}


def match_sizes(
    models: Mapping[str, tuple[str, ModelConfig]], curves: Mapping[str, Curve] | None = None
) -> dict[str, tuple[str, ModelConfig]]:
    """:func:`match_parameters` of models with a configuration each, given and returned as (name, configuration)."""

    def size(name: str, config: ModelConfig, more: int = 0) -> int:
        with torch.device("meta"):
            return count_parameters(build_model(name, replace(config, d_ff=config.d_ff + more), curves))["total"]

    sizes = {key: size(*model) for key, model in models.items()}
    if not sizes:
        raise ValueError("names must hold at least one model, got none")
    budget, matched = max(sizes.values()), {}
    for key, (name, config) in models.items():
        per_unit = size(name, config, 1) - sizes[key]  # the count is linear in d_ff
        matched[key] = (name, replace(config, d_ff=config.d_ff + round((budget - sizes[key]) / per_unit)))
    return matched
