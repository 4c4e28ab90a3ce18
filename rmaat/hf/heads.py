"""RMAAT with the heads that `transformers` knows: a label, a label for each token, the next token.

Each holds one :class:`rmaat.RMAAT` and only translates: ids and masks on the way in, loss and output class on the way
out. Weights lie in ``model.safetensors``, and the curves that gave the constants lie beside them, in ``curves/``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils import cached_file
from transformers.utils.generic import can_return_tuple

from astro_sim.curves.curve import Curve
from rmaat.config import Task
from rmaat.hf.config import NETWORK, RMAATConfig
from rmaat.hf.inputs import packed, unpacked
from rmaat.memory.segments import State
from rmaat.models.constants import X_UNITS
from rmaat.models.pretrained import read_curves, write_curves
from rmaat.models.rmaat import RMAAT

PLACES = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class CurveModel(PreTrainedModel):
    """A model of `transformers` with constants from curves, whose files travel with its weights."""

    def carried_curves(self) -> dict[str, Curve]:
        """The curves that the model reads."""
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        """Every constant with its origin: :meth:`rmaat.RMAAT.provenance`."""
        raise NotImplementedError

    def save_pretrained(self, save_directory: str | PathLike, *args: Any, **kwargs: Any) -> None:
        """Write weights, configuration with provenance, and the curve files in ``curves/``."""
        if kwargs.get("is_main_process", True):
            self.config.curve_draws = write_curves(self.carried_curves(), Path(save_directory))
            self.config.provenance = self.provenance()
        super().save_pretrained(save_directory, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Read what :meth:`save_pretrained` wrote; `curves`, by their names, replace those of the folder."""
        path = pretrained_model_name_or_path
        places = {name: kwargs[name] for name in PLACES if kwargs.get(name) is not None}
        if "curves" not in kwargs and path is not None:
            config = kwargs.get("config") or cls.config_class.from_pretrained(path, **places)
            found = (cached_file(path, f"curves/{name}.toml", **places, **QUIET) for name in X_UNITS)
            files = [Path(file) for file in found if file is not None]
            kwargs["curves"] = read_curves(files, getattr(config, "curve_draws", {}))
        return super().from_pretrained(path, *args, **kwargs)


QUIET = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}


