"""Quantities read from text."""

import re

import brian2 as b2
import pytest
from brian2 import second, umolar

from astro_sim.parameters.variants import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.08 uM/s", 1.08 * umolar / second),
        ("1.08*umolar/second", 1.08 * umolar / second),
        ("0.2/(uM*s)", 0.2 / umolar / second),
        ("50 ms", 0.05 * second),
        ("0.3", 0.3),
        ("-2", -2),
        ("1e-3 s**-1", 1e-3 / second),
    ],
)
def test_quantities_are_read(text, value):
    assert float(parse_quantity(text)) == pytest.approx(float(value))
    assert b2.have_same_dimensions(parse_quantity(text), value)


@pytest.mark.parametrize("text", ["", "fast", "1 parsec", "__import__('os')", "1 + 2", "x1.2", "1 uM s", "2**", "True"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(f"joined by * / **, got {text!r}")):
        parse_quantity(text)


@pytest.mark.parametrize(
    "text",
    [
        *("9**9**9**9", "2**1000000000", "1e400 uM/s", "1e308 uM/s*1e308", "uM/0", "(-1)**0.5*uM/s", "10.0**400"),
        *("-" * 5000 + "1", "(" * 90 + "1", "1" + "0" * 90 + "**10", "uM**uM", "2**0.5"),
    ],
)
def test_what_is_no_finite_number_is_refused_at_once(text):
    with pytest.raises(ValueError, match=r"value must be a finite number and units"):
        parse_quantity(text)
