"""Memory tokens for a model of `transformers`: the model is the segment step, curves say what the memory keeps.

A sequence is cut into segments. The embeddings of each pass through the model together with the memory, and what stands
at the memory's places in the last hidden layer is the candidate for the next memory::

    encoder   [memory, x_t]          the memory reads and is read
    decoder   [memory, x_t, memory]  read before the segment, written behind it (RMT's decoder, arXiv:2207.06881)

    memory <- keep_t memory + take_t new        keep and take of rmaat.memory.retention

In the backward pass :func:`rmaat.memory.replay.replay` runs each segment again (AMRB), with the same random numbers.

Choices where the sources are silent [inferred]
-----------------------------------------------
- The first memory is learned and starts with the standard deviation of the model's own embeddings.
- Positions are counted from the start of ``[memory, x_t]``, anew for each segment.
- A label for a whole sequence is read from the mean of the last segment's tokens beside the mean of the final memory,
  as in :mod:`rmaat.models.rmaat`.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from astro_sim.curves.curve import Curve
from rmaat.config import ModelConfig, check_count
from rmaat.hf.heads import CurveModel
from rmaat.hf.inputs import packed, unpacked
from rmaat.layers.block import masked_mean
from rmaat.memory.replay import Carry, fingerprint, replay, run_segments
from rmaat.memory.segments import Segments
from rmaat.models.constants import Constants

RULES = ("relax", "consolidate", "scale", "replace")


class MemoryConfig(PretrainedConfig):
    """A model of `transformers`, by its class and configuration, and the memory around it."""

    model_type = "rmaat-memory"

    backbone_class: str = ""
    backbone: dict | None = None
    n_memory: int = 16
    segment_len: int = 256
    causal: bool = False
    gives_logits: bool = False
    memory_update: str = "relax"
    retention: str | None = None
    relaxation_rate: float | None = None
    seconds_per_segment: float = 50.0
    backprop: str = "amrb"
    offload: bool = False
    labels_sequences: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.curve_draws: dict[str, list] = kwargs.pop("curve_draws", {})
        self.provenance: dict[str, Any] | None = kwargs.pop("provenance", None)
        super().__post_init__(**kwargs)
        if self.memory_update not in RULES:
            raise ValueError(f"memory_update must be one of {', '.join(RULES)}, got {self.memory_update!r}")
        check_count("n_memory", self.n_memory)
        self.rule()

    def rule(self) -> ModelConfig:
        """The memory's rule in the terms of a model of ours, which check it and give its constants."""
        names = ("n_memory", "segment_len", "memory_update", "retention", "relaxation_rate", "seconds_per_segment")
        chosen: dict[str, Any] = {name: getattr(self, name) for name in (*names, "backprop", "offload")}
        return ModelConfig(vocab_size=2, attention="softmax", **chosen)


