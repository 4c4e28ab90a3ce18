"""The models that RMAAT must be compared with, from the same blocks, segments, heads and training.

========== ============================================================================================================
softmax    Transformer over the whole input at once; `linear` the same with Katharopoulos' attention
at         Astromorphic Transformer: this project's attention over the whole input, no recurrence (arXiv:2312.10925)
rmt        Recurrent Memory Transformer: softmax, the memory replaced by what stands at its place (Bulatov et al. 2022)
rlt        the same with linear attention; `rmt-amrb` and `rlt-amrb`: replayed, not back-propagated through time
rate       rmt with the learned retention valve of arXiv:2306.09459, here with the whole gradient through time
memformer  slot memory, read by cross-attention, written by slot attention and a GRU, replayed (Wu et al. 2020)
tlb        Temporal Latent Bottleneck: a slow stream of states reads each segment (Didolkar et al. 2022)
ssm        diagonal state-space model S4D-Lin over the whole input (Gu et al. 2022): the outsider
========== ============================================================================================================

They are configurations of :class:`~rmaat.RMAAT` where that is what they are, and otherwise subclasses that replace the
layers. Models over the whole input have one segment of `max_len` tokens (16 segments' worth if it is not given).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.attention import SoftmaxAttention
from rmaat.block import Block, start_small
from rmaat.config import PAPER, ModelConfig
from rmaat.constants import Constants
from rmaat.curves import Curve
from rmaat.model import RMAAT

NAMES = (
    *("rmaat", "rmaat-paper", "rmt", "rmt-amrb", "rlt", "rlt-amrb"),
    *("linear", "softmax", "at", "memformer", "rate", "tlb", "ssm"),
)
UNSEGMENTED = ("linear", "softmax", "at", "ssm")


def build_model(name: str, config: ModelConfig, curves: Mapping[str, Curve] | None = None) -> RMAAT:
    """Build the model called `name` at the sizes of `config`.

    Raises
    ------
    ValueError
        For a name that is not one of `NAMES`.
    """
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
    changes |= {"memory_update": "attend" if name == "rate" else "replace", "retention": None}
    changes |= {"preset": "default", "relaxation_rate": None, "cached_memories": False}
    config = replace(config, **changes)
    return _unsegmented(config) if name in UNSEGMENTED else config


def curves_read(name: str, config: ModelConfig, curves: Mapping[str, Curve] | None = None) -> dict[str, Curve]:
    """The curves among `curves` (None: the packaged ones) that the model called `name` reads, by name."""
    return Constants.resolve(model_config(name, config), curves).curves


def _unsegmented(config: ModelConfig) -> ModelConfig:
    """One segment for the whole input, and no memory."""
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
    r_names = ("attention.projection", "attention.memory_rows")
    total = sum(parameter.numel() for parameter in model.parameters())
    of_r = sum(parameter.numel() for name, parameter in model.named_parameters() if name.endswith(r_names))
    return {"total": total, "R": of_r}


def match_parameters(
    names: Iterable[str], config: ModelConfig, curves: Mapping[str, Curve] | None = None
) -> dict[str, ModelConfig]:
    """Raise d_ff of all but the largest of the named models until each comes nearest to the largest one's parameters.

    Returns
    -------
    dict of name to ModelConfig
        For :func:`build_model`; d_model and n_layers stay as they are.

    Raises
    ------
    ValueError
        For no names, and for those that :func:`build_model` does not know.
    """

    def size(name: str, d_ff: int) -> int:
        with torch.device("meta"):
            return count_parameters(build_model(name, replace(config, d_ff=d_ff), curves))["total"]

    sizes = {name: size(name, config.d_ff) for name in names}
    if not sizes:
        raise ValueError("names must hold at least one model, got none")
    budget, matched = max(sizes.values()), {}
    for name, own in sizes.items():
        per_unit = size(name, config.d_ff + 1) - own  # the count is linear in d_ff
        matched[name] = replace(config, d_ff=config.d_ff + round((budget - own) / per_unit))
    return matched


class CrossAttention(nn.Module):
    """Softmax attention of one set of tokens over another."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key_value = nn.Linear(d_model, 2 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def heads(self, x: Tensor) -> Float[Tensor, "batch n_heads tokens d_head"]:
        """Split the channels into heads."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(
        self,
        x: Float[Tensor, "batch n d_model"],
        context: Float[Tensor, "batch k d_model"],
        mask: Bool[Tensor, "batch k"] | None = None,
    ) -> Float[Tensor, "batch n d_model"]:
        """What each token of `x` reads from the valid tokens of `context`."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        allowed = None if mask is None else (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        read = F.scaled_dot_product_attention(
            self.heads(self.query(x)), self.heads(key), self.heads(value), attn_mask=allowed
        )
        return self.out(read.transpose(1, 2).flatten(2))


