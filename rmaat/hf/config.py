"""The configuration of RMAAT as `transformers` wants it: flat, of JSON types, with the names of labels."""

import dataclasses
from typing import Any, ClassVar

from transformers import PretrainedConfig

from rmaat.config import ModelConfig, Task

OWN = ("vocab_size", "n_classes", "task", "carry_state", "n_features")  # fields of ModelConfig that a model here sets

NETWORK = {field.name: field.default for field in dataclasses.fields(ModelConfig) if field.name not in OWN}


class RMAATConfig(PretrainedConfig):
    """Sizes and choices of an RMAAT: the fields of :class:`rmaat.ModelConfig` by their names, and those of all models.

    ``vocab_size`` is that of the tokeniser: ids are 0 ... vocab_size - 1, and ``attention_mask`` alone says what is
    padding. The default is that of bytes. ``num_labels`` or ``id2label`` take the place of ``n_classes``. A value that
    makes no model raises ValueError.

    Examples
    --------
    >>> config = RMAATConfig(vocab_size=100, d_model=32, segment_len=16, n_memory=4, num_labels=3)
    >>> config.hidden_size, config.network("classify").n_classes
    (32, 3)
    """

    model_type = "rmaat"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers",
        "intermediate_size": "d_ff", "max_position_embeddings": "max_len",
    }  # fmt: skip

    vocab_size: int = 256

    def __post_init__(self, **kwargs: Any) -> None:
        names = {self.attribute_map.get(name, name): name for name in kwargs}
        network = {name: kwargs.pop(names[name]) if name in names else value for name, value in NETWORK.items()}
        for name, value in network.items():
            setattr(self, name, value)
        self.curve_draws: dict[str, list] = kwargs.pop("curve_draws", {})
        self.provenance: dict[str, Any] | None = kwargs.pop("provenance", None)
        super().__post_init__(**kwargs)
        self.network("classify")  # checks the values

    def network(self, task: Task) -> ModelConfig:
        """The configuration of the model inside; its token ids are one more, for 0 is padding there."""
        chosen = {name: getattr(self, name) for name in NETWORK}
        labels = {} if task == "lm" else {"n_classes": self.num_labels}
        return ModelConfig(vocab_size=self.vocab_size + 1, task=task, **labels, **chosen)
