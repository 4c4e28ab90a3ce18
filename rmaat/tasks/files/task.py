"""A task from your own files: texts or series with a class each, or texts whose next token is asked for.

With labels the task is of kind "classify", without them of kind "lm". Series are standardised, feature by feature, by
mean and standard deviation of the training split; a missing number becomes the mean.

A split without a file of its own is drawn from the training file by the seed, class by class. A text that occurs
several times is drawn as one, so that no text stands in two drawn splits; each class keeps a text in training. Plain
text is not drawn but cut: its beginning is for training, its end for the test.

Chosen here, without a source: a tenth of the samples for each drawn split, and 1024 tokens for a sample of a language
model, four segments of the default length.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from rmaat.tasks.dataset import SPLITS, Split, Task, TaskError, cached, check_sizes, make_task, ragged
from rmaat.tasks.files.series import read_series, standardised
from rmaat.tasks.files.splits import digest_of, digests, draw_parts, pieces, sorted_classes
from rmaat.tasks.files.tables import PLAIN, SERIES, file_kind, read_rows
from rmaat.tasks.files.tokenizers import Tokenizer, load_tokenizer

LM_LENGTH = 1024

AT_ONCE = 256  # texts that are tokenised together

BLOCK = 2**20  # characters of plain text that are tokenised together, up to the end of their last line

VERSION = 1  # of what this module makes of the same files; kept tasks of another one are made anew


@dataclass(frozen=True)
class Table:
    """The samples of one file."""

    path: Path
    sequences: list[np.ndarray]
    labels: list[str]
    lines: list[int]
    empty: int
    """Texts without anything."""
    cut: int
    """Samples that were longer than max_len."""

    def place(self, sample: int) -> str:
        """File and line of a sample."""
        return f"{self.path}:{self.lines[sample]}"


def load_file(
    data_dir: Path | None,
    *,
    data: Path,
    text: str = "text",
    label: str | None = None,
    validation: Path | None = None,
    test: Path | None = None,
    tokenizer: Path | None = None,
    max_len: int | None = None,
    held_out: float = 0.1,
    quotes: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Task:
    """A task from CSV, TSV, JSON lines, Parquet, plain text, or series in .npz or .ts files.

    TaskError, with the line, for what cannot be read.

    Parameters
    ----------
    data_dir : where the task is kept once it is made, and where a file is looked for by its name if it is not at its
        path.
    data : the file to train from, by default cut into all three splits.
    text, label : columns of the file. Without `label` the task is to model the texts. In an .npz file `label` is the
        array of labels, by default ``y``: see :func:`rmaat.tasks.files.series.read_series`.
    validation, test : files of these splits, with the same columns.
    tokenizer : a file of Hugging Face's `tokenizers`; by default tokens are bytes.
    max_len : most tokens of a sample: longer texts lose their end, or become several samples of a language model. By
        default texts are whole, and samples of a language model have 1024 tokens.
    held_out : share of the samples of `data` that is drawn for each of validation and test without a file.
    quotes : False takes quotation marks of CSV and TSV files as they are.
    seed : of the drawn splits.
    """
    if max_len is not None:
        check_sizes(max_len=max_len)
    if not 0 < held_out < 0.5:
        raise TaskError(f"held_out must be a share above 0 and below 0.5, got {held_out}")
    given = {"train": data, "validation": validation, "test": test}
    paths = {name: find_file(path, data_dir) for name, path in given.items() if path is not None}
    if plain := [path for path in paths.values() if file_kind(path) in PLAIN and label is not None]:
        raise TaskError(f"label must be left out for plain text, which has no columns, got {label!r} for {plain[0]}")
    series = [path for path in paths.values() if file_kind(path) in SERIES]
    if series and (len(series) < len(paths) or tokenizer is not None):
        raise TaskError(f"all files must be series, without a tokenizer, if one of them is, got {series[0]}")
    tokens = load_tokenizer(None if tokenizer is None else find_file(tokenizer, data_dir))
    options = {"text": text, "label": label, "max_len": max_len, "held_out": held_out, "quotes": quotes, "seed": seed}
    hashes = {name: _sha256(path) for name, path in paths.items()}
    key = {
        **options,
        "files": hashes,
        "tokenizer": hashlib.sha256(tokens.text.encode()).hexdigest(),
        "version": VERSION,
    }

    def build() -> Task:
        reader = _Reader(tokens, text, label, quotes, progress)
        make = reader.language_model if label is None and not series else reader.classification
        return make(paths, max_len, held_out, seed, options)

    return cached(data_dir, "file", key, build)


def find_file(path: Path | str, data_dir: Path | None) -> Path:
    """The file at this path, or the one of its name in `data_dir`."""
    path = Path(path)
    if not path.exists() and data_dir is not None and (Path(data_dir) / path.name).is_file():
        return Path(data_dir) / path.name
    if not path.is_file():
        got = "a folder" if path.is_dir() else "none"
        raise TaskError(f"{path} must be a file, got {got}; check the path, or give its folder as --data-dir")
    return path


def as_text(value: Any, place: str) -> str:
    """The text of a table's field; null is an empty text."""
    if value is None or isinstance(value, str):
        return value or ""
    raise TaskError(f"{place} must have a text in the column of texts, got {value!r:.40}; write it in quotation marks")


