"""The functional forms that a curve file may name.

They are written here a second time on purpose (the writer has its own in ``astro_sim/curves/forms.py``): the file is
the only thing that the two packages share, and a test holds both copies against each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Form:
    """One functional form: how the file spells it and what it computes.

    Attributes
    ----------
    formula : str
        As written in the file, Python syntax.
    scales : Mapping[str, str]
        Parameter name -> the scale on which its error is taken as normal: ``log`` (the parameter is positive),
        ``logit`` (it lies between 0 and 1) or ``linear``.
    plateau : bool
        True when the form tends to a constant for large x, so that values beyond the observed range are bounded.
    function : Callable
        ``function(x, *parameters)``, elementwise on float64 arrays.
    """

    formula: str
    scales: Mapping[str, str]
    plateau: bool
    function: Callable[..., np.ndarray]


FORMS = {
    "power_law": Form(
        "amplitude * x**exponent",
        {"amplitude": "log", "exponent": "linear"},
        False,
        lambda x, amplitude, exponent: amplitude * x**exponent,
    ),
    "saturating_exponential": Form(
        "amplitude * (1 - exp(-x / tau))",
        {"amplitude": "log", "tau": "log"},
        True,
        lambda x, amplitude, tau: amplitude * -np.expm1(-x / tau),
    ),
    "stretched_exponential": Form(
        "amplitude * (1 - exp(-(x / tau)**beta))",
        {"amplitude": "log", "tau": "log", "beta": "log"},
        True,
        lambda x, amplitude, tau, beta: amplitude * -np.expm1(-((x / tau) ** beta)),
    ),
    "biexponential": Form(
        "amplitude * (1 - weight*exp(-x/tau_fast) - (1-weight)*exp(-x/tau_slow))",
        {"amplitude": "log", "weight": "logit", "tau_fast": "log", "tau_slow": "log"},
        True,
        lambda x, amplitude, weight, tau_fast, tau_slow: (
            amplitude * -(weight * np.expm1(-x / tau_fast) + (1 - weight) * np.expm1(-x / tau_slow))
        ),
    ),
    "hill": Form(
        "base + amplitude * x**n / (half**n + x**n)",
        {"base": "linear", "amplitude": "linear", "half": "log", "n": "log"},
        True,
        lambda x, base, amplitude, half, n: base + amplitude * x**n / (half**n + x**n),
    ),
    "naka_rushton": Form(
        "base + amplitude * x / (half + x)",
        {"base": "linear", "amplitude": "linear", "half": "log"},
        True,
        lambda x, base, amplitude, half: base + amplitude * x / (half + x),
    ),
    "power_law_approach": Form(
        "amplitude * (1 - (1 + x/tau)**(-exponent))",
        {"amplitude": "log", "tau": "log", "exponent": "log"},
        True,
        lambda x, amplitude, tau, exponent: amplitude * -np.expm1(-exponent * np.log1p(x / tau)),
    ),
    "exponential_decay": Form(
        "amplitude * exp(-x / length)",
        {"amplitude": "log", "length": "log"},
        True,
        lambda x, amplitude, length: amplitude * np.exp(-x / length),
    ),
    "gaussian_decay": Form(
        "amplitude * exp(-(x / length)**2 / 2)",
        {"amplitude": "log", "length": "log"},
        True,
        lambda x, amplitude, length: amplitude * np.exp(-((x / length) ** 2) / 2),
    ),
}
