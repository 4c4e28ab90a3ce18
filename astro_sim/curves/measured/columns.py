"""Which column is the time, the response and its error, and in which unit: as asked, or from the header."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from astro_sim.curves.measured.cells import LIKE_A_NUMBER, Cells, is_missing

SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

TIME_UNITS = {
    word: unit
    for unit, words in {
        "ms": "ms msec millisecond milliseconds",
        "s": "s sec secs second seconds sekunden",
        "min": "min mins minute minutes minuten",
        "h": "h hr hrs hour hours std stunden",
        "d": "d day days",
    }.items()
    for word in words.split()
}

TIME = re.compile(r"(elapsed |relative |experiment |recording )?(time|zeit|temps|tiempo|tempo|t)\b.*|x")

NO_TIME = re.compile(r".*\b(peak|rise|decay|half|constant|tau|latency)\b.*")

ERROR = re.compile(r"(.*\b)?(s\.?e\.?m?\.?|std\.? ?err(or)?\.?|stderr|standard error|error|err)(\b.*)?")

SPREAD = re.compile(r"(.*\b)?(s\.?d\.?|stdev|std\.? ?dev.*|std|standard deviation|variance|var)(\b.*)?")

COUNTER = re.compile(
    r"(n|no\.?|nr\.?|number|count|index|id|#|(sweep|trace|episode|record|file) ?(n|no\.?|nr\.?|number|index|#)?|#\d+)"
)


def split_unit(header: str) -> tuple[str, str]:
    """Name and unit of a header such as `Time (min)`, `slope [mV/ms]`, `Time, min`, `time_min` or `minutes`."""
    if found := re.fullmatch(r"(.*?)[\s_]*[(\[]([^()\[\]]*)[)\]]", header):
        return found[1].strip(), found[2].strip()
    if found := re.fullmatch(r"(.*?)[\s_/,]+(\w+)", header):
        if found[2].lower() in TIME_UNITS and TIME.fullmatch(_plain(found[1])):
            return found[1].strip(), found[2]
    return header, (header if header.lower() in TIME_UNITS and len(header) > 1 else "")


def time_column(cells: Cells, asked: str | None) -> int:
    """Index of the time column; ValueError, as a question, unless exactly one can be it."""
    if asked is not None:
        return _one(cells, "time", asked)
    numeric = numeric_columns(cells)
    named = [k for k in numeric if _is_time(cells.names[k])]
    if len(named) > 1:  # `time` alone before `time of day`
        named = [k for k in named if split_unit(cells.names[k])[0].lower() in ("time", "t")] or named
    if not named and not cells.headed:
        named = [k for k in numeric[:1] if _ascends(cells, k)]
    if len(named) != 1:
        which = _list(cells, named or numeric)
        raise ValueError(f"{cells.path}: which column is the time, {which}? Give --time NAME")
    return named[0]


def response_columns(cells: Cells, time: int, asked: Sequence[str]) -> tuple[int, ...]:
    """Indices of the response columns: one, or one per slice or cell; ValueError, as a question, unless it is clear."""
    if asked:
        found = [k for name in asked for k in _matching(cells, "response", name) if k != time]
        return tuple(dict.fromkeys(found))
    left = [k for k in numeric_columns(cells) if k != time and not _has_role(cells.names[k], cells.headed)]
    if len(left) != 1 and not _family(cells, left):
        if not left:
            raise ValueError(
                f"{cells.path}: which column is the response, of {_list(cells, range(len(cells.names)))}? "
                "Give --response NAME"
            )
        raise ValueError(
            f"{cells.path}: which column is the response, {_list(cells, left)}? Give --response NAME, or several names "
            "if each is a slice or a cell"
        )
    return tuple(left)


def error_column(cells: Cells, response: Sequence[int], asked: str | None) -> int | None:
    """Index of the column of standard errors, None where there is none or `asked` is ``none``."""
    if asked is not None:
        return None if asked.lower() == "none" else _one(cells, "sem", asked)
    if len(response) != 1:
        return None
    named = [k for k in numeric_columns(cells) if k not in response and ERROR.fullmatch(_plain(cells.names[k]))]
    own = [k for k in named if _plain(split_unit(cells.names[response[0]])[0]) in _plain(cells.names[k])] or named
    if len(own) > 1:
        raise ValueError(
            f"{cells.path}: which column is the standard error, {_list(cells, own)}? Give --sem NAME or none"
        )
    return own[0] if own else None


def spread_columns(cells: Cells) -> list[str]:
    """Names of columns that hold a standard deviation, which is no standard error."""
    return [cells.names[k] for k in numeric_columns(cells) if SPREAD.fullmatch(_plain(cells.names[k]))]


def numeric_columns(cells: Cells) -> list[int]:
    """Columns in which at least half of what is there looks like numbers."""
    found = []
    for k in range(len(cells.names)):
        filled = [row[k] for row in cells.rows[:1000] if not is_missing(row[k])]
        if filled and 2 * sum(bool(LIKE_A_NUMBER.fullmatch(cell)) for cell in filled) >= len(filled):
            found.append(k)
    return found


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _is_time(name: str) -> bool:
    plain, unit = map(str.lower, split_unit(name))
    plain = _plain(plain)
    return bool((TIME.fullmatch(plain) or (unit and plain == unit)) and not NO_TIME.fullmatch(plain))


def _has_role(name: str, headed: bool) -> bool:
    """True for errors, spreads, counters and further times: no responses."""
    plain = _plain(split_unit(name)[0])
    roles = (ERROR, SPREAD, COUNTER, TIME)
    return headed and any(role.fullmatch(plain) for role in roles)


def _family(cells: Cells, columns: Sequence[int]) -> bool:
    """True for three columns or more that differ in a number or a letter at the end: one per slice or cell."""
    names = [_plain(split_unit(cells.names[k])[0]) for k in columns]
    stems = {re.sub(r"[ .#-]*(\d+|\b[a-z])$", "", name) for name in names}
    return cells.headed and len(names) >= 3 and len(stems) == 1


def _ascends(cells: Cells, column: int) -> bool:
    values = [row[column].replace(",", ".") for row in cells.rows]
    try:
        times = [float(value) for value in values]
    except ValueError:
        return all(":" in value for value in values)
    return all(before < after for before, after in pairwise(times))


def _one(cells: Cells, role: str, asked: str) -> int:
    found = _matching(cells, role, asked)
    if len(found) > 1:
        raise ValueError(f"{cells.path}: {role} must be one column, got {asked!r} for {_list(cells, found)}")
    return found[0]


def _matching(cells: Cells, role: str, asked: str) -> list[int]:
    """Columns called `asked`: exactly, else whatever the case and without the unit, else by pattern, else by number."""
    names = cells.names
    low = asked.lower()
    ways = (
        lambda k: names[k] == asked,
        lambda k: low in (names[k].lower(), split_unit(names[k])[0].lower()),
        lambda k: fnmatchcase(names[k].lower(), low) or fnmatchcase(split_unit(names[k])[0].lower(), low),
        lambda k: asked == str(k + 1),
    )
    for way in ways:
        if found := [k for k in range(len(names)) if way(k)]:
            return found
    raise ValueError(
        f"{cells.path}: {role} must be one of the columns {_list(cells, range(len(names)))}, got {asked!r}"
    )


def _list(cells: Cells, columns: Iterable[int]) -> str:
    names = [repr(cells.names[k]) for k in columns]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
