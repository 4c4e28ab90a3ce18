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
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rmaat.curves import Curve

RULES = ("scale", "consolidate", "relax", "replace", "gated", "attend")
RISING_FROM_ZERO = ("saturating_exponential", "stretched_exponential", "biexponential", "power_law_approach")


def retention_factors(
    curve: Curve, n_segments: int, seconds_per_segment: float = 50.0
) -> Float[Tensor, "n_segments"]:
    """Return RF(t, T) = (p(t) - p(t-1)) / (p(T) - p(0)) for t = 1..T.

    Parameters
    ----------
    curve : Curve
        Long-term efficacy against time in seconds.
    n_segments : int
        T. Beyond the observed range a form with a plateau is served, one without raises (see :class:`Curve`).
    seconds_per_segment : float
        How long a segment lasts in the simulated tissue; the paper's cycle is 50 s.

    Returns
    -------
    tensor (n_segments,), float64
        Positive, summing to 1.
    """
    n_segments = _count("n_segments", n_segments)
    increments = retention_increments(curve, n_segments, seconds_per_segment)
    if not bool((increments > 0).all()):
        raise ValueError(
            f"curve {curve.name!r} must rise in each of {n_segments} segments of {seconds_per_segment:g} s, got "
            f"{int((increments <= 0).sum())} without a rise; use a shorter seconds_per_segment or another curve"
        )
    return increments / increments.sum()


def retention_course(
    curve: Curve, n_segments: int, seconds_per_segment: float = 50.0
) -> Float[Tensor, "steps"]:
    """Return p(t) - p(0) at t = 0, 1, ..., n_segments segments (float64)."""
    _seconds(seconds_per_segment)
    _require_course(curve)
    p = curve(np.arange(n_segments + 1) * float(seconds_per_segment))
    return torch.from_numpy(np.asarray(p - p[0], dtype=np.float64))


def retention_increments(
    curve: Curve, n_segments: int, seconds_per_segment: float = 50.0
) -> Float[Tensor, "n_segments"]:
    """Return p(t) - p(t-1), t = 1..n_segments, by default as differences of the course (float64).

    Near a plateau differences cancel. A form that approaches it as amplitude * (1 - sum_k w_k S_k(x)) is therefore
    computed from its survival functions, S(t-1) - S(t) = -S(t-1) expm1(log S(t) - log S(t-1)), which stays exact.
    """
    _seconds(seconds_per_segment)
    _require_course(curve)
    survivals = _log_survivals(curve, np.arange(n_segments + 1) * float(seconds_per_segment))
    if not survivals:
        return retention_course(curve, n_segments, seconds_per_segment).diff()
    falls = [weight * np.exp(log_s[:-1]) * -np.expm1(np.diff(log_s)) for weight, log_s in survivals]
    return torch.from_numpy(curve.parameters["amplitude"] * np.sum(falls, axis=0))


