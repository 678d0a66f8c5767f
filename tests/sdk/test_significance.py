"""What luck explains: Sharpe ratios and their bounds, the best of many trials, bootstrap intervals, overfitting."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from qfp import metrics, significance
from scipy.signal import lfilter

REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "metric_references.json").read_text())
CASES = {case["id"]: case for case in REFERENCES["cases"]}


def matrix_of(value):
    return np.array(REFERENCES["data"][value["$data"]], dtype=float)


def deflated(sr, T, skew, kurt, n_trials, var_trials):
    threshold = math.sqrt(var_trials) * significance.expected_maximum(n_trials)
    return {"sr0": threshold, "dsr": significance.probability_above(sr, T, skew, kurt, threshold)}


def overfitting(matrix, blocks):
    found = significance.probability_of_overfitting(matrix_of(matrix), blocks)
    return {
        "n_splits": found.splits,
        "pbo": found.probability,
        "pbo_strict": found.strict,
        "mean_logit": found.mean_logit,
        "prob_oos_loss": found.loss_probability,
        "degradation_slope": found.slope,
    }


FUNCTIONS = {
    "psr": lambda sr, T, skew, kurt, sr_benchmark: significance.probability_above(sr, T, skew, kurt, sr_benchmark),
    "min_trl": lambda sr, skew, kurt, sr_benchmark, confidence: significance.observations_needed(
        sr, skew, kurt, sr_benchmark, confidence
    ),
    "sharpe_lower": lambda sr, T, skew, kurt, confidence: significance.sharpe_lower_bound(
        sr, T, skew, kurt, confidence
    ),
    "dsr": deflated,
    "expected_max_normal": significance.exact_expected_maximum,
    "min_btl": significance.minimum_backtest_length,
    "pbo": overfitting,
}


@pytest.mark.parametrize("name", [case["id"] for case in REFERENCES["cases"] if case["fn"] in FUNCTIONS])
def test_against_published_and_computed_values(name):
    case = CASES[name]
    inputs = case["inputs"]
    call = FUNCTIONS[case["fn"]]
    if case["fn"] == "min_btl":
        got = call(inputs["n_trials"], inputs["target_annual_sharpe"])
    elif case["fn"] == "expected_max_normal":
        got = call(inputs["n_trials"])
    else:
        got = call(**inputs)
    expected = case["expected"] if isinstance(case["expected"], dict) else {"value": case["expected"]}
    got = got if isinstance(got, dict) else {"value": got}
    for key, value in expected.items():
        assert abs(got[key] - value) <= case["tolerance"]["abs"] + case["tolerance"].get("rel", 0) * abs(value), key


def with_moments(sharpe, count):
    """Returns of exactly this Sharpe ratio per period."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    values = (values - values.mean()) / values.std(ddof=1)
    return 0.01 * (values + sharpe)


def test_the_deflated_ratio_is_the_probabilistic_one_against_the_best_of_so_many():
    returns = with_moments(0.12, 750)
    one, many = (significance.deflated_sharpe_ratio(returns, trials) for trials in (1, 100))
    assert one.probability == pytest.approx(metrics.probabilistic_sharpe_ratio(returns), abs=1e-12)
    assert one.annual_threshold == 0
    assert many.annual_sharpe == pytest.approx(0.12 * math.sqrt(252))
    # Without the trials' own variance: that of as many worthless ones.
    assert many.annual_threshold == pytest.approx(significance.expected_maximum(100) * math.sqrt(252 / 749))
    assert many.probability < one.probability
    assert many.probability == pytest.approx(
        metrics.probabilistic_sharpe_ratio(returns, benchmark_sharpe=many.annual_threshold), abs=1e-12
    )
    wide = significance.deflated_sharpe_ratio(returns, 100, annual_variance=0.5)
    assert wide.annual_threshold == pytest.approx(math.sqrt(0.5) * significance.expected_maximum(100))


def test_alike_trials_count_for_less_and_never_for_fewer_than_their_clusters():
    rng = np.random.default_rng(3)
    seeds = rng.normal(0, 0.01, (400, 3))
    copies = np.repeat(seeds, 20, axis=1) + rng.normal(0, 0.002, (400, 60))
    mean, clusters = significance.trial_clusters(copies)
    assert clusters == 3 and 0.2 < mean < 0.4
    assert significance.effective_trials(60, mean) == pytest.approx(mean + (1 - mean) * 60)
    assert significance.effective_trials(60, 1.0, clusters) == 3
    assert significance.effective_trials(60, 0.0) == 60
    assert significance.trial_clusters(rng.normal(0, 0.01, (400, 12)))[1] == 12
    few = copies[:, [0, 20, 40]]
    one, two, three = np.corrcoef(few, rowvar=False)[np.triu_indices(3, 1)]
    assert significance.trial_clusters(few)[0] == pytest.approx((one + two + three) / 3)
    with_idle = np.column_stack([few, np.zeros(400)])
    assert significance.trial_clusters(with_idle) == pytest.approx(significance.trial_clusters(few)), (
        "it traded nothing"
    )
    assert significance.trial_clusters(few[:, :1]) == significance.trial_clusters(np.zeros((400, 3))) == (1.0, 1)


