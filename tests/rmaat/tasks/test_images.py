"""Images as pixel sequences: CIFAR-10 in its binary format, and the digits."""

import numpy as np
import pytest

from rmaat.tasks import TaskError, load_task
from rmaat.tasks.images import to_grey


def test_image(tmp_path, cifar, cifar_records):
    task = load_task("image", tmp_path)
    assert task.card["samples"] == {"train": 90, "validation": 10, "test": 8}
    assert (task.vocab_size, task.n_classes, task.max_len) == (257, 10, 1024)
    record = cifar_records(20, 5)[10]
    assert task.validation.labels[0] == record[0]
    red, green, blue = record[1:].reshape(3, 1024).astype(float)
    luma = 0.2989 * red + 0.5870 * green + 0.1140 * blue
    assert np.abs(task.validation.sequence(0) - 1 - luma).max() <= 1


def test_grey_rounds_as_tensorflow_does():
    """rgb_to_grayscale of uint8: to [0, 1], weighted sum, times 255.5, cut off; greys nearly stay."""
    levels = np.arange(256, dtype=np.uint8)
    grey = to_grey(np.stack([levels] * 3)[None])[0]
    assert np.array_equal(grey, np.floor(levels / 255 * 0.9999 * 255.5).astype(np.uint8))
    assert grey[0] == 0 and grey[255] == 255


def test_real_valued_image(tmp_path, cifar):
    task = load_task("image", tmp_path, values="real")
    tokens = load_task("image", tmp_path)
    assert task.train.tokens.dtype == np.float32 and task.vocab_size == 0
    assert np.allclose(task.train.tokens[:, 0] * 0.24 + 0.48, (tokens.train.tokens.astype(float) - 1) / 255, atol=1e-6)
    assert task.train.pad(np.array([0, 1]))["tokens"].dtype == np.float32
    assert task.card["vocabulary"] == "one real number per pixel"
    with pytest.raises(TaskError, match=r"values must be 'tokens' or 'real', got 'x'"):
        load_task("image", tmp_path, values="x")


def test_image_damage(tmp_path, cifar):
    path = cifar / "data_batch_3.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(TaskError, match=r"data_batch_3.bin must be whole records of 3073 bytes, got 19 and a part"):
        load_task("image", tmp_path)
    path.write_bytes(b"\x0b" + whole[1:])
    with pytest.raises(TaskError, match=r"data_batch_3.bin must have labels 0..9, got 11 in record 0"):
        load_task("image", tmp_path)
    path.unlink()
    with pytest.raises(TaskError, match=r"data_batch_3.bin must exist"):
        load_task("image", tmp_path)


def test_digits():
    task = load_task("digits")
    assert sum(task.card["samples"].values()) == 1797
    assert (task.n_classes, task.vocab_size, task.max_len) == (10, 18, 64)
    assert task.train.tokens.min() == 1 and task.train.tokens.max() == 17
    images = {split.sequence(i).tobytes() for split in (task.train, task.test) for i in range(len(split))}
    assert len(images) > 0.98 * (len(task.train) + len(task.test))  # no image of the test split was trained on
    assert load_task("digits", seed=1).card["content_sha256"] != task.card["content_sha256"]
