"""Series of real numbers with a class each: `.npz` of NumPy, and `.ts` of the UEA and UCR archives.

A series is (length, n_features). What is missing, NaN or "?", stays NaN here; steps behind the last number are dropped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rmaat.tasks.dataset import TaskError

Series = tuple[int, np.ndarray, str | None]


def read_series(path: Path, *, label: str | None = None, labelled: bool = True) -> Iterator[Series]:
    """(place, series (length, n_features) float64, label) of each sample; the place is a line, or an index from 0.

    Parameters
    ----------
    path : a `.ts` file, or an `.npz` file with the array ``X`` and the labels ``y``: X is (n, length) or (n, length,
        n_features), with NaN behind a shorter series; or (sum of lengths,) or (sum of lengths, n_features) beside an
        array ``lengths`` (n,), the series one behind the other.
    label : another name of ``y``.
    labelled : False leaves out the labels, whether there are any or not.
    """
    read = _archive(path, label or "y", labelled) if path.suffix.lower() == ".npz" else _uea(path, labelled)
    for place, series, name in read:
        there = np.flatnonzero(~np.isnan(series).all(1))
        if not len(there):
            raise TaskError(f"{path}:{place} must have at least one number, got none; remove the sample")
        if np.isinf(series).any():
            raise TaskError(f"{path}:{place} must have finite numbers, got infinity; mark what is missing as NaN")
        yield place, series[: there[-1] + 1], name


def _archive(path: Path, label: str, labelled: bool) -> Iterator[Series]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive raises anything from BadZipFile to ValueError
        rule = f"{path} must be an .npz file of plain arrays"
        raise TaskError(f"{rule}, got: {error}; write ragged series one behind the other, with lengths") from error
    wanted = ["X", label] if labelled else ["X"]
    if missing := [name for name in wanted if name not in arrays]:
        raise TaskError(f"{path} must have the array {missing[0]!r}, got {', '.join(arrays) or 'none'}")
    values = arrays["X"]
    if values.dtype.kind not in "fiu":
        raise TaskError(f"X of {path} must be real numbers, got {values.dtype}")
    series = _ragged(path, values, arrays["lengths"]) if "lengths" in arrays else _rows(path, values)
    labels = arrays[label] if labelled else np.zeros(len(series))
    if labels.shape != (len(series),):
        raise TaskError(f"{label} of {path} must be one label for each of {len(series)} series, got {labels.shape}")
    for i, (one, name) in enumerate(zip(series, labels.tolist(), strict=True)):
        yield i, one.reshape(len(one), -1).astype(np.float64), str(name) if labelled else None


def _rows(path: Path, values: np.ndarray) -> list[np.ndarray]:
    if values.ndim not in (2, 3):
        raise TaskError(f"X of {path} must be (n, length[, n_features]) where lengths is not given, got {values.shape}")
    return list(values)


def _ragged(path: Path, values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    whole = lengths.ndim == 1 and lengths.dtype.kind in "iu" and (lengths > 0).all()
    if values.ndim not in (1, 2) or not whole or lengths.sum() != len(values):
        rule = f"lengths of {path} must be positive integers whose sum is the length of X"
        raise TaskError(f"{rule}, (sum of lengths[, n_features]), got lengths {lengths.shape} and X {values.shape}")
    return np.split(values, np.cumsum(lengths)[:-1])


def _uea(path: Path, labelled: bool) -> Iterator[Series]:
    """Lines behind ``@data``: dimensions separated by colons, their values by commas, the label last."""
    about: dict[str, list[str]] = {}
    in_data = False
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                line = line.strip()
                if not line or line.startswith(("#", "%")):
                    continue
                if not in_data:
                    name, *words = line.split()
                    in_data = name.lower() == "@data"
                    about[name.lower()] = words
                    _check_header(path, number, name.lower(), words, labelled and in_data, about)
                    continue
                parts = line.split(":")
                name = parts.pop().strip() if about.get("@classlabel", [""])[:1] == ["true"] else ""
                yield number, _dimensions(path, number, parts), name if labelled else None
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} must be UTF-8, got {error.reason}; save the file as UTF-8") from error
    if not in_data:
        raise TaskError(f"{path} must be a .ts file with a line @data, got none")


def _check_header(path: Path, number: int, name: str, words: list[str], needs_label: bool, about: Any) -> None:
    if not name.startswith("@"):
        raise TaskError(f"{path}:{number} must begin with @, # or %, or stand behind @data, got {name:.40}")
    if name == "@timestamps" and words[:1] == ["true"]:
        raise TaskError(f"{path}:{number} must say @timestamps false, got true; write values at equal steps")
    if needs_label and about.get("@classlabel", ["false"])[:1] != ["true"]:
        rule = f"{path} must say @classLabel true before @data"
        raise TaskError(f"{rule}, got none; targets other than classes are not offered")


def _dimensions(path: Path, number: int, parts: list[str]) -> np.ndarray:
    try:
        columns = [np.array([float(v) if v.strip() != "?" else np.nan for v in part.split(",")]) for part in parts]
    except ValueError as error:
        raise TaskError(f"{path}:{number} must have numbers, separated by commas, got: {error}") from error
    if len({len(column) for column in columns}) != 1:
        found = ", ".join(str(len(column)) for column in columns) or "none"
        raise TaskError(f"{path}:{number} must have dimensions of the same length, got {found}")
    return np.stack(columns, axis=1)


def standardised(values: np.ndarray, mean: Any, sd: Any) -> np.ndarray:
    """Values (n, n_features) less `mean`, by `sd`, (n_features,) each, as float32; a missing one becomes 0."""
    return np.nan_to_num((values - np.asarray(mean)) / np.asarray(sd)).astype(np.float32)