def as_label(value: Any, place: str) -> str:
    """The class that a table's field names; numbers and truth values as JSON writes them."""
    if value is None or value == "":
        raise TaskError(f"{place} must have a label, got none; fill it in or remove the line")
    if isinstance(value, list | dict):
        raise TaskError(f"{place} must have one label, got {value!r:.40}; several labels of a text are not offered")
    return value if isinstance(value, str) else json.dumps(value, default=str)


class _Reader:
    """Reads files and makes tasks of them; its fields are the options of :func:`load_file`."""

    def __init__(self, tokenizer: Tokenizer, text: str, label: str | None, quotes: bool, progress: bool):
        self.tokenizer, self.text, self.label, self.quotes, self.progress = tokenizer, text, label, quotes, progress
        self.dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32

    def classification(
        self, paths: dict[str, Path], max_len: int | None, share: float, seed: int, options: Any
    ) -> Task:
        tables = {name: self._table(path, max_len) for name, path in paths.items()}
        _check_features(tables.values())
        classes = sorted_classes(tables["train"].labels)
        _check_classes(classes, tables["train"])
        splits = {name: self._labelled(table, classes) for name, table in tables.items()}
        missing = [name for name in SPLITS if name not in splits]
        parts = draw_parts(digests(splits["train"]), splits["train"].labels, len(missing), share, seed)
        splits |= _divided(splits["train"], parts, missing, share)
        about: dict[str, Any] = {"empty_texts": sum(table.empty for table in tables.values())}
        if splits["train"].n_features:
            about = _describe(splits["train"], sum(int(np.isnan(split.tokens).sum()) for split in splits.values()))
            mean, sd = about["mean"], about["sd"]
            splits = {
                name: replace(split, tokens=standardised(split.tokens, mean, sd)) for name, split in splits.items()
            }
        ordered = [splits[name] for name in SPLITS]
        counts = {name: Counter(splits[name].labels.tolist()) for name in SPLITS}
        return self._task(
            "classify",
            ordered,
            paths,
            n_classes=len(classes),
            max_len=max(int(split.lengths.max()) for split in ordered),
            split=_how(missing, share, f"drawn with seed {seed}"),
            classes=classes,
            class_counts={name: [counts[name][i] for i in range(len(classes))] for name in SPLITS},
            cut=sum(table.cut for table in tables.values()),
            options=options,
            **about,
        )

    def language_model(
        self, paths: dict[str, Path], max_len: int | None, share: float, seed: int, options: Any
    ) -> Task:
        length = LM_LENGTH if max_len is None else max_len
        documents = {name: self._documents(path) for name, path in paths.items()}
        missing, whole = [name for name in SPLITS if name not in paths], documents["train"]
        if missing and file_kind(paths["train"]) in PLAIN:
            how = "cut off at the end"
            n = round(share * len(whole[0]))
            edges = [len(whole[0]) - k * n for k in range(len(missing), -1, -1)]
            documents["train"] = [whole[0][: edges[0]]]
            documents |= {name: [whole[0][edges[i] : edges[i + 1]]] for i, name in enumerate(missing)}
        else:
            how = f"drawn with seed {seed}"
            samples = [digest_of(document) for document in whole]
            parts = draw_parts(samples, np.zeros(len(whole), dtype=np.int64), len(missing), share, seed)
            for i, name in enumerate(["train", *missing]):
                documents[name] = [whole[k] for k in np.flatnonzero(parts == i)]
        for name in SPLITS:
            if not any(len(document) > 1 for document in documents[name]):
                place = f"{paths.get(name, paths['train'])} must have text enough for the {name} split"
                raise TaskError(f"{place}, got less than two tokens; give more text or a file of its own")
        return self._task(
            "lm",
            [pieces(documents[name], length, self.dtype) for name in SPLITS],
            paths,
            n_classes=self.tokenizer.vocab_size,
            max_len=length,
            split=_how(missing, share, how),
            options=options,
        )

    def _task(self, kind: str, splits: list[Split], paths: dict[str, Path], **fields: Any) -> Task:
        train, n_features = set(digests(splits[0])), splits[0].n_features
        vocabulary = f"{n_features} real numbers a step" if n_features else self.tokenizer.vocabulary
        task = make_task(
            "file",
            kind,
            splits,
            vocab_size=0 if n_features else self.tokenizer.vocab_size,
            source="; ".join(f"{name}: {path.name}" for name, path in paths.items()),
            vocabulary=vocabulary,
            tokenizer_sha256=hashlib.sha256(self.tokenizer.text.encode()).hexdigest() if self.tokenizer.text else None,
            in_training_too={
                name: sum(digest in train for digest in digests(split))
                for name, split in zip(SPLITS[1:], splits[1:], strict=True)
            },
            **fields,
        )
        return replace(task, tokenizer=self.tokenizer.text)

    def _table(self, path: Path, max_len: int | None) -> Table:
        """The samples of a table with labels, or of a file of series."""
        if file_kind(path) in SERIES:
            return self._series(path, max_len)
        table = Table(path, [], [], [], 0, 0)
        empty = cut = 0
        for lines, texts, labels in self._batches(path, [self.text, self.label]):
            table.lines.extend(lines)
            table.labels.extend(as_label(*pair) for pair in zip(labels, _places(path, lines), strict=True))
            empty += sum(not text for text in texts)
            for sequence in self.tokenizer.encode(texts):
                cut += max_len is not None and len(sequence) > max_len
                table.sequences.append(sequence[:max_len].astype(self.dtype))
        if not table.lines:
            raise TaskError(f"{path} must have at least one row below its header, got none")
        return replace(table, empty=empty, cut=cut)

    def _series(self, path: Path, max_len: int | None) -> Table:
        rows = list(tqdm(read_series(path, label=self.label), desc=path.name, disable=not self.progress, leave=False))
        if not rows:
            raise TaskError(f"{path} must have at least one series, got none")
        lines, sequences, labels = zip(*rows, strict=True)
        cut = sum(max_len is not None and len(sequence) > max_len for sequence in sequences)
        table = Table(path, [one[:max_len] for one in sequences], [], list(lines), 0, cut)
        table.labels.extend(as_label(*pair) for pair in zip(labels, _places(path, table.lines), strict=True))
        return table

    def _documents(self, path: Path) -> list[np.ndarray]:
        """Tokens of each text of a table, or of the whole of a plain text; texts without anything are left out."""
        if file_kind(path) in PLAIN:
            return [self._plain(path)]
        found = []
        for _, texts, *_ in self._batches(path, [self.text]):
            found += [
                array.astype(self.dtype) for array in self.tokenizer.encode([t for t in texts if t], special=False)
            ]
        return found

    def _plain(self, path: Path) -> np.ndarray:
        """Tokens of a whole text; bytes need no decoding."""
        if not self.tokenizer.text:
            data = np.fromfile(path, dtype=np.uint8)
            data = data[3:] if data[:3].tobytes() == b"\xef\xbb\xbf" else data
            return np.add(data, 1, dtype=self.dtype)
        blocks: list[np.ndarray] = []
        try:
            with path.open(encoding="utf-8-sig", newline="") as file, self._bar(path) as bar:
                while lines := file.readlines(BLOCK):
                    blocks += self.tokenizer.encode(["".join(lines)], special=False)
                    bar.update(len(lines))
        except UnicodeDecodeError as error:
            raise TaskError(f"{path} must be UTF-8, got {error.reason}; save it as UTF-8, or train on bytes") from error
        return np.concatenate([np.zeros(0, dtype=np.uint32), *blocks]).astype(self.dtype)

    def _batches(self, path: Path, columns: list[Any]) -> Iterator[tuple[list[int], list[str], list[Any]]]:
        """Lines, texts and labels of some rows after the other."""
        rows: list[Any] = []
        with self._bar(path) as bar:
            for row in read_rows(path, columns, quotes=self.quotes):
                rows.append(row)
                if len(rows) == AT_ONCE:
                    yield _columns(path, rows)
                    bar.update(len(rows))
                    rows = []
            if rows:
                yield _columns(path, rows)
                bar.update(len(rows))

    def _bar(self, path: Path) -> Any:
        return tqdm(desc=path.name, unit=" lines", disable=not self.progress, leave=False)

    def _labelled(self, table: Table, classes: list[str]) -> Split:
        number = {name: i for i, name in enumerate(classes)}
        for sample, name in enumerate(table.labels):
            if name not in number:
                few = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
                rule = f"{table.place(sample)} must have a label of the training file ({few})"
                raise TaskError(f"{rule}, got {name!r}; add such texts to the training file or remove the line")
        dtype = table.sequences[0].dtype
        return ragged(table.sequences, [number[name] for name in table.labels], dtype=dtype)


