"""From a file to arrays in seconds, with notes on what was guessed, converted and skipped."""

import subprocess
import sys

import numpy as np
import pytest

from astro_sim.__main__ import main
from astro_sim.curves.measured import fit_csv, read_measured

MINUTES = np.arange(0.0, 61.0, 5.0)
PERCENT = 100 + 40 * -np.expm1(-MINUTES / 12) + np.cos(7 * MINUTES)


def written(path, header="Time (min),fEPSP slope (% baseline),SEM", end="\r\n", decimal=".", separator=","):
    rows = [f"{time:g},{value:.2f},1.5" for time, value in zip(MINUTES, PERCENT, strict=True)]
    rows = [row.replace(",", separator).replace(".", decimal) for row in rows]
    path.write_bytes(("\ufeff" + end.join([header, *rows, ""])).encode())
    return path


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"header": "Time (min);fEPSP slope (% baseline);SEM", "separator": ";", "decimal": ","},
        {"header": "Time (min)\tfEPSP slope (% baseline)\tSEM", "separator": "\t", "decimal": ","},
        {"header": "Time\tfEPSP slope\tSEM\nmin\t% baseline\t% baseline", "separator": "\t", "end": "\n"},
    ],
)
def test_laboratory_layouts_give_the_same_arrays(tmp_path, layout):
    measured = read_measured(written(tmp_path / "slice.txt", **layout))
    np.testing.assert_allclose(measured.time, 60 * MINUTES)
    np.testing.assert_allclose(measured.responses, [PERCENT.round(2)])
    assert np.all(measured.sem == 1.5) and measured.unit == "% baseline"
    assert measured.notes[0] == f"time from {'Time (min)'!r} in min"


@pytest.mark.parametrize(("unit", "seconds"), [("ms", 1e-3), ("s", 1.0), ("h", 3600.0), ("d", 86400.0)])
def test_units_are_converted_or_given(tmp_path, unit, seconds):
    in_header = read_measured(written(tmp_path / "s.csv", f"Time ({unit}),EPSP,SEM"))
    given = read_measured(written(tmp_path / "s.csv", "Time after tetanus,EPSP,SEM"), time_unit=unit)
    np.testing.assert_allclose([in_header.time, given.time], np.array([MINUTES * seconds] * 2))
    assert given.command == ("--time-unit", unit)


def test_units_that_are_not_clear_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"which unit has the time in 'Time after'\? Give --time-unit, one of ms, s,"):
        read_measured(written(tmp_path / "s.csv", "Time after,EPSP,SEM"))
    with pytest.raises(ValueError, match=r"which unit has the time in 'Time \(sweeps\)'\?"):
        read_measured(written(tmp_path / "s.csv", "Time (sweeps),EPSP,SEM"))
    with pytest.raises(ValueError, match=r"is the time in min, as 'Time \(min\)' says, or in s, as time_unit says\?"):
        read_measured(written(tmp_path / "s.csv"), time_unit="s")
    with pytest.raises(ValueError, match="time_unit must be one of ms, s, min, h, d, got 'days'"):
        read_measured(written(tmp_path / "s.csv"), time_unit="days")
    assert "in s (no unit given" in read_measured(written(tmp_path / "s.csv", "time,response,sem")).notes[0]


def test_rows_with_missing_cells_are_skipped_and_counted(tmp_path):
    (tmp_path / "s.csv").write_text("time,response,sem\n0,1,1\n1,,1\n,3,1\n3,NA,1\n4,5,\n5,6,1\n6,7\n7,8,1\n")
    measured = read_measured(tmp_path / "s.csv")
    assert measured.time.tolist() == [0, 5, 7]
    assert "1 of 8 rows without a time skipped (line 4)" in measured.summary()
    assert "2 of 8 rows without a response skipped (line 3, 5)" in measured.summary()
    assert "2 of 8 rows without a standard error skipped (line 6, 8)" in measured.summary()


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("time,response", ["0,0", "1,a"], r"s.csv, line 3: response must be a number, got 'a'"),
        ("time,response", ["0,0", "1,1e999"], r"s.csv, line 3: response must be finite, got 1e999"),
        ("time,response,sem", ["0,0,0"], r"s.csv, line 2: sem must be positive, got 0; leave the column out"),
        ("time,response", ["0,0", "1,1"], r"s.csv: data must have at least 3 rows with numbers, got 2"),
        ("time,response", ["0,0", "1", "2,2"], r"s.csv: data must have at least 3 rows with numbers, got 2"),
    ],
)
def test_errors_name_file_and_line(tmp_path, header, rows, message):
    (tmp_path / "s.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(ValueError, match=message):
        read_measured(tmp_path / "s.csv")


def test_time_of_induction_becomes_zero(tmp_path):
    measured = read_measured(written(tmp_path / "s.csv"), induction=20)
    np.testing.assert_allclose(measured.time, 60 * (MINUTES - 20))
    with pytest.raises(ValueError, match="induction must be finite, got nan"):
        read_measured(written(tmp_path / "s.csv"), induction=float("nan"))
    with pytest.raises(ValueError, match=r"time, response and sem must be different columns, got 'Time \(min\)' twice"):
        read_measured(written(tmp_path / "s.csv"), sem="1")


def test_the_command_says_in_one_line_how_it_read(tmp_path, capsys):
    path = written(tmp_path / "s.csv", "Time (min);slope;SEM", separator=";", decimal=",")
    assert main(["fit", str(path), "--baseline", "100", "--out", str(tmp_path)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        f"{path}: time from 'Time (min)' in min; response from 'slope'; standard error from 'SEM'; separated by "
        "semicolons; decimal commas"
    )
    options = ["--time", "1", "--response", "2", "--sem", "none", "--baseline", "100", "--out", str(tmp_path)]
    assert main(["fit", str(path), *options]) == 0
    curve = fit_csv(path, time="1", response="2", sem="none", baseline=100)
    assert curve.provenance["command"] == "astro-sim fit s.csv --time 1 --sem none --response 2 --baseline 100"
    assert curve.provenance["reading"][1] == "response from 'slope'"


def test_pandas_is_loaded_only_to_read():
    code = "import sys, astro_sim.curves.measured; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