class SlotAttention(CrossAttention):
    """Memformer's slots: each attends to itself and to the tokens, not to the other slots."""

    def forward(
        self,
        x: Float[Tensor, "batch n_memory d_model"],
        context: Float[Tensor, "batch k d_model"],
        mask: Bool[Tensor, "batch k"] | None = None,
    ) -> Float[Tensor, "batch n_memory d_model"]:
        """What each slot of `x` reads from itself and the valid tokens of `context`."""
        query, (own_key, own_value) = self.heads(self.query(x)), self.key_value(x).chunk(2, dim=-1)
        key, value = (self.heads(part) for part in self.key_value(context).chunk(2, dim=-1))
        score = query @ key.transpose(-1, -2)
        if mask is not None:
            score = score.masked_fill(~mask[:, None, None, :], -math.inf)
        own = (query * self.heads(own_key)).sum(-1, keepdim=True)
        weight = (torch.cat([own, score], dim=-1) / query.shape[-1] ** 0.5).softmax(-1)
        read = weight[..., :1] * self.heads(own_value) + weight[..., 1:] @ value
        return self.out(read.transpose(1, 2).flatten(2))


class ReadingBlock(Block):
    """A block that reads the memory by cross-attention between its self-attention and its feed-forward network."""

    def __init__(self, config: ModelConfig):
        attention = SoftmaxAttention(config.d_model, config.n_heads, causal=config.task == "lm")
        super().__init__(config, attention)
        self.read = CrossAttention(config.d_model, config.n_heads)
        self.norm_read = nn.LayerNorm(config.d_model)
        start_small(self.read.out)

    def forward(  # type: ignore[override]  # a Block but for what it reads
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None,
        memory: Float[Tensor, "batch n_memory d_model"],
    ) -> Float[Tensor, "batch tokens d_model"]:
        """Outputs of all tokens."""
        x = self.residual(x, self.norm_attention, lambda z: self.attention(z, mask))
        x = self.residual(x, self.norm_read, lambda z: self.read(z, memory))
        return self.residual(x, self.norm_feed_forward, self.feed_forward)


class Memformer(RMAAT):
    """Tokens read the slots in every layer; the slots then attend to the tokens and are updated by a GRU cell.

    Departure: behind the GRU the original code (lucidrains/memformer) has a feed-forward residual, here a LayerNorm.
    """

    def build_layers(self) -> None:
        """Make the reading blocks and the slot attention."""
        _require_memory(self.config, "memformer")
        d_model = self.config.d_model
        self.blocks = nn.ModuleList(ReadingBlock(self.config) for _ in range(self.config.n_layers))
        self.slots = SlotAttention(d_model, self.config.n_heads)
        self.norm_slots, self.norm_written = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.gru = nn.GRUCell(d_model, d_model)

    def encode(
        self, x: Tensor, mask: Tensor | None, memory: Tensor, shared: tuple[Tensor, ...], reads_tokens: bool
    ) -> tuple[Tensor, Tensor]:
        """Tokens after the blocks, and the slots after the GRU."""
        for block in self.blocks:
            x = block(x, mask, memory)
        x = self.norm(x)
        written = self.slots(self.norm_slots(memory), x, mask)
        new = self.gru(written.flatten(0, 1), memory.flatten(0, 1).to(written.dtype)).view_as(memory)
        return x, self.norm_written(new)


