"""From texts to token ids and back: bytes, or a tokeniser of Hugging Face's library `tokenizers`.

Id 0 is padding, so every id of a tokeniser is one more here than in its own file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from astro_sim.curves.files import read_text
from rmaat.tasks.dataset import TaskError
from rmaat.tasks.text import BYTES, to_tokens

MOST_BYTES = 100_000_000  # of a tokeniser's file; the largest known have about 30 million


class Tokenizer(Protocol):
    """What makes token ids of texts."""

    vocab_size: int
    """Number of ids, padding included."""
    vocabulary: str
    """The ids in words, for a task's card."""
    text: str
    """The tokeniser's file; "" for bytes."""

    def encode(self, texts: Sequence[str], special: bool = True) -> list[np.ndarray]:
        """Token ids of each text, at least one; with the special tokens that the tokeniser puts around a text."""

    def decode(self, tokens: np.ndarray) -> str:
        """The text of token ids."""


class Bytes:
    """UTF-8 bytes: token = byte + 1; an empty text is one space."""

    vocab_size, vocabulary, text = 257, BYTES, ""

    def encode(self, texts: Sequence[str], special: bool = True) -> list[np.ndarray]:
        return [to_tokens(text.encode(errors="replace"), len(text) * 4) for text in texts]

    def decode(self, tokens: np.ndarray) -> str:
        return bytes(int(token) - 1 for token in tokens).decode(errors="replace")


class HuggingFaceTokenizer:
    """A tokeniser of the library `tokenizers`, from the text of its JSON file; the extra `hf`.

    A text without any token, such as an empty one, is one token of its own, the last id. The file's own rules of
    truncation and padding are not followed: sequences are whole and padded batch by batch.
    """

    def __init__(self, text: str):
        try:
            from tokenizers import Tokenizer as Backend  # an extra
        except ImportError as error:
            raise TaskError("tokenizer needs the library tokenizers; pip install 'astro-rmaat[hf]'") from error
        self.text = text
        try:
            self.backend: Any = Backend.from_str(text)
        except Exception as error:  # the library raises Exception itself
            raise TaskError(f"tokenizer must be a file that Tokenizer.save wrote, got: {error}") from error
        self.backend.no_truncation()
        self.backend.no_padding()
        n = 1 + max(self.backend.get_vocab().values(), default=0)  # ids may have gaps
        self.vocab_size, self.nothing = n + 2, n + 1
        self.vocabulary = f"0 padding, 1 + id 0..{n - 1} of a tokenizers file, {n + 1} a text without tokens"

    def encode(self, texts: Sequence[str], special: bool = True) -> list[np.ndarray]:
        valid = [text.encode(errors="replace").decode() for text in texts]  # no lone surrogates
        found = self.backend.encode_batch(valid, add_special_tokens=special)
        return [np.array(encoding.ids, dtype=np.uint32) + 1 if encoding.ids else self._nothing() for encoding in found]

    def _nothing(self) -> np.ndarray:
        return np.array([self.nothing], dtype=np.uint32)

    def decode(self, tokens: np.ndarray) -> str:
        return self.backend.decode([int(token) - 1 for token in tokens if int(token) != self.nothing])


def load_tokenizer(path: Path | None) -> Tokenizer:
    """The tokeniser of a JSON file, or of bytes if there is none."""
    if path is None:
        return Bytes()
    return HuggingFaceTokenizer(read_text(path, "tokenizer", most=MOST_BYTES))
