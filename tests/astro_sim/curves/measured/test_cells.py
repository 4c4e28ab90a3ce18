"""Tables as others write them become cells: encodings, separators, headers, Excel."""

import builtins

import pandas as pd
import pytest

from astro_sim.curves.measured.cells import LONGEST_LINE, read_cells

ROWS = (("0", "1.5"), ("5", "2"), ("10", "2.5"))


def cells(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_cells(path)


@pytest.mark.parametrize(
    ("content", "names", "first_line"),
    [
        ("a,b\n0,1.5\n5,2\n10,2.5\n", ("a", "b"), 2),
        ("\ufeffa,b\r\n0,1.5\r\n5,2\r\n10,2.5\r\n", ("a", "b"), 2),
        ("a,b\r0,1.5\r5,2\r10,2.5", ("a", "b"), 2),
        ("a;b\n0;1.5\n5;2\n10;2.5\n", ("a", "b"), 2),
        ("a\tb\n0\t1.5\n5\t2\n10\t2.5\n", ("a", "b"), 2),
        ("time of it  b c\n0 1.5\n5    2\n10 2.5\n", ("time of it", "b c"), 2),
        ("0\t1.5\n5\t2\n10\t2.5\n", ("1", "2"), 1),
        ("A title\n0\t1.5\n5\t2\n10\t2.5\n", ("1", "2"), 2),
        ("# remark\n\n a , b \n0, 1.5\n\n5,2\n10,2.5,,\n", ("a", "b"), 4),
        ("a,\n0,1.5\n5,2\n10,2.5\n", ("1", "2"), 2),
        ('"a, so","b\nb"\n0,1.5\n5,2\n10,2.5\n', ("a, so", "b b"), 3),
        ('Made by X\n"Gain"\t10\t20\n\na\tb\nmin\tmV/ms\n0\t1.5\n5\t2\n10\t2.5\n', ("a (min)", "b (mV/ms)"), 6),
        ('ATF\t1.0\n2\t2\n"x=1"\n"y="\n"a"\t"b"\n0\t1.5\n5\t2\n10\t2.5\n', ("a", "b"), 6),
        ("a\tb\n0\t1.5\n5\t2\n10\t2.5\n".encode("utf-16"), ("a", "b"), 2),
        ("a,b µ\n0,1.5\n5,2\n10,2.5\n".encode("cp1252"), ("a", "b µ"), 2),
    ],
)
def test_layouts(tmp_path, content, names, first_line):
    found = cells(tmp_path / "table.txt", content)
    assert found.names == names and found.rows == ROWS and found.lines[0] == first_line
    assert found.headed == (names != ("1", "2"))


def test_lines_of_rows_are_those_of_the_file(tmp_path):
    found = cells(tmp_path / "t.csv", '# remark\n"a\nb",c\n\n1,2\n\n3,4\n5,6\n')
    assert found.lines == (5, 7, 8)


def test_short_rows_and_names_that_are_left_out(tmp_path):
    found = cells(tmp_path / "t.csv", ",a,b\n0,1,2\n1,2\n2,3,4\n")
    assert found.names == ("#1", "a", "b") and found.rows[1] == ("1", "2", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t.csv: data must have rows with at least two numbers each, got none; is it a table\?"),
        ("word", r"got none; is it a table\?"),
        (bytes(range(256)), r"data must be text or .xlsx, got a binary file; export the table as .csv"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, r"got an old Excel file; save it as .xlsx or .csv"),
        (b"PK\x03\x04 and no more", r"data must be a whole .xlsx file, got .*; save it again"),
        ('a,b\n0,"1\n5,2\n', r"got EOF inside string.*; close all quotes"),
        ("a,b\n0,1,5\n5,2,5\n", r"line 2: row must have 2 columns, got 3; are the commas decimal marks\?"),
        ("a,b\n0," + "1" * LONGEST_LINE, r"line 2: row must have at most 131072 characters, got 131074"),
        (
            "1," * 60_000 + "\n" + "1,2\n" * 400,
            r"data must have at most 20000000 cells, got up to 60001 in each of 402",
        ),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        cells(tmp_path / "t.csv", content)


def workbook(path, **sheets):
    with pd.ExcelWriter(path) as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    return path


def test_excel(tmp_path):
    pytest.importorskip("openpyxl")
    data = pd.DataFrame({"a": [0, 5, 10], "b": [1.5, None, 2.5]})
    found = read_cells(workbook(tmp_path / "one.xlsx", data=data))
    assert found.names == ("a", "b") and found.rows[1:] == (("5", ""), ("10", "2.5"))
    two = workbook(tmp_path / "two.xlsx", raw=data, notes=data, empty=pd.DataFrame())
    with pytest.raises(ValueError, match=r"two.xlsx: which sheet is to be read, 'raw', 'notes'\? Give --sheet NAME"):
        read_cells(two)
    assert read_cells(two, "notes").rows == found.rows
    with pytest.raises(ValueError, match=r"sheet must be one with data, 'raw', 'notes', got 'empty'"):
        read_cells(two, "empty")
    with pytest.raises(ValueError, match=r"sheet must be left out for text, got 'raw'; only .xlsx files have sheets"):
        (tmp_path / "t.csv").write_text("1,2")
        read_cells(tmp_path / "t.csv", "raw")
    (tmp_path / "cut.xlsx").write_bytes(two.read_bytes().replace(b"workbook.xml", b"workbook.xmx"))
    with pytest.raises(ValueError, match=r"cut.xlsx: data must be an Excel workbook \(.xlsx\), got .*; save it again"):
        read_cells(tmp_path / "cut.xlsx")


def test_excel_without_its_extra_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    path = workbook(tmp_path / "one.xlsx", data=pd.DataFrame({"a": [0, 5], "b": [1.5, 2.5]}))
    found = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("openpyxl"):
            raise ImportError(name)
        return found(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(__import__("sys").modules, "openpyxl")
    with pytest.raises(
        ValueError, match=r"an Excel file needs openpyxl, got none; `pip install 'astro-rmaat\[excel\]'`"
    ):
        read_cells(path)
