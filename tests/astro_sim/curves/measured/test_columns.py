"""Columns and units are found where the header is clear, and asked for where it is not."""

import pytest

from astro_sim.curves.measured.cells import read_cells
from astro_sim.curves.measured.columns import (
    error_column,
    response_columns,
    split_unit,
    spread_columns,
    time_column,
)  # fmt: skip


def table(path, header, rows=((0, 1, 2, 3), (1, 2, 3, 4), (2, 4, 4, 5))):
    width = len(header.split(",")) if header else 2
    lines = [header] if header else []
    path.write_text("\n".join(lines + [",".join(map(str, row[:width])) for row in rows]))
    return read_cells(path)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Time (min)", ("Time", "min")),
        ("fEPSP slope [% baseline]", ("fEPSP slope", "% baseline")),
        ("time_min", ("time", "min")),
        ("Time, s", ("Time", "s")),
        ("t/h", ("t", "h")),
        ("Minutes", ("Minutes", "Minutes")),
        ("slope h", ("slope h", "")),
        ("EPSP", ("EPSP", "")),
    ],
)
def test_units(header, expected):
    assert split_unit(header) == expected


@pytest.mark.parametrize(
    ("header", "time", "response", "sem"),
    [
        ("time,response,sem", 0, 1, 2),
        ("Time (min),fEPSP slope (% baseline),SEM", 0, 1, 2),
        ("slope,Zeit (min)", 1, 0, None),
        ("Sweep #,Time (s),EPSP,s.e.m.", 1, 2, 3),
        ("t (min),rise time (ms)", 0, 1, None),
        ("Minutes,n,EPSP,SD", 0, 2, None),
        ("time,time of day,EPSP,EPSP error", 0, 2, 3),
        ("x,y", 0, 1, None),
        ("", 0, 1, None),
    ],
)
def test_clear_headers(tmp_path, header, time, response, sem):
    cells = table(tmp_path / "t.csv", header)
    assert time_column(cells, None) == time
    assert response_columns(cells, time, ()) == (response,)
    assert error_column(cells, (response,), None) == sem


def test_unclear_headers_are_asked_about(tmp_path):
    cells = table(tmp_path / "t.csv", "sweep,slope (mV/ms),amplitude,text")
    with pytest.raises(ValueError, match=r"which column is the time, 'sweep', 'slope .*'\? Give --time NAME"):
        time_column(cells, None)
    with pytest.raises(ValueError, match=r"which column is the response, 'slope .*', 'amplitude'.*\? Give --response"):
        response_columns(cells, 0, ())
    cells = table(tmp_path / "t.csv", "t,EPSP,SEM before,SEM after")
    with pytest.raises(ValueError, match=r"which column is the standard error, 'SEM before', 'SEM after'\? Give --sem"):
        error_column(cells, (1,), None)
    assert error_column(cells, (1,), "none") is None and error_column(cells, (1,), "sem after") == 3
    with pytest.raises(ValueError, match=r"which column is the response, of 't', 'SD'\? Give --response NAME"):
        response_columns(table(tmp_path / "t.csv", "t,SD"), 0, ())
    with pytest.raises(ValueError, match=r"which column is the time, '1', '2'\? Give --time NAME"):
        time_column(table(tmp_path / "t.csv", "", [(5, 1), (1, 2), (3, 3)]), None)


def test_columns_are_named_in_several_ways(tmp_path):
    cells = table(tmp_path / "t.csv", "Time (min),EPSP a,EPSP b,EPSP b")
    for name in ("Time (min)", "time", "TIME (MIN)", "1", "ti*"):
        assert time_column(cells, name) == 0
    assert response_columns(cells, 0, ("EPSP *",)) == (1, 2, 3)
    assert response_columns(cells, 0, ("epsp a", "3")) == (1, 2)
    with pytest.raises(ValueError, match=r"time must be one column, got 'EPSP b' for 'EPSP b', 'EPSP b'"):
        time_column(cells, "EPSP b")
    with pytest.raises(ValueError, match=r"response must be one of the columns 'Time \(min\)', .*, got 'slope'"):
        response_columns(cells, 0, ("slope",))


def test_standard_deviations_are_no_standard_errors(tmp_path):
    assert spread_columns(table(tmp_path / "t.csv", "t,EPSP,SD,Std dev")) == ["SD", "Std dev"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("t,slice 1,slice 2,slice 3", (1, 2, 3)),
        ("t,Slice1 (mV),Slice2 (mV),Slice12 (mV)", (1, 2, 3)),
        ("t,cell a,cell b,cell c", (1, 2, 3)),
        ("t,1,2,3", (1, 2, 3)),
        ("t,slope,slope.1,slope.2", (1, 2, 3)),
        ("t,slice 1,slice 2,amplitude", None),
        ("t,slice 1,slice 2", None),
    ],
)
def test_columns_that_differ_in_a_number_are_slices(tmp_path, header, found):
    cells = table(tmp_path / "t.csv", header)
    if found is None:
        with pytest.raises(ValueError, match=r"which column is the response, .*\? Give --response NAME, or several"):
            response_columns(cells, 0, ())
    else:
        assert response_columns(cells, 0, ()) == found
