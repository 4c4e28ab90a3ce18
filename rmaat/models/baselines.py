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

from torch import Tensor, nn

from rmaat.config import ModelConfig
from rmaat.layers.block import Block, ReadingBlock
from rmaat.layers.softmax import CrossAttention, SlotAttention
from rmaat.layers.state_space import StateSpaceLayer
from rmaat.models.rmaat import RMAAT


class Memformer(RMAAT):
    """Tokens read the slots in every layer; the slots then attend to the tokens and are updated by a GRU cell.

    Departure: behind the GRU the original code (lucidrains/memformer) has a feed-forward residual, here a LayerNorm.
    """

    def build_layers(self) -> None:
        _require_memory(self.config, "memformer")
        d_model = self.config.d_model
        self.blocks = nn.ModuleList(ReadingBlock(self.config) for _ in range(self.config.n_layers))
        self.slots = SlotAttention(d_model, self.config.n_heads)
        self.norm_slots, self.norm_written = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.gru = nn.GRUCell(d_model, d_model)

    def encode(
        self, x: Tensor, mask: Tensor | None, memory: Tensor, shared: tuple, reads_tokens: bool, synapses: tuple = ()
    ) -> tuple[Tensor, Tensor, tuple]:
        """Tokens after the blocks, and the slots after the GRU."""
        for block in self.blocks:
            x = block(x, mask, memory)
        x = self.norm(x)
        written = self.slots(self.norm_slots(memory), x, mask)
        new = self.gru(written.flatten(0, 1), memory.flatten(0, 1).to(written.dtype)).view_as(memory)
        return x, self.norm_written(new), ()


class TemporalLatentBottleneck(RMAAT):
    """A fast stream reads the slow states while it works on a segment; then the slow states read the fast stream."""

    def build_layers(self) -> None:
        _require_memory(self.config, "tlb")
        self.blocks = nn.ModuleList(ReadingBlock(self.config) for _ in range(self.config.n_layers))
        self.slow = Block(self.config, CrossAttention(self.config.d_model, self.config.n_heads))

    def encode(
        self, x: Tensor, mask: Tensor | None, memory: Tensor, shared: tuple, reads_tokens: bool, synapses: tuple = ()
    ) -> tuple[Tensor, Tensor, tuple]:
        """Tokens after the fast stream, and the slow states after theirs."""
        for block in self.blocks:
            x = block(x, mask, memory)
        x, slow = self.norm(x), self.slow
        new = slow.residual(memory, slow.norm_attention, lambda z: slow.attention(z, x, mask))
        return x, self.norm(slow.residual(new, slow.norm_feed_forward, slow.feed_forward)), ()


class StateSpaceModel(RMAAT):
    """The same blocks with state-space layers in the place of attention."""

    def build_attention(self) -> nn.Module:
        c = self.config
        return StateSpaceLayer(c.d_model, n_modes=c.n_modes, causal=c.task == "lm")


def _require_memory(config: ModelConfig, name: str) -> None:
    if config.n_memory == 0:
        raise ValueError(f"n_memory must be at least 1 for {name}, got 0")
