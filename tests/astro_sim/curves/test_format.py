"""Curve files: the same data give the same bytes, and the reader refuses what is damaged."""

import math
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from ensembles import CYCLES, ensemble

from astro_sim.curves.curve import CurveFileError
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.format import load_curve, parse_curve, read_curve, write_curve
from rmaat.data import load_curves

LTP = """\
format = "astro-curve"
version = 1
name = "ltp"
form = "saturating_exponential"
formula = "amplitude * (1 - exp(-x / tau))"
x = { symbol = "t", unit = "s", range = [0.0, 800.0] }
y = { symbol = "rho", unit = "1" }
extrapolate = false

[parameters]
amplitude = { value = 0.5, stderr = 0.01, ci95 = [0.48, 0.52], unit = "1" }
tau = { value = 120.0, stderr = 6.0, ci95 = [108.0, 133.0], unit = "s" }

[fit]
covariance = [[0.0001, 0.03], [0.03, 36.0]]
chosen_by = "lowest BIC"
uncertainty = "least squares"
n_samples = 16
r_squared = 0.999
rmse = 0.003

[fit.bic]
saturating_exponential = 26.4

[check]
x = [0.0, 200.0, 400.0, 600.0, 800.0]
y = CHECK

[samples]
x = [50.0]
y = [0.2]

[provenance]
kind = "simulation"
command = "astro-sim curves --only ltp"
source = "this study"
derivation = "ltp"
preset = "FM"
protocol = "CycledPairing"
seed = 1
dt = "1 ms"
target = "numpy"
equations_sha256 = "0"

[provenance.config]
n_synapses = 1000

[provenance.parameters]
O_P = { value = 0.9, unit = "umolar/second" }

[provenance.versions]
numpy = "2.3.5"
"""


LTP = LTP.replace("CHECK", str([0.5 * -math.expm1(-x / 120) for x in (0.0, 200.0, 400.0, 600.0, 800.0)]))


def test_a_good_file_is_read():
    curve = parse_curve(LTP)
    assert (curve.name, curve.form.name, curve.form.plateau) == ("ltp", "saturating_exponential", True)
    assert curve.parameters == {"amplitude": 0.5, "tau": 120.0}
    assert curve.stderr["tau"] == 6.0 and curve.ci95["tau"] == (108.0, 133.0) and curve.units["tau"] == "s"
    assert curve(120.0) == pytest.approx(0.5 * (1 - math.exp(-1)), rel=1e-15)
    assert curve(np.zeros((2, 3))).shape == (2, 3)
    assert curve(120.0).dtype == np.float64


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"astro-curve"', '"csv"', "format must be 'astro-curve', got 'csv'; give a curve file"),
        ("version = 1", "version = 2", "version must be 1, got 2; read it with the release of rmaat that wrote it"),
        ("version = 1", "version = true", "version must be 1, got True"),
        ('form = "sat', 'form = "spline_sat', "form must be one of power_law, .*, got 'spline_saturating_exponential'"),
        ('"amplitude * (1 - exp(-x / tau))"', '"x"', "formula must be .*, got 'x'"),
        ('name = "ltp"\n', "", "name must be given, got nothing"),
        ("[provenance]", "[elsewhere]", "provenance.kind must be given"),
        ('kind = "simulation"\n', "", "provenance.kind must be given, got nothing"),
        ('"simulation"', '"hearsay"', "provenance.kind must be one of simulation, measurement, got 'hearsay'"),
        ("seed = 1\n", "", "provenance.seed must be given"),
        ('equations_sha256 = "0"\n', "", "provenance.equations_sha256 must be given"),
        ("rmse = 0.003\n", "", "fit.rmse must be given"),
        ("rmse = 0.003", "rmse = nan", "fit.rmse must be finite, got nan"),
        ("y = [0.2]", "y = [inf]", r"samples.y\[0\] must be finite, got inf"),
        ("value = 120.0", "value = -120.0", "parameters.tau must be positive, got -120.0"),
        ("value = 120.0", "value = 121.0", "check.y must be what saturating_exponential gives"),
        ("value = 120.0", "value = 120.000001", "check.y must be what"),
        ("value = 120.0", 'value = "long"', "every entry must have the type"),
        ("stderr = 6.0, ", "", "parameters.tau.stderr must be given"),
        ("stderr = 6.0", "stderr = -6.0", "parameters.tau.stderr must be at least 0, got -6.0"),
        ("[108.0, 133.0]", "[133.0, 108.0]", "parameters.tau.ci95 must be"),
        ("tau = { value", "lambda = { value", r"\[parameters\] must be amplitude, tau in this order"),
        ("[[0.0001, 0.03], ", "[", "fit.covariance must be 2 rows of 2 numbers"),
        ("[0.03, 36.0]", "[0.02, 36.0]", "fit.covariance must be symmetric"),
        ("[0.03, 36.0]", "[0.03, 25.0]", "fit.covariance must have the squared standard errors"),
        ("[[0.0001, 0.03], [0.03", "[[0.0001, 0.12], [0.12", "fit.covariance must have no negative eigenvalue"),
        ("range = [0.0, 800.0]", "range = [800.0, 0.0]", "x.range must be .* low < high"),
        ("x = [0.0, 200.0, 400.0, 600.0, 800.0]", "x = [0.0]", "check must hold five values"),
        ("[fit]", "[fit", "curve file must be complete TOML"),
    ],
)
def test_a_spoilt_file_is_refused_with_the_remedy(old, new, message, tmp_path):
    assert old in LTP
    path = tmp_path / "ltp.toml"
    path.write_text(LTP.replace(old, new, 1))
    with pytest.raises(CurveFileError, match=message) as error:
        load_curve(path)
    assert str(error.value).startswith(str(path)) and "; " in str(error.value)


