"""The segment-recurrent model.

A sequence is cut into segments of `segment_len` tokens. For each segment the M memory tokens and the embedded tokens
pass together through the blocks; what stands at the memory positions afterwards is the candidate memory, and a rule of
:mod:`rmaat.memory.retention` mixes it with the old one::

    [new, o] = blocks([memory, x_t]),   memory <- keep_t memory + take_t new

References: Mia, Bal, Sengupta, arXiv:2601.00426, fig. 2, sections 3.2 to 3.4.

Choices where the sources are silent [inferred]
-----------------------------------------------
- Heads are Linear-ReLU-Linear as in the Long Range Arena, d_ff wide.
- Positions are sinusoids counted from the segment's start, so that a model is defined for every number of segments.
  Token embeddings and sinusoids both have RMS 1/sqrt(2): the blocks see unit tokens. `sinusoids` makes these smaller.
- The first memory is learned, drawn with unit RMS, the size that LayerNorm gives every later one. With pre-norm the
  last LayerNorm acts on memory and tokens alike (as in GPT-2 based RMT).
- pooling="last" gives the head the mean over the last segment's tokens beside the mean over the final memory, instead
  of one mean in which a few memory tokens would drown.
- Language models read the memory before the segment and write it behind (RMT's decoder), causally throughout; what
  they read of cached memories is asked for by the memory, not by the segment's tokens, some of which are still to come.
- A segment without a valid token leaves memory and summary as they are, sample by sample.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from astro_sim.curves.curve import Curve
from rmaat.config import ModelConfig, check_count, check_number
from rmaat.layers.attention import AstromorphicAttention
from rmaat.layers.block import Block, Dropout, SynapticBlock, masked_mean
from rmaat.layers.softmax import SoftmaxAttention
from rmaat.layers.synapses import ConvolvedSoftmax, SynapticAttention
from rmaat.memory.replay import fingerprint, replay, run_segments, uncompiled
from rmaat.memory.segments import Segments, State, check_features, check_state, check_tokens
from rmaat.memory.update import AttendUpdate, CachedRead, GatedUpdate
from rmaat.models.constants import Constants
from rmaat.models.pretrained import load_model, save_model

RECOMPILE_LIMIT = 128
R_NAMES = ("attention.projection", "attention.memory_rows")  # the parameters that R depends on


class RMAAT(nn.Module):
    """Recurrent memory transformer whose attention and retention are set by simulated astrocytes.

    Parameters
    ----------
    curves : dict of str to Curve, optional
        By default the packaged ones (:func:`rmaat.load_curves`). Used: ``stp_calcium`` (alpha), ``stp_spatial`` (R),
        ``ltp`` or ``ltp_population`` (retention), each only if the configuration needs it.

    Examples
    --------
    >>> config = ModelConfig(vocab_size=8, n_classes=3, segment_len=4, n_memory=2, alpha=0.25, position_scale=0.1,
    ...                      relaxation_rate=0.5)
    >>> model = RMAAT(config, curves={})
    >>> logits = model(torch.tensor([[1, 2, 3, 4, 5, 6], [7, 1, 2, 0, 0, 0]]))
    >>> logits.sum().backward()
    >>> logits.shape
    torch.Size([2, 3])
    """

    memory: nn.Parameter | None
    sinusoids: Tensor
    blocks: Any  # an nn.ModuleList, whose elements have no type of their own

    def __init__(self, config: ModelConfig, curves: Mapping[str, Curve] | None = None):
        super().__init__()
        if not isinstance(config, ModelConfig):
            raise ValueError(f"config must be a ModelConfig, got {type(config).__name__}; write ModelConfig(...)")
        self.config = config
        self.constants = Constants.resolve(config, curves)
        self.embedding = self._embedding()
        self.register_buffer("sinusoids", config.sinusoids * _sinusoids(config.segment_len, config.d_model))
        has_memory = config.n_memory > 0
        memory = nn.Parameter(torch.randn(config.n_memory, config.d_model)) if has_memory else None
        self.register_parameter("memory", memory)
        self.dropout = Dropout(config.dropout)
        self.build_layers()
        synaptic = self.blocks if self.is_synaptic else ()
        self._n_synapses = sum(len(block.attention.initial(1)) for block in synaptic)  # tensors of the carry
        self.norm = nn.LayerNorm(config.d_model) if config.norm == "pre" else nn.Identity()
        self.updater: nn.Module | None = None
        if has_memory and config.memory_update == "gated":
            self.updater = GatedUpdate(config.d_model)
        elif has_memory and config.memory_update == "attend":
            self.updater = AttendUpdate(config.d_model, config.n_heads)
        self.cached_read = CachedRead(config.d_model) if config.cached_memories and has_memory else None
        self.head = self._head()
        self._compiled: Callable | None = None
        self._kept: tuple[list[Tensor], tuple[Tensor, ...]] | None = None  # parameters of R and R, for streams

    def build_layers(self) -> None:
        """Make the layers; baselines with another backbone override this, `encode` and `shared_tensors`."""
        block = SynapticBlock if self.is_synaptic else Block
        self.blocks = nn.ModuleList(block(self.config, self.build_attention()) for _ in range(self.config.n_layers))

    @property
    def is_synaptic(self) -> bool:
        """Whether layers hand something on to the next segment beside the memory tokens."""
        return self.config.synapses != "none" or self.config.conv_len > 1

    def build_attention(self) -> nn.Module:
        c, causal = self.config, self.config.task == "lm"
        memory_tokens: dict[str, Any] = {"n_memory": c.n_memory, "n_write": c.n_memory if causal else 0}
        if c.attention == "softmax" and c.conv_len > 1:
            return ConvolvedSoftmax(c.d_model, c.n_heads, causal=causal, conv_len=c.conv_len, **memory_tokens)
        if c.attention == "softmax":
            return SoftmaxAttention(c.d_model, c.n_heads, causal=causal)
        options: dict[str, Any] = {"alpha": 1.0, "position": "none", "m_scale": 1.0}
        if c.attention == "astromorphic":
            options = {"alpha": self.constants.alpha, "position_scale": self.constants.position_scale}
            options |= {name: getattr(c, name) for name in ("position", "feedback", "m_scale", "neuron", "grid")}
            options["memory_position"] = c.memory_position
        options |= {"causal": causal, **memory_tokens}
        if not self.is_synaptic:
            return AstromorphicAttention(c.d_model, c.n_heads, c.segment_len, **options)
        options |= {"rule": c.synapses, "conv_len": c.conv_len}
        options["learned"] = c.synaptic_rates == "learned" and c.synapses != "gated_delta"
        options["rates"] = self.constants.synaptic_rates
        return SynapticAttention(c.d_model, c.n_heads, c.segment_len, **options)

    def _embedding(self) -> nn.Embedding | nn.Linear:
        c = self.config
        if c.n_features:  # independent features of unit variance give RMS 1/sqrt(2), as the embedding has
            linear = nn.Linear(c.n_features, c.d_model)
            nn.init.normal_(linear.weight, std=(2 * c.n_features) ** -0.5)
            nn.init.zeros_(linear.bias)
            return linear
        embedding = nn.Embedding(c.vocab_size, c.d_model, padding_idx=0)
        nn.init.normal_(embedding.weight[1:], std=0.5**0.5)
        return embedding

    def _head(self) -> nn.Module:
        c = self.config
        if c.reads_each_token:
            return nn.Sequential(
                Dropout(c.dropout), nn.Linear(c.d_model, c.vocab_size if c.task == "lm" else c.n_classes)
            )
        width = c.d_model * (2 if c.pooling in ("last", "each") and c.n_memory else 1)
        width *= 4 if c.task == "match" else 1
        return nn.Sequential(Dropout(c.dropout), nn.Linear(width, c.d_ff), nn.ReLU(), nn.Linear(c.d_ff, c.n_classes))

    def forward(
        self,
        tokens: Int[Tensor, "batch *pair length"] | Float[Tensor, "batch *pair length n_features"],
        lengths: Int[Tensor, "batch *pair"] | None = None,
        state: State | None = None,
    ):
        """Logits of whole sequences.

        Parameters
        ----------
        tokens : tensor (batch, length), or (batch, 2, length) for task="match"
            0 is padding and reaches neither memory nor head. With ``n_features`` real numbers of shape (batch, length,
            n_features), or (batch, 2, length, n_features); a step that is NaN throughout is padding.
        lengths : tensor, optional
            Positions from there on are padding whatever they hold.
        state : State, optional
            Only with ``carry_state``: what the previous rollout returned.

        Returns
        -------
        tensor (batch, n_classes); (batch, segments, n_classes) with pooling="each"; (batch, length, n_classes) with
        task="tag" and (batch, length, vocab_size) with task="lm". With ``carry_state`` a pair of this and the detached
        :class:`State`.
        """
        if state is not None and not self.config.carry_state:
            raise ValueError("state must be None with carry_state=False in ModelConfig, got one; stream with step()")
        start, segments = self._cut(tokens, lengths, state, torch.compiler.is_compiling())
        carry, outputs = self._run(segments, _carried(start))
        logits = self._logits(self._after(start, segments, carry), outputs)
        if len(outputs) == 1:  # a memory that nobody reads: DDP wants a gradient for all that wrote it
            logits = logits + 0 * carry[0].sum()
        if state is not None and self.memory is not None:  # and one for the initial memory, in each rollout
            logits = logits + 0 * self.memory.sum()
        if self.config.reads_each_token:
            logits = logits[:, : tokens.shape[1]]
        if not self.config.carry_state:
            return logits
        return logits, self._after(start, segments, tuple(tensor.detach() for tensor in carry))

    def read_whole(self, tokens: Int[Tensor, "batch length"]) -> Tensor:
        """:meth:`forward` for valid tokens without padding, unchecked: no operation asks for a token's value.

        It therefore works inside :func:`torch.func.vmap`, over tokens and parameters, with ``backprop="bptt"``.
        """
        start, (batch, length) = self.initial_state(len(tokens)), tokens.shape
        size = self.config.segment_len if self.config.n_memory else min(self.config.segment_len, length)
        n = -(-length // size)
        count = torch.arange(n * size, device=tokens.device)
        retention, keep, take = self.constants.retention, None, None
        if retention is not None:
            weights = retention.weights(count[:n].expand(batch, -1), torch.full_like(start.seen, n), n)
            keep, take = (weight.to(self.embedding.weight.dtype) for weight in weights)
        padded = F.pad(tokens, (0, n * size - length)).unflatten(1, (n, size))
        mask = (count < length).expand(batch, -1).unflatten(1, (n, size))
        full, ending = (True,) * (n - 1) + (length == n * size,), (False,) * (n - 1) + (True,)
        cut = Segments(padded, mask, mask.any(-1), keep, take, full, ending, empty=0)
        carry, outputs = self._run(cut, _carried(start))
        logits = self._logits(self._after(start, cut, carry), outputs)
        return logits[:, :length] if self.config.task == "lm" else logits

    def _after(self, start: State, segments: Segments, carry: tuple[Tensor, ...]) -> State:
        """The state after `segments`, which turned `start` into `carry`."""
        memory, summary, *rest = carry
        count, seen = start.count + segments.mask.sum((1, 2)), start.seen + segments.valid.sum(1)
        steps, n = start.steps + segments.valid.shape[1], len(start.synapses)
        return State(memory, summary, count, seen, steps, start.n_segments, tuple(rest[n:]), tuple(rest[:n]))

    @uncompiled
    def _cut(
        self, tokens: Tensor, lengths: Tensor | None, state: State | None, compiling: bool
    ) -> tuple[State, Segments]:
        """Check the input and prepare what the segments need; on the host, hence outside the compiled graph."""
        sharded = any(getattr(module, "_is_fsdp_managed_module", False) for module in self.modules())
        if sharded and self.config.backprop == "amrb":
            raise ValueError("backprop must be 'bptt' under FSDP, got 'amrb'; replay needs whole parameters: use DDP")
        tokens, start = self._checked(tokens, lengths), state
        if start is None:
            start = self._first_state(tokens.shape[0])
        self._check_state(start, tokens.shape[0])
        if start.pending is not None:
            rule = "state must stand between two segments for forward"
            raise ValueError(f"{rule}, got one with {start.pending.shape[1]} tokens of a segment; go on with step()")
        if self.config.memory_update == "scale":  # its schedule is that of one rollout
            start = replace(start, seen=torch.zeros_like(start.seen), steps=0, n_segments=None)
        whole = self.config.n_memory == 0 and (self.config.max_len or math.inf) <= self.config.segment_len
        if whole and tokens.shape[1] > self.config.segment_len:
            raise ValueError(
                f"tokens must be at most max_len = {self.config.max_len} long without memory tokens, got "
                f"{tokens.shape[1]}; give ModelConfig the max_len of the longest input"
            )
        segments = self._segments(tokens, start)
        if segments.empty and state is None:
            padding = "NaN" if self.config.n_features else "0"
            rule = f"each sequence must have at least one token that is not {padding} (padding)"
            raise ValueError(f"{rule}, got {segments.empty} without")
        if compiling:  # one graph of all segments must not depend on where the padding is
            n = len(segments.full)
            segments = replace(segments, full=(False,) * n, ending=(True,) * n)
        return start, segments

    def _checked(self, tokens: Tensor, lengths: Tensor | None) -> Tensor:
        """The tokens of all sequences, those of pairs one after the other, padded from their lengths on."""
        pair = self.config.task == "match"
        if self.config.n_features:
            values = check_features(tokens, lengths, self.config.n_features, ndim=4 if pair else 3)
            tokens = values.to(self.embedding.weight.dtype)
        else:
            tokens = check_tokens(tokens, lengths, self.config.vocab_size, ndim=3 if pair else 2)
        return tokens.flatten(0, 1) if pair else tokens

    def _check_state(self, state: State, n: int) -> None:
        check_state(state, n, (self.config.n_memory, self.config.d_model), self.embedding.weight.dtype)

    def _segments(self, tokens: Tensor, state: State) -> Segments:
        retention, dtype = self.constants.retention, self.embedding.weight.dtype
        segment_len = self.config.segment_len
        if self.config.n_memory == 0:  # a single short segment needs no padding: nothing is read behind it
            segment_len = min(segment_len, tokens.shape[1])
        segments = Segments.cut(tokens, segment_len, retention, dtype, state.seen, state.steps, state.n_segments)
        if self._compiled is None:
            return segments
        return replace(segments, full=(False,) * len(segments.full))  # one compiled step for padded and full ones

    def _run(self, segments: Segments, carry: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], list[Tensor | None]]:
        """Run the segments up to the longest sequence's last: what follows is padding that no output shows."""
        n_segments = len(segments.ending)
        if not self.config.reads_each_token and self.config.pooling != "each":
            n_segments = 1 + max([0, *(t for t, ends in enumerate(segments.ending) if ends)])
        segment = self._compiled or type(self)._segment

        def step(t, carry, shared):
            return segment(self, *segments.at(t), carry, shared, self._reads_tokens(segments.ending[t]))

        shared = self.shared_tensors()
        if self.config.backprop == "bptt" or torch.compiler.is_exporting():
            return run_segments(step, n_segments, carry, shared)
        parameters = tuple(self.parameters())
        c = self.config
        return replay(step, n_segments, carry, shared, parameters, c.offload, lambda: fingerprint(self), c.budget)

    def shared_tensors(self) -> tuple[Tensor, ...]:
        """phi(R) of every layer: computed once, used by all segments."""
        positions = [block.attention.positions() for block in self.blocks]
        return tuple(phi_r for phi_r in positions if phi_r is not None)

    def _kept_tensors(self) -> tuple[Tensor, ...]:
        """`shared_tensors`; without a graph, those of the last step as long as the parameters of R are what they were.

        Their values are compared, since a version counter misses changes through ``.data``.
        """
        parameters = [p for name, p in self.named_parameters() if name.endswith(R_NAMES)]
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or not parameters:
            return self.shared_tensors()
        if self._kept is not None:
            old, shared = self._kept
            like = [
                (p.shape, p.dtype, p.device) == (q.shape, q.dtype, q.device)
                for p, q in zip(parameters, old, strict=True)
            ]
            if all(like) and all(map(torch.equal, parameters, old)):
                return shared
        self._kept = [p.clone() for p in parameters], self.shared_tensors()
        return self._kept[1]

    def _reads_tokens(self, ending: bool) -> bool:
        """Whether a segment's token outputs are used: else the last layer only has to put out the memory."""
        if self.config.reads_each_token or self.config.n_memory == 0 or self.config.pooling in ("mean", "each"):
            return True
        return ending and self.config.pooling == "last"

    def _segment(self, tokens, mask, valid, keep, take, carry, shared, reads_tokens):
        """One segment: ``(carry, output)`` from the tensors of :meth:`Segments.at`, without side effects."""
        memory, summary, *rest = carry
        old, cache = tuple(rest[: self._n_synapses]), rest[self._n_synapses :]
        x = self.dropout(self.embedding(tokens) + self.sinusoids[: tokens.shape[1]])
        read = memory
        if self.cached_read is not None:
            asking = (memory, None) if self.config.task == "lm" else (x, mask)
            read = self.cached_read(*asking, memory, tuple(cache))
        tokens_out, new, synapses = self.encode(x, mask, read, shared, reads_tokens, old)
        if valid is not None:
            wide = [valid.view(-1, *[1] * (before.ndim - 1)) for before in old]
            synapses = tuple(map(torch.where, wide, synapses, old))
        if memory.shape[1]:
            learned = self.updater is not None
            new = self.updater(memory, new).to(memory.dtype) if learned else keep * memory + take * new
            new = new if valid is None else torch.where(valid[:, None, None], new, memory)
        pooling, output = self.config.pooling, None
        if self.config.reads_each_token:
            output = self.head(tokens_out)
        elif pooling == "each":
            output = self._features(new, masked_mean(tokens_out, mask))
        elif pooling == "last" and reads_tokens:
            mean = masked_mean(tokens_out, mask)
            summary = mean if valid is None else torch.where(valid[:, None], mean, summary)
        elif pooling == "mean":
            summary = summary + (tokens_out if mask is None else torch.where(mask[..., None], tokens_out, 0)).sum(1)
        return (new, summary, *synapses, *cache, *([memory] if self.cached_read is not None else [])), output

    def encode(
        self,
        x: Float[Tensor, "batch segment_len d_model"],
        mask: Bool[Tensor, "batch segment_len"] | None,
        memory: Float[Tensor, "batch n_memory d_model"],
        shared: tuple[Tensor, ...],
        reads_tokens: bool,
        synapses: tuple[Tensor, ...] = (),
    ) -> tuple[Float[Tensor, "batch read d_model"], Float[Tensor, "batch n_memory d_model"], tuple[Tensor, ...]]:
        """Pass memory and tokens through the blocks; return tokens, what stands at the memory positions, and synapses.

        Without `reads_tokens` the tokens may be left out of the last layer's output.
        """
        n_memory = memory.shape[1]
        behind = n_memory if self.config.task == "lm" else 0
        x = torch.cat([memory, x, memory] if behind else [memory, x], dim=1)
        mask = None if mask is None else F.pad(mask, (n_memory, behind), value=True)
        n_read = [None] * (len(self.blocks) - 1) + [None if reads_tokens else n_memory]
        after: tuple[Tensor, ...] = ()
        each = len(synapses) // len(self.blocks)
        positions = shared or (None,) * len(self.blocks)
        for i, (block, phi_r, n) in enumerate(zip(self.blocks, positions, n_read, strict=True)):
            if synapses:
                x, own = block(x, mask, phi_r, n, synapses[i * each : (i + 1) * each])
                after += own
            else:
                x = block(x, mask, phi_r, n)
        x = self.norm(x)
        return x[:, n_memory : x.shape[1] - behind], x[:, -behind:] if behind else x[:, :n_memory], after

    def _features(self, memory: Tensor, summary: Tensor) -> Tensor:
        if self.config.pooling == "memory":
            return memory.mean(1)
        if self.config.pooling == "mean" or not memory.shape[1]:
            return summary
        return torch.cat([summary, memory.mean(1)], dim=-1)

    def _logits(self, state: State, outputs: list) -> Tensor:
        if self.config.reads_each_token:
            return torch.cat(outputs, dim=1)
        if self.config.pooling == "each":
            return self.head(torch.stack(outputs, dim=1))
        mean = self.config.pooling == "mean"
        summary = state.summary / state.count[:, None].clamp_min(1) if mean else state.summary
        features = self._features(state.memory, summary)
        if self.config.task == "match":
            a, b = features.unflatten(0, (-1, 2)).unbind(1)
            features = torch.cat([a, b, a * b, a - b], dim=-1)
        return self.head(features)

    def initial_state(self, batch: int, n_segments: int | None = None) -> State:
        """The state before a stream of `batch` sequences or pairs; `n_segments` only for memory_update="scale"."""
        n_segments = None if n_segments is None else check_count("n_segments", n_segments)
        return self._first_state(check_count("batch", batch) * (2 if self.config.task == "match" else 1), n_segments)

    def _first_state(self, batch: int, n_segments: int | None = None) -> State:
        weight, d_model = self.embedding.weight, self.config.d_model
        memory = weight.new_zeros(1, 0, d_model) if self.memory is None else self.memory[None]
        counts = torch.zeros(batch, dtype=torch.long, device=weight.device)
        blocks = self.blocks if self.is_synaptic else ()
        synapses = [state for block in blocks for state in block.attention.initial(batch)]
        summary = weight.new_zeros(batch, d_model)
        return State(memory.repeat(batch, 1, 1), summary, counts, counts, 0, n_segments, (), tuple(synapses))

    def step(
        self,
        segment: Int[Tensor, "batch *pair tokens"] | Float[Tensor, "batch *pair tokens n_features"],
        state: State,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The next tokens of a stream: logits so far (of each of these tokens with "tag" and "lm"), and the next state.

        A language model takes any number of tokens and equals :meth:`forward` on everything given so far. The other
        tasks take one segment, and are equal when all segments but the last are full. With memory_update="scale" the
        state must know T.
        """
        segment = self._checked(segment, lengths)
        self._check_state(state, len(segment))
        if self.config.task != "lm":
            if segment.shape[1] > self.config.segment_len:
                rule = f"segment must have at most {self.config.segment_len} tokens"
                raise ValueError(f"{rule}, got {segment.shape[1]}")
            return self._step(segment, state)
        begun = segment[:, :0] if state.pending is None else state.pending
        logits = []
        for part in torch.cat([begun, segment], dim=1).split(self.config.segment_len, dim=1):
            outputs, after = self._step(part, state)
            logits.append(outputs)
            full = part.shape[1] == self.config.segment_len
            state = after if full else replace(state, pending=part)  # the rest of the segment is still to come
        return torch.cat(logits, dim=1)[:, begun.shape[1] :], state

    def _step(self, segment: Tensor, state: State) -> tuple[Tensor, State]:
        scaled = self.config.memory_update == "scale" and self.config.n_memory > 0
        if scaled and (state.n_segments is None or state.steps >= state.n_segments):
            raise ValueError(
                f"n_segments must be given to initial_state and not be exceeded with memory_update='scale', got "
                f"{state.n_segments} at segment {state.steps + 1}; a state from forward() has none: start anew, "
                "or choose 'relax' or 'consolidate' to stream without it"
            )
        cut = self._segments(segment, state)
        step: Callable = self._compiled or type(self)._segment
        carry, output = step(self, *cut.at(0), _carried(state), self._kept_tensors(), True)
        after = self._after(state, cut, carry)
        logits = self._logits(after, [output])
        if self.config.reads_each_token:
            logits = logits[:, : segment.shape[1]]
        elif self.config.pooling == "each":
            logits = logits[:, 0]
        return logits, after

    @torch.no_grad()
    def generate(
        self,
        prompt: Int[Tensor, "batch tokens"],
        n_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "batch more"]:
        """The prompt and `n_tokens` that a language model adds, drawn one after the other.

        Time and memory per token are bounded by one segment, however long the text becomes: the carry stands for all
        earlier segments. Draws as in training mode if the model is in it; call ``eval()`` first. `temperature` divides
        the logits, and 0 takes the likeliest token; `top_k` draws among so many likeliest ones.
        """
        if self.config.task != "lm":
            raise ValueError(f"task must be 'lm' to generate, got {self.config.task!r}")
        check_count("n_tokens", n_tokens)
        check_number("temperature", temperature, zero=True)
        if top_k is not None:
            check_count("top_k", top_k)
        tokens, state, new = prompt, self.initial_state(len(prompt)), prompt
        for _ in range(n_tokens):
            logits, state = self.step(new, state)
            last = logits[:, -1].float()
            last[:, 0] = -math.inf  # no padding
            if top_k is not None:
                least = last.topk(min(top_k, last.shape[-1] - 1)).values[:, -1:]
                last = last.masked_fill(last < least, -math.inf)
            if temperature == 0:
                new = last.argmax(-1, keepdim=True)
            else:
                new = torch.multinomial((last / temperature).softmax(-1), 1, generator=generator)
            tokens = torch.cat([tokens, new.to(tokens.dtype)], dim=1)
        return tokens

    def compile(self, *args, **kwargs) -> None:
        """Compile the segment step in place (arguments of torch.compile); replay then uses the same compiled step.

        It is compiled for training, for its first pass without a graph and for evaluation, with and without the
        tokens' outputs, for one batch size and then for any: up to 14 graphs, and with cached memories as many for each
        segment. Beyond RECOMPILE_LIMIT it raises, where torch would go on without: then a segment's first pass would be
        compiled and its replay not, with other dropout in each.
        """
        limits = torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT, fail_on_recompile_limit_hit=True)
        compiled = torch.compile(type(self)._segment, *args, **kwargs)

        @limits
        def segment(*inputs):
            try:
                return compiled(*inputs)
            except torch._dynamo.exc.FailOnRecompileLimitHit as error:
                rule = f"a compiled model must need at most {RECOMPILE_LIMIT} graphs"
                raise RuntimeError(f"{rule}, got more; leave out compile, or cached_memories") from error

        self._compiled = segment

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_compiled": None, "_kept": None}  # a copy, or a pickled model, makes them anew

    def provenance(self, n_segments: int | None = None) -> dict:
        """Every constant with its origin, the overrides, and whether T reads a curve beyond its observed range.

        T is `n_segments`, or follows from the configuration's `max_len`.
        """
        if n_segments is None and self.config.max_len is not None:
            n_segments = -(-self.config.max_len // self.config.segment_len)
        return self.constants.record(None if n_segments is None else check_count("n_segments", n_segments))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights, configuration, provenance and curve files: :func:`rmaat.models.pretrained.save_model`."""
        return save_model(self, folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "RMAAT":
        """Read what :meth:`save_pretrained` wrote: :func:`rmaat.models.pretrained.load_model`."""
        return load_model(cls, folder)


def _carried(state: State) -> tuple[Tensor, ...]:
    return state.memory, state.summary, *state.synapses, *state.cache


def _sinusoids(length: int, d_model: int) -> Float[Tensor, "length d_model"]:
    """sin and cos of position / 10000^(2i / d_model) (Vaswani et al. 2017), RMS 1 / sqrt(2)."""
    angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, d_model, 2) * (-math.log(1e4) / d_model))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :d_model]
