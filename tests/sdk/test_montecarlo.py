"""Simulated option prices: against closed formulas and printed values, with honest standard errors."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import pytest
from qfp import montecarlo
from qfp.montecarlo import asian, black_scholes, european, geometric_asian
from qfp.simulated import machine_code

CASES = json.loads((Path(__file__).parent.parent / "data" / "option_references.json").read_text())
MARKET = {"spot": 100.0, "strike": 105.0, "rate": 0.05, "volatility": 0.2, "years": 1.0, "dividend": 0.02}


def cases(function: str):
    return [pytest.param(case, id=case["id"]) for case in CASES if case["function"] == function]


@pytest.mark.parametrize("case", [*cases("black_scholes"), *cases("geometric_asian")])
def test_closed_formula_agrees_with_its_source(case):
    assert getattr(montecarlo, case["function"])(**case["inputs"]) == pytest.approx(case["expected"], abs=case["abs"])


@pytest.mark.parametrize("case", cases("black_scholes"))
@pytest.mark.parametrize("variance_reduction", [True, False])
def test_european_estimate_contains_the_exact_price(case, variance_reduction):
    got = european(**case["inputs"], paths=1_000_000, seed=8, variance_reduction=variance_reduction)
    assert abs(got.value - case["expected"]) <= 4 * got.standard_error + 1e-5


@pytest.mark.parametrize("case", cases("asian"))
@pytest.mark.parametrize("variance_reduction", [True, False])
def test_asian_estimate_contains_the_price_of_its_source(case, variance_reduction):
    got = asian(**case["inputs"], paths=200_000, seed=3, variance_reduction=variance_reduction)
    assert abs(got.value - case["expected"]) <= 4 * got.standard_error + case["abs"]


@pytest.mark.parametrize(
    ("price", "options", "paths"),
    [
        (european, {"variance_reduction": False}, 20_000),
        (european, {"variance_reduction": True}, 20_000),
        (asian, {"variance_reduction": False, "steps": 10}, 10_000),
        (asian, {"variance_reduction": True, "steps": 10}, 10_000),
    ],
)
def test_standard_error_is_the_spread_of_repeated_estimates(price, options, paths):
    estimates = [price("call", **MARKET, **options, paths=paths, seed=seed, workers=1) for seed in range(200)]
    spread = pstdev([estimate.value for estimate in estimates])
    told = mean(estimate.standard_error for estimate in estimates)
    assert told == pytest.approx(spread, rel=0.2)  # of 200 values a deviation is known to about 5 %
    if options["variance_reduction"]:
        assert told < mean(estimate.plain_standard_error for estimate in estimates)


@pytest.mark.parametrize("price", [european, asian])
def test_plain_error_is_what_the_same_number_of_plain_paths_gives(price):
    reduced = price("put", **MARKET, paths=100_000, seed=1)
    plain = price("put", **MARKET, paths=100_000, seed=1, variance_reduction=False)
    assert plain.standard_error == plain.plain_standard_error
    assert reduced.plain_standard_error == pytest.approx(plain.standard_error, rel=0.03)


@pytest.mark.parametrize("price", [european, asian])
def test_a_seed_gives_the_same_digits_with_any_number_of_workers(price):
    got = {
        price("call", **MARKET, paths=600_000 if price is european else 40_000, seed=4, workers=w) for w in (1, 2, 3)
    }
    assert len(got) == 1
    again = price("call", **MARKET, paths=1000)
    assert again == price("call", **MARKET, paths=1000, seed=again.seed)
    assert price("call", **MARKET, paths=1000, seed=5) != price("call", **MARKET, paths=1000, seed=6)


@pytest.mark.parametrize(("price", "block"), [(european, montecarlo.EUROPEAN_BLOCK), (asian, montecarlo.ASIAN_BLOCK)])
def test_every_block_of_paths_draws_numbers_of_its_own(price, block):
    one, two = (price("call", **MARKET, paths=count * block, seed=9) for count in (1, 2))
    assert one.value != pytest.approx(two.value, rel=1e-9)


def test_control_variate_of_the_same_path_explains_most_of_the_variance():
    got = asian("call", **MARKET, steps=52, paths=50_000, seed=1)
    assert got.standard_error < got.plain_standard_error / 20


def test_call_and_put_of_the_same_paths_differ_by_the_forward():
    call, put = (european(kind, **MARKET, paths=500_000, seed=2) for kind in ("call", "put"))
    forward = 100 * math.exp(-0.02) - 105 * math.exp(-0.05)
    assert call.value - put.value == pytest.approx(forward, abs=0.05)
    exact = black_scholes("call", **MARKET) - black_scholes("put", **MARKET)
    assert exact == pytest.approx(forward, abs=1e-12)


def test_an_asian_option_with_one_fixing_is_a_european_one():
    got = asian("call", **MARKET, steps=1, paths=100_000, seed=1)
    assert got.value == pytest.approx(black_scholes("call", **MARKET), abs=1e-4)
    assert geometric_asian("put", **MARKET, steps=1) == pytest.approx(black_scholes("put", **MARKET), abs=1e-12)


def test_arithmetic_simulation_agrees_with_a_plain_loop_over_prices():
    """The sum is built backwards; the same normal numbers, summed the obvious way, must give the same payoffs."""
    option = montecarlo._Option("call", 100.0, 95.0, 0.05, 0.3, 1.0, 0.0, 12, False)
    got = montecarlo._Asian(option).moments(np.random.Generator(np.random.SFC64(1)), 1000)
    generator, shocks = np.random.Generator(np.random.SFC64(1)), np.empty((12, 1000), np.float32)
    for row in shocks:
        montecarlo._normals(generator, row, option.step_deviation)
    logs = np.cumsum(shocks[::-1].astype(float) + option.step_drift, axis=0)
    payoffs = np.maximum((100 * np.exp(logs)).mean(axis=0) - 95, 0)
    assert got.mean_x == pytest.approx(payoffs.mean(), rel=1e-5)
    assert got.xx / 999 == pytest.approx(payoffs.var(ddof=1), rel=1e-4)


# Runs where boxes' packages are, llvmlite among them; here there are only those of the site.
WITH_MACHINE_CODE = """
import math
import numpy as np
from qfp import montecarlo
from qfp.simulated import walk

