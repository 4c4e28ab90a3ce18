"""Text (IMDb reviews) and Retrieval (AAN document pairs) of the Long Range Arena, as bytes: token = byte + 1.

Text has no validation split in the LRA, where validation is the test set (an option here); by default a tenth of the
training reviews, drawn by the seed, is held out.
"""

from pathlib import Path

import numpy as np

from rmaat.tasks.dataset import Split, Task, TaskError, check_sizes, make_task, ragged
from rmaat.tasks.lra.downloads import find, require

BYTES = "0 padding, 1 + byte 0..255"

AAN = {"train": "new_aan_pairs.train.tsv", "validation": "new_aan_pairs.eval.tsv", "test": "new_aan_pairs.test.tsv"}


def to_tokens(text: bytes, max_len: int) -> np.ndarray:
    """The first `max_len` bytes, each + 1; an empty text becomes one space, so that no sequence is empty."""
    return np.frombuffer(text[:max_len] or b" ", dtype=np.uint8).astype(np.uint16) + 1


def load_text(
    data_dir: Path | None, *, seed: int = 0, max_len: int = 4000, validation: float | str = 0.1, progress: bool = False
) -> Task:
    """IMDb reviews from the unpacked aclImdb folder, or from imdb/train.tsv and imdb/test.tsv (label, tab, text).

    The first `max_len` bytes of a review are kept. `validation` is the share of the training reviews held out for
    validation, or "test" for the LRA's habit of validating on the test set.
    """
    check_sizes(max_len=max_len)
    if validation != "test" and not (isinstance(validation, float) and 0 < validation < 1):
        raise TaskError(f"validation must be a share between 0 and 1 or 'test', got {validation!r}")
    folder = find("text", data_dir)
    if (folder / "train").is_dir():
        train, test = (_read_folder(folder / split, max_len) for split in ("train", "test"))
    else:
        train, test = (_read_tsv(folder / f"{split}.tsv", 2, 1, max_len) for split in ("train", "test"))
    if validation == "test":
        splits, how = [train, test, test], "the LRA's: validation is the test set"
    else:
        order = np.random.default_rng(seed).permutation(len(train))
        held_out = max(1, round(float(validation) * len(train)))
        splits = [train.select(np.sort(order[held_out:])), train.select(np.sort(order[:held_out])), test]
        how = f"{validation} of the training reviews held out for validation, drawn with seed {seed}"
    return make_task(
        "text",
        "classify",
        splits,
        **{"n_classes": 2, "vocab_size": 257, "max_len": max_len},
        source=f"IMDb reviews, {folder.name}",
        split=how,
        vocabulary=BYTES,
        options={"seed": seed, "max_len": max_len, "validation": validation},
    )


def _read_folder(folder: Path, max_len: int) -> Split:
    """The reviews {neg,pos}/<id>_<rating>.txt, in the order of label and id."""
    sequences, labels = [], []
    for label, name in enumerate(("neg", "pos")):
        place = require(folder / name, "a folder of reviews")
        paths = sorted(place.glob("*.txt"), key=_id)
        if not paths:
            raise TaskError(f"{place} must hold reviews, <id>_<rating>.txt, got none; unpack the archive again")
        sequences += [to_tokens(path.read_bytes(), max_len) for path in paths]
        labels += [label] * len(paths)
    return ragged(sequences, labels)


def _id(path: Path) -> int:
    first = path.stem.split("_")[0]
    if not first.isdigit():
        raise TaskError(f"{path} must be named <id>_<rating>.txt, got {path.name}")
    return int(first)


def load_retrieval(data_dir: Path | None, *, max_len: int = 4000, seed: int = 0, progress: bool = False) -> Task:
    """AAN pairs from tsv_data/new_aan_pairs.{train,eval,test}.tsv: label, two ids, two texts; no header, no quoting.

    Whether two papers are linked by citation, from two documents of at most `max_len` bytes each (kind "match").
    `seed` is not used: the splits are the release's.
    """
    check_sizes(max_len=max_len)
    folder = find("retrieval", data_dir)
    return make_task(
        "retrieval",
        "match",
        [_read_tsv(folder / name, 5, 2, max_len) for name in AAN.values()],
        **{"n_classes": 2, "vocab_size": 257, "max_len": max_len},
        source=f"AAN document pairs, LRA release, {folder.name}",
        split="the release's",
        vocabulary=BYTES,
        options={"max_len": max_len},
    )


def _read_tsv(path: Path, n_columns: int, n_texts: int, max_len: int) -> Split:
    """Samples of a TSV file without header or quoting: first the label 0 or 1 (or 0.0 or 1.0), last the texts."""
    sequences, labels = [], []
    with require(path, "tab-separated lines").open("rb") as file:
        for number, line in enumerate(file, start=1):
            columns = line.rstrip(b"\r\n").split(b"\t")
            if len(columns) != n_columns:
                raise TaskError(f"{path}:{number} must have {n_columns} tab-separated columns, got {len(columns)}")
            if columns[0] not in (b"0", b"1", b"0.0", b"1.0"):
                found = columns[0][:20].decode(errors="replace")
                raise TaskError(f"{path}:{number} must begin with the label 0 or 1, got {found!r}")
            labels.append(int(columns[0][:1]))
            sequences += [to_tokens(text, max_len) for text in columns[-n_texts:]]
    return ragged(sequences, labels, n_parts=n_texts)
