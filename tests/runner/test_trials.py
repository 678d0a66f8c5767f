"""What counts as a trial: a combination once, along the lineage, whatever its names are and whatever was deleted."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import date, datetime, timedelta

import pytest
import qfp
from django.utils import timezone
from qfp.tearsheet.states import STATES

from runner import claims_box, past_trials, trials
from runner.combinations import combination_of
from runner.likeness import alike, stored
from runner.models import Backtest, PastProgram, PastTrial, Project, Run, Sweep, Trial
from runner.sweeps import questions as sweep_questions
from runner.sweeps.questions import SweepQuestions
from tests.factories import make_finished_run, make_project, make_run, make_user
from tests.runner import respelled
from tests.runner.test_claims_box import make_backtest, state_of
from tests.sdk.test_sweeps import Dip, bars

pytestmark = pytest.mark.django_db


def test_the_same_trial_twice_is_one_and_a_fork_begins_with_what_was_tried_before_it():
    author, other = make_user(), make_user()
    origin = make_project(author)
    for trial in ("a", "a", "b"):
        make_backtest(origin, trial * 64)
    assert trials.of_project(origin).count == 2
    run = origin.revisions.last()
    fork = make_project(other)
    fork.forked_from, fork.created = run, timezone.now()
    fork.save()
    make_backtest(fork, "c" * 64)
    assert trials.of_project(fork).count == 3
    later = make_backtest(origin, "d" * 64)
    type(later.run).objects.filter(pk=later.run_id).update(queued=timezone.now() + timedelta(hours=1))
    assert trials.of_project(fork).count == 3 and trials.of_project(origin).count == 3
    own = make_project(author)
    own.forked_from = run
    own.save()
    make_backtest(own, "e" * 64)
    assert trials.of_project(origin).count == 4


CODE = "import numpy as np\nclass A:\n    fast = 10\n    def next(self):\n        self.x = np.mean(self.fast)\n"


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("        self.x", "        pass\n        self.x"),
        CODE.replace("self.x", "self.y").replace("fast", "slow").replace("class A", "class B"),
        CODE.replace("class A:\n", "class A:\n    'Better.'\n").replace("fast = 10", "fast: int = 20"),
        "import os\n" + CODE.replace("np", "numpy"),
        CODE.replace("        self.x", "        idle = self.fast + 1\n        self.fast\n        self.x"),
        CODE.replace(
            "        self.x",
            "        if self.fast:\n            pass\n        elif 0:\n            f()\n        self.x",
        ),
    ],
)
def test_what_an_author_tries_with_other_names_or_idle_lines_in_another_project_counts(other):
    author = make_user()
    first, second = make_project(author, CODE), make_project(author, other)
    make_backtest(first, "a" * 64)
    make_backtest(second, "b" * 64)
    assert trials.of_project(second).count == 2
    different = make_project(author, CODE.replace("np.mean", "np.max"))
    make_backtest(different, "c" * 64)
    assert trials.of_project(different).count == 1


@pytest.mark.parametrize("way", ["a method as helper", "names of locals and functions"])
def test_what_an_author_tries_with_a_strategy_spelled_otherwise_counts_also_when_it_is_deleted(way):
    author = make_user()
    first, second = make_project(author, respelled.BASE), make_project(author, respelled.RESPELLED[way])
    make_backtest(first, "a" * 64)
    make_backtest(second, "b" * 64)
    assert trials.of_project(second).count == 2
    first.remove()
    second.refresh_from_db()
    assert trials.of_project(second).count == 2


def test_what_was_tried_beside_a_benchmark_counts_where_it_is_tried_without_also_when_it_is_deleted():
    author = make_user()
    hold = "class Hold(Strategy):\n    def next(self):\n        self.buy()\nbacktest(Hold, bars)\n"
    both = make_project(author, respelled.BASE + hold)
    alone = make_project(author, respelled.BASE)
    benchmark = make_project(author, respelled.OTHER["sells short"] + hold)
    for trial in "abcd":
        make_backtest(both, trial * 64)
    make_backtest(alone, "e" * 64)
    make_backtest(benchmark, "f" * 64)
    assert (trials.of_project(alone).count, trials.of_project(benchmark).count) == (5, 1)
    both.remove()
    alone.refresh_from_db()
    benchmark.refresh_from_db()
    assert (trials.of_project(alone).count, trials.of_project(benchmark).count) == (5, 1)
    assert PastProgram.objects.count() == 1


def test_what_was_tried_before_strategies_were_told_apart_counts_by_the_shape_of_its_code():
    author = make_user()
    project = make_project(author, respelled.BASE)
    make_backtest(project, "a" * 64)
    shape = stored.shape_of({"main.py": respelled.RESPELLED["numbers"]})
    PastTrial.objects.create(owner=author, shape=shape, trial="b" * 64)
    assert trials.of_project(project).count == 2


def test_deleting_a_project_takes_none_of_its_trials_away():
    author = make_user()
    first, second = make_project(author, CODE), make_project(author, CODE.replace("10", "20"))
    for trial in "abcd":
        make_backtest(first, trial * 64)
    make_backtest(second, "e" * 64)
    fork = make_project(author, "print(2)", forked_from=first.revisions.last())
    make_backtest(fork, "f" * 64)
    stranger = make_project(make_user(), CODE)
    make_backtest(stranger, "e" * 64)
    first.remove()
    second.refresh_from_db()
    fork.refresh_from_db()
    assert trials.of_project(second).count == 5
    assert trials.of_project(fork).count == 5  # four of what it was forked from, and its own
    assert trials.of_project(stranger).count == 1
    author.delete()


def test_a_fork_of_a_deleted_fork_still_counts_what_was_tried_before_either():
    first = make_project()
    make_backtest(first, "a" * 64)
    middle = make_project(forked_from=first.revisions.last())
    make_backtest(middle, "b" * 64)
    last = make_project(forked_from=middle.revisions.last())
    make_backtest(first, "c" * 64)
    assert trials.of_project(last).count == 2
    middle.remove()
    last.refresh_from_db()
    assert trials.of_project(last).count == 2


def test_where_too_much_was_tried_forks_crowd_out_nothing_of_the_author(monkeypatch):
    monkeypatch.setattr(past_trials, "MOST_KEPT", 3)
    author = make_user()
    first, again = make_project(author, CODE), make_project(author, CODE.replace("10", "20"))
    for trial in "abc":
        make_backtest(first, trial * 64)
    make_backtest(again, "d" * 64)
    fork = make_project(author, "print(2)", forked_from=first.revisions.last())
    first.remove()
    Project.objects.get(pk=fork.pk).remove()
    assert trials.of_project(again).count == 4


def test_later_revisions_have_no_trial_forgotten_when_a_project_is_deleted(monkeypatch):
    monkeypatch.setattr(alike, "MOST_OWN", 1)
    author = make_user()
    first, second = make_project(author, CODE), make_project(author, CODE.replace("10", "20"))
    for trial in "abc":
        make_backtest(first, trial * 64)
    first.draft = {"main.py": "print(9)"}
    make_backtest(first, "d" * 64)
    make_backtest(second, "e" * 64)
    first.remove()
    second.refresh_from_db()
    assert trials.of_project(second).count == 4


def test_more_trials_make_the_same_sharpe_ratio_worth_less():
    project = make_project()
    backtest = make_backtest(project, drift=0.0007)
    before = state_of(backtest, "trials")
    for number in range(40):
        make_backtest(project, f"{number:064x}", metrics={"sharpe": float(number % 7) / 2})
    order = list(STATES)
    assert order.index(state_of(backtest, "trials")) > order.index(before)


def test_comments_and_blank_lines_are_no_trial_and_a_parameter_is():
    code = trials.Code({"main.py": "a = 1\nb = a"})
    plain = code.fingerprint({"fast": 10})
    # Names are stored, so they stay what they are: of the list of code and values as JSON.
    text = '[{"main.py": "a = 1\\nb = a"}, {"fast": 10}]'
    assert plain == hashlib.sha256(text.encode()).hexdigest()
    other = trials.Code({"main.py": "# better\n\na = 1  # one\n\n\nb = a\n"})
    assert other.fingerprint({"fast": 10}) == plain
    assert code.fingerprint({"fast": 11}) != plain
    assert trials.Code({"main.py": "a = 2\nb = a"}).fingerprint({"fast": 10}) != plain
    broken, longer = (trials.Code({"main.py": text}).fingerprint({}) for text in ("a = (", "# better\n\n a = (\n"))
    assert broken == longer, "also where it cannot be parsed"
    given = trials.Code({"main.py": "from qfp import param\nfast, deep = param('fast', 5), param('deep', True)\n"})
    chosen = [{}, {"fast": 5, "deep": True}, {"fast": 6}, {"deep": 1}, {"other": 5}]
    first, default, *others = (given.fingerprint({"run_params": values}) for values in chosen)
    assert first == default and len({first, *others}) == 4, "a form sends every parameter, the first run none"


def test_numbers_too_large_for_a_float_are_no_parameters_and_no_figures():
    sweeps = SweepQuestions(make_run())
    sweep = sweeps.answer({"do": "open", "about": {"target": "f"}})["sweep"]

    def told(**trial):
        return sweeps.answer({"do": "add", "sweep": sweep, "trials": [{"number": 1, **trial}]})

    assert "finite number" in told(params={"a": 10**400})["error"]
    assert told(params={"a": 1}, score=10**400, figures={"sharpe": 10**400}) == {}
    kept = Trial.objects.get()
    assert kept.score is None and kept.figures == {"sharpe": None}


def test_a_program_that_sets_what_its_strategy_reads_around_a_sweep_tries_each_combination_anew(tmp_path, monkeypatch):
    told = {}
    for name, hold in (("first", 3), ("second", 4), ("again", 3)):
        monkeypatch.setattr(Dip, "hold", hold)
        qfp.sweep(Dip, bars(), {"days": (3, 5)}, record=tmp_path / name, workers=1, show=False)
        told[name] = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    project = make_project()
    for name, count in (("first", 2), ("second", 4), ("again", 4)):
        questions = SweepQuestions(make_finished_run(project))
        sweep = questions.answer({"do": "open", "about": told[name][0]["sweep"]})["sweep"]
        assert questions.answer({"do": "add", "sweep": sweep, "trials": told[name][1:]}) == {}
        assert trials.of_project(project).count == count
    about = told["first"][0]["sweep"]
    earlier = {name: value for name, value in about.items() if name != "values_read"}
    project = make_project()
    for asked in (earlier, about):  # before a box told what its code reads, and the same sweep afterwards
        questions = SweepQuestions(make_finished_run(project))
        sweep = questions.answer({"do": "open", "about": asked})["sweep"]
        known = questions.answer({"do": "known", "sweep": sweep, "after": -1})["trials"]
        assert len(known) == (0 if asked is earlier else 2)
        assert questions.answer({"do": "add", "sweep": sweep, "trials": told["first"][1:]}) == {}
        assert trials.of_project(project).count == 2


def test_the_windows_of_a_programs_own_walk_forward_count_each_combination_once(tmp_path):
    frame, space = bars(120), {"days": (3, 5)}
    asked = {"workers": 1, "show": False}
    qfp.walk_forward(Dip, frame, space, train=80, test=40, record=tmp_path / "window", **asked)
    qfp.sweep(Dip, frame, space, record=tmp_path / "whole", **asked)
    qfp.sweep(Dip, frame.iloc[:90], space, record=tmp_path / "other", **asked)
    window, whole, other = (
        json.loads((tmp_path / name).read_text().splitlines()[0])["sweep"] for name in ("window", "whole", "other")
    )
    later = {**window, "bars": {**window["bars"], "window": [40, 80, 80, 120]}}
    project = make_project()
    for about, count in ((window, 2), (later, 2), (whole, 2), (other, 4)):
        questions = SweepQuestions(make_finished_run(project))
        sweep = questions.answer({"do": "open", "about": about})["sweep"]
        told = [{"number": at, "params": {"days": days}} for at, days in enumerate(space["days"])]
        assert questions.answer({"do": "add", "sweep": sweep, "trials": told}) == {}
        assert trials.of_project(project).count == count
    assert project.sweeps.count() == 4


def test_a_backtest_that_came_out_as_a_combination_of_a_sweep_is_that_trial_where_they_are_surely_the_same():
    figures = {"sharpe": 1.25, "total_return": 0.5, "max_drawdown": -0.125, "trades": 7.0}
    project, values = make_project(), {"fast": 10, "cost": 0.002}
    run = make_finished_run(project, params={"cost": 0.002}, search={"space": {}})
    sweep = Sweep.objects.create(project=project, key="s", about={"space": {"fast": {}}, "bars": "b" * 64})
    sweep.runs.add(run)
    for number in range(2):
        told = {"params": {"fast": 10 + number}, "figures": figures | {"sharpe": 1.25 - number}}
        Trial.objects.create(sweep=sweep, run=run, key=f"{number}" * 64, number=number, **told)

    def named(values=values, run=run, verified=True, **metrics) -> str:
        return combination_of(Backtest(run=run, verified=verified, metrics=figures | metrics), values)

    again = make_finished_run(project, params=values)
    assert named() == named(run=again) == named(sharpe=1.25 + 1e-12) == "0" * 64
    assert named(values | {"fast": 11}, sharpe=0.25) == "1" * 64
    unsure = [{"sharpe": 1.25 + 1e-6}, {"trades": 8.0}, {"max_drawdown": None}, {"verified": False}]
    unsure += [{"values": values | other} for other in ({"fast": 11}, {"fast": 12}, {"cost": 0.001})]
    unsure += [{"values": {"fast": 10}}, {"run": make_finished_run(make_project(), params=values)}]
    assert [named(**other) for other in unsure] == [""] * len(unsure)

    # A further result of a search is one more, and the one that is a combination is not.
    make_backtest(run=run, trial=named(), metrics=figures)
    make_backtest(run=run, trial="f" * 64, position=1, metrics=figures)
    counted = trials.of_project(project)
    assert (counted.count, counted.in_sweeps, counted.of_searches) == (3, 2, 1)

    # Not sure: a second outcome of the same name, another version of the program, and windows, which are earlier bars.
    Trial.objects.filter(number=0).update(figures=figures | {"trades": 8.0})
    assert named(trades=8.0) == ""
    Trial.objects.filter(number=0).update(figures=figures)
    assert named() == "0" * 64
    project.draft = {"main.py": "print(9)"}
    assert named(run=make_finished_run(project, params=values)) == ""
    Run.objects.filter(pk=run.pk).update(declared_params=[{"name": "hold", "default": 3}])
    assert named(run=again) == "" and named(values | {"hold": 3}, run=again) == "0" * 64
    Sweep.objects.update(about={**sweep.about, "bars": {"window": [0, 1]}})
    assert named() == ""


def test_trials_that_were_counted_already_are_not_counted_again(django_assert_num_queries):
    backtest = make_backtest()
    with django_assert_num_queries(0):
        lines = claims_box.lines(backtest, trials.Trials(7))
    assert "7 different trials" in next(line["text"] for line in lines if line["key"] == "trials")


def told(number: int = 0, **values) -> dict:
    return {"number": number, "params": {"fast": number}, "score": 1.0} | values


def test_what_a_box_tells_of_a_sweep_is_bounded(monkeypatch):
    run = make_run()
    questions = SweepQuestions(run, left=1)

    def asked(do: str, **values) -> dict:
        return questions.answer({"do": do, **values})

    for about in ("text", ["x"], {"target": "x" * sweep_questions.MOST_ABOUT_BYTES}):
        assert "too long" in asked("open", about=about)["error"]
    sweep = asked("open", about={"target": "A"})["sweep"]
    assert "At most" in asked("open", about={"target": "B"})["error"]
    other = SweepQuestions(make_run()).answer({"do": "open", "about": {"target": "A"}})["sweep"]
    for wrong in (other, str(sweep), None):
        assert asked("add", sweep=wrong, trials=[told()]) == {"error": "This sweep is not open."}
    for trials_told in ("x", {}, [told(number) for number in range(sweep_questions.MOST_AT_ONCE + 1)]):
        assert "told as a list" in asked("add", sweep=sweep, trials=trials_told)["error"]
    for wrong in (
        1,
        {},
        told(params=[1]),
        told(params={"fast": None}),
        told(params={"fast": float("inf")}),
        told(params={"fast": float("nan")}),
        told(params={"fast": 10**400}),
        told(params={str(n): n for n in range(sweep_questions.MOST_NAMES + 1)}),
    ):
        assert "error" in asked("add", sweep=sweep, trials=[told(1), wrong]), wrong
    assert not Trial.objects.exists(), "of a batch with one that cannot be kept none is"
    odd = told(2, score=float("nan"), figures={"sharpe": 10**400, "cagr": True, "x" * 99: 1}, blocks="no", length=5)
    assert asked("add", sweep=sweep, trials=[odd, told(2)]) == {}
    (kept,) = asked("known", sweep=sweep, after="x")["trials"]
    assert (kept["score"], kept["blocks"], kept["length"]) == (None, "", 0)
    assert kept["figures"] == {"sharpe": None, "cagr": None, "x" * 60: 1.0}
    assert asked("known", sweep=sweep, after=kept["id"]) == {"trials": []}
    monkeypatch.setattr(sweep_questions, "MOST_TRIALS", 1)
    assert "trials of a sweep are kept" in asked("add", sweep=sweep, trials=[told(3)])["error"]
    assert asked("other", sweep=sweep) == {"error": "Nothing of that kind can be asked."}


@pytest.mark.parametrize(
    ("bars", "days"),
    [
        ({"period": {"start": "2009-01-02", "end": "2009-12-31T00:00"}}, (date(2009, 1, 2), date(2009, 12, 31))),
        ({"train": ["2008-01-02", "2008-06-30"], "period": {}}, (date(2008, 1, 2), date(2008, 6, 30))),
        ({"period": {"start": "2009-12-31", "end": "2009-01-02"}}, None),
        ({"period": {"start": 20090102, "end": "2009-12-31"}}, None),
        ({"train": ["2008-01-02"]}, None),
        ([1], None),
    ],
)
def test_days_of_a_sweep_are_the_word_of_its_box_and_none_where_that_makes_no_sense(bars, days):
    assert trials._days_of(json.dumps(bars)) == days
    assert trials._days_of("{") is trials._days_of(None) is None


def test_the_spread_of_trials_needs_two_and_is_none_where_it_cannot_be_counted():
    def spread(number: int, mean: float, variance: float | None, low: float, high: float):
        return trials.Spread(number, mean, variance, low, high)

    one, other = spread(1, 1.0, None, 1.0, 1.0), spread(1, 3.0, None, 3.0, 3.0)
    assert trials._variance([one]) is trials._variance([]) is None
    assert trials._variance([one, other]) == pytest.approx(2.0)
    assert trials._variance([one, spread(2, math.inf, 1.0, 0.0, math.inf)]) is None
    # Many in one place hide no few that are spread: what these alone give counts, too.
    many = trials.ENOUGH
    assert trials._variance([spread(100 * many, 0.0, 0.0, 0.0, 0.0), spread(many, 0.0, 4.0, -3.0, 3.0)]) >= 4.0


def test_a_result_is_compared_with_trials_of_its_time_and_its_kind_of_bars():
    known = {"strategy": "Own", "instruments": [{"symbol": "IBM"}], "equity": [1.0] * 100}
    of = Backtest(**known, metrics={"periods_per_year": 252}, start=datetime(2010, 1, 1), end=datetime(2010, 4, 10))

    def beside(first=None, last=None, **values):
        days = (date(*first), date(*last)) if first and last else None
        return trials.Part(trials.Spread(20, 0.0, 1.0, -2.0, 2.0), days, **values).is_beside(of)

    assert beside(), "where nothing is known it counts"
    assert (beside(bars=80), beside(bars=79)) == (True, False)
    assert [beside(a_year=bars) for bars in (125, 126, 252, 504, 505)] == [False, True, True, True, False]
    whole = {"first": (2010, 1, 1), "last": (2010, 4, 10)}
    assert beside(**whole) and beside((2000, 1, 1), (2020, 1, 1))
    assert (beside((2010, 1, 1), (2010, 3, 21)), beside((2010, 1, 1), (2010, 3, 20))) == (True, False)
    assert (beside((2010, 1, 21), (2011, 1, 1)), beside((2010, 1, 22), (2011, 1, 1))) == (True, False)
    assert not beside((2009, 1, 1), (2009, 12, 31)) and not beside((2010, 4, 11), (2011, 4, 11))
    others = [beside(**whole, strategy=name, symbol=symbol) for name in ("Own", "Other") for symbol in ("IBM", "AAPL")]
    assert others == [True, True, True, False]
    of.metrics = {}
    assert beside(a_year=5)