def test_every_truncation_is_refused():
    """Wherever a file is cut before its last complete section, it is not a curve."""
    for end in range(0, LTP.index("numpy"), 7):
        with pytest.raises(CurveFileError):
            parse_curve(LTP[:end])


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(CurveFileError, match=r"none.toml: curve file must be readable, got No such .*; check the path"):
        load_curve(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CurveFileError, match="must be UTF-8 text, got invalid start byte"):
        load_curve(tmp_path / "binary.toml")
    with pytest.raises(CurveFileError, match=r"must hold \*.toml curve files, got none; `astro-sim curves` writes"):
        load_curves(tmp_path / "empty")


def test_folders_are_keyed_by_file_name(tmp_path):
    parse_curve(LTP).save(tmp_path / "runs" / "ltp.toml")
    parse_curve(LTP).save(tmp_path / "runs" / "other.toml")
    assert sorted(load_curves(tmp_path / "runs")) == ["ltp", "other"]


def test_saved_copies_are_exact(tmp_path):
    text = LTP.replace("this study", "Graupner & Brunel, Škoda µ")
    path = parse_curve(text).save(tmp_path / "copy.toml")
    assert path.read_bytes() == text.encode()
    assert load_curve(path) == parse_curve(text)


def test_file_round_trip_is_exact(curve, tmp_path):
    path = write_curve(curve, tmp_path / "new" / "ltp.toml")
    back = read_curve(path)
    assert back == curve
    assert back.to_toml() == curve.to_toml() == path.read_text()


def test_file_is_small_and_has_six_digits(curve):
    text = curve.to_toml()
    assert len(text) < 8000
    data = tomllib.loads(text)
    numbers = [entry["value"] for entry in data["parameters"].values()] + np.ravel(data["fit"]["covariance"]).tolist()
    assert all(float(f"{number:.6g}") == number for number in numbers)


def test_same_data_same_bytes(tmp_path):
    texts = {write_curve(fit_curve(CYCLES, ensemble=ensemble()), tmp_path / "c.toml").read_bytes() for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_a_crash_while_writing_leaves_the_old_file_or_none(curve, tmp_path, monkeypatch, exists):
    path = tmp_path / "ltp.toml"
    if exists:
        path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_curve(curve, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == (["old"] if exists else [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('format = "astro-curve"', 'format = "csv"'),
        lambda text: text.replace("version = 1", "version = 2", 1),
        lambda text: text[: text.index("[provenance]")],
        lambda text: text.replace('form = "saturating_exponential"', 'form = "hill"'),
        lambda text: text.replace("version = 1", "version = true", 1),
        lambda text: text.replace('name = "ltp"', "name = 3"),
        lambda text: text.replace("(1 - exp(-x / tau))", "(1 + exp(-x / tau))"),
        lambda text: text.replace("extrapolate = false", 'extrapolate = "no"'),
        lambda text: re.sub(r"\[parameters\](.*?)\[fit\]", "parameters = [1, 2]\n[fit]", text, flags=re.DOTALL),
        lambda text: re.sub(r"value = [^,]+", "value = nan", re.sub(r"\ny = \[0.0.*", f"\ny = {[np.nan] * 5}", text)),
        lambda text: text.replace("stderr = ", "stderr = -", 1),
        lambda text: re.sub(r"stderr = [^,]+", "stderr = nan", text, count=1),
        lambda text: re.sub(r"covariance = .*", "covariance = [[1.0]]", text),
        lambda text: re.sub(r"covariance = .*", "covariance = [[1.0, 0.0], [0.0, nan]]", text),
        lambda text: re.sub(r"\[fit.bic\].*?\n\[", "[", text, flags=re.DOTALL),
        lambda text: text[: text.index("[provenance]")] + "[provenance]\n",
        lambda text: text.replace('kind = "measurement"\n', ""),
    ],
)
def test_reading_back_refuses_a_spoilt_file(curve, tmp_path, spoil):
    path = tmp_path / "ltp.toml"
    path.write_text(spoil(curve.to_toml()))
    assert path.read_text() != curve.to_toml()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*, got .*; .*"):
        read_curve(path)


def test_fitting_imports_no_brian2():
    modules = "astro_sim.curves.format, astro_sim.curves.measured"
    code = f"import sys, {modules}; sys.exit(bool({{'brian2', 'torch'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
