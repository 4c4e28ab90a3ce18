"""Readers of the Long Range Arena's own ListOps and Pathfinder files, exactly as lra_release has them."""

import hashlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from rmaat.tasks.dataset import SPLITS, Split, Task, TaskError, cached, ragged
from rmaat.tasks.images import image_split
from rmaat.tasks.listops import VOCABULARY, listops_task, values_or_errors
from rmaat.tasks.lra.downloads import find, require
from rmaat.tasks.pathfinder.task import lra_parameters, pathfinder_task

LISTOPS = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}

IDS = {word.encode(): number for number, word in enumerate(VOCABULARY) if number}  # without padding

UNBRACKETED = bytes.maketrans(b"()", b"  ")  # parentheses carry nothing

SUBSETS = {"easy": "curv_baseline", "intermediate": "curv_contour_length_9", "hard": "curv_contour_length_14"}


# --- ListOps -----------------------------------------------------------------------------------------------------
def read_listops_file(path: Path) -> Split:
    """Read one TSV file of the release (header, then ``Source <tab> Target``) and check every target.

    A TaskError names the file and the line.
    """
    path = require(Path(path), "ListOps, in lra_release.gz under listops-1000/")
    sequences: list[np.ndarray] = []
    targets: list[int] = []
    with path.open("rb") as file:
        header = file.readline().rstrip(b"\r\n")
        if header != b"Source\tTarget":
            raise TaskError(f"{path}:1 must be the header Source<tab>Target, got {header[:40]!r}")
        for number, line in enumerate(file, start=2):
            source, target = _columns(path, number, line)
            try:
                ids = bytes(map(IDS.__getitem__, source.translate(UNBRACKETED).split()))
            except KeyError as error:
                word = error.args[0][:20].decode(errors="replace")
                raise TaskError(f"{path}:{number} must hold ListOps tokens only, got {word!r}") from None
            sequences.append(np.frombuffer(ids, np.uint8))
            targets.append(target)
    if not sequences:
        raise TaskError(f"{path} must hold at least one expression behind its header, got none")
    split = ragged(sequences, targets, dtype=np.uint8)
    values = values_or_errors(split.tokens, split.offsets)
    if (values != split.labels).any():
        row = int(np.argmax(values != split.labels))
        found = f"value {values[row]}" if values[row] >= 0 else f"an error at token {-1 - values[row]}"
        raise TaskError(f"{path}:{row + 2} must hold an expression whose value is {targets[row]}, got {found}")
    return split


def _columns(path: Path, number: int, line: bytes) -> tuple[bytes, int]:
    columns = line.rstrip(b"\r\n").split(b"\t")
    if len(columns) != 2:
        cut = "" if line.endswith(b"\n") else ", cut off before the line's end"
        raise TaskError(f"{path}:{number} must be Source<tab>Target, got {len(columns)} columns{cut}")
    if len(columns[1]) != 1 or not columns[1].isdigit():
        raise TaskError(f"{path}:{number} must have a target 0..9, got {columns[1][:20].decode(errors='replace')!r}")
    return columns[0], int(columns[1])


def load_listops_release(data_dir: Path | None, *, seed: int = 0, progress: bool = False) -> Task:
    """The release's ListOps files as a task; `seed` is not used, the splits are the release's."""
    folder = find("listops", data_dir)
    splits = [read_listops_file(folder / LISTOPS[name]) for name in SPLITS]
    return listops_task(
        splits,
        source=f"LRA release, {folder.name}/basic_*.tsv",
        split="the release's",
        options={},
        max_len=max(int(split.lengths.max(initial=1)) for split in splits),
    )


