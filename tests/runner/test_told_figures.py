"""What a program tells of its trials: none of it makes a later run fail, and more of it makes no result better."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from django.template.loader import get_template

from runner import claims_box, trials
from runner.manifests import lineage_of
from runner.models import Backtest, Sweep, Trial
from runner.storable import TooDeep, storable
from runner.sweeps.questions import SweepQuestions
from tests.factories import make_finished_run, make_project
from tests.runner.test_claims_box import make_backtest

pytestmark = pytest.mark.django_db


def told(project, sharpes, start=0):
    run = make_finished_run(project)
    sweep = Sweep.objects.create(project=project, key=f"s{start}")
    made = [
        Trial(sweep=sweep, run=run, key=f"t{start + at}", number=at, params={"a": at}, figures={"sharpe": float(value)})
        for at, value in enumerate(sharpes)
    ]
    Trial.objects.bulk_create(made)


def luck_of(backtest):
    text = next(line["text"] for line in claims_box.lines(backtest) if line["key"] == "trials")
    return float(text.partition(": ")[2].split("\u00a0%")[0].removeprefix("over "))


def test_figures_that_no_account_has_make_no_later_run_fail():
    project = make_project()
    told(project, [1e299, -1e299])
    found = trials.of_project(project)
    assert found.count == 2 and found.annual_variance is None
    json.dumps(lineage_of(project, found), allow_nan=False)
    assert luck_of(make_backtest(project)) >= 0


def test_a_figure_that_is_told_is_kept_where_it_can_be_reckoned_with():
    run = make_finished_run(make_project())
    sweeps = SweepQuestions(run)
    sweep = sweeps.answer({"do": "open", "about": {}})["sweep"]
    one = {"number": 1, "params": {}, "score": 1e299, "figures": {"sharpe": -1e299, "cagr": 0.1}}
    assert sweeps.answer({"do": "add", "sweep": sweep, "trials": [one]}) == {}
    kept = Trial.objects.get()
    assert kept.score is None and kept.figures == {"sharpe": None, "cagr": 0.1}


def test_numbers_that_json_does_not_know_are_stored_as_missing():
    assert storable({"a": [float("inf"), float("nan"), 1.5]}) == {"a": [None, None, 1.5]}


def test_thousands_of_equal_trials_make_no_result_better():
    project = make_project()
    told(project, np.random.default_rng(1).normal(0.3, 0.6, 60))
    backtest = make_backtest(project, drift=0.0005)
    before = luck_of(backtest)
    told(project, np.random.default_rng(2).normal(0.3, 0.001, 3_000), start=100)
    assert before < 99 and luck_of(backtest) <= before


def test_only_trials_over_about_the_same_period_say_how_far_sharpe_ratios_spread():
    """Hand-made: 0.2 and 0.8 over the whole period have a variance of 0.18; windows of a third scatter to -3 and 3."""
    project = make_project()
    year = {"periods_per_year": 252.0}
    backtest = make_backtest(project, drift=0.0012, metrics={"sharpe": 0.5, **year})

    def sweep_over(run, values, bars, length, start):
        sweep = Sweep.objects.create(project=project, key=f"{start}", about={"bars": bars})
        for at, value in enumerate(values):
            told = {"key": f"{start + at}", "number": at, "figures": {"sharpe": value}, "length": length}
            Trial.objects.create(sweep=sweep, run=run, **told)

    run = make_finished_run(project)
    whole = {"bars": [], "period": {"start": "2010-01-04T00:00:00", "end": "2013-01-04T00:00:00"}}
    sweep_over(run, (0.2, 0.8), whole, 62, 0)
    expected = ((0.2 - 0.5) ** 2 + (0.8 - 0.5) ** 2) / 2
    assert trials.of_project(project).variance_beside(backtest) == pytest.approx(expected)
    before = luck_of(backtest)

    window = {**whole, "window": [0, 300, 300, 400], "train": ["2010-01-04", "2010-12-31"]}
    sweep_over(run, (-3.0, 3.0), window, 20, 10)  # of the site's walk-forward
    sweep_over(run, (-3.0, 3.0), "0" * 64, 20, 20)  # of the program's own: only how many bars is known
    make_backtest(project, "b" * 64, end=datetime(2011, 1, 4, tzinfo=UTC), metrics={"sharpe": -3.0, **year})
    make_backtest(project, "c" * 64, metrics={"sharpe": 9.0, "periods_per_year": 252 * 6.5})
    told = {"strategy": "Other", "instruments": [{"symbol": "GE"}]}
    make_backtest(project, "d" * 64, metrics={"sharpe": -9.0}, **told)
    found = trials.of_project(project)
    assert found.count == 10 and found.variance_beside(backtest) == pytest.approx(expected)
    assert found.annual_variance > 9
    assert 50 < luck_of(backtest) < before, "more were tried, and that alone counts"

    make_backtest(project, "e" * 64, start=datetime(2010, 7, 1, tzinfo=UTC), metrics={"sharpe": 2.5, **year})
    compared = trials.of_project(project).variance_beside(backtest)
    assert compared > 1, "most of the period: it is compared with"

    make_backtest(project, "f" * 64, metrics={"sharpe": 60.0, **year}, checks={"lookahead": {"state": "red"}})
    found = trials.of_project(project)
    assert found.count == 12 and found.variance_beside(backtest) == compared, "it knew the future, which is no luck"


def test_a_combination_is_counted_once_in_however_many_windows_it_was_tried():
    project = make_project()
    read = {"bars": [["IBM", None]], "period": {"start": "2010-01-04", "end": "2013-01-04"}}
    windows = ({"window": [at], "train": [f"201{at}-01-01", f"201{at + 1}-01-01"], "test": []} for at in range(5))
    for extra in ({}, *windows):
        questions = SweepQuestions(make_finished_run(project))
        sweep = questions.answer({"do": "open", "about": {"target": "main.py", "bars": {**read, **extra}}})["sweep"]
        told = [{"number": a, "params": {"a": a}, "figures": {"sharpe": 1.0}} for a in range(3)]
        assert questions.answer({"do": "add", "sweep": sweep, "trials": told}) == {}
    assert Sweep.objects.count() == 6 and Trial.objects.count() == 18
    assert trials.of_project(project).count == 3
    other = {"target": "main.py", "bars": {**read, "period": {"start": "2011-01-04", "end": "2013-01-04"}}}
    sweep = questions.answer({"do": "open", "about": other})["sweep"]
    assert questions.answer({"do": "add", "sweep": sweep, "trials": told}) == {}
    assert trials.of_project(project).count == 6, "another period is another trial"


def test_the_same_code_with_other_numbers_in_another_project_of_the_author_counts():
    project = make_project(source="a = 1\nprint(a)\n")
    told(project, [0.1, 0.2, 0.3])
    other = make_project(project.owner, source="a = 2.5\n\n\nprint(a)  # better\n")
    make_backtest(other)
    assert trials.of_project(other).count == 4
    different = make_project(project.owner, source="a = 1\nraise ValueError(a + a)\n")
    make_backtest(different)
    assert trials.of_project(different).count == 1
    stranger = make_project(source="a = 2\nprint(a)\n")
    make_backtest(stranger)
    assert trials.of_project(stranger).count == 1


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_values_nested_too_deeply_are_refused_with_the_reason():
    assert storable(nested(100)) == nested(100)
    with pytest.raises(TooDeep, match="up to 100 inside each other"):
        storable(nested(900))
    sweeps = SweepQuestions(make_finished_run(make_project()))
    assert "inside each other" in sweeps.answer({"do": "open", "about": nested(900)})["error"]


@pytest.mark.parametrize(
    "param",
    [
        {"default": 1e299, "value": 1e299, "minimum": -1e299, "maximum": 1e299, "step": 5e-324},
        {"default": 10**298, "value": 10**298, "step": 1e-300},
        {"default": 1e-320, "value": 1e-320},
        {"default": "x", "value": True},
    ],
)
def test_the_form_of_a_sweep_stands_whatever_a_program_says_of_its_parameter(client, param):
    project = make_project()
    make_finished_run(project, declared_params=[{"name": "a", "kind": "number", "label": "a", **param}])
    client.force_login(project.owner)
    assert client.get(f"{project.base_url}/sweep").status_code == 200


@pytest.mark.parametrize("verified", [True, False])
def test_figures_that_nobody_has_checked_are_headed_as_told(verified):
    figures = [{"key": "total_return", "label": "Return", "value": 3_708_169.2, "text": "370,816,920 %"}]
    shown = get_template("runner/_figures.html").render({"backtest": Backtest(verified=verified), "figures": figures})
    assert ("As told by the program, not verified" in shown) is not verified
    assert ("figures--told" in shown) is not verified and ("gain" in shown) is verified