class TemporalLatentBottleneck(RMAAT):
    """A fast stream reads the slow states while it works on a segment; then the slow states read the fast stream."""

    def build_layers(self) -> None:
        """Make the fast stream's reading blocks and the slow stream's layer."""
        _require_memory(self.config, "tlb")
        self.blocks = nn.ModuleList(ReadingBlock(self.config) for _ in range(self.config.n_layers))
        self.slow = Block(self.config, CrossAttention(self.config.d_model, self.config.n_heads))

    def encode(
        self, x: Tensor, mask: Tensor | None, memory: Tensor, shared: tuple[Tensor, ...], reads_tokens: bool
    ) -> tuple[Tensor, Tensor]:
        """Tokens after the fast stream, and the slow states after theirs."""
        for block in self.blocks:
            x = block(x, mask, memory)
        x, slow = self.norm(x), self.slow
        new = slow.residual(memory, slow.norm_attention, lambda z: slow.attention(z, x, mask))
        return x, self.norm(slow.residual(new, slow.norm_feed_forward, slow.feed_forward))


class StateSpaceLayer(nn.Module):
    """S4D-Lin: each channel is the sum of `n_modes` damped oscillators, run over the tokens as one convolution.

    y_t = D x_t + sum_{s <= t} K_{t-s} x_s,   K_l = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(dt A_n l),
    A_n = -1/2 + i pi n at first; without `causal` a second set of C runs backwards. Then GELU and a gated linear unit.
    Interface of :class:`~rmaat.attention.SoftmaxAttention`. Cost O(tokens log tokens).
    """

    def __init__(self, d_model: int, *, n_modes: int = 32, causal: bool = False):
        super().__init__()
        self.causal = causal
        self.log_dt = nn.Parameter(math.log(1e-3) + torch.rand(d_model) * math.log(1e2))  # 0.001 to 0.1, as in S4
        self.log_decay = nn.Parameter(torch.full((d_model, n_modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(n_modes).expand(d_model, -1).clone().float())
        self.c = nn.Parameter(torch.randn(1 if causal else 2, d_model, n_modes, 2) * 0.5**0.5)
        self.d = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, 2 * d_model)

    @property
    def exact(self) -> torch.dtype:
        """The parameters' type, or float32 where that is less: there are no complex numbers below."""
        return torch.promote_types(self.d.dtype, torch.float32)

    def kernel(self, n_tokens: int) -> Float[Tensor, "directions d_model n_tokens"]:
        """K_l for l = 0 ... n_tokens - 1, forwards and, unless causal, backwards."""
        names = ("log_decay", "frequency", "log_dt", "c")
        log_decay, frequency, log_dt, c = (getattr(self, name).to(self.exact) for name in names)
        a = torch.complex(-log_decay.exp(), frequency)
        dt_a = a * log_dt.exp()[:, None]
        modes = torch.exp(dt_a[..., None] * torch.arange(n_tokens, device=a.device))
        c = torch.view_as_complex(c) * (torch.expm1(dt_a) / a)
        return 2 * torch.einsum("kdn,dnl->kdl", c, modes).real

    def positions(self) -> None:
        """No positional term."""

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: None = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """Outputs of all tokens; those that are not valid put nothing in."""
        n_tokens = x.shape[1]
        u = (x if mask is None else x * mask[..., None]).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            forwards, *backwards = self.kernel(n_tokens)
            kernel = F.pad(forwards, (0, n_tokens))
            if backwards:  # the backward kernel starts one token ahead, so that no token counts twice
                kernel = kernel + F.pad(backwards[0].flip(-1), (n_tokens, 0))
            u = u.to(self.exact)
            spectrum = torch.fft.rfft(u, n=2 * n_tokens) * torch.fft.rfft(kernel)
            y = torch.fft.irfft(spectrum, n=2 * n_tokens)[..., :n_tokens] + self.d[:, None] * u
        return F.glu(self.out(F.gelu(y).to(self.d.dtype).transpose(1, 2)), dim=-1)


class StateSpaceModel(RMAAT):
    """The same blocks with state-space layers in the place of attention."""

    def build_attention(self) -> nn.Module:
        """Make one state-space layer."""
        return StateSpaceLayer(self.config.d_model, causal=self.config.task == "lm")


def _require_memory(config: ModelConfig, name: str) -> None:
    if config.n_memory == 0:
        raise ValueError(f"n_memory must be at least 1 for {name}, got 0")
