"""Retention factors and update rules have the properties that their docstrings claim."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astro_sim.curves.curve import CurveFileError
from rmaat import load_curves, retention_factors
from rmaat.memory.retention import (
    Retention,
    consolidate_weights,
    population_rates,
    relax_weights,
    relaxation_rate,
    retention_rise,
    segment_weights,
)
from rmaat.memory.update import AttendUpdate, GatedUpdate


@pytest.fixture(scope="session")
def exponential(plant):
    """A curve with a given a = seconds / tau."""

    def curve(a, seconds=50.0, high=800.0):
        return plant("ltp", "saturating_exponential", 0.0, high, amplitude=0.5, tau=seconds / a)

    return curve


@given(a=st.floats(1e-6, 20.0), n=st.integers(1, 33), seconds=st.floats(1.0, 500.0))
def test_factors_are_positive_fall_and_sum_to_one(a, n, seconds, exponential):
    factors = retention_factors(exponential(a, seconds), n, seconds)
    assert factors.dtype == torch.float64 and factors.shape == (n,)
    assert bool((factors > 0).all()) and float(factors.sum()) == pytest.approx(1, abs=1e-12)
    assert bool((factors.diff() <= 0).all())
    t = torch.arange(n, dtype=torch.float64)
    closed = torch.exp(-a * t) * math.expm1(-a) / math.expm1(-a * n)
    torch.testing.assert_close(factors, closed, rtol=1e-9, atol=0)


def test_worked_numbers(exponential):
    rounded = [round(float(f), 3) for f in retention_factors(exponential(0.5), 6)]
    assert rounded == [0.414, 0.251, 0.152, 0.092, 0.056, 0.034]
    first = [float(retention_factors(exponential(0.5), n)[0]) for n in (1, 2, 4, 8, 16)]
    assert first == sorted(first, reverse=True) and first[0] == 1  # more segments, smaller factors
    torch.testing.assert_close(retention_factors(exponential(1e-9), 4), torch.full((4,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(
    "form, values",
    [
        ("stretched_exponential", {"amplitude": 0.5, "tau": 120.0, "beta": 0.8}),
        ("biexponential", {"amplitude": 0.5, "weight": 0.3, "tau_fast": 40.0, "tau_slow": 300.0}),
        ("power_law_approach", {"amplitude": 0.5, "tau": 100.0, "exponent": 1.5}),
    ],
)
def test_other_forms(form, values, plant):
    curve = plant("ltp", form, 0.0, 800.0, **values)
    factors = retention_factors(curve, 16)
    course = torch.from_numpy(curve(50.0 * np.arange(17)))
    torch.testing.assert_close(factors, course.diff() / course[-1])
    assert bool((retention_factors(curve, 100) > 0).all())  # where differences of p are lost in rounding
    tau = 50.0 / relaxation_rate(curve)
    assert float(curve(tau)) == pytest.approx((1 - math.exp(-1)) * 0.5, rel=1e-9)
    moved = plant("ltp", f"{form}_offset", 0.0, 800.0, **values, offset=-0.2)  # as a baseline that was not quite known
    torch.testing.assert_close(retention_factors(moved, 16), factors)
    assert relaxation_rate(moved) == pytest.approx(50.0 / tau, rel=1e-9)


def test_a_curve_that_stops_rising_is_refused(plant):
    curve = plant("ltp", "stretched_exponential", 0.0, 800.0, amplitude=0.5, tau=10.0, beta=2.0)
    with pytest.raises(ValueError, match="curve 'ltp' must rise in each of 16 segments, got 10 without a rise; use"):
        retention_factors(curve, 16)
    falling = plant("ltp", "exponential_decay", 0.0, 800.0, amplitude=0.5, length=100.0)
    with pytest.raises(CurveFileError, match="must rise with t"):
        retention_factors(falling, 4)


def test_a_curve_that_is_no_course_in_time_is_refused(curves, plant):
    by_rate = plant("x", "saturating_exponential", 0.0, 4.0, "f", "Hz", amplitude=0.5, tau=1.0)
    one = torch.ones(1)
    uses = (lambda: retention_factors(curves["ltp_population"], 3), lambda: retention_rise(by_rate, 0 * one, one))
    for use in (*uses, lambda: relaxation_rate(by_rate)):
        with pytest.raises(ValueError, match=r"must be a course in time, x in s, .*, got x in Hz; use an LTP curve"):
            use()


def test_beyond_the_observed_range(exponential, plant):
    assert float(retention_factors(exponential(0.4, high=400.0), 16).sum()) == pytest.approx(1)  # has a plateau
    open_ended = plant("ltp", "power_law", 0.0, 400.0, amplitude=0.5, exponent=0.5)
    assert float(retention_factors(open_ended, 8).sum()) == pytest.approx(1)
    remedy = "use fewer segments, a shorter seconds_per_segment, relaxation_rate in ModelConfig, or a curve file with"
    with pytest.raises(ValueError, match=rf"t must lie in the observed range \[0, 400\] s of curve 'ltp' .*; {remedy}"):
        retention_factors(open_ended, 9)
    allowed = dataclasses.replace(open_ended, extrapolate=True)
    assert float(retention_factors(allowed, 9).sum()) == pytest.approx(1)


@pytest.mark.parametrize("n", [0, -1, 2.5, True, math.inf, math.nan, "a", None])
def test_wrong_counts_are_refused(n, exponential):
    with pytest.raises(ValueError, match=f"n_segments must be an integer of at least 1, got {n!r}"):
        retention_factors(exponential(0.4), n)


@pytest.mark.parametrize("seconds", [0.0, -50.0, math.nan, math.inf, "a", None])
def test_wrong_durations_are_refused(seconds, exponential):
    with pytest.raises(ValueError, match=f"seconds_per_segment must be positive and finite, got {seconds!r}"):
        retention_factors(exponential(0.4), 4, seconds)


def test_relaxation_rate_and_its_refusal(curves):
    assert relaxation_rate(curves["ltp"]) == pytest.approx(0.4)
    assert relaxation_rate(curves["ltp"], 25.0) == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"must rise from 0 to a plateau .* got form 'power_law'"):
        relaxation_rate(curves["stp_calcium"])


def test_population_rates_span_the_observed_range(curves):
    rates = population_rates(curves["ltp_population"], 5)
    torch.testing.assert_close(rates, 50 * 0.07 * torch.logspace(-2, 0, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match="must be observed at positive rates, got range"):
        population_rates(curves["ltp"], 5)
    with pytest.raises(ValueError, match="must give relaxation rates in 1/s, got y in uM"):
        population_rates(load_curves()["stp_calcium"], 5)


def test_a_name_in_place_of_a_curve_is_refused():
    with pytest.raises(ValueError, match=r"curve must be a Curve, got str; load_curve\(path\) reads a file"):
        retention_factors("ltp", 4)


def test_a_segment_that_overflows_is_refused(exponential):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="must rise in each of 3 segments, got 2 without"):
        retention_factors(exponential(1.0), 3, 1e308)


@given(a=st.floats(0.01, 3.0), n=st.integers(1, 33))
def test_consolidate_weights_are_the_retention_factors_for_every_t(a, n, exponential):
    curve = exponential(a)
    seen = torch.arange(n)
    before, rise = retention_rise(curve, 0 * seen, seen), retention_rise(curve, seen, seen + 1)
    keep, take = consolidate_weights(before, rise)
    for total in range(1, n + 1):
        weights = segment_weights(keep[:total], take[:total])
        torch.testing.assert_close(weights, retention_factors(curve, total), rtol=1e-9, atol=0)


@given(a=st.floats(0.01, 3.0), n=st.integers(1, 33))
def test_relax_weights_are_the_retention_factors_reversed(a, n, exponential):
    keep, take = (weight.expand(n) for weight in relax_weights(a))
    weights = segment_weights(keep, take)
    assert float(weights.sum()) == pytest.approx(1 - math.exp(-a * n), rel=1e-9)  # the rest is the first memory's
    torch.testing.assert_close(weights / weights.sum(), retention_factors(exponential(a), n).flip(0))


@pytest.mark.parametrize("rule", ["scale", "consolidate", "relax", "replace"])
def test_rules_follow_their_recursion(rule, curves):
    rates = torch.tensor([0.4], dtype=torch.float64) if rule == "relax" else None
    keep, take = (w[:, 0] for w in Retention(rule, curves["ltp"], rates).table(7))
    p = 0.5 * (1 - torch.exp(-0.4 * torch.arange(8, dtype=torch.float64)))
    memory, new = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(7, 2, 3, 4, dtype=torch.float64)
    for t in range(1, 8):
        got = keep[t - 1].expand(2, 1, 1) * memory + take[t - 1].expand(2, 1, 1) * new[t - 1]
        rise = p[t] - p[t - 1]
        memory = {
            "scale": rise / p[7] * new[t - 1],
            "consolidate": (p[t - 1] * memory + rise * new[t - 1]) / p[t],
            "relax": math.exp(-0.4) * memory + (1 - math.exp(-0.4)) * new[t - 1],
            "replace": new[t - 1],
        }[rule]
        torch.testing.assert_close(got, memory)


@pytest.mark.parametrize("rule", ["scale", "consolidate"])
def test_a_rate_is_an_exponential_curve(rule, curves):
    by_curve = Retention(rule, curves["ltp"]).table(12)
    by_rate = Retention(rule, rates=torch.tensor([0.4], dtype=torch.float64)).table(12)
    torch.testing.assert_close(by_curve, by_rate, rtol=1e-12, atol=1e-14)


def test_factors_of_a_rate_are_positive_or_refused():
    retention = Retention("scale", rates=torch.tensor([5.0], dtype=torch.float64))
    assert bool((retention.table(100)[1] > 0).all())
    message = r"^relaxation_rate 5 must rise in each of 256 segments, got 106 without a rise; use fewer segments, .*"
    with pytest.raises(ValueError, match=message):
        retention.table(256)


@pytest.mark.parametrize("shared", [True, False])
def test_a_long_stream_that_consolidates_costs_no_more(shared, curves):
    course = {"curve": curves["ltp"]} if shared else {"rates": torch.tensor([1e-7, 0.5], dtype=torch.float64)}
    retention, seen = Retention("consolidate", **course), torch.tensor([[10**12]])
    keep, take = retention.weights(seen, seen[:, 0] + 1, 10**12 + 1)  # a table of so many segments fits in no memory
    torch.testing.assert_close(keep + take, torch.ones_like(keep))
    assert bool((take < 1e-12).all())


@pytest.mark.parametrize("rule", ["scale", "consolidate", "relax", "replace"])
@pytest.mark.parametrize("shared", [True, False])
def test_the_default_device_does_not_matter(rule, shared, curves):
    rates = None if shared and rule != "relax" else torch.tensor([0.4], dtype=torch.float64)
    retention, seen = Retention(rule, curves["ltp"], rates), torch.tensor([[0, 1]])
    total = torch.tensor([2])
    expected = retention.weights(seen, total, 2)
    with torch.device("meta"):
        torch.testing.assert_close(retention.weights(seen, total, 2), expected)


def test_population_gives_each_token_its_own_course():
    rates = torch.tensor([0.05, 0.5, 3.0], dtype=torch.float64)
    for rule in ("relax", "consolidate"):
        together = Retention(rule, rates=rates).table(20)
        for j in range(3):
            alone = Retention(rule, rates=rates[j : j + 1]).table(20)
            for got, expected in zip(together, alone, strict=True):
                torch.testing.assert_close(got[:, j], expected[:, 0])


@pytest.mark.parametrize("rule", ["scale", "consolidate", "relax"])
def test_every_sample_has_its_own_t_and_total(rule, curves):
    rates = torch.tensor([0.4], dtype=torch.float64) if rule == "relax" else None
    retention = Retention(rule, curves["ltp"], rates)
    seen, total = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]]), torch.tensor([4, 2])
    keep, take = retention.weights(seen, total, 4)
    assert keep.shape == take.shape == (2, 4, 1, 1)
    for row, n in enumerate(total.tolist()):
        table = [weight[:, 0] for weight in retention.table(n)]
        inside = seen[row] < n
        torch.testing.assert_close(keep[row, inside, 0, 0], table[0][seen[row, inside]])
        torch.testing.assert_close(take[row, inside, 0, 0], table[1][seen[row, inside]])


def test_learned_updates():
    torch.manual_seed(0)
    memory, new = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    gated, attend = GatedUpdate(8), AttendUpdate(8, 2)
    low, high = torch.minimum(memory, new), torch.maximum(memory, new)
    mixed = gated(memory, new)
    assert bool(((mixed >= low) & (mixed <= high)).all())
    gated.gate.bias.data.fill_(40.0)
    torch.testing.assert_close(gated(memory, new), memory)
    permuted = new[:, [2, 0, 1]]
    torch.testing.assert_close(attend(memory, permuted), attend(memory, new))  # a set of new memories
    assert not torch.allclose(attend(memory, -new.abs()), attend(memory, new))
    torch.testing.assert_close(attend(memory, -new.abs()), attend(memory, -2 * new.abs()))  # the valve is a ReLU