def test_a_higher_sharpe_ratio_needs_fewer_years_to_stand_out_from_luck():
    one, two = (significance.minimum_backtest_length(45, sharpe) for sharpe in (1.0, 2.0))
    assert one == pytest.approx(significance.expected_maximum(45) ** 2) and two == pytest.approx(one / 4)
    assert math.isnan(significance.minimum_backtest_length(45, 0.0))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """500 simulations of returns that follow each other; nominal 90 %."""
    rng = np.random.default_rng(11)
    phi, mean, noise, length = 0.25, 0.0005, 0.01, 400
    draws = rng.normal(0, noise, (500, length + 50))
    series = lfilter([1], [1, -phi], draws, axis=1)[:, 50:] + mean
    truth = mean / (noise / math.sqrt(1 - phi**2)) * math.sqrt(252)
    inside = 0
    for seed, returns in enumerate(series):
        found = significance.bootstrap_interval(returns, paths=200, seed=seed)
        inside += found.low <= truth <= found.high
    assert 0.85 <= inside / 500 <= 0.95


@pytest.mark.parametrize("kind", ["stationary", "circular"])
def test_an_interval_from_sums_is_the_one_from_written_out_draws(kind):
    returns = np.random.default_rng(5).normal(0.001, 0.01, 300)
    quick = significance.bootstrap_interval(returns, "sharpe", paths=50, seed=9, block=7, kind=kind)
    slow = significance.bootstrap_interval(returns, metrics.sharpe_ratio, paths=50, seed=9, block=7, kind=kind)
    assert (quick.low, quick.high) == pytest.approx((slow.low, slow.high), rel=1e-9)
    assert quick.estimate == pytest.approx(metrics.sharpe_ratio(returns))
    assert quick == significance.bootstrap_interval(returns, "sharpe", paths=50, seed=9, block=7, kind=kind)
    assert quick != significance.bootstrap_interval(returns, "sharpe", paths=50, seed=10, block=7, kind=kind)
    quick = significance.bootstrap_interval(returns, "mean", paths=50, seed=9, block=7, kind=kind)
    slow = significance.bootstrap_interval(returns, np.mean, paths=50, seed=9, block=7, kind=kind)
    assert (quick.low, quick.high) == pytest.approx((252 * slow.low, 252 * slow.high), rel=1e-9)
    assert significance.bootstrap_interval([*returns, 1e200], "mean", paths=50, seed=9, block=7, kind=kind) == quick


def test_overfitting_is_half_for_noise_and_rare_for_skill():
    rng = np.random.default_rng(1)
    noise = [significance.probability_of_overfitting(rng.normal(0, 0.01, (200, 50)), 8).probability for _ in range(200)]
    assert abs(np.mean(noise) - 0.5) < 0.05
    skilled = rng.normal(0, 0.01, (2_520, 50))
    skilled[:, 7] += 0.01 * 2.4 / math.sqrt(252)
    found = significance.probability_of_overfitting(skilled)
    assert found.splits == 12_870 and found.probability < 0.1 and not found.too_few
    assert sum(count for _, _, count in found.histogram()) == 12_870
    assert "\u00a0% of 12\u202f870 splits" in found.text, "as every page writes numbers"


def test_few_configurations_are_called_too_few():
    rng = np.random.default_rng(2)
    assert significance.probability_of_overfitting(rng.normal(0, 0.01, (200, 11)), 8).text.startswith("Too few")
    assert not significance.probability_of_overfitting(rng.normal(0, 0.01, (200, 12)), 8).too_few


def test_what_is_not_defined_is_nan():
    for returns in ([], [0.01], [0.01] * 50, [math.nan] * 20):
        assert math.isnan(significance.deflated_sharpe_ratio(returns, 20).probability)
        assert math.isnan(significance.bootstrap_interval(returns).low)
    huge = significance.bootstrap_interval([1e300, -1e-300, 1e150, 0.0] * 10)
    assert math.isnan(huge.low) and math.isnan(huge.high)
    assert math.isnan(significance.probability_of_overfitting(np.zeros((64, 20)), 8).probability)
    assert math.isnan(significance.probability_of_overfitting(np.zeros((3, 20)), 8).probability)
    assert significance.expected_maximum(1) == 0 == significance.exact_expected_maximum(1)
    assert math.isfinite(significance.expected_maximum(1e300))
    with pytest.raises(ValueError, match="missing or infinite"):
        significance.probability_of_overfitting(np.full((64, 20), np.nan), 8)


def test_the_programs_of_the_manual_print_what_it_says(capsys):
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, "docs/metrics.md", "exec"), {})
        assert capsys.readouterr().out.split("\n")[:-1] == re.findall(r"# (.+)", program)
