"""Hugging Face: RMAAT as models of `transformers`, and its memory for the models of others; the extra `hf`.

Imports `models` and what stands below. With this import ``AutoConfig`` and ``AutoModelFor...`` know the models.
"""

from importlib.util import find_spec

if find_spec("transformers") is None:
    raise ImportError("rmaat.hf needs the library transformers; pip install 'astro-rmaat[hf]'")

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from rmaat.hf.config import RMAATConfig
from rmaat.hf.heads import RMAATForCausalLM, RMAATForSequenceClassification, RMAATForTokenClassification
from rmaat.hf.memory import MemoryConfig, MemoryModel, with_memory

__all__ = [
    "MemoryConfig", "MemoryModel", "RMAATConfig", "RMAATForCausalLM", "RMAATForSequenceClassification",
    "RMAATForTokenClassification", "with_memory",
]  # fmt: skip

AutoConfig.register("rmaat", RMAATConfig, exist_ok=True)
AutoConfig.register("rmaat-memory", MemoryConfig, exist_ok=True)
AutoModel.register(MemoryConfig, MemoryModel, exist_ok=True)
AutoModelForCausalLM.register(RMAATConfig, RMAATForCausalLM, exist_ok=True)
AutoModelForSequenceClassification.register(RMAATConfig, RMAATForSequenceClassification, exist_ok=True)
AutoModelForTokenClassification.register(RMAATConfig, RMAATForTokenClassification, exist_ok=True)
