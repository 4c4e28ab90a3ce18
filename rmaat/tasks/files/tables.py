"""Rows of a table in a file, one after the other: CSV, TSV, JSON lines, Parquet, and lines of plain text.

Only one row, or one batch of a Parquet file, is in memory at a time. Whatever is wrong with a file is one sentence with
the file and the line (of Parquet, which has no lines: the row, from 1).
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmaat.tasks.dataset import TaskError

DELIMITERS = {".csv": ",", ".tsv": "\t"}

JSON_LINES = (".jsonl", ".ndjson")

PARQUET = (".parquet", ".pq")

PLAIN = (".txt", ".text")

SERIES = (".npz", ".ts")

SUFFIXES = (*DELIMITERS, *JSON_LINES, *PARQUET, *PLAIN, *SERIES)

Row = tuple[int, list[Any]]

MOST_CHARACTERS = 2**31 - 1  # of a field: the largest limit that Python takes on every platform; its own is 131,072


def file_kind(path: Path) -> str:
    """The ending of a file that can be read, in lower case; TaskError for another one, or where there is no file."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise TaskError(f"{path} must be a file that ends in one of {', '.join(SUFFIXES)}, got {suffix or 'no ending'}")
    if not path.is_file():
        raise TaskError(f"{path} must be a file, got {'a folder' if path.is_dir() else 'none'}; check the path")
    return suffix


def read_rows(path: Path, columns: Sequence[str], *, quotes: bool = True) -> Iterator[Row]:
    """Line number and the values of these columns, row by row; lines without anything are passed over.

    Parameters
    ----------
    path : of a file whose ending is one of `SUFFIXES`. A CSV or TSV file has its columns' names in the first line; if
        that holds semicolons and no comma, a CSV file is read with semicolons. Byte order marks, every kind of line
        end, and line ends within quotes are understood. Plain text has one row a line, and the one column "text".
    quotes : False takes quotation marks of CSV and TSV files as they are: no field is quoted.

    Yields
    ------
    (line, values): strings, and from JSON and Parquet other values too, None for null.
    """
    suffix = file_kind(path)
    if suffix in SERIES:
        raise TaskError(f"{path} must be a table of texts, got series of numbers")
    if suffix in DELIMITERS:
        return _delimited(path, columns, DELIMITERS[suffix], quotes)
    if suffix in JSON_LINES:
        return _json_lines(path, columns)
    return _parquet(path, columns) if suffix in PARQUET else _plain(path, columns)


def _places(path: Path, columns: Sequence[str], there: Sequence[str]) -> list[int]:
    """Where the columns stand among those that are there."""
    for name in columns:
        if there.count(name) != 1:
            found = f"{there.count(name)} of that name" if name in there else ", ".join(there) or "none"
            raise TaskError(f"{path} must have one column {name!r}, got {found}; name yours with text and label")
    return [there.index(name) for name in columns]


def _delimited(path: Path, columns: Sequence[str], delimiter: str, quotes: bool) -> Iterator[Row]:
    csv.field_size_limit(MOST_CHARACTERS)
    with _opened(path) as file:
        first = file.readline()
        if delimiter == "," and delimiter not in first and ";" in first:
            delimiter = ";"
        file.seek(0)
        quoting: Any = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        line = 1
        try:
            header = next(reader, [])
            places = _places(path, columns, header)
            line = reader.line_num + 1
            for values in reader:
                if values and len(values) != len(header):
                    raise TaskError(
                        f"{path}:{line} must have {len(header)} fields like the first line, got {len(values)}; put "
                        "quotation marks around a field that holds a separator or a line end"
                    )
                if values:
                    yield line, [values[i] for i in places]
                line = reader.line_num + 1
        except csv.Error as error:
            kind, remedy = path.suffix[1:].upper(), "write quotation marks inside quotes twice, or turn quotes off"
            raise TaskError(f"{path}:{line} must begin a row of {kind}, got: {error}; {remedy}") from error


def _json_lines(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise TaskError(f"{path}:{number} must be one JSON object, got: {error}") from error
            if not isinstance(record, dict):
                raise TaskError(f"{path}:{number} must be a JSON object, got {line.strip():.40}")
            if missing := [name for name in columns if name not in record]:
                raise TaskError(f"{path}:{number} must have {missing[0]!r}, got {', '.join(record) or 'nothing'}")
            yield number, [record[name] for name in columns]


def _plain(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    places = _places(path, columns, ["text"])
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line := line.rstrip("\r\n"):
                yield number, [line for _ in places]


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet  # an extra
    except ImportError as error:
        raise TaskError(f"{path} needs pyarrow, got none; pip install 'astro-rmaat[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            _places(path, columns, list(file.schema_arrow.names))
            number = 0
            for batch in file.iter_batches(batch_size=256, columns=list(dict.fromkeys(columns))):
                values = {name: batch.column(name).to_pylist() for name in columns}
                for i in range(batch.num_rows):
                    number += 1
                    yield number, [values[name][i] for name in columns]
    except (ArrowException, OSError) as error:
        raise TaskError(f"{path} must be a whole Parquet file, got: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file as text without its byte order mark; a byte that is no UTF-8 is named with its line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        place = f"{path}:{_undecodable_line(path)}"
        raise TaskError(f"{place} must be UTF-8, got {error.reason}; save the file as UTF-8") from error


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
