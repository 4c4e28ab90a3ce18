"""The functional forms that curves are fitted with: pure NumPy functions and what a fit needs to know of each.

A test evaluates each formula, as it stands in curve files, against its function.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Scales on which the error of a parameter is taken as normal: positive parameters, fractions, all others
BOUNDS = {"log": (1e-12, np.inf), "logit": (1e-6, 1 - 1e-6), "linear": (-np.inf, np.inf)}

SLOPES = {"log": lambda v: v, "logit": lambda v: v * (1 - v), "linear": lambda v: 1.0}  # d(parameter)/d(transformed)

MOVES = {  # the parameter moved by a step on its scale
    "log": lambda v, step: v * math.exp(step),
    "logit": lambda v, step: 1 / (1 + (1 - v) / v * math.exp(-step)),
    "linear": lambda v, step: v + step,
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """A functional form ``y = function(x, *parameters)``; name and formula as they stand in curve files."""

    name: str
    formula: str
    scales: dict[str, str]  # parameter -> its scale: log (positive), logit (between 0 and 1) or linear
    units: dict[str, str]  # parameter -> its unit, spelled with the unit of x and y
    plateau: bool = True  # whether the form tends to a constant for large x
    rises: bool = False  # whether it starts at 0 and rises, as retention needs: candidates for long-term plasticity
    measured: bool = False  # for measured courses only: what is simulated starts at a value that is known
    function: Callable[..., np.ndarray]  # elementwise on float64 arrays
    guess: Callable[[np.ndarray, np.ndarray], tuple[float, ...]]  # starting values from the data, x ascending

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of `function`."""
        return tuple(self.scales)

    def bounds(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the parameters.

        Lengths and times stay between 1/1000 of the smallest spacing and 1000 times the range of `x`, exponents
        below 20: beyond that the data cannot tell them from their limits. A power law through x = 0 cannot fall.
        """
        low, high = (np.array([BOUNDS[scale][side] for scale in self.scales.values()]) for side in (0, 1))
        smallest, span = np.diff(np.unique(x)).min(), x.max() - min(x.min(), 0.0)
        for k, name in enumerate(self.parameters):
            if name.split("_")[0] in ("tau", "length", "half"):
                low[k], high[k] = smallest / 1000, 1000 * span
            elif name in ("beta", "n") or (name == "exponent" and self.plateau):
                low[k], high[k] = 0.02, 20.0
            elif name == "exponent":
                low[k], high[k] = (0.0 if x.min() == 0 else -20.0), 20.0
            elif name in ("amplitude", "peak") and self.scales[name] == "log":
                low[k] = 1e-9 * np.abs(y).max()
        return low, high

    def unit(self, parameter: str, x_unit: str, y_unit: str) -> str:
        """Unit of `parameter` for data in `x_unit` and `y_unit`."""
        return self.units[parameter].format(x=x_unit, y=y_unit)


def _plateau(x: np.ndarray, y: np.ndarray) -> float:
    """What a rise tends to: the mean of the last fifth, a little higher when the course still climbs there."""
    tail = max(1, x.size // 5)
    level, before = y[-tail:].mean(), y[-2 * tail : -tail].mean() if x.size > 2 * tail else 0.0
    return max(level + max(level - before, 0.0), 1e-9 * max(np.abs(y).max(), 1e-300))


def _crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """First positive `x` where `y` has come past `level`, the geometric middle of all when it never does."""
    past = (y >= level) if y[0] < level else (y <= level)
    found = x[past & (x > 0)]
    return float(found[0]) if found.size else float(np.sqrt(x[x > 0].min() * x.max()))


def _guess_power_law(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    usable = (x > 0) & (y > 0)
    if usable.sum() < 2:
        return float(np.abs(y).max()), 1.0
    exponent, log_amplitude = np.polyfit(np.log(x[usable]), np.log(y[usable]), 1)
    return float(np.exp(log_amplitude)), float(exponent)


def _guess_saturating(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    amplitude = _plateau(x, y)
    return amplitude, _crossing(x, y, (1 - np.exp(-1)) * amplitude)


def _guess_biexponential(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    amplitude, tau = _guess_saturating(x, y)
    return amplitude, 0.5, tau / 3, 2 * tau


def _guess_hill(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    base, amplitude = float(y[0]), float(y[-1] - y[0])
    return base, amplitude, _crossing(x, y, base + amplitude / 2), 1.0


def _guess_decay(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    amplitude = float(max(y[0], 1e-9 * np.abs(y).max()))
    return amplitude, _crossing(x, y, np.exp(-1) * amplitude)


def _guess_peak(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """Peak, its time, plateau, its time: the first value falls to what the last fifth shows."""
    plateau, peak = _plateau(x, y), float(max(y[0], 1e-9 * np.abs(y).max()))
    tau_peak = _crossing(x, y, plateau + (peak - plateau) * np.exp(-1))
    return peak, tau_peak, plateau, 3 * tau_peak


def with_offset(form: Form) -> Form:
    """The same form with a free offset, its last parameter: the baseline of the data is not quite known.

    What is measured in time has no length: that parameter is called tau.
    """

    def guess(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
        few = max(1, x.size // 10)
        level = y[-few:] if form.name.endswith("_decay") else y[:few]  # a decay ends at the offset, the others start
        offset = float(level.mean())
        return *form.guess(x, y - offset), offset

    return Form(
        name=f"{form.name}_offset",
        formula=f"offset + {form.formula}".replace("length", "tau"),
        scales={key.replace("length", "tau"): scale for key, scale in form.scales.items()} | {"offset": "linear"},
        units={key.replace("length", "tau"): unit for key, unit in form.units.items()} | {"offset": "{y}"},
        plateau=form.plateau,
        measured=True,
        function=lambda x, *parameters: parameters[-1] + form.function(x, *parameters[:-1]),
        guess=guess,
    )


_PLAIN = {
    form.name: form
    for form in (
        Form(  # calcium against low rates
            name="power_law",
            formula="amplitude * x**exponent",
            scales={"amplitude": "log", "exponent": "linear"},
            units={"amplitude": "{y}/({x})**exponent", "exponent": "1"},
            plateau=False,
            function=lambda x, amplitude, exponent: amplitude * x**exponent,
            guess=_guess_power_law,
        ),
        Form(  # exact for constant drive (Graupner & Brunel 2012)
            name="saturating_exponential",
            formula="amplitude * (1 - exp(-x / tau))",
            scales={"amplitude": "log", "tau": "log"},
            units={"amplitude": "{y}", "tau": "{x}"},
            rises=True,
            function=lambda x, amplitude, tau: -amplitude * np.expm1(-x / tau),
            guess=_guess_saturating,
        ),
        Form(  # non-stationary drive
            name="stretched_exponential",
            formula="amplitude * (1 - exp(-(x / tau)**beta))",
            scales={"amplitude": "log", "tau": "log", "beta": "log"},
            units={"amplitude": "{y}", "tau": "{x}", "beta": "1"},
            rises=True,
            function=lambda x, amplitude, tau, beta: -amplitude * np.expm1(-((x / tau) ** beta)),
            guess=lambda x, y: (*_guess_saturating(x, y), 1.0),
        ),
        Form(  # two processes
            name="biexponential",
            formula="amplitude * (1 - weight*exp(-x/tau_fast) - (1-weight)*exp(-x/tau_slow))",
            scales={"amplitude": "log", "weight": "logit", "tau_fast": "log", "tau_slow": "log"},
            units={"amplitude": "{y}", "weight": "1", "tau_fast": "{x}", "tau_slow": "{x}"},
            rises=True,
            function=lambda x, amplitude, weight, tau_fast, tau_slow: (
                -amplitude * (weight * np.expm1(-x / tau_fast) + (1 - weight) * np.expm1(-x / tau_slow))
            ),
            guess=_guess_biexponential,
        ),
        Form(  # cooperative response
            name="hill",
            formula="base + amplitude * x**n / (half**n + x**n)",
            scales={"base": "linear", "amplitude": "linear", "half": "log", "n": "log"},
            units={"base": "{y}", "amplitude": "{y}", "half": "{x}", "n": "1"},
            function=lambda x, base, amplitude, half, n: base + amplitude * x**n / (half**n + x**n),
            guess=_guess_hill,
        ),
        Form(  # exact for u_S(nu)
            name="naka_rushton",
            formula="base + amplitude * x / (half + x)",
            scales={"base": "linear", "amplitude": "linear", "half": "log"},
            units={"base": "{y}", "amplitude": "{y}", "half": "{x}"},
            function=lambda x, base, amplitude, half: base + amplitude * x / (half + x),
            guess=lambda x, y: _guess_hill(x, y)[:3],
        ),
        Form(  # distributed rates
            name="power_law_approach",
            formula="amplitude * (1 - (1 + x/tau)**(-exponent))",
            scales={"amplitude": "log", "tau": "log", "exponent": "log"},
            units={"amplitude": "{y}", "tau": "{x}", "exponent": "1"},
            rises=True,
            function=lambda x, amplitude, tau, exponent: -amplitude * np.expm1(-exponent * np.log1p(x / tau)),
            guess=lambda x, y: (1.2 * _plateau(x, y), 2 * _guess_saturating(x, y)[1], 2.0),
        ),
        Form(  # linear gap junctions
            name="exponential_decay",
            formula="amplitude * exp(-x / length)",
            scales={"amplitude": "log", "length": "log"},
            units={"amplitude": "{y}", "length": "{x}"},
            function=lambda x, amplitude, length: amplitude * np.exp(-x / length),
            guess=_guess_decay,
        ),
        Form(  # diffusion at a fixed time
            name="gaussian_decay",
            formula="amplitude * exp(-(x / length)**2 / 2)",
            scales={"amplitude": "log", "length": "log"},
            units={"amplitude": "{y}", "length": "{x}"},
            function=lambda x, amplitude, length: amplitude * np.exp(-((x / length) ** 2) / 2),
            guess=_guess_decay,
        ),
    )
}

_COURSES = (
    Form(  # long-term depression
        name="saturating_depression",
        formula="-amplitude * (1 - exp(-x / tau))",
        scales={"amplitude": "log", "tau": "log"},
        units={"amplitude": "{y}", "tau": "{x}"},
        measured=True,
        function=lambda x, amplitude, tau: amplitude * np.expm1(-x / tau),
        guess=lambda x, y: _guess_saturating(x, -y),
    ),
    Form(  # a post-tetanic peak that decays while potentiation develops
        name="peak_then_plateau",
        formula="peak * exp(-x / tau_peak) + amplitude * (1 - exp(-x / tau))",
        scales={"peak": "log", "tau_peak": "log", "amplitude": "log", "tau": "log"},
        units={"peak": "{y}", "tau_peak": "{x}", "amplitude": "{y}", "tau": "{x}"},
        measured=True,
        function=lambda x, peak, tau_peak, amplitude, tau: (
            peak * np.exp(-x / tau_peak) - amplitude * np.expm1(-x / tau)
        ),
        guess=_guess_peak,
    ),
)

_STARTS = (*(form for form in _PLAIN.values() if "base" not in form.parameters), _COURSES[1])  # known where they start

FORMS = _PLAIN | {form.name: form for form in (*_COURSES, *map(with_offset, _STARTS))}

SIMULATED = tuple(_PLAIN)  # what the curves of simulations are chosen from

RISING = tuple(name for name, form in FORMS.items() if form.rises)

NOT_FALLING = tuple(name for name in SIMULATED if not name.endswith("_decay"))

COURSES = tuple(name for name in FORMS if not name.startswith("gaussian"))  # of a measured response in time

OFFSET_FREE = tuple(name for name in COURSES if {"base", "offset"} & FORMS[name].scales.keys())
