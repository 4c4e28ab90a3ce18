"""From cells of text to numbers: which mark is the decimal one, what is missing, times of the clock."""

import re
from collections.abc import Iterable

import numpy as np

from astro_sim.curves.measured.cells import Cells, is_missing

MARKS = {"point": ".", "comma": ","}

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)

GROUPED = {
    ",": re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?"),
    ".": re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?"),
}

CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")  # hours:minutes:seconds

TYPED = str.maketrans({"\N{MINUS SIGN}": "-", "\N{NO-BREAK SPACE}": None, "\N{NARROW NO-BREAK SPACE}": None})


def decimal_mark(cells: Cells, columns: Iterable[int], asked: str | None) -> str:
    """The decimal mark of the file, ``"."`` or ``","``; ValueError, as a question, where the numbers allow both.

    ``1,234`` may be one and a bit or a thousand, and a file that holds ``1,5`` and ``1.5`` says nothing clear. A cell
    with both marks, such as ``1.234,5``, settles it: the last one is the decimal mark.
    """
    if asked is not None:
        if asked not in MARKS:
            raise ValueError(f"decimal must be point or comma, got {asked!r}")
        return MARKS[asked]
    first: dict[str, str] = {}  # what a cell says -> the first cell that says it
    for cell in (row[k] for row in cells.rows for k in columns):
        if not is_missing(cell):
            first.setdefault(_says(cell), cell)
    ask = "? Give --decimal comma or --decimal point"
    comma = first.get("comma, with groups") or first.get("comma")
    point = first.get("point, with groups") or first.get("point")
    if comma and not point and "comma, with groups" not in first:
        point = first.get("point or groups")
    if comma and point:
        raise ValueError(f"{cells.path}: which is the decimal mark, where {comma!r} and {point!r} both stand{ask}")
    unclear = first.get("comma or groups")
    if unclear and not comma and "point, with groups" not in first:
        raise ValueError(f"{cells.path}: is {unclear!r} a decimal comma or a number above a thousand{ask}")
    return "," if comma else "."


def _says(cell: str) -> str:
    """What a cell says about the decimal mark."""
    if "," not in cell and "." not in cell:
        return ""
    mark, other = (",", ".") if cell.rfind(",") > cell.rfind(".") else (".", ",")
    word = {",": "comma", ".": "point"}
    if GROUPED[mark].fullmatch(cell) and cell.count(mark) > 1:  # 1,234,567
        return f"{word[other]}, with groups"
    if other in cell:
        return f"{word[mark]}, with groups"
    return f"{word[mark]} or groups" if GROUPED[mark].fullmatch(cell) else word[mark]


def numbers(cells: Cells, column: int, decimal: str) -> np.ndarray:
    """A column as float64, NaN where a cell is missing; ValueError with file and line for a word or infinity."""
    return np.array([_number(cells, row[column], column, decimal, k) for k, row in enumerate(cells.rows)])


def is_clock(cells: Cells, column: int) -> bool:
    """True for a column of times such as 00:05:00, which are read as seconds."""
    return any(CLOCK.fullmatch(row[column].replace(",", ".")) for row in cells.rows[:10])


def _number(cells: Cells, cell: str, column: int, decimal: str, row: int) -> float:
    if is_missing(cell):
        return np.nan
    text = cell.translate(TYPED)
    if clock := CLOCK.fullmatch(text.replace(",", ".")):
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    other = "," if decimal == "." else "."
    text = text.replace(other, "") if GROUPED[other].fullmatch(text) else text
    text = text.replace(decimal, ".") if other not in text else text + other  # which is no number then
    where = f"{cells.path}, line {cells.lines[row]}: {cells.names[column]}"
    if not NUMBER.fullmatch(text):
        hint = "; give hours:minutes:seconds" if re.fullmatch(r"\d+:\d+", text) else ""
        raise ValueError(f"{where} must be a number, got {cell!r}{hint}")
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"{where} must be finite, got {cell}")
    return value
