"""From a file to cells of text: encoding, separator, header and what stands before it; text or an Excel sheet.

Nothing is turned into a number here. pandas splits the lines and reads the sheets.
"""

import datetime
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astro_sim.curves.files import read_bytes

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 100_000_000  # of a file, and of the sheets in an Excel file once unpacked

MOST_CELLS = 20_000_000

LONGEST_LINE = 131_072  # characters; the limit of a cell in Python's own reader of tables

LIKE_A_NUMBER = re.compile(r"[-+\u2212]?[\d.,\u00a0\u202f]*\d[.,]?([eE][-+]?\d+)?|[-+]?(\d+:)+\d+([.,]\d+)?")

MISSING = frozenset(
    "|-|--|.|?|na|n/a|nan|n.a.|nd|n.d.|null|none|#n/a|#na|#div/0!|#value!|#num!|#ref!|#null!|#name?".split("|")
)
"""What stands for a missing value, in lower case."""

UNITS = frozenset("s sec ms min h mv mv/ms uv v/s pa na v a.u. au hz".split())  # alone in a line below the names

OLD_EXCEL, ZIPPED = b"\xd0\xcf\x11\xe0", b"PK\x03\x04"


@dataclass(frozen=True)
class Cells:
    """A table as text: one name per column, rows of stripped cells, the line of each row in the file (from 1)."""

    path: Path
    names: tuple[str, ...]
    """From the header, ``#3`` where that leaves the third empty; ``1``, ``2``, ... in a file without a header."""
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    headed: bool
    notes: tuple[str, ...]
    """How the file was read, where that is not as plain as commas below a header."""


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def read_cells(path: Path, sheet: str | None = None) -> Cells:
    """Split a table into cells; ValueError with file and line for what is no table.

    Parameters
    ----------
    sheet : str, optional
        Name of the sheet of an Excel file that has several with data.
    """
    data = read_bytes(path, "data", most=MOST_BYTES)
    if data.startswith(OLD_EXCEL):
        raise ValueError(f"{path}: data must be text or .xlsx, got an old Excel file; save it as .xlsx or .csv")
    if data.startswith(ZIPPED):
        frame, notes = _sheet(path, data, sheet)
    elif sheet is not None:
        raise ValueError(f"{path}: sheet must be left out for text, got {sheet!r}; only .xlsx files have sheets")
    else:
        frame, notes = _text(path, data)
    return _table(path, frame, notes)


