"""How much of the memory survives each segment: retention factors from a simulated LTP curve, and the update rules.

Let p(t) be the long-term efficacy after t segments of `seconds_per_segment` (the curve, p(0) subtracted), T the number
of segments, and dp_t = p(t) - p(t - 1). A rule turns the memory and what the model put out at the memory positions into

    memory_t = keep_t * memory_{t-1} + take_t * new_t

    scale        keep 0,               take RF(t, T) = dp_t / p(T)         RMAAT; T must be known
    replace      keep 0,               take 1                              RMT
    consolidate  keep p(t-1) / p(t),   take dp_t / p(t)                    ours; no T
    relax        keep exp(-a),         take 1 - exp(-a)                    ours; no T

with a = `seconds_per_segment` / tau_eff. `gated` and `attend` are learned instead.

**consolidate needs no T, and its weights are RF(., T) for every T.** Claim: memory_t = sum_{i<=t} (dp_i / p(t)) new_i.
At t = 1, p(0) = 0 gives memory_1 = new_1. If it holds for t - 1, then p(t-1) memory_{t-1} = sum_{i<t} dp_i new_i, and
memory_t = (p(t-1) memory_{t-1} + dp_t new_t) / p(t) = sum_{i<=t} (dp_i / p(t)) new_i. At t = T the weight of new_i is
dp_i / p(T) = RF(i, T), whatever T turns out to be.

**relax is the mean Graupner-Brunel efficacy with content as its target.** Without the cubic term, d rho/dt =
(rho_bar - rho) / tau_eff, so that over one segment rho moves by the share 1 - exp(-a) towards rho_bar; new_t takes the
place of rho_bar. The weight of new_i after T segments is (1 - exp(-a)) exp(-a (T - i)): RF reversed in time, up to the
share exp(-a T) that the initial memory keeps.

References
----------
Mia, Bal, Sengupta, arXiv:2601.00426, section 3.3; Graupner & Brunel 2012, PNAS 109:3991; Bulatov et al. 2022 (RMT);
arXiv:2306.09459 (RATE's retention valve).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from astro_sim.curves.curve import Curve
from rmaat.config import check_count, check_number

# [(w_k, log S_k(x)), ...] of the forms amplitude * (1 - sum_k w_k S_k(x)), which rise from 0 to a plateau
LOG_SURVIVALS: dict[str, Callable[..., list[tuple[float, np.ndarray]]]] = {
    "saturating_exponential": lambda x, tau: [(1.0, -x / tau)],
    "stretched_exponential": lambda x, tau, beta: [(1.0, -((x / tau) ** beta))],
    "biexponential": lambda x, weight, tau_fast, tau_slow: [(weight, -x / tau_fast), (1 - weight, -x / tau_slow)],
    "power_law_approach": lambda x, tau, exponent: [(1.0, -exponent * np.log1p(x / tau))],
}


def retention_factors(curve: Curve, n_segments: int, seconds_per_segment: float = 50.0) -> Float[Tensor, "n_segments"]:
    """Return RF(t, T) = (p(t) - p(t-1)) / (p(T) - p(0)) for t = 1..T.

    Parameters
    ----------
    curve
        Long-term efficacy against time in seconds.
    n_segments
        T. Beyond the observed range a form with a plateau is served, one without raises (see :class:`Curve`).
    seconds_per_segment : float
        How long a segment lasts in the simulated tissue; the paper's cycle is 50 s.

    Returns
    -------
    tensor (n_segments,), float64
        Positive, summing to 1.
    """
    return Retention("scale", curve, seconds_per_segment=seconds_per_segment).table(n_segments)[1][:, 0]


def retention_rise(
    curve: Curve, start: Int[Tensor, "*shape"], end: Int[Tensor, "*shape"], seconds_per_segment: float = 50.0
) -> Float[Tensor, "*shape"]:
    """Return p(end) - p(start), times in segments, by default as a difference of the curve (float64).

    Near a plateau differences cancel. A form that approaches it as amplitude * (1 - sum_k w_k S_k(x)) is therefore
    computed from its survival functions, S(x) - S(y) = -S(x) expm1(log S(y) - log S(x)), which stays exact.
    """
    _require_course(curve)
    x = check_number("seconds_per_segment", seconds_per_segment) * np.stack([start, end])
    form, amplitude, *others = _approach(curve)
    if form not in LOG_SURVIVALS:
        instead = "relaxation_rate in ModelConfig, or a curve file with `extrapolate = true`"
        curve.require_observed(x, f"use fewer segments, a shorter seconds_per_segment, {instead}")
        return torch.from_numpy(np.diff(curve(x), axis=0)[0])
    survivals = LOG_SURVIVALS[form](x, *others)
    falls = [weight * np.exp(before) * -np.expm1(after - before) for weight, (before, after) in survivals]
    return torch.from_numpy(amplitude * np.sum(falls, axis=0))


def relaxation_rate(curve: Curve, seconds_per_segment: float = 50.0) -> float:
    """Return a = `seconds_per_segment` / tau_eff, dimensionless.

    tau_eff is the time in which the curve covers 1 - 1/e of its way to the plateau: `tau` itself for a saturating
    exponential, found by bisection for the other forms that rise from 0, or a fitted offset, to a plateau.
    """
    check_number("seconds_per_segment", seconds_per_segment)
    form, amplitude, *_ = _approach(curve)
    if form not in LOG_SURVIVALS:
        raise ValueError(
            f"curve {curve.name!r} must rise from 0 to a plateau to have a relaxation time, got form "
            f"{curve.form.name!r}; fit one of {', '.join(LOG_SURVIVALS)}"
        )
    _require_course(curve)
    if form == "saturating_exponential":
        return seconds_per_segment / curve.parameters["tau"]
    target = curve.parameters.get("offset", 0.0) - math.expm1(-1) * amplitude
    low, high = 0.0, float(curve.x_range[1])
    while curve(high, extrapolate=True) < target:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if curve(middle, extrapolate=True) < target else (low, middle)
    return seconds_per_segment / high


def population_rates(curve: Curve, n_memory: int, seconds_per_segment: float = 50.0) -> Float[Tensor, "n_memory"]:
    """Return a_j = `seconds_per_segment` / tau_eff(f_j): one relaxation rate per memory token.

    Parameters
    ----------
    curve : Curve
        1 / tau_eff (1/s) against burst rate (Hz) in a simulated population of synapses. The rates f_j are spaced
        evenly in log f over the curve's observed range, so nothing is extrapolated.
    """
    check_number("seconds_per_segment", seconds_per_segment)
    if curve.y.unit not in ("1/s", "Hz", "1"):
        raise ValueError(f"curve {curve.name!r} must give relaxation rates in 1/s, got y in {curve.y.unit}")
    low, high = curve.x_range
    if not low > 0:
        raise ValueError(f"curve {curve.name!r} must be observed at positive rates, got range [{low:g}, {high:g}]")
    inverse_tau = curve(np.geomspace(low, high, check_count("n_memory", n_memory)))
    if not np.all(inverse_tau > 0):
        raise ValueError(f"curve {curve.name!r} must be positive over its range, got {inverse_tau.min():g}")
    return torch.from_numpy(np.asarray(inverse_tau * seconds_per_segment))


def consolidate_weights(before: Float[Tensor, "..."], rise: Float[Tensor, "..."]) -> tuple[Tensor, Tensor]:
    """(keep, take) = (p(t-1) / p(t), dp_t / p(t)), from p(t-1) and dp_t, for p(0) = 0 (proof: module docstring)."""
    return before / (before + rise), rise / (before + rise)


def relax_weights(rate: Float[Tensor, "..."] | float) -> tuple[Tensor, Tensor]:
    """(keep, take) = (exp(-a), 1 - exp(-a)), the same in every segment."""
    rate = torch.as_tensor(rate, dtype=torch.float64, device="cpu")
    return torch.exp(-rate), -torch.expm1(-rate)


def segment_weights(keep: Float[Tensor, "T ..."], take: Float[Tensor, "T ..."]) -> Float[Tensor, "T ..."]:
    """Return the weight that each segment's `new` has in the memory after the last: take_t prod_{i>t} keep_i."""
    later = torch.cat([keep[1:], torch.ones_like(keep[:1])])
    return take * later.flip(0).cumprod(0).flip(0)


