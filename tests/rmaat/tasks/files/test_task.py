"""Your own file as a task: its splits, its card, and what it refuses."""

import json

import numpy as np
import pytest

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.files.tokenizers import Bytes

WORDS = {"good": "pos", "fine": "pos", "bad": "neg", "poor": "neg"}


def write(path, n=60, rows=()):
    lines = [f"{word} film {i // 2}\t{label}" for i in range(n // 4) for word, label in WORDS.items()]
    path.write_text("\n".join(["review\tstars", *lines, *rows]) + "\n")
    return path


def load(path=None, **options):
    return load_task("file", **{"data": path, "text": "review", "label": "stars"} | options)


def texts(split):
    return [Bytes().decode(split.sequence(i)) for i in range(len(split))]


def test_a_table_with_labels(tmp_path):
    task = load(write(tmp_path / "a.tsv"), held_out=0.2)
    assert (task.kind, task.n_classes, task.vocab_size, task.max_len) == ("classify", 2, 257, 11)
    card = task.card
    assert card["classes"] == ["neg", "pos"] and card["majority_rate"]["train"] == pytest.approx(0.5, abs=0.1)
    assert np.sum(list(card["class_counts"].values()), axis=0).tolist() == [30, 30]
    assert sum(card["samples"].values()) == 60 and card["in_training_too"] == {"validation": 0, "test": 0}
    for split in (task.train, task.validation, task.test):
        assert [WORDS[text.split()[0]] for text in texts(split)] == [card["classes"][i] for i in split.labels]
    train, test = (set(texts(split)) for split in (task.train, task.test))
    assert not train & test  # each text stands twice in the file
    assert task.summary == "file: 38 + 12 + 10 samples of 10 to 11 tokens, 2 classes, commonest 60.0% of the test"
    assert card["content_sha256"] != load(tmp_path / "a.tsv", held_out=0.2, seed=1).card["content_sha256"]


def test_files_of_their_own(tmp_path):
    data, other = write(tmp_path / "a.tsv"), tmp_path / "b.jsonl"
    other.write_text('{"review": "bad film 3", "stars": "neg"}\n{"review": null, "stars": "pos"}\n')
    task = load(data, test=other)
    assert texts(task.test) == ["bad film 3", " "] and task.test.labels.tolist() == [0, 1]
    assert len(task.train) + len(task.validation) == 60
    assert task.card["empty_texts"] == 1
    assert task.card["split"] == (
        "0.1 of the training file each for validation, drawn with seed 0; test from files of their own"
    )
    both = load(data, test=other, validation=data)
    assert len(both.train) == len(both.validation) == 60
    assert both.card["in_training_too"] == {"validation": 60, "test": 1}


def test_labels_of_json_are_classes_too(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": str(i), "y": i % 3}) + "\n" for i in range(60)))
    task = load_task("file", data=tmp_path / "a.jsonl", label="y")
    assert task.card["classes"] == ["0", "1", "2"]
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "{i}", "y": {i % 2 == 0}}}\n'.lower() for i in range(60)))
    assert load_task("file", data=tmp_path / "a.jsonl", label="y").card["classes"] == ["false", "true"]


def test_long_texts_are_whole_or_cut(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "ab"[i % 2] * 100_000, "y": i % 2}) + "\n" for i in range(2)) * 20)
    with pytest.raises(
        TaskError, match=r"held_out must leave a sample for each split, got 0.1 of 2 different samples and none"
    ):
        load_task("file", data=path, label="y")  # two texts, twenty times each
    task = load_task("file", data=path, label="y", validation=path, test=path)
    assert task.max_len == 100_000 and task.card["cut"] == 0
    task = load_task("file", data=path, label="y", validation=path, test=path, max_len=7)
    assert task.max_len == 7 and task.card["cut"] == 120 and texts(task.test)[:2] == ["a" * 7, "b" * 7]


def test_a_text_to_write_on(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + bytes(range(32, 127)) * 10 + b"\xff\r\n")
    task = load_task("file", data=path, max_len=100)
    assert task.kind == "lm" and task.n_classes == task.vocab_size == 257 and task.max_len == 100
    whole = bytes(range(32, 127)) * 10 + b"\xff\r\n"
    found = [bytes((split.tokens - 1).tolist()) for split in (task.train, task.validation, task.test)]
    assert found == [whole[:762], whole[763:857], whole[858:-1]]  # the last byte of each is only asked for
    assert np.array_equal(task.train.labels[:-1], task.train.tokens[1:]) and task.train.per_token
    assert task.card["split"].endswith("each for validation and test, cut off at the end")