# --- Pathfinder --------------------------------------------------------------------------------------------------
def load_pathfinder_release(
    size: int, data_dir: Path | None, *, seed: int = 0, difficulty: str = "hard", progress: bool = False
) -> Task:
    """The release's Pathfinder images as a task, kept in `data_dir` as one file.

    80 / 10 / 10 %, drawn by the seed from the images in the order of the metadata files' numbers (papers differ here:
    the LRA takes the order of its own records, S4 a seeded draw as here, others an unseeded one). Empty images are left
    out, as in the LRA.
    """
    lra_parameters(size, difficulty)
    subset = f"pathfinder{size}/{SUBSETS[difficulty]}"
    folder = find("pathfinder", data_dir, f"{subset}/metadata") / subset
    rows = [(path, label, _n_bytes(folder, path)) for path, label in list(read_metadata(folder))]

    def build() -> Task:
        images, labels, empty = _read_images(rows, size, progress)
        order = np.random.default_rng(seed).permutation(len(images))
        parts = np.split(order, [round(0.8 * len(images)), round(0.9 * len(images))])
        return pathfinder_task(
            [image_split(images[part], labels[part]) for part in parts],
            size=size,
            source=f"LRA release, {subset}; {empty} empty images left out",
            split=f"80 / 10 / 10 % of the images sorted by metadata file and line, drawn with seed {seed}",
            options={"seed": seed, "difficulty": difficulty},
        )

    files = [(str(path.relative_to(folder)), *more) for path, *more in rows]
    digest = hashlib.sha256(repr(files).encode()).hexdigest()
    return cached(data_dir, f"pathfinder{size}-release", {"seed": seed, "files": digest}, build)


def read_metadata(folder: Path) -> Iterator[tuple[Path, int]]:
    """Image paths and labels of a subset, from metadata/<k>.npy in numerical order.

    In the release these are plain text, a line per image: imgs/<k>, sample_<i>.png, index, label, and seven more
    fields; the generator itself writes a NumPy array of strings with the same fields. Both are read.
    """
    files = list(require(folder / "metadata", "Pathfinder metadata").glob("*.npy"))
    if not files:
        raise TaskError(f"{folder / 'metadata'} must hold files <k>.npy, got none")
    if bad := [path for path in files if not path.stem.isdigit()]:
        raise TaskError(f"{bad[0]} must be named <number>.npy, got {bad[0].name}")
    for path in sorted(files, key=lambda path: int(path.stem)):
        for number, fields in enumerate(_metadata_fields(path), start=1):
            if len(fields) < 4 or fields[3] not in ("0", "1"):
                got = " ".join(fields)[:60]
                raise TaskError(f"{path}:{number} must be imgs/<k> sample_<i>.png <i> <label 0 or 1> ..., got {got!r}")
            picture = folder / fields[0] / fields[1]
            if not picture.resolve().is_relative_to(folder.resolve()):
                raise TaskError(f"{path}:{number} must name a file in {folder}, got {fields[0]} {fields[1]}"[:300])
            yield picture, int(fields[3])


def _metadata_fields(path: Path) -> list[list[str]]:
    require(path, "lines of metadata")
    if path.read_bytes()[:6] != b"\x93NUMPY":
        try:
            return [line.split() for line in path.read_text("utf-8").rstrip().splitlines()]
        except UnicodeDecodeError as error:
            raise TaskError(f"{path} must be text or a NumPy array, got {error}") from error
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # as large as the file, whatever its header says
        if array.ndim != 2 or array.dtype.kind not in "US" or not array.size:
            raise ValueError(f"{array.ndim} dimensions of {array.dtype}")
        if array.dtype.kind == "U":
            codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
            if codes.max() > sys.maxunicode:  # Python would fail wherever such a string is used
                raise ValueError("characters beyond Unicode")
        return array.astype(str).tolist()
    except Exception as error:  # of a damaged header NumPy raises whatever Python's parser meets
        raise TaskError(f"{path} must be an array of strings, got {error}") from error


def _n_bytes(folder: Path, path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        listed = f"{folder.name}/metadata/{path.parent.name}.npy"
        raise TaskError(f"{path} must exist, as {listed} lists it, got no file") from None


def _read_images(rows: list[tuple[Path, int, int]], size: int, progress: bool) -> tuple[np.ndarray, np.ndarray, int]:
    images, labels = np.empty((len(rows), size, size), np.uint8), np.empty(len(rows), np.int64)
    n = 0
    for path, label, n_bytes in tqdm(rows, desc=f"Pathfinder {size}", unit="image", disable=not progress):
        if n_bytes == 0:
            continue
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path, formats=["PNG"]) as image:
                if image.size != (size, size):  # before anything is unpacked
                    raise TaskError(f"{path} must be {size} x {size} pixels, got {image.width} x {image.height}")
                pixels = np.asarray(image.convert("L"))
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise TaskError(f"{path} must be a PNG image, got {error}") from error
        images[n], labels[n] = pixels, label
        n += 1
    return images[:n], labels[:n], len(rows) - n