@dataclass(frozen=True)
class Retention:
    """A rule together with the simulated course it follows: gives keep and take for every sample and segment.

    Attributes
    ----------
    rule : str
        One of "scale", "consolidate", "relax", "replace".
    curve : Curve, optional
        The course p shared by all memory tokens ("scale", "consolidate").
    rates : tensor (n_memory,) or (1,), optional
        a, of each memory token or of all ("relax"); for "scale" and "consolidate" instead of a curve.
    """

    rule: str
    curve: Curve | None = None
    rates: Tensor | None = None
    seconds_per_segment: float = 50.0

    def rise(self, start: Int[Tensor, "*shape"], end: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape n"]:
        """p(end) - p(start), up to a factor: of the curve, or of p_j(t) = 1 - exp(-a_j t); n = 1 or n_memory."""
        if self.curve is not None:
            return retention_rise(self.curve, start, end, self.seconds_per_segment)[..., None]
        start, end, rates = start[..., None], end[..., None], self._rates()
        return torch.exp(-rates * start) * -torch.expm1(-rates * (end - start))

    def _rates(self) -> Tensor:
        """a of all memory tokens, on the CPU; without any, as for "replace", the memory relaxes at once."""
        return torch.tensor([math.inf], device="cpu") if self.rates is None else self.rates.cpu()

    def table(self, n_segments: int) -> tuple[Float[Tensor, "n_segments n"], Float[Tensor, "n_segments n"]]:
        """keep and take, t = 1..n_segments; those of "scale" are for T = n_segments."""
        seen = torch.arange(check_count("n_segments", n_segments), device="cpu")
        if self.rule != "scale":
            return self.after(seen)
        rises = self.rise(seen, seen + 1)
        if flat := int((~(rises > 0)).sum()):
            curve = self.curve
            course = f"relaxation_rate {self._rates().max():g}" if curve is None else f"curve {curve.name!r}"
            raise ValueError(
                f"{course} must rise in each of {n_segments} segments, got {flat} without a rise; use fewer segments, "
                "a shorter seconds_per_segment or a smaller relaxation_rate"
            )
        take = rises / rises.sum(0)
        return torch.zeros_like(take), take

    def after(self, seen: Int[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape n"], Float[Tensor, "*shape n"]]:
        """keep and take of the segment after `seen` others, of a rule that needs no T."""
        if self.rule == "consolidate":
            seen = seen.cpu()
            return consolidate_weights(self.rise(torch.zeros_like(seen), seen), self.rise(seen, seen + 1))
        keep, take = relax_weights(self._rates())
        return keep.expand(*seen.shape, -1), take.expand(*seen.shape, -1)

    def weights(
        self, seen: Int[Tensor, "batch segments"], total: Int[Tensor, "batch"], n_segments: int
    ) -> tuple[Float[Tensor, "batch segments n 1"], Float[Tensor, "batch segments n 1"]]:
        """keep and take of every segment of every sample, whose memory took in `seen` segments before this one.

        Only "scale" uses `total`, which is T of each sample, and `n_segments`, an upper bound of `total` and of
        ``seen + 1`` that is known without asking the device.
        """
        if torch.compiler.is_exporting() and self.rule not in ("relax", "replace"):
            raise ValueError(f"memory_update must be 'relax', 'replace' or learned to be exported, got {self.rule!r}")
        if self.rule != "scale":
            keep, take = (weight.to(seen.device) for weight in self.after(seen))
            return keep[..., None], take[..., None]
        # RF(t, T) = RF(t, n) / sum_{i<=T} RF(i, n), so that one table serves every T
        factors = self.table(n_segments)[1].to(seen.device)
        take = factors[seen.clamp_max(n_segments - 1)] / factors.cumsum(0)[total.clamp_min(1) - 1][:, None]
        return torch.zeros_like(take)[..., None], take[..., None]


def _approach(curve: Curve) -> tuple[Any, ...]:
    """Form and parameters of a course without its offset, which no difference of the curve depends on."""
    return curve.form.name.removesuffix("_offset"), *(v for key, v in curve.parameters.items() if key != "offset")


def _require_course(curve: Curve) -> None:
    if not isinstance(curve, Curve):
        raise ValueError(f"curve must be a Curve, got {type(curve).__name__}; load_curve(path) reads a file")
    if curve.x.unit != "s":
        raise ValueError(
            f"curve {curve.name!r} must be a course in time, x in s, to give a retention, got x in {curve.x.unit}; "
            "use an LTP curve"
        )
    curve.require_rising()