def test_texts_of_a_table_to_write_on(tmp_path):
    task = load(write(tmp_path / "a.tsv", rows=["\tpos", "x\tpos"]), label=None, max_len=4)
    assert task.kind == "lm" and task.train.lengths.max() == 4
    whole = {split.tokens.tobytes() for split in (task.train, task.validation)}
    assert len(whole) == 2 and task.card["samples"]["train"] > task.card["samples"]["test"] > 1


def test_a_tokenizers_file(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "good": 1, "film": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "words.json"))
    data = write(tmp_path / "a.tsv")
    task = load(data, validation=data, test=data, tokenizer=tmp_path / "words.json")
    assert task.vocab_size == 5 and task.tokenizer == (tmp_path / "words.json").read_text()
    assert task.card["tokenizer_sha256"] and set(task.train.lengths) == {3}
    (tmp_path / "a.txt").write_text("good film\n" * 100)
    task = load_task("file", data=tmp_path / "a.txt", tokenizer=tmp_path / "words.json")
    assert task.train.tokens[:4].tolist() == [2, 3, 2, 3] and task.train.labels[:4].tolist() == [3, 2, 3, 2]


def test_a_task_is_kept_and_follows_its_file(tmp_path):
    path = write(tmp_path / "a.tsv")
    first = load(path, data_dir=tmp_path / "kept")
    kept = list((tmp_path / "kept").iterdir())
    assert len(kept) == 1 and load(path, data_dir=tmp_path / "kept").card == first.card
    write(path, n=64)
    assert load(path, data_dir=tmp_path / "kept").card["content_sha256"] != first.card["content_sha256"]
    path.rename(tmp_path / "kept" / "a.tsv")
    assert load(path, data_dir=tmp_path / "kept").card["samples"] != first.card["samples"]  # found by its name


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            ["so\tneu"],
            {"test": "a.tsv", "data": "b.tsv"},
            r"a.tsv:62 must have a label .* \(neg, pos\), got 'neu'; add",
        ),
        (["so\t"], {}, r"a.tsv:62 must have a label, got none; fill it in or remove the line"),
        (
            [],
            {"data": "u.jsonl"},
            r"labels of .*u.jsonl must be classes, which several texts share, got a label of its",
        ),
        ([], {"label": "none"}, r"a.tsv must have one column 'none', got review, stars"),
        ([], {"held_out": 0.5}, r"held_out must be a share above 0 and below 0.5, got 0.5"),
        ([], {"max_len": 0}, r"max_len must be at least 1, got 0"),
        ([], {"data": "c.tsv"}, r"c.tsv must be a file, got none; check the path, or give its folder as --data-dir"),
        ([], {"data": "one.tsv"}, r"one.tsv must have at least two labels, got only 'pos'"),
        ([], {"data": "empty.tsv"}, r"empty.tsv must have at least one row below its header, got none"),
        (
            [],
            {"data": "a.txt"},
            r"label must be left out for plain text, which has no columns, got 'stars' for .*a.txt",
        ),
        ([], {"data": "a.txt", "label": None}, r"a.txt must have text enough for the validation split, got less than"),
        ([], {"data": "n.jsonl"}, r"n.jsonl:1 must have a text in the column of texts, got 3; write it in quotation"),
        ([], {"data": "l.jsonl"}, r"l.jsonl:1 must have one label, got \['a'\]; several labels of a text are not"),
    ],
)
def test_what_cannot_be_a_task_is_one_sentence(tmp_path, rows, options, message):
    write(tmp_path / "a.tsv", rows=rows)
    write(tmp_path / "b.tsv")
    (tmp_path / "one.tsv").write_text("review\tstars\na\tpos\nb\tpos\n")
    (tmp_path / "empty.tsv").write_text("review\tstars\n")
    (tmp_path / "a.txt").write_text("four")
    (tmp_path / "n.jsonl").write_text('{"review": 3, "stars": "pos"}\n')
    (tmp_path / "u.jsonl").write_text("".join(f'{{"review": "a", "stars": {i}}}\n' for i in range(5)))
    (tmp_path / "l.jsonl").write_text('{"review": "", "stars": ["a"]}\n')
    paths = {name: tmp_path / value for name, value in options.items() if name in ("data", "test")}
    with pytest.raises(TaskError, match=message):
        load(**{"path": None, "data": tmp_path / "a.tsv"} | options | paths)