@dataclass
class MemoryOutput(ModelOutput):
    """Loss with `labels`; logits, or hidden states (batch, length, width) of a model without a head; last memory."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    memory: Tensor | None = None


class MemoryModel(CurveModel):
    """A model of `transformers` with memory tokens; :func:`with_memory` makes one."""

    config_class = MemoryConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(
        self,
        config: MemoryConfig,
        curves: Mapping[str, Curve] | None = None,
        backbone: PreTrainedModel | None = None,
    ):
        super().__init__(config)
        self.constants = Constants.resolve(config.rule(), curves)
        if backbone is None:
            backbone = _class_of(config.backbone_class)(AutoConfig.for_model(**config.backbone or {}))
        elif backbone.device.type != "meta":
            for module in backbone.modules():
                module._is_hf_initialized = True  # its weights stay
        self.backbone: Any = backbone
        width = backbone.get_input_embeddings().embedding_dim
        self.memory = nn.Embedding(config.n_memory, width)
        self.classifier = nn.Linear(2 * width, config.num_labels) if config.labels_sequences else None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Give what no file held; the model inside follows its own rules."""
        if module is self.memory:
            init.normal_(module.weight, std=float(self.get_input_embeddings().weight.float().std()))
        elif module is self.classifier:
            init.normal_(module.weight, std=module.in_features**-0.5)
            init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Embedding:
        """The embedding of the model inside."""
        return self.backbone.get_input_embeddings()

    def carried_curves(self) -> dict[str, Curve]:
        """The curves that the retention reads."""
        return self.constants.curves

    def provenance(self) -> dict[str, Any]:
        """The memory's rates with their origin."""
        return self.constants.record(None)

    @can_return_tuple
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs: Any
    ) -> MemoryOutput:
        """Answers for each token, or for each sequence with `num_labels`; with `labels` the loss; the last memory.

        Parameters
        ----------
        input_ids : tensor (batch, length)
        attention_mask : tensor (batch, length), optional
            0 is padding, wherever it stands; padding changes nothing.
        labels : tensor (batch, length) or (batch,)
            As the model inside takes them, or one for each sequence.
        """
        tokens, places = packed(input_ids, attention_mask, self.get_input_embeddings().num_embeddings)
        memory, summary, outputs = self._run(tokens)
        if self.classifier is not None:
            logits = self.classifier(torch.cat([summary, memory.mean(1)], dim=-1))
            options: dict[str, Any] = {"pooled_logits": logits, "config": self.config}
            loss = None if labels is None else ForSequenceClassificationLoss(labels, **options, **kwargs)
            return MemoryOutput(loss=loss, logits=logits, memory=memory)
        each = unpacked(torch.cat(outputs, dim=1)[:, : tokens.shape[1]], places)
        if not self.config.gives_logits:
            return MemoryOutput(last_hidden_state=each, memory=memory)
        options = {"vocab_size": each.shape[-1], "config": self.backbone.config}
        given = labels is not None
        loss = self.backbone.loss_function(logits=each, labels=labels, **options, **kwargs) if given else None
        return MemoryOutput(loss=loss, logits=each, memory=memory)

    def _run(self, tokens: Int[Tensor, "batch length"]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Final memory, mean of the last segment's tokens, and the outputs of all segments."""
        config, parameters = self.config, tuple(self.parameters())
        memory = self.memory(torch.arange(config.n_memory, device=tokens.device))
        seen = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        retention = self.constants.retention
        segments = Segments.cut(tokens, config.segment_len, retention, memory.dtype, seen, 0, None)
        if segments.empty:
            raise ValueError(f"attention_mask must leave a token to each sequence, got {segments.empty} without")

        def step(t: int, carry: Carry, shared: Carry) -> tuple[Carry, Tensor | None]:
            return self._segment(segments.at(t), *carry)

        carry = (memory.repeat(len(tokens), 1, 1), memory.new_zeros(len(tokens), memory.shape[-1]))
        n_segments = len(segments.full)
        if config.backprop == "bptt":
            after, outputs = run_segments(step, n_segments, carry)
        else:
            after, outputs = replay(step, n_segments, carry, (), parameters, config.offload, lambda: fingerprint(self))
        memory, summary = after
        return memory, summary, [output for output in outputs if output is not None]

    def _segment(self, given: tuple, memory: Tensor, summary: Tensor) -> tuple[Carry, Tensor | None]:
        """One segment, `given` by :meth:`Segments.at`: the next memory and summary, and the answers for each token."""
        tokens, mask, valid, keep, take = given
        n, length = memory.shape[1], tokens.shape[1]
        x = self.get_input_embeddings()((tokens - 1).clamp_min(0)).to(memory.dtype)
        x = torch.cat([memory, x, memory] if self.config.causal else [memory, x], dim=1)
        around = None if mask is None else F.pad(mask, (n, n if self.config.causal else 0), value=True).long()
        hidden, logits = outputs_of(self.backbone, x, around)
        new = hidden[:, -n:] if self.config.causal else hidden[:, :n]
        new = (keep * memory + take * new).to(memory.dtype)
        hidden = hidden[:, n : n + length]
        mean = masked_mean(hidden, mask).to(summary.dtype)
        if valid is not None:
            new, mean = torch.where(valid[:, None, None], new, memory), torch.where(valid[:, None], mean, summary)
        if self.classifier is not None:
            return (new, mean), None
        return (new, mean), hidden if logits is None else logits[:, n : n + length]


def _class_of(name: str) -> type[PreTrainedModel]:
    """The model class of `transformers` with this name, which may come from a file of somebody else."""
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        raise ValueError(f"backbone_class must be a model class of transformers, got {name!r:.60}")
    return kind


def outputs_of(
    model: PreTrainedModel, embeddings: Float[Tensor, "batch length width"], mask: Tensor | None
) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch length n"] | None]:
    """Last hidden states of a model, and its logits if it has a head."""
    takes_cache = "use_cache" in inspect.signature(model.forward).parameters
    options: dict[str, Any] = {"use_cache": False} if takes_cache else {}
    found = model(inputs_embeds=embeddings, attention_mask=mask, output_hidden_states=True, return_dict=True, **options)
    if "last_hidden_state" in found:
        return found.last_hidden_state, None
    return found.hidden_states[-1], found.logits


def with_memory(
    model: PreTrainedModel,
    n_memory: int = 16,
    segment_len: int = 256,
    curves: Mapping[str, Curve] | None = None,
    *,
    num_labels: int | None = None,
    **options: Any,
) -> MemoryModel:
    """Give memory tokens to a model of `transformers`, whose weights it keeps and shares.

    It reads texts of any length in segments; time grows linearly with the length, and in training the memory of one
    segment's activations is needed.

    Parameters
    ----------
    model
        An encoder or a decoder: a bare one (``AutoModel``), or one whose head answers for each token
        (``AutoModelForCausalLM``, ``...ForMaskedLM``, ``...ForTokenClassification``). Whether a token sees later ones
        is found out by a trial with two tokens.
    n_memory
        Memory tokens.
    segment_len
        Tokens of a segment; with the memory, which a decoder has twice, within the positions that the model knows.
    curves
        By default the packaged ones (:func:`rmaat.load_curves`).
    num_labels
        For a bare model: adds a linear head that answers for the whole sequence.
    options
        Fields of :class:`MemoryConfig`: ``memory_update`` ("relax", "consolidate", "scale" or "replace"),
        ``retention``, ``relaxation_rate``, ``seconds_per_segment``, ``backprop`` ("amrb" or "bptt"), ``offload``; and
        ``problem_type`` or ``id2label``.
    """
    if not isinstance(model, PreTrainedModel):
        remedy = "call get_peft_model(with_memory(...), LoraConfig(..., modules_to_save=['memory'])) for LoRA"
        raise ValueError(f"model must be a model of transformers, got {type(model).__name__}; {remedy}")
    embedding = None if model.config.is_encoder_decoder else model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding):
        raise ValueError(f"model must be an encoder or a decoder of token ids, got {type(model).__name__}")
    causal, gives_logits = _tried(model, embedding)
    if gives_logits and num_labels is not None:
        raise ValueError(f"num_labels needs a model without a head, got {type(model).__name__}; load it by AutoModel")
    if num_labels is not None:
        options["num_labels"] = num_labels
    config = MemoryConfig(
        backbone_class=type(model).__name__, backbone=model.config.to_dict(), causal=causal, gives_logits=gives_logits,
        n_memory=n_memory, segment_len=segment_len, labels_sequences=num_labels is not None, **options,
    )  # fmt: skip
    most, needed = getattr(model.config, "max_position_embeddings", None), segment_len + n_memory * (1 + causal)
    if most is not None and needed > most:
        terms = "segment_len + 2 n_memory" if causal else "segment_len + n_memory"
        raise ValueError(
            f"{terms} must be at most the {most} positions of the model, got {needed}; cut shorter segments"
        )
    return MemoryModel(config, curves, model).train(model.training)


@torch.no_grad()
def _tried(model: PreTrainedModel, embedding: nn.Embedding) -> tuple[bool, bool]:
    """Whether a token sees only earlier ones, and whether the model puts out logits for each token."""
    training, width = model.training, embedding.embedding_dim
    model.eval()
    drawn = torch.randn(2, 1, width, generator=torch.Generator().manual_seed(0)).to(embedding.weight)
    pairs = torch.stack([drawn[0].expand(2, -1), torch.cat([drawn[0], drawn[1]])])  # the same first token
    try:
        hidden, logits = outputs_of(model, pairs, None)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"model must take inputs_embeds and give hidden states, got {type(model).__name__}") from error
    finally:
        model.train(training)
    if (logits is not None and logits.ndim != 3) or hidden.shape[-1] != width:
        got = f"{type(model).__name__} with hidden states {hidden.shape[-1]} and embeddings {width} wide"
        rule = "model must be a bare one, or have a head for each token, and be as wide as its embeddings"
        raise ValueError(f"{rule}, got {got}; load it by AutoModel and give num_labels for a label of the whole")
    return bool(torch.allclose(hidden[0, 0], hidden[1, 0], atol=1e-5)), logits is not None
