"""Real images as pixel sequences: CIFAR-10 in grey (the LRA's Image task) and scikit-learn's digits.

Tokens are grey level + 1. The LRA feeds grey levels as tokens; S4 and its successors feed one real number per pixel,
an easier input under the same name: `values="real"` gives that, and the card says so.
"""

from pathlib import Path

import numpy as np

from rmaat.tasks.dataset import Split, Task, TaskError, make_task
from rmaat.tasks.lra.downloads import find, require

CIFAR_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()

CIFAR_FILES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]

CIFAR_RECORD = 1 + 3 * 1024  # a label byte, then the red, green and blue planes

LUMA = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)  # tf.image.rgb_to_grayscale, as the LRA uses it

MEAN, SD = 0.48, 0.24  # of CIFAR-10 in grey, as Mega standardises real-valued pixels


def image_split(images: np.ndarray, labels: np.ndarray, *, values: str = "tokens") -> Split:
    """Images (n, ...) uint8 as sequences, row by row: grey level + 1, or standardised real numbers."""
    if values not in ("tokens", "real"):
        raise TaskError(f"values must be 'tokens' or 'real', got {values!r}")
    flat = images.reshape(-1)
    if values == "real":
        tokens = ((flat / np.float32(255) - np.float32(MEAN)) / np.float32(SD)).astype(np.float32)[:, None]
    else:
        tokens = np.add(flat, 1, dtype=np.uint16)
    offsets = np.arange(len(images) + 1) * int(np.prod(images.shape[1:]))
    return Split(tokens=tokens, offsets=offsets, labels=np.asarray(labels, dtype=np.int64))


def load_image(data_dir: Path | None, *, seed: int = 0, values: str = "tokens", progress: bool = False) -> Task:
    """CIFAR-10 from its binary files: the first 45,000 training images, the last 5,000 for validation, 10,000 for test.

    `seed` is not used: the split is by order, as in the LRA, but in the order of the binary files.
    """
    folder = find("image", data_dir)
    *batches, test = (_read_batch(folder / name) for name in CIFAR_FILES)
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    whole, n_train = image_split(images, labels, values=values), round(0.9 * len(images))
    return make_task(
        "image",
        "classify",
        [whole.between(0, n_train), whole.between(n_train, len(whole)), image_split(*test, values=values)],
        **{"n_classes": 10, "vocab_size": 257 if values == "tokens" else 0, "max_len": 1024},
        source="CIFAR-10, binary version, in grey",
        split="first 90 % and last 10 % of the training files; the test file",
        vocabulary="0 padding, 1 + grey level 0..255" if values == "tokens" else "one real number per pixel",
        classes=CIFAR_CLASSES,
        options={"values": values},
    )


def to_grey(images: np.ndarray) -> np.ndarray:
    """Grey levels (n, pixels) uint8 of colour planes (n, 3, pixels) uint8, rounded as TensorFlow does."""
    grey = np.einsum("ncp,c->np", images.astype(np.float32) / np.float32(255), LUMA)
    return (grey * np.float32(255.5)).astype(np.uint8)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.fromfile(require(path, "CIFAR-10 records"), dtype=np.uint8)
    if len(data) % CIFAR_RECORD:
        found = f"{len(data) // CIFAR_RECORD} and a part"
        raise TaskError(f"{path} must be whole records of {CIFAR_RECORD} bytes, got {found}; unpack it again")
    records = data.reshape(-1, CIFAR_RECORD)
    if records[:, 0].max() > 9:
        bad = int(np.argmax(records[:, 0] > 9))
        raise TaskError(f"{path} must have labels 0..9, got {records[bad, 0]} in record {bad}")
    return to_grey(records[:, 1:].reshape(-1, 3, 1024)), records[:, 0].astype(np.int64)


def load_digits(data_dir: Path | None = None, *, seed: int = 0, progress: bool = False) -> Task:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8 pixels with 17 grey levels: 70 / 15 / 15 %, drawn by the seed.

    `data_dir` is not used: the images come with scikit-learn.
    """
    from sklearn import datasets  # heavy, and needed here alone

    digits = datasets.load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target
    order = np.random.default_rng(seed).permutation(len(images))
    edges = [round(0.7 * len(images)), round(0.85 * len(images))]
    return make_task(
        "digits",
        "classify",
        [image_split(images[part], labels[part]) for part in np.split(order, edges)],
        **{"n_classes": 10, "vocab_size": 18, "max_len": 64},
        source="scikit-learn load_digits (UCI optical recognition of handwritten digits, test part)",
        split=f"70 / 15 / 15 %, drawn with seed {seed}",
        vocabulary="0 padding, 1 + grey level 0..16",
        options={"seed": seed},
    )
