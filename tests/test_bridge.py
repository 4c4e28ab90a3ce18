"""The bridge: what astro_sim writes, rmaat reads, and the two copies of the formulas are equal."""

import dataclasses

import numpy as np
import pytest

from astro_sim.curves.curve import Axis
from astro_sim.curves.fit import fit_curve
from astro_sim.curves.format import load_curve, write_curve
from astro_sim.curves.forms import FORMS
from astro_sim.curves.measured import fit_csv
from astro_sim.derivations.provenance import command
from astro_sim.derivations.standard import STANDARD
from astro_sim.derivations.verify import verify_curves
from astro_sim.simulation.recording import describe, flatten
from rmaat.data import DATA, load_curves

ORIGIN = {
    "kind": "measurement", "command": "test", "source": "planted", "data": "none", "data_sha256": "0",
    "versions": {"numpy": np.__version__},
}  # fmt: skip
RETENTION = ("ltp", "ltp_alpha0", "ltp_no_gliotransmission", "ltp_macro")


@pytest.mark.parametrize("name", FORMS)
def test_every_form_crosses_the_bridge(name, tmp_path):
    planted = {"amplitude": 0.6, "tau": 30.0, "tau_fast": 10.0, "tau_slow": 90.0, "weight": 0.4, "beta": 0.8}
    planted |= {"base": 0.1, "half": 5.0, "n": 1.5, "exponent": 0.7, "length": 20.0}
    planted |= {"peak": 1.0, "tau_peak": 4.0, "offset": 0.2}
    x = np.geomspace(1, 200, 80)
    clean = FORMS[name].function(x, *(planted[key] for key in FORMS[name].parameters))
    y = clean + 0.002 * np.random.default_rng(0).normal(size=x.size)
    written = fit_curve(
        x, y, np.full(x.size, 0.002), form=name, name=name, x_axis=Axis("x", "s"), y_axis=Axis("y", "1"),
        provenance=ORIGIN,
    )  # fmt: skip
    read = load_curve(write_curve(written, tmp_path / f"{name}.toml"))
    assert read.parameters == written.parameters and read.stderr == written.stderr and read.ci95 == written.ci95
    np.testing.assert_array_equal(read.covariance, written.covariance)
    inside = np.linspace(*written.x_range, 50)
    np.testing.assert_allclose(read(inside), written(inside), rtol=1e-12)
    assert read.units == written.units
    spread = np.std([list(draw.parameters.values()) for draw in read.sample(400, seed=1)], axis=0)
    np.testing.assert_allclose(spread, list(written.stderr.values()), rtol=0.25)


def test_measured_data_cross_the_bridge(tmp_path):
    t = np.arange(0, 61, 5)
    rows = [f"{v},{0.4 * -np.expm1(-v / 15):.4f},0.01" for v in t]
    (tmp_path / "slice.csv").write_text("time,response,sem\n" + "\n".join(rows))
    curve = load_curve(write_curve(fit_csv(tmp_path / "slice.csv", time_unit="min"), tmp_path / "ltp.toml"))
    assert curve.require_rising().provenance["kind"] == "measurement"
    assert curve.x.unit == "s"


def test_the_committed_curves_are_the_standard_ones():
    """Every standard curve is there, from at least 1000 synapses where there are synapses, by the recorded command."""
    curves = load_curves()
    assert set(curves) == set(STANDARD)
    for name, curve in curves.items():
        experiment, origin = STANDARD[name], curve.provenance
        assert origin["config"] == dataclasses.asdict(experiment)
        assert getattr(experiment, "n_synapses", 1000) >= 1000
        assert origin["command"] == command(name, origin["derivation"], experiment) == f"astro-sim curves --only {name}"
        assert curve.name == name and curve.x_range[1] >= (800 if name in RETENTION else 0)
        if name in RETENTION:
            curve.require_rising()
    assert curves["stp_calcium"].form.name == "power_law" and curves["stp_spatial"].form.name == "exponential_decay"


def test_the_committed_curves_hold_the_published_parameters():
    """A preset that was changed without a new export shows here, before any simulation."""
    for name, curve in load_curves().items():
        tables = STANDARD[name].tables()
        if not getattr(STANDARD[name], "gliotransmission", True):
            tables = {key: table for key, table in tables.items() if key not in ("astrocyte", "gliotransmission")}
        described = tables["macro"] if name == "ltp_macro" else tables
        now = {key: entry for key, entry in flatten(_describe(described)).items() if isinstance(entry, dict)}
        then = curve.provenance["parameters"]
        for key, entry in now.items():
            assert then[key]["unit"] == entry["unit"]
            assert then[key]["value"] == pytest.approx(entry["value"], rel=1e-11), f"{name}: {key}"


def _describe(tables):
    return describe(tables) if not isinstance(tables, dict) else {key: describe(table) for key, table in tables.items()}


@pytest.mark.slow
def test_the_committed_curves_agree_with_their_simulations():
    reports = list(verify_curves(sorted(DATA.glob("*.toml"))))
    assert len(reports) == len(STANDARD)
    assert all(report.ok for report in reports), "\n".join(str(report) for report in reports if not report.ok)