class RMAATPreTrainedModel(CurveModel):
    """What the three heads share: the model inside, its beginning and its file."""

    config_class = RMAATConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    task: ClassVar[Task] = "classify"

    def __init__(self, config: RMAATConfig, curves: Mapping[str, Curve] | None = None):
        super().__init__(config)
        self.model = RMAAT(config.network(self.task), curves)
        if self.model.embedding.weight.device.type != "meta":  # drawn already
            for tensor in self._numbers().values():
                tensor._is_hf_initialized = True  # type: ignore[attr-defined]  # a mark of transformers
        self.post_init()

    def _numbers(self) -> dict[str, Tensor]:
        return dict([*self.model.named_parameters(), *self.model.named_buffers()])

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Give the model inside what no file held: the numbers of a fresh one."""
        missing = {name: x for name, x in self._numbers().items() if not getattr(x, "_is_hf_initialized", False)}
        if not missing:
            return
        with torch.device("cpu"):
            fresh = RMAAT(self.model.config, self.model.constants.curves)
        drawn = dict([*fresh.named_parameters(), *fresh.named_buffers()])
        for name, tensor in missing.items():
            tensor.copy_(drawn[name])

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the model inside draws its own."""

    @classmethod
    def from_rmaat(cls, model: RMAAT, **config: Any) -> Any:
        """The same model with this head: weights, curves and choices; `config` is for names of labels and the like.

        Token ids are one less than the model's own, whose 0 is padding: bytes and the tokens of a tokeniser's file are
        their own ids.
        """
        if model.config.task != cls.task:
            raise ValueError(f"model must be of task {cls.task!r} for {cls.__name__}, got {model.config.task!r}")
        own = {name: getattr(model.config, name) for name in NETWORK}
        labels = {} if cls.task == "lm" or "id2label" in config else {"num_labels": model.config.n_classes}
        found = cls(
            RMAATConfig(vocab_size=model.config.vocab_size - 1, **own, **labels | config), model.constants.curves
        )
        found.model.load_state_dict(model.state_dict())
        return found.train(model.training)

    def carried_curves(self) -> dict[str, Curve]:
        """The curves that the model reads."""
        return self.model.constants.curves

    def provenance(self) -> dict[str, Any]:
        """Every constant with its origin: :meth:`rmaat.RMAAT.provenance`."""
        return self.model.provenance()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the model inside; its row 0 is padding, and id i has row i + 1."""
        return self.model.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        raise ValueError("the embedding must stay with its vocab_size; make a model with another RMAATConfig instead")


class RMAATForSequenceClassification(RMAATPreTrainedModel):
    """A label, labels or numbers for each sequence, as ``config.problem_type`` says.

    Examples
    --------
    >>> model = RMAATForSequenceClassification(RMAATConfig(vocab_size=50, d_model=16, segment_len=8, num_labels=3))
    >>> model(torch.tensor([[3, 1, 4, 1, 5]]), labels=torch.tensor([2])).logits.shape
    torch.Size([1, 3])
    """

    def __init__(self, config: RMAATConfig, curves: Mapping[str, Curve] | None = None):
        if config.pooling == "each":
            raise ValueError("pooling must not be 'each' for one label a sequence; choose 'last', 'memory' or 'mean'")
        super().__init__(config, curves)

    @can_return_tuple
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs: Any
    ) -> SequenceClassifierOutput:
        """Logits (batch, num_labels) and, with `labels`, the loss."""
        tokens, _ = packed(input_ids, attention_mask, self.config.vocab_size)
        logits = self.model(tokens)
        if labels is None:
            return SequenceClassifierOutput(logits=logits)
        loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class RMAATForTokenClassification(RMAATPreTrainedModel):
    """A label for each token, which sees its whole segment and the memory of the earlier ones."""

    task: ClassVar[Task] = "tag"

    @can_return_tuple
    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **kwargs: Any
    ) -> TokenClassifierOutput:
        """Logits (batch, length, num_labels) and, with `labels` (batch, length), the loss; -100 is not asked."""
        tokens, places = packed(input_ids, attention_mask, self.config.vocab_size)
        logits = unpacked(self.model(tokens), places)
        loss = None if labels is None else self.loss_function(logits, labels, self.config, **kwargs)
        return TokenClassifierOutput(loss=loss, logits=logits)


@dataclass
class RMAATCausalLMOutput(CausalLMOutput):
    """Loss and logits, and with ``use_cache`` the state that stands for all tokens so far."""

    state: State | None = None


class RMAATForCausalLM(RMAATPreTrainedModel, GenerationMixin):
    """A language model; ``generate`` carries the recurrent state from token to token: constant memory, constant time.

    Greedy search and sampling of prompts of one length do that. Prompts of several lengths, beams, and
    ``memory_update="scale"``, whose factors depend on the length of the whole, compute the whole text for each token.
    """

    task: ClassVar[Task] = "lm"
    _is_stateful = True

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> RMAATCausalLMOutput:
        """Logits (batch, length, vocab_size) and, with `labels` (batch, length), the loss of the next tokens.

        Parameters
        ----------
        labels
            The ids themselves, shifted inside; -100 is not asked for.
        state
            What an earlier call returned with `use_cache`: the tokens are those behind. All sequences then go on, and
            `attention_mask` is not read.
        logits_to_keep
            Only the last so many; 0 for all.
        """
        tokens, places = packed(input_ids, None if state is not None else attention_mask, self.config.vocab_size)
        scaled = self.model.config.memory_update == "scale" and self.model.config.n_memory > 0
        if state is not None or (use_cache and not scaled and bool((tokens != 0).all())):
            logits, state = self.model.step(tokens, state or self.model.initial_state(len(tokens)))
        else:
            logits = self.model(tokens)
        logits = unpacked(logits, places)[:, -logits_to_keep:, 1:]  # without that of padding
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        return RMAATCausalLMOutput(loss=loss, logits=logits, state=state)

    def prepare_inputs_for_generation(self, input_ids: Tensor, state: State | None = None, **kwargs: Any) -> dict:
        """The last token and the state, or the whole text where there is no state."""
        if state is not None:
            return {"input_ids": input_ids[:, -1:], "state": state, "use_cache": True}
        names = ("attention_mask", "use_cache", "logits_to_keep")
        return {"input_ids": input_ids} | {name: kwargs[name] for name in names if name in kwargs}

    def _update_model_kwargs_for_generation(self, outputs: Any, model_kwargs: dict[str, Any], **kwargs: Any) -> dict:
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, **kwargs)
        return model_kwargs if outputs.state is None else model_kwargs | {"state": outputs.state}

    def _prepare_cache_for_generation(self, generation_config: Any, model_kwargs: dict, mode: Any, *args: Any) -> None:
        """No cache of keys and values; no state either where beams would have to be sorted."""
        if mode not in ("greedy_search", "sample"):
            model_kwargs["use_cache"] = generation_config.use_cache = False
