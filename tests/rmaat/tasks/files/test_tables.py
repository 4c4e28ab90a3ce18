"""Rows of tables as others write them, and one sentence for each damage."""

import csv
import json

import pytest

from rmaat.tasks import TaskError
from rmaat.tasks.files.tables import read_rows

ROWS = [
    ("plain", "a"),
    ('say "hi", twice', "b"),
    ("two\nlines", "a"),
    ("ünïcode €", "b"),
    ("", "a"),
    ("x" * 200_000, "b"),
]


def rows_of(path, *columns, **options):
    return [tuple(values) for _, values in read_rows(path, columns, **options)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("A.CSV", ";")])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_what_a_csv_writer_writes(tmp_path, encoding, name, delimiter, end):
    """Quotes, separators and line ends in fields, byte order mark, every line end, semicolons, 200,000 characters."""
    with (tmp_path / name).open("w", encoding=encoding, newline="") as file:
        quoting = csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL  # by itself the writer overlooks the other ends
        csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([("text", "y"), *ROWS])
    assert rows_of(tmp_path / name, "text", "y") == ROWS
    assert rows_of(tmp_path / name, "y") == [(label,) for _, label in ROWS]
    assert [line for line, _ in read_rows(tmp_path / name, ["y"])] == [2, 3, 4, 6, 7, 8]


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": text, "y": label, "more": [1]}) for text, label in ROWS]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())
    assert rows_of(path, "text", "y") == ROWS


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(ROWS * 100, columns=["text", "y"]).astype({"y": "category"})
    frame.to_parquet(tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet", "y", "text") == [(label, text) for text, label in ROWS * 100]
    assert [line for line, _ in read_rows(tmp_path / "a.parquet", ["y"])] == list(range(1, 601))
    with pytest.raises(TaskError, match=r"a.parquet must have one column 'z', got text, y; name yours"):
        rows_of(tmp_path / "a.parquet", "z")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(TaskError, match=r"b.parquet must be a whole Parquet file, got: "):
        rows_of(tmp_path / "b.parquet", "y")


def test_plain_lines_and_fields_without_quotes(tmp_path):
    (tmp_path / "a.txt").write_bytes(b'\xef\xbb\xbfone\r\n\n"two')
    assert list(read_rows(tmp_path / "a.txt", ["text"])) == [(1, ["one"]), (3, ['"two'])]
    (tmp_path / "a.tsv").write_text('text\ty\n"so" it began\t0\n"\t1\n')
    assert rows_of(tmp_path / "a.tsv", "text", quotes=False) == [('"so" it began',), ('"',)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"a.csv must have one column 'text', got none; name yours with text and label"),
        ("a.csv", b"id,words\n", r"a.csv must have one column 'text', got id, words; name yours"),
        ("a.csv", b"text,text\n", r"a.csv must have one column 'text', got 2 of that name"),
        ("a.csv", b"text,y\na,1\nb\n", r"a.csv:3 must have 2 fields like the first line, got 1; put quotation marks"),
        ("a.csv", b'text,y\n"a\nb",1\nb,c,2\n', r"a.csv:4 must have 2 fields like the first line, got 3"),
        ("a.csv", b'text,y\na,1\n"b,2\nc,3\n', r"a.csv:3 must begin a row of CSV, got: unexpected end of data; write"),
        ("a.tsv", b'text\ty\n"so" it\t1\n', r"a.tsv:2 must begin a row of TSV, got: .* or turn quotes off"),
        ("a.csv", b"text,y\na,1\n\xe9,2\n", r"a.csv:3 must be UTF-8, got invalid continuation byte; save the file as"),
        ("a.csv", "text,y\n".encode("utf-16"), r"a.csv:1 must be UTF-8, got invalid start byte"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"a.jsonl:2 must be one JSON object, got: Expecting value"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', r"a.jsonl:2 must be a JSON object, got \[1\]"),
        ("a.jsonl", b'{"text": "a"}\n\n{"y": "a"}\n', r"a.jsonl:3 must have 'text', got y"),
        ("a.xls", b"", r"a.xls must be a file that ends in one of .csv, .tsv, .*, got .xls"),
    ],
)
def test_damaged_tables_are_named_with_their_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=message):
        rows_of(tmp_path / name, "text")


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(TaskError, match=r"b.csv must be a file, got none; check the path"):
        rows_of(tmp_path / "b.csv", "text")


def test_rows_are_read_one_by_one(tmp_path):
    """A damage further on does not hinder what stands before it."""
    (tmp_path / "a.csv").write_text("text\n" + "a\n" * 100_000 + '"b')
    rows = read_rows(tmp_path / "a.csv", ["text"])
    assert [next(rows) for _ in range(2)] == [(2, ["a"]), (3, ["a"])]