for paths, steps, deviation in ((1000, 12, 0.1), (777, 3, 1.5), (33, 1, 4.0), (2, 40, 0.01)):
    adds = [math.exp(-0.001 * step) for step in range(steps)]
    one, other = (np.random.Generator(np.random.SFC64(5)) for _ in range(2))
    sums, logs = walk(one, paths, adds, deviation)
    z, expected, sum_of_logs = np.empty(paths, np.float32), np.zeros(paths), np.zeros(paths)
    for step, add in enumerate(adds, 1):
        shocks = montecarlo._normals(other, z, deviation).astype(float)
        expected = (expected + add) * np.exp(shocks)
        sum_of_logs += step * shocks
    assert len(sums) == len(logs) == paths
    np.testing.assert_allclose(sums, expected, rtol=2e-6)
    np.testing.assert_allclose(logs, sum_of_logs, atol=2e-6 * steps * deviation)
    assert one.random() == other.random()  # and both have drawn as many
for price, paths in ((montecarlo.asian, 32_001), (montecarlo.european, 8_000_000)):
    for reduced in (False, True):
        print(price("put", 100, 105, 0.03, 0.2, 1, paths=paths, seed=7, variance_reduction=reduced).value)
"""


def test_machine_code_walks_the_paths_that_numpy_walks(in_box_environment):
    assert machine_code() is None
    printed, _ = in_box_environment(WITH_MACHINE_CODE)
    cases = product(((asian, 32_001), (european, 8_000_000)), (False, True))
    for line, ((price, paths), reduced) in zip(printed.splitlines(), cases, strict=True):
        here = price("put", 100, 105, 0.03, 0.2, 1, paths=paths, seed=7, variance_reduction=reduced)
        assert float(line) == pytest.approx(here.value, rel=1e-6)


def test_normal_numbers_have_the_moments_of_normal_numbers():
    generator, numbers = np.random.Generator(np.random.SFC64(7)), np.empty(4_000_001, np.float32)
    moments = montecarlo._normals(generator, numbers, 1.0).astype(float)
    n = len(numbers)
    assert abs(moments.mean()) < 4 / math.sqrt(n)
    assert abs((moments**2).mean() - 1) < 4 * math.sqrt(2 / n)
    assert abs((moments**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((moments**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert abs((np.abs(moments) > 1.959963985).mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / n)
    assert abs(np.corrcoef(moments[:-1], moments[1:])[0, 1]) < 4 / math.sqrt(n)
    half = n // 2
    assert abs(np.corrcoef(moments[:half], moments[half + 1 :])[0, 1]) < 4 / math.sqrt(half)  # of one pair


def test_without_volatility_or_time_there_is_nothing_to_chance():
    still = european("call", 100, 90, 0.05, 0.0, 1.0, paths=1000, seed=1)
    assert still.value == pytest.approx(100 - 90 * math.exp(-0.05), rel=1e-6)
    assert still.standard_error == pytest.approx(0, abs=1e-4)
    assert asian("put", 100, 90, 0.05, 0.2, 0.0, paths=1000, seed=1).value == 0


def test_estimate_says_what_it_is():
    got = european("call", **MARKET, paths=999, seed=1)
    assert got.paths == 1000 and "1,000 paths" in str(got) and "95 %" in str(got)
    low, high = got.interval
    assert low < got.value < high


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "straddle"}, "kind must be"),
        ({"spot": 0}, "more than 0"),
        ({"strike": math.nan}, "strike must be a number"),
        ({"volatility": -0.1}, "must not be negative"),
        ({"volatility": 20}, "volatility is a fraction a year"),
        ({"paths": 1}, "paths must be"),
        ({"seed": -2}, "seed must be"),
    ],
)
def test_inputs_that_mean_nothing_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        european(**{"kind": "call", **MARKET, **change})