def _columns(path: Path, rows: list[Any]) -> tuple[list[int], list[str], list[Any]]:
    lines = [line for line, _ in rows]
    texts = [as_text(values[0], place) for (_, values), place in zip(rows, _places(path, lines), strict=True)]
    return lines, texts, [values[-1] for _, values in rows]


def _places(path: Path, lines: list[int]) -> list[str]:
    return [f"{path}:{line}" for line in lines]


def _check_classes(classes: list[str], table: Table) -> None:
    if len(classes) < 2:
        raise TaskError(f"{table.path} must have at least two labels, got only {classes[0]!r}")
    if len(classes) == len(table.labels) > 2:
        rule = f"labels of {table.path} must be classes, which several texts share"
        raise TaskError(f"{rule}, got a label of its own for each of {len(classes)} texts; name another column")


def _check_features(tables: Iterable[Table]) -> None:
    """TaskError for the first series that has another number of features than the first of all."""
    first = None
    for table in tables:
        for sample, series in enumerate(table.sequences):
            first = series.shape[1:] if first is None else first
            if series.shape[1:] != first:
                rule = f"{table.place(sample)} must have {first[0]} numbers a step like the first series"
                raise TaskError(f"{rule}, got {series.shape[1]}")


def _describe(train: Split, missing: int) -> dict[str, Any]:
    """Mean and standard deviation of each feature of the training split; 1 where a feature never changes."""
    steps = np.ma.masked_invalid(train.tokens)
    mean, sd = steps.mean(0).filled(0.0), steps.std(0).filled(0.0)
    sd[sd == 0] = 1.0
    numbers = {"mean": mean.tolist(), "sd": sd.tolist(), "missing_values": missing}
    return {"n_features": train.n_features, **numbers}


def _divided(split: Split, parts: np.ndarray, missing: list[str], share: float) -> dict[str, Split]:
    found = {name: split.select(np.flatnonzero(parts == i)) for i, name in enumerate(["train", *missing])}
    for name, part in found.items():
        if not len(part):
            rule = "held_out must leave a sample for each split"
            got = f"{share} of {len(set(digests(split)))} different samples and none for {name}"
            raise TaskError(f"{rule}, got {got}; give more samples, or a file of its own")
    return found


def _how(missing: list[str], share: float, drawn: str) -> str:
    own = [name for name in SPLITS[1:] if name not in missing]
    parts = [f"{share:g} of the training file each for {' and '.join(missing)}, {drawn}"] if missing else []
    parts += [f"{' and '.join(own)} from files of their own"] if own else []
    return "; ".join(parts)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