def _log_survivals(curve: Curve, x: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """(w_k, log S_k(x)) of a form that rises from 0 to `amplitude`; [] for the others."""
    p = curve.parameters
    if curve.form == "saturating_exponential":
        return [(1.0, -x / p["tau"])]
    if curve.form == "stretched_exponential":
        return [(1.0, -((x / p["tau"]) ** p["beta"]))]
    if curve.form == "biexponential":
        return [(p["weight"], -x / p["tau_fast"]), (1 - p["weight"], -x / p["tau_slow"])]
    if curve.form == "power_law_approach":
        return [(1.0, -p["exponent"] * np.log1p(x / p["tau"]))]
    return []


def relaxation_rate(curve: Curve, seconds_per_segment: float = 50.0) -> float:
    """Return a = `seconds_per_segment` / tau_eff, dimensionless.

    tau_eff is the time in which the curve covers 1 - 1/e of its way to the plateau: `tau` itself for a saturating
    exponential, found by bisection for the other forms that rise from 0 to a plateau.
    """
    _seconds(seconds_per_segment)
    if curve.form not in RISING_FROM_ZERO:
        raise ValueError(
            f"curve {curve.name!r} must rise from 0 to a plateau to have a relaxation time, got form {curve.form!r}; "
            f"fit one of {', '.join(RISING_FROM_ZERO)}"
        )
    _require_course(curve)
    if curve.form == "saturating_exponential":
        return seconds_per_segment / curve.parameters["tau"]
    target = -math.expm1(-1) * curve.parameters["amplitude"]
    low, high = 0.0, float(curve.x["range"][1])
    while curve(high, extrapolate=True) < target:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if curve(middle, extrapolate=True) < target else (low, middle)
    return seconds_per_segment / high


def population_rates(
    curve: Curve, n_memory: int, seconds_per_segment: float = 50.0
) -> Float[Tensor, "n_memory"]:
    """Return a_j = `seconds_per_segment` / tau_eff(f_j): one relaxation rate per memory token.

    Parameters
    ----------
    curve : Curve
        1 / tau_eff (1/s) against burst rate (Hz) in a simulated population of synapses. The rates f_j are spaced
        evenly in log f over the curve's observed range, so nothing is extrapolated.
    """
    _seconds(seconds_per_segment)
    low, high = curve.x["range"]
    if not low > 0:
        raise ValueError(f"curve {curve.name!r} must be observed at positive rates, got range [{low:g}, {high:g}]")
    inverse_tau = curve(np.geomspace(low, high, _count("n_memory", n_memory)))
    if not np.all(inverse_tau > 0):
        raise ValueError(f"curve {curve.name!r} must be positive over its range, got {inverse_tau.min():g}")
    return torch.from_numpy(np.asarray(inverse_tau * seconds_per_segment))


def scale_weights(factors: Float[Tensor, "T ..."]) -> tuple[Tensor, Tensor]:
    """The paper's rule: (keep, take) = (0, RF(t, T))."""
    return torch.zeros_like(factors), factors


def consolidate_weights(course: Float[Tensor, "steps ..."]) -> tuple[Tensor, Tensor]:
    """(keep, take) = (p(t-1) / p(t), 1 - p(t-1) / p(t)), t = 1..T, for p(0) = 0 (proof in the module docstring)."""
    keep = course[:-1] / course[1:]
    return keep, 1 - keep


def relax_weights(rate: Float[Tensor, "..."] | float) -> tuple[Tensor, Tensor]:
    """(keep, take) = (exp(-a), 1 - exp(-a)), the same in every segment."""
    rate = torch.as_tensor(rate, dtype=torch.float64)
    return torch.exp(-rate), -torch.expm1(-rate)


def update(
    memory: Float[Tensor, "batch n_memory d_model"],
    new: Float[Tensor, "batch n_memory d_model"],
    keep: Float[Tensor, "batch #n_memory 1"],
    take: Float[Tensor, "batch #n_memory 1"],
) -> Float[Tensor, "batch n_memory d_model"]:
    """Return keep * memory + take * new."""
    return keep * memory + take * new


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

    def increments(self, n_segments: int) -> Float[Tensor, "n_segments n"]:
        """dp_t, t = 1..n_segments, up to a factor: of the curve, or of p_j(t) = 1 - exp(-a_j t); n = 1 or n_memory."""
        if self.rates is None:
            return retention_increments(self.curve, n_segments, self.seconds_per_segment)[:, None]
        steps = torch.arange(n_segments, dtype=torch.float64)
        return -torch.expm1(-self.rates) * torch.exp(-steps[:, None] * self.rates)

    def table(self, n_segments: int) -> tuple[Tensor, Tensor]:
        """keep and take (n_segments, n_memory or 1), t = 1..n_segments; those of "scale" are for T = n_segments."""
        if self.rule == "replace":
            take = torch.ones(n_segments, 1, dtype=torch.float64)
            return torch.zeros_like(take), take
        if self.rule == "relax":
            keep, take = relax_weights(self.rates)
            return keep.expand(n_segments, -1), take.expand(n_segments, -1)
        if self.rule == "scale" and self.curve is not None:
            return scale_weights(retention_factors(self.curve, n_segments, self.seconds_per_segment)[:, None])
        increments = self.increments(n_segments)
        if self.rule == "scale":
            return scale_weights(increments / increments.sum(0))
        return consolidate_weights(F.pad(increments.cumsum(0), (0, 0, 1, 0)))

    def weights(
        self, seen: Int[Tensor, "batch segments"], total: Int[Tensor, "batch"], n_segments: int
    ) -> tuple[Float[Tensor, "batch segments n 1"], Float[Tensor, "batch segments n 1"]]:
        """keep and take of every segment of every sample.

        Parameters
        ----------
        seen : tensor
            Segments that the sample's memory took in before this one.
        total : tensor
            T of each sample; only "scale" uses it.
        n_segments : int
            An upper bound of `total` and of ``seen + 1``, known without asking the device.
        """
        keep, take = (weight.to(seen.device) for weight in self.table(n_segments))
        at = seen.clamp_max(n_segments - 1)
        if self.rule == "scale":  # RF(t, T) = RF(t, n) / sum_{i<=T} RF(i, n), so that one table serves every T
            take = take[at] / take.cumsum(0)[total.clamp_min(1) - 1][:, None]
            return torch.zeros_like(take)[..., None], take[..., None]
        return keep[at][..., None], take[at][..., None]


class GatedUpdate(nn.Module):
    """Learned gate per memory token and channel: z = sigmoid(W [memory, new] + b), z memory + (1 - z) new."""

    def __init__(self, d_model: int):
        super().__init__()
        self.gate = nn.Linear(2 * d_model, d_model)

    def forward(
        self, memory: Float[Tensor, "batch n_memory d_model"], new: Float[Tensor, "batch n_memory d_model"]
    ) -> Float[Tensor, "batch n_memory d_model"]:
        return torch.lerp(new, memory, torch.sigmoid(self.gate(torch.cat([memory, new], dim=-1))).to(memory.dtype))


class AttendUpdate(nn.Module):
    """RATE's retention valve: softmax attention with the old memory as query and relu(new) as key and value."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(
        self, memory: Float[Tensor, "batch n_memory d_model"], new: Float[Tensor, "batch n_memory d_model"]
    ) -> Float[Tensor, "batch n_memory d_model"]:
        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

        key, value = self.key_value(F.relu(new)).chunk(2, dim=-1)
        read = F.scaled_dot_product_attention(split(self.query(memory)), split(key), split(value))
        return self.out(read.transpose(1, 2).flatten(2))


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value}")
    return int(value)


def _require_course(curve: Curve) -> None:
    if curve.x["unit"] != "s":
        raise ValueError(
            f"curve {curve.name!r} must be a course in time, x in s, to give a retention, got x in {curve.x['unit']}; "
            "use an LTP curve"
        )
    curve.require_rising()


def _seconds(value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"seconds_per_segment must be positive and finite, got {value}")
