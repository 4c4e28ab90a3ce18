"""Text and Retrieval on tiny files in the official format."""

import numpy as np
import pytest

from rmaat.tasks import TaskError, load_task


def text_of(tokens):
    return bytes((tokens - 1).tolist()).decode()


def test_text(imdb):
    task = load_task("text", imdb)
    assert task.card["samples"] == {"train": 36, "validation": 4, "test": 12}
    assert task.kind == "classify" and task.vocab_size == 257
    assert text_of(task.test.sequence(2)) == "neg test 2 é" and task.test.labels[2] == 0
    assert text_of(task.test.sequence(11)) == "pos test 5 é" and task.test.labels[11] == 1
    kept = {task.train.sequence(i).tobytes() for i in range(36)}
    held_out = {task.validation.sequence(i).tobytes() for i in range(4)}
    assert len(kept | held_out) == 40
    other = load_task("text", imdb, seed=1)
    assert held_out != {other.validation.sequence(i).tobytes() for i in range(4)}


def test_text_options(imdb):
    lra = load_task("text", imdb, validation="test", max_len=5)
    assert lra.card["content_sha256"] and np.array_equal(lra.validation.tokens, lra.test.tokens)
    assert len(lra.train) == 40 and lra.train.lengths.max() == 5 and "validation is the test set" in lra.card["split"]
    with pytest.raises(TaskError, match=r"validation must be a share between 0 and 1 or 'test', got 2.0"):
        load_task("text", imdb, validation=2.0)
    for name, length, rule in (("text", 0, "at least 1"), ("retrieval", -1, "at least 1"), ("text", "x", "an integer")):
        with pytest.raises(TaskError, match=rf"^max_len must be {rule}, got {length!r}$"):
            load_task(name, imdb, max_len=length)
    (imdb / "aclImdb" / "test" / "pos" / "x_1.txt").write_text("?")
    with pytest.raises(TaskError, match=r"x_1.txt must be named <id>_<rating>.txt, got x_1.txt"):
        load_task("text", imdb)


def test_a_label_without_reviews(imdb):
    for path in (imdb / "aclImdb" / "test" / "pos").glob("*.txt"):
        path.unlink()
    with pytest.raises(TaskError, match=r"test/pos must hold reviews, <id>_<rating>.txt, got none; unpack the archive"):
        load_task("text", imdb)


def test_text_as_tsv(tmp_path):
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "train.tsv").write_text('1\tgood "quoted\n0\tbad\n' * 10)
    (tmp_path / "imdb" / "test.tsv").write_text("0\tbad\n")
    task = load_task("text", tmp_path)
    assert task.card["samples"] == {"train": 18, "validation": 2, "test": 1}
    (tmp_path / "imdb" / "test.tsv").write_text("0\tbad\npos\tgood\n")
    with pytest.raises(TaskError, match=r"test.tsv:2 must begin with the label 0 or 1, got 'pos'"):
        load_task("text", tmp_path)
    (tmp_path / "imdb" / "test.tsv").write_text("0\tbad\n1 good\n")
    with pytest.raises(TaskError, match=r"test.tsv:2 must have 2 tab-separated columns, got 1"):
        load_task("text", tmp_path)


def test_retrieval(tmp_path, aan_file):
    """No header, no quoting, float labels."""
    aan_file("train", '1.0\tP05-1\tP04-2\tone "text\tanother', "0.0\ta\tb\tthree\t")
    aan_file("eval", "1.0\ta\tb\tx\ty")
    aan_file("test", "0\ta\tb\tx\ty")
    task = load_task("retrieval", tmp_path, max_len=9)
    assert task.kind == "match" and task.train.n_parts == 2 and task.train.labels.tolist() == [1, 0]
    assert text_of(task.train.sequence(0, 0)) == 'one "text'
    assert text_of(task.train.sequence(0, 1)) == "another"
    assert task.train.sequence(1, 1).tolist() == [33]  # an empty document is one space
    assert task.train.lengths.tolist() == [[9, 7], [5, 1]]
    aan_file("eval", "1.0\ta\tb\tx\ty", "1.0\ta\tb\tx")
    with pytest.raises(TaskError, match=r"new_aan_pairs.eval.tsv:2 must have 5 tab-separated columns, got 4"):
        load_task("retrieval", tmp_path)
    (tmp_path / "tsv_data" / "new_aan_pairs.test.tsv").unlink()
    aan_file("eval", "1.0\ta\tb\tx\ty")
    with pytest.raises(TaskError, match=r"new_aan_pairs.test.tsv must exist"):
        load_task("retrieval", tmp_path)
