"""The bridge: what astro_sim writes, rmaat reads, and the two copies of the formulas are equal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_sim.curves import Axis, fit_curve, write_curve
from astro_sim.forms import FORMS as WRITTEN
from astro_sim.measured import fit_csv
from rmaat.curves import load_curve
from rmaat.forms import FORMS as READ

ORIGIN = {
    "kind": "measurement", "command": "test", "source": "planted", "data": "none", "data_sha256": "0",
    "versions": {"numpy": np.__version__},
}  # fmt: skip
VALUES = {"log": st.floats(1e-3, 1e3), "logit": st.floats(0.01, 0.99), "linear": st.floats(-2, 2)}


def test_both_sides_know_the_same_forms():
    assert list(WRITTEN) == list(READ)
    for name, form in WRITTEN.items():
        assert form.formula == READ[name].formula
        assert form.scales == READ[name].scales and list(form.scales) == list(READ[name].scales)
        assert form.plateau == READ[name].plateau


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_both_copies_of_the_formulas_agree(name, data):
    values = [data.draw(VALUES[scale]) for scale in WRITTEN[name].scales.values()]
    shape = {"beta": 5.0, "n": 20.0, "exponent": 20.0}  # the largest that a fit may give without overflow here
    values = [min(v, shape.get(key, v)) for key, v in zip(WRITTEN[name].parameters, values, strict=True)]
    x = np.geomspace(1e-2, 1e3, 40)
    np.testing.assert_allclose(WRITTEN[name].function(x, *values), READ[name].function(x, *values), rtol=1e-13)


@pytest.mark.parametrize("name", WRITTEN)
def test_every_form_crosses_the_bridge(name, tmp_path):
    planted = {"amplitude": 0.6, "tau": 30.0, "tau_fast": 10.0, "tau_slow": 90.0, "weight": 0.4, "beta": 0.8}
    planted |= {"base": 0.1, "half": 5.0, "n": 1.5, "exponent": 0.7, "length": 20.0}
    x = np.geomspace(1, 200, 80)
    clean = WRITTEN[name].function(x, *(planted[key] for key in WRITTEN[name].parameters))
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
    assert read.units == written.units()
    spread = np.std([list(draw.parameters.values()) for draw in read.sample(400, seed=1)], axis=0)
    np.testing.assert_allclose(spread, list(written.stderr.values()), rtol=0.25)


def test_measured_data_cross_the_bridge(tmp_path):
    t = np.arange(0, 61, 5)
    rows = [f"{v},{0.4 * -np.expm1(-v / 15):.4f},0.01" for v in t]
    (tmp_path / "slice.csv").write_text("time,response,sem\n" + "\n".join(rows))
    curve = load_curve(write_curve(fit_csv(tmp_path / "slice.csv", time_unit="min"), tmp_path / "ltp.toml"))
    assert curve.require_rising().provenance["kind"] == "measurement"
    assert curve.x["unit"] == "s"
