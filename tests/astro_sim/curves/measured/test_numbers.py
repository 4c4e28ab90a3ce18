"""Decimal marks, missing cells and times of the clock: what is clear is read, what is not is asked."""

import numpy as np
import pytest

from astro_sim.curves.measured.cells import read_cells
from astro_sim.curves.measured.numbers import decimal_mark, is_clock, numbers


def column(path, *values):
    """Values of a column after they were written and read, with the mark that was found."""
    path.write_text("\n".join(["a;b", "0;0", *(f"1;{value}" for value in values)]))
    cells = read_cells(path)
    mark = decimal_mark(cells, (0, 1), None)
    return mark, numbers(cells, 1, mark)[1:].tolist()


@pytest.mark.parametrize(
    ("values", "mark", "expected"),
    [
        (["1.5", "1.234"], ".", [1.5, 1.234]),
        (["1,5", "1,234"], ",", [1.5, 1.234]),
        (["0,123", "-0,5e-3"], ",", [0.123, -0.5e-3]),
        (["1,234.5", "1,234"], ".", [1234.5, 1234.0]),
        (["1.234,5", "1.234"], ",", [1234.5, 1234.0]),
        (["1,234,567", "1,234"], ".", [1234567.0, 1234.0]),
        (["\N{MINUS SIGN}1.5", "1\N{NO-BREAK SPACE}234"], ".", [-1.5, 1234.0]),
        (["+5.", ".5"], ".", [5.0, 0.5]),
        (["00:05:00", "1:00:00.5"], ".", [300.0, 3600.5]),
    ],
)
def test_clear_numbers(tmp_path, values, mark, expected):
    assert column(tmp_path / "t.csv", *values) == (mark, expected)


@pytest.mark.parametrize("word", ["", "NA", "nan", "-", "#DIV/0!", "n.d."])
def test_missing_cells(tmp_path, word):
    _, (missing, number) = column(tmp_path / "t.csv", word, "2.5")
    assert np.isnan(missing) and number == 2.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["1,234", "2,345"],
            r"t.csv: is '1,234' a decimal comma or a number above a thousand\? Give --decimal comma or",
        ),
        (["1,5", "1.5"], r"which is the decimal mark, where '1,5' and '1.5' both stand\? Give --decimal"),
        (["1,5", "1.234"], r"which is the decimal mark, where '1,5' and '1.234' both stand\?"),
        (["1.5", "word"], r"t.csv, line 4: b must be a number, got 'word'"),
        (["1", "5%"], r"t.csv, line 4: b must be a number, got '5%'"),
        (["1", "1_000"], r"t.csv, line 4: b must be a number, got '1_000'"),
        (["1", "1e999"], r"t.csv, line 4: b must be finite, got 1e999"),
        (["1", "inf"], r"t.csv, line 4: b must be a number, got 'inf'"),
        (["1", "5:30"], r"b must be a number, got '5:30'; give hours:minutes:seconds"),
    ],
)
def test_unclear_numbers_are_asked_about(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        column(tmp_path / "t.csv", *values)


def test_an_answer_settles_it(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n0;1,234\n1;2,345\n")
    cells = read_cells(tmp_path / "t.csv")
    assert numbers(cells, 1, decimal_mark(cells, (0, 1), "comma")).tolist() == [1.234, 2.345]
    assert numbers(cells, 1, decimal_mark(cells, (0, 1), "point")).tolist() == [1234, 2345]
    with pytest.raises(ValueError, match="decimal must be point or comma, got 'semicolon'"):
        decimal_mark(cells, (0, 1), "semicolon")
    assert not is_clock(cells, 0)
