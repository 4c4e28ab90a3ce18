"""Bytes, and files of Hugging Face's tokenizers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaat.tasks import TaskError
from rmaat.tasks.files.tokenizers import Bytes, load_tokenizer


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A tokeniser of words whose file says to cut at three tokens and to pad to nine."""
    tokenizers = pytest.importorskip("tokenizers")
    ids = {"[UNK]": 0, "good": 1, "bad": 2, "film": 7, "[CLS]": 8}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 8)])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@given(st.text(st.characters(codec="utf-8")))
def test_bytes_there_and_back(text):
    tokens = Bytes().encode([text])[0]
    assert Bytes().decode(tokens) == (text or " ") and 0 < tokens.min() <= tokens.max() < Bytes.vocab_size


def test_half_a_surrogate_pair_is_a_question_mark():
    assert Bytes().decode(Bytes().encode(["a\ud800b"])[0]) == "a?b"


def test_a_tokenizers_file(words):
    tokenizer = load_tokenizer(words)
    assert tokenizer.vocab_size == 11 and tokenizer.text == words.read_text()
    texts = ["good film film film bad", "what\ud800", ""]
    assert [list(tokens) for tokens in tokenizer.encode(texts)] == [[9, 2, 8, 8, 8, 3], [9, 1, 1], [9]]
    plain = tokenizer.encode(texts, special=False)
    assert [list(tokens) for tokens in plain] == [[2, 8, 8, 8, 3], [1, 1], [10]]  # a text without tokens: the last id
    assert tokenizer.decode(np.array([2, 8, 10])) == "good film"


def test_files_that_are_no_tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(TaskError, match=r"tokenizer must be a file that Tokenizer.save wrote, got: "):
        load_tokenizer(tmp_path / "a.json")
