"""Series in .npz and .ts files: ragged, with gaps, and one sentence for each damage."""

import numpy as np
import pytest

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.files.series import read_series, standardised

UEA = """# as the archive writes it
@problemName Basic
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down

@data
1,2,3:4,5,6:up
1.5,?,-2e3 , 7:0,1,2,3:down
?,?:?,1:up
"""


def arrays(*series):
    return [np.array(one, dtype=float).reshape(len(one), -1) for one in series]


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_archives_format(tmp_path):
    (tmp_path / "a.ts").write_text(UEA)
    places, series, labels = zip(*read_series(tmp_path / "a.ts"), strict=True)
    assert places == (10, 11, 12) and labels == ("up", "down", "up")
    nan = np.nan
    same(series, arrays([[1, 4], [2, 5], [3, 6]], [[1.5, 0], [nan, 1], [-2000, 2], [7, 3]], [[nan, nan], [nan, 1]]))
    assert [label for *_, label in read_series(tmp_path / "a.ts", labelled=False)] == [None] * 3


def test_archives_of_numpy(tmp_path):
    path, nan = tmp_path / "a.npz", np.nan
    np.savez(path, X=np.array([[1, 2, nan], [nan, 4, 5]]), y=["a", "b"])
    places, series, labels = zip(*read_series(path), strict=True)
    assert places == (0, 1) and labels == ("a", "b")
    same(series, arrays([1, 2], [nan, 4, 5]))  # what is missing behind the last number is no step
    np.savez(path, X=np.arange(12).reshape(2, 3, 2), target=[1, 0])
    _, series, labels = zip(*read_series(path, label="target"), strict=True)
    assert labels == ("1", "0") and series[1].tolist() == [[6, 7], [8, 9], [10, 11]]
    np.savez(path, X=np.arange(10.0).reshape(5, 2), lengths=[3, 2], y=[0, 1])
    same([one for _, one, _ in read_series(path)], np.split(np.arange(10.0).reshape(5, 2), [3]))


def test_a_task_of_series(tmp_path):
    """Standardised by the training split; a missing number is the mean."""
    rng, steps = np.random.default_rng(0), np.array([4, 7] * 20)
    values = rng.normal([5, -3, 0], [2, 0.1, 0], (steps.sum(), 3))
    values[9, 1] = np.nan
    np.savez(tmp_path / "a.npz", X=values, lengths=steps, y=np.where(steps == 4, "short", "long"))
    task = load_task("file", data=tmp_path / "a.npz", held_out=0.2)
    card = task.card
    assert (task.kind, task.vocab_size, task.train.n_features, task.max_len) == ("classify", 0, 3, 7)
    assert card["classes"] == ["long", "short"] and card["missing_values"] == 1 and card["n_features"] == 3
    assert card["mean"][:2] == pytest.approx([5, -3], abs=1) and card["sd"][2] == 1
    np.testing.assert_allclose(task.train.tokens.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(task.train.tokens.std(0), [1, 1, 0], atol=0.05)
    splits = (task.train, task.validation, task.test)
    for split in splits:
        assert np.array_equal(split.lengths == 4, split.labels == 1) and split.tokens.dtype == np.float32
    assert sum(int((split.tokens[:, 1] == 0).sum()) for split in splits) == 1
    batch = task.test.pad(np.array([0, 1]))
    assert batch["tokens"].shape == (2, task.test.lengths[:2].max(), 3) and batch["tokens"].dtype == np.float32
    assert load_task("file", data=tmp_path / "a.npz", max_len=5).card["cut"] == 20


def test_a_test_file_and_the_kept_task(tmp_path):
    (tmp_path / "a.ts").write_text(UEA + "".join(f"{i},1:2,{i}:{'up down'.split()[i % 2]}\n" for i in range(30)))
    (tmp_path / "b.ts").write_text(UEA)
    options = {"data": tmp_path / "a.ts", "test": tmp_path / "b.ts"}
    task = load_task("file", data_dir=tmp_path / "kept", **options)
    assert len(task.test) == 3 and task.card["in_training_too"]["test"] <= 3
    again = load_task("file", data_dir=tmp_path / "kept", **options)
    assert again.card == task.card and np.array_equal(again.train.tokens, task.train.tokens)


def test_standardised():
    found = standardised(np.array([[1.0, np.nan], [3.0, 4.0]]), [2.0, 1.0], [0.5, 3.0])
    assert found.tolist() == [[-2, 0], [2, 1]] and found.dtype == np.float32


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("@data\n1,2:a", r"a.ts must say @classLabel true before @data, got none; targets other than classes are not"),
        ("@timestamps true\n", r"a.ts:1 must say @timestamps false, got true; write values at equal steps"),
        ("1,2:a", r"a.ts:1 must begin with @, # or %, or stand behind @data, got 1,2:a"),
        ("@classLabel true a b", r"a.ts must be a .ts file with a line @data, got none"),
        ("@classLabel true a b\n@data\n1,2:3:a", r"a.ts:3 must have dimensions of the same length, got 2, 1"),
        ("@classLabel true a b\n@data\n1,x:a", r"a.ts:3 must have numbers, separated by commas, got: could not .*'x'"),
        ("@classLabel true a b\n@data\n1,inf:a", r"a.ts:3 must have finite numbers, got infinity; mark what is"),
        ("@classLabel true a b\n@data\n?,?:a", r"a.ts:3 must have at least one number, got none; remove the sample"),
        ("@classLabel true a b\n@data\n1,2", r"a.ts:3 must have dimensions of the same length, got none"),
        ("@classLabel true a b\n@data\n1:a\n1:2:b", r"a.ts:4 must have 1 numbers a step like the first series, got 2"),
        ("@classLabel true a b\n@data\n1:\n", r"a.ts:3 must have a label, got none; fill it in or remove the line"),
        ("@classLabel true a b\n@data\n", r"a.ts must have at least one series, got none"),
    ],
)
def test_damaged_series_are_named_with_their_line(tmp_path, lines, message):
    (tmp_path / "a.ts").write_text(lines)
    with pytest.raises(TaskError, match=message):
        load_task("file", data=tmp_path / "a.ts")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"Z": [1]}, r"a.npz must have the array 'X', got Z"),
        ({"X": [[1.0]]}, r"a.npz must have the array 'y', got X"),
        ({"X": ["a"], "y": [0]}, r"X of .*a.npz must be real numbers, got <U1"),
        (
            {"X": [1.0], "y": [0]},
            r"X of .* must be \(n, length\[, n_features\]\) where lengths is not given, got \(1,\)",
        ),
        ({"X": [[1.0]], "y": [0, 1]}, r"y of .*a.npz must be one label for each of 1 series, got \(2,\)"),
        ({"X": [1.0, 2], "lengths": [3], "y": [0]}, r"lengths of .* must be positive integers whose sum is the length"),
        (
            {"X": np.array([[1], [1, 2]], dtype=object), "y": [0, 1]},
            r"a.npz must be an .npz file of plain arrays, got: ",
        ),
    ],
)
def test_damaged_archives_are_named(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(TaskError, match=message):
        list(read_series(tmp_path / "a.npz"))


def test_series_and_texts_do_not_mix(tmp_path):
    (tmp_path / "a.ts").write_text(UEA)
    (tmp_path / "a.csv").write_text("text,y\na,0\n")
    with pytest.raises(
        TaskError, match=r"all files must be series, without a tokenizer, if one of them is, got .*a.ts"
    ):
        load_task("file", data=tmp_path / "a.csv", test=tmp_path / "a.ts")
