"""Curves planted in the tests, so that they hold whatever the committed curve files say."""

import os

import numpy as np
import pytest
import torch

from astro_sim.curves.format import parse_curve
from astro_sim.curves.forms import FORMS
from rmaat import Curve

if not torch.cuda.is_available():  # the kernels then run under Triton's interpreter; before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")

TEMPLATE = """\
format = "astro-curve"
version = 1
name = "{name}"
form = "{form}"
formula = "{formula}"
x = {{ symbol = "{symbol}", unit = "{unit}", range = [{low!r}, {high!r}] }}
y = {{ symbol = "y", unit = "1" }}
extrapolate = false

[parameters]
{parameters}

[fit]
covariance = {covariance}
chosen_by = "planted"
uncertainty = "planted"
n_samples = 8
r_squared = 1.0
rmse = 0.0

[fit.bic]
{form} = 0.0

[check]
x = {x}
y = {y}

[samples]
x = [1.0]
y = [1.0]

[provenance]
kind = "simulation"
command = "planted"
source = "tests"
derivation = "planted"
preset = "none"
protocol = "none"
seed = 0
dt = "1 ms"
target = "none"
equations_sha256 = "0"

[provenance.config]
n = 1

[provenance.parameters]
O_P = {{ value = 0.9, unit = "umolar/second" }}

[provenance.versions]
brian2 = "none"
"""


def planted(name, form, low, high, symbol="t", unit="s", **values) -> Curve:
    """A curve with exactly these parameters, each with one per cent of standard error."""
    x = [low + k * (high - low) / 4 for k in range(5)]
    function, n = FORMS[form].function, len(values)
    errors = [abs(value) / 100 for value in values.values()]
    line = '{} = {{ value = {!r}, stderr = {!r}, ci95 = [{!r}, {!r}], unit = "{}" }}'
    parameters = "\n".join(
        line.format(key, value, error, value - 2 * error, value + 2 * error, FORMS[form].unit(key, unit, "1"))
        for (key, value), error in zip(values.items(), errors, strict=True)
    )
    text = TEMPLATE.format(
        name=name,
        form=form,
        formula=FORMS[form].formula,
        symbol=symbol,
        unit=unit,
        low=low,
        high=high,
        parameters=parameters,
        covariance=[[errors[i] ** 2 if i == j else 0.0 for j in range(n)] for i in range(n)],
        x=x,
        y=[float(function(np.float64(value), *values.values())) for value in x],
    )
    return parse_curve(text)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tensors here are tiny: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def plant():
    """The function above, for tests that need their own curve."""
    return planted


@pytest.fixture(scope="session")
def curves() -> dict[str, Curve]:
    """One curve of each kind that the model reads: a = 0.4, alpha = 0.3, length 2.5 cells, tau_eff = 14.3 s / rate."""
    return {
        "ltp": planted("ltp", "saturating_exponential", 0.0, 800.0, amplitude=0.5, tau=125.0),
        "ltp_population": planted("ltp_population", "power_law", 0.01, 1.0, "f", "Hz", amplitude=0.07, exponent=1.0),
        "stp_calcium": planted("stp_calcium", "power_law", 0.5, 20.0, "f", "Hz", amplitude=0.2, exponent=0.3),
        "stp_spatial": planted("stp_spatial", "exponential_decay", 0.0, 10.0, "d", "cells", amplitude=1.0, length=2.5),
    }


@pytest.fixture
def float64():
    """Compute in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
