"""Curve files and tables from other people: each ends in a curve that can be read back, or in one sentence."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

from astro_sim.curves.curve import Axis, CurveFileError
from astro_sim.curves.files import read_json, read_text
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.format import load_curve, load_curves, parse_curve, write_curve
from astro_sim.curves.least_squares import FitError
from astro_sim.curves.measured import fit_csv

PACKAGED = Path(__file__).parents[3] / "rmaat" / "data"
LTP = (PACKAGED / "ltp.toml").read_text()
HUGE = "1" + "0" * 400


@pytest.mark.parametrize("field", ["value", "stderr"])
def test_integers_beyond_floats_are_refused(field):
    line = next(line for line in LTP.splitlines() if line.startswith("tau = "))
    number = tomllib.loads(line)["tau"][field]
    with pytest.raises(CurveFileError, match=rf"parameters.tau.{field} must be finite, got 1000"):
        parse_curve(LTP.replace(line, line.replace(f"{field} = {number}", f"{field} = {HUGE}")))


def test_huge_integers_in_lists_are_refused():
    with pytest.raises(CurveFileError, match=r"check.y\[1\] must be finite"):
        parse_curve(LTP.replace("[0.0, 0.497758330893", f"[0.0, {HUGE}"))


def test_range_and_units_are_part_of_the_check():
    with pytest.raises(CurveFileError, match=r"check.x must be five even steps of x.range"):
        parse_curve(LTP.replace("range = [0.0, 800.0]", "range = [100.0, 800.0]"))
    with pytest.raises(CurveFileError, match=r"parameters.tau.unit must follow the units of x and y, 'h', got s"):
        parse_curve(LTP.replace('symbol = "t", unit = "s"', 'symbol = "t", unit = "h"'))


def test_escape_sequences_are_refused():
    with pytest.raises(CurveFileError, match=r"must be printable text, got .*x1b"):
        parse_curve(LTP.replace('symbol = "rho"', 'symbol = "\\u001b[2Jrho"'))


@pytest.mark.parametrize("text", ["a." * 5000 + "b = 1", "a = " + "[" * 5000, '["a,"' + "." + "1." * 400_000 + "1]"])
def test_thousands_of_levels_are_refused(text):
    with pytest.raises(CurveFileError, match=r"must have fewer than 20 dots|must be a few levels deep"):
        parse_curve(text + "\n" + LTP)


def test_pipes_and_large_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(CurveFileError, match=r"pipe.toml: curve file must be a regular file, got a pipe or a device"):
        load_curve(tmp_path / "pipe.toml")
    (tmp_path / "large.toml").write_text("#" * 1_000_001)
    with pytest.raises(CurveFileError, match=r"curve file must have at most 1000000 bytes, got 1000001"):
        load_curve(tmp_path / "large.toml")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"deep.json must be a whole JSON file"):
        read_json(tmp_path / "deep.json")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbftime,response")
    assert read_text(tmp_path / "bom.csv", "data") == "time,response"


def test_hidden_files_are_passed_over(tmp_path):
    for name in ("ltp.toml", "._ltp.toml", ".ltp.toml.partial.toml"):
        (tmp_path / name).write_text(LTP if name == "ltp.toml" else "\x00damaged")
    assert list(load_curves(tmp_path)) == ["ltp"]


@pytest.mark.parametrize("name", ["", "..", "../ltp", "a/b", ".hidden", "a\nb", "x" * 101, 7])
def test_names_of_curves_are_names_of_files(name):
    t = np.arange(1.0, 20.0)
    with pytest.raises(ValueError, match="name must be letters, digits"):
        fit_curve(t, 1 - np.exp(-t / 5), name=name)


def test_what_cannot_be_read_back_is_not_written(tmp_path):
    t = np.arange(1.0, 20.0)
    plain = fit_curve(t, 1 - np.exp(-t / 5))
    assert load_curve(write_curve(plain, tmp_path / "plain.toml")).parameters == plain.parameters
    curve = fit_curve(t, 1 - np.exp(-t / 5), x_axis=Axis("t", "s\x1b"))
    with pytest.raises(CurveFileError, match=r"curve 'curve': x.unit must be printable text"):
        write_curve(curve, tmp_path / "curve.toml")
    assert not (tmp_path / "curve.toml").exists()


@pytest.mark.parametrize("factor", [1e-150, 1e150])
def test_numbers_whose_squares_leave_the_range_are_refused(factor):
    t = np.arange(1.0, 20.0)
    with pytest.raises(ValueError, match=r"x must be 0 or from 1e-60 to 1e60 in size"):
        fit_curve(t * factor, 1 - np.exp(-t / 5))
    with pytest.raises(ValueError, match=r"sem must be 0 or from 1e-60 to 1e60 in size"):
        fit_curve(t, 1 - np.exp(-t / 5), np.full_like(t, 1e200))


GROWTH = "time,response\n" + "".join(f"{t},{np.exp(t / 5):.6g}\n" for t in range(0, 50, 5))
FALLING = "time,response\n" + "".join(f"{t},{np.exp(-t / 20)}\n" for t in range(0, 100, 10))
QUOTED = 'time,response\n"0","0"\n"60","0.35"\n"120","0.45"\n"300","0.5"\n"600","0.51"\n'


@pytest.mark.parametrize(
    ("table", "form"),
    [(GROWTH, "auto"), (FALLING, "saturating_exponential"), (FALLING, "stretched_exponential"), (QUOTED, "power_law")],
)
def test_a_fit_is_determined_by_its_data_or_refused(tmp_path, table, form):
    (tmp_path / "table.csv").write_text(table)
    try:
        curve = fit_csv(tmp_path / "table.csv", form=form)
    except ValueError as error:
        assert "data must determine the parameters of" in str(error) and "+-" in str(error)
    else:
        assert parse_curve(curve.to_toml()) is not None
        assert all(curve.stderr[name] <= abs(value) for name, value in curve.parameters.items())


def test_growth_is_no_plasticity(tmp_path):
    (tmp_path / "table.csv").write_text(GROWTH)
    with pytest.raises(ValueError, match=r"data must determine the parameters of \w+, got amplitude = .* \+- "):
        fit_csv(tmp_path / "table.csv")


def test_a_hundred_thousand_rows_need_little_memory(tmp_path):
    t = np.linspace(0, 600, 100_000)
    rows = zip(t, 0.5 * (1 - np.exp(-t / 120)) + 0.01 * np.cos(7 * t), strict=True)
    (tmp_path / "long.csv").write_text("time,response\n" + "".join(f"{a},{b}\n" for a, b in rows))
    curve = fit_csv(tmp_path / "long.csv", form="saturating_exponential")
    assert abs(curve.parameters["tau"] - 120) < 1 and len(curve.samples["x"]) == 64


def test_a_line_beyond_the_limit_is_named(tmp_path):
    (tmp_path / "wide.csv").write_text("time,response\n0," + "1" * 200_000 + "\n")
    with pytest.raises(ValueError, match=r"wide.csv, line 2: row must have at most 131072 characters"):
        fit_csv(tmp_path / "wide.csv")


def test_too_few_points_are_said():
    with pytest.raises(FitError, match="must have enough points"):
        fit_curve([1.0, 2.0], [1.0, 2.0])