# ---------------------------------------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------------------------------------
def _text(path: Path, data: bytes) -> tuple["pd.DataFrame", list[str]]:
    import pandas as pd

    text, notes = _decode(path, data)
    lines = re.split(r"\r\n|\r|\n", text)
    skipped = 0
    if re.match(r"ATF\s+[\d.]+\s*$", lines[0]):  # Axon text: version, then the numbers of records and columns
        counts = lines[1].split() if len(lines) > 1 else []
        skipped = 2 + (int(counts[0]) if counts and counts[0].isdecimal() else 0)
        notes.append(f"Axon text file, {skipped} lines before the header skipped")
    lines = ["" if k < skipped or line.lstrip().startswith("#") else line for k, line in enumerate(lines)]
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            raise ValueError(
                f"{path}, line {number}: row must have at most {LONGEST_LINE} characters, got {len(line)}; check it"
            )
    separator = _separator([line for line in lines if line.strip()])
    width = 1 + max((_count(line, separator) for line in lines), default=0)
    if width * len(lines) > MOST_CELLS:
        raise ValueError(
            f"{path}: data must have at most {MOST_CELLS} cells, got up to {width} in each of {len(lines)} lines; "
            "leave out what is not needed"
        )
    if separator in (";", "\t"):
        notes.append({";": "separated by semicolons", "\t": "separated by tabs"}[separator])
    elif separator == " ":
        lines = ["\t".join(_spaced(line.strip())) for line in lines]
        separator, width = "\t", 1 + max(line.count("\t") for line in lines)
        notes.append("separated by spaces")
    try:
        frame = pd.read_csv(
            io.StringIO("\n".join(lines)), sep=separator, header=None, names=range(width), index_col=False, dtype=str,
            keep_default_na=False, skip_blank_lines=False, skipinitialspace=True,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        why = str(error).removeprefix("Error tokenizing data. C error: ")
        raise ValueError(f"{path}: data must be a table of text, got {why}; close all quotes") from None
    return frame, notes


def _decode(path: Path, data: bytes) -> tuple[str, list[str]]:
    """Text and notes. What is not UTF-8 is taken as Windows-1252: digits and separators are the same in both."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), []
    if b"\x00" in data:
        raise ValueError(f"{path}: data must be text or .xlsx, got a binary file; export the table as .csv")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), ["read as Windows-1252 text"]


def _separator(lines: list[str]) -> str:
    """The separator: the first of tab, semicolon, comma that stands in at least half of the last third of all lines."""
    last = lines[-(len(lines) // 3 or 1) :]
    for separator in "\t;,":
        if 2 * sum(_count(line, separator) > 0 for line in last) >= len(last):
            return separator
    return " " if 2 * sum(len(line.split()) > 1 for line in last) > len(last) else ","


def _count(line: str, separator: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(separator) if '"' in line else line.count(separator)


def _spaced(line: str) -> list[str]:
    """The cells of a line without tabs, semicolons and commas; names in a header may hold single spaces."""
    cells = line.split()
    named = "  " in line and not all(LIKE_A_NUMBER.fullmatch(cell) or is_missing(cell) for cell in cells)
    return re.split(r"\s{2,}", line) if named else cells


# ---------------------------------------------------------------------------------------------------------------------
# Excel
# ---------------------------------------------------------------------------------------------------------------------
def _sheet(path: Path, data: bytes, sheet: str | None) -> tuple["pd.DataFrame", list[str]]:
    import pandas as pd

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: data must be a whole .xlsx file, got {error}; save it again") from error
    if unpacked > 10 * MOST_BYTES:
        raise ValueError(f"{path}: data must unpack to at most {10 * MOST_BYTES} bytes, got {unpacked}")
    try:
        sheets = pd.read_excel(io.BytesIO(data), sheet_name=None, header=None, dtype=object, engine="openpyxl")
    except ImportError:
        raise ValueError(
            f"{path}: an Excel file needs openpyxl, got none; `pip install 'astro-rmaat[excel]'`, or save it as .csv"
        ) from None
    except Exception as error:  # openpyxl raises whatever its XML parser meets
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: data must be an Excel workbook (.xlsx), got {why:.200}; save it again") from error
    filled = {str(name): frame for name, frame in sheets.items() if frame.notna().to_numpy().any()}
    if sheet is None and len(filled) > 1:
        raise ValueError(f"{path}: which sheet is to be read, {', '.join(map(repr, filled))}? Give --sheet NAME")
    if sheet is not None and sheet not in filled:
        raise ValueError(
            f"{path}: sheet must be one with data, {', '.join(map(repr, filled)) or 'of which there is none'}, got "
            f"{sheet!r}"
        )
    name, frame = next(iter(filled.items())) if sheet is None else (sheet, filled[sheet])  # type: ignore[arg-type]
    return frame.map(_of_excel), [f"sheet {name!r}"]


def _of_excel(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, datetime.timedelta):
        minutes, seconds = divmod(value.total_seconds(), 60)
        return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{seconds:06.3f}"
    return repr(value) if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------------------------------------------------------
# Header and rows
# ---------------------------------------------------------------------------------------------------------------------
def _table(path: Path, frame: "pd.DataFrame", notes: list[str]) -> Cells:
    grid = [tuple(str(cell).strip() for cell in row) for row in frame.itertuples(index=False)]
    breaks = 0  # a quoted cell may go over several lines
    rows, lines = [], []
    for number, row in enumerate(grid, start=1):
        if any(row):
            rows.append(tuple(re.sub(r"[ \t\n]+", " ", cell) for cell in row))
            lines.append(number + breaks)
        breaks += sum(cell.count("\n") for cell in row)
    first = _first_row_of_numbers(rows)
    if first is None:
        raise ValueError(f"{path}: data must have rows with at least two numbers each, got none; is it a table?")
    names, used = _header(rows[:first])
    width = len(names) if names else max(len(_trimmed(row)) for row in rows[first:])
    if first > used:
        notes.append(f"{first - used} line{'s' * (first - used > 1)} before the header skipped")
    for row, line in zip(rows[first:], lines[first:], strict=True):
        if len(_trimmed(row)) > width:
            raise ValueError(
                f"{path}, line {line}: row must have {width} columns, got {len(_trimmed(row))}; are the commas decimal "
                "marks? Then separate the columns by semicolons or tabs"
            )
    return Cells(
        path=path,
        names=tuple(names[k] or f"#{k + 1}" if names else str(k + 1) for k in range(width)),
        rows=tuple((row + ("",) * width)[:width] for row in rows[first:]),
        lines=tuple(lines[first:]),
        headed=bool(names),
        notes=tuple(notes),
    )


def _trimmed(row: tuple[str, ...]) -> tuple[str, ...]:
    """The row without the empty cells at its end."""
    filled = [k for k, cell in enumerate(row) if cell]
    return row[: filled[-1] + 1] if filled else ()


def _numeric(cell: str) -> bool:
    return bool(LIKE_A_NUMBER.fullmatch(cell))


def _first_row_of_numbers(rows: list[tuple[str, ...]]) -> int | None:
    """The row where data begin: at least two numbers, and no word in a column that holds numbers further down."""
    last = rows[-(min(len(rows) // 3, 1000) or 1) :]
    columns = range(len(rows[0]) if rows else 0)
    numeric = [k for k in columns if 2 * sum(_numeric(row[k]) for row in last) > len(last)]
    for number, row in enumerate(rows):
        if sum(map(_numeric, row)) >= 2 and all(_numeric(row[k]) or is_missing(row[k]) for k in numeric):
            return number
    return None


def _header(above: list[tuple[str, ...]]) -> tuple[tuple[str, ...], int]:
    """Names of the columns from the lines above the data, and how many lines they took: 0, 1, or 2 with units below."""
    names = _trimmed(above[-1]) if above else ()
    if len(names) < 2:  # a title
        return (), 0
    if len(above) > 1 and len(_trimmed(above[-2])) >= len(names) and all(map(_is_unit, filter(None, names))):
        above_it = _trimmed(above[-2])
        units = (*names, *[""] * len(above_it))
        pairs = zip(above_it, units, strict=False)
        return tuple(f"{name} ({unit.strip('()[] ')})" if unit else name for name, unit in pairs), 2
    return names, 1


def _is_unit(cell: str) -> bool:
    """True for `(min)`, `[%]`, `ms`, `mV/ms`, `% baseline`, as they stand in a line of their own below the names."""
    inside = re.fullmatch(r"[(\[](.*)[)\]]", cell)
    return bool(inside) or cell.lower() in UNITS or cell.startswith("%")
