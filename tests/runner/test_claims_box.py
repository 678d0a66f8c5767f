"""What a backtest says of itself: nine lines in an order that nobody can change, and trials along the lineage."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import qfp
from django.template import engines
from django.utils import timezone
from qfp.checking import apart, words
from qfp.checking.literals import LONG

from runner import alike, checking, claims_box, companions, past_trials, trials
from runner.manifests import lineage_of
from runner.models import Backtest, Project, Trial
from runner.sweeps import SweepQuestions
from tests.factories import make_finished_run, make_project, make_run, make_user
from tests.sdk.test_sweeps import Dip, bars

pytestmark = pytest.mark.django_db

KEYS = ["lookahead", "amnesia", "trials", "pbo", "survivorship", "data", "conventions", "sample", "verified"]


def make_backtest(project=None, trial="a" * 64, drift=0.001, **values) -> Backtest:
    run = make_finished_run(project or make_project())
    returns = np.random.default_rng(5).normal(drift, 0.01, 1_000)
    equity = np.concatenate([[10_000.0], 10_000 * np.cumprod(1 + returns)])
    return Backtest.objects.create(
        **{
            "run": run,
            "position": 0,
            "strategy": "Example",
            "start": datetime(2010, 1, 4, tzinfo=UTC),
            "end": datetime(2013, 1, 4, tzinfo=UTC),
            "cash": 10_000,
            "conventions": {"id": "next-open", "version": 2},
            "equity": equity.tolist(),
            "metrics": {"sharpe": 1.0},
            "verified": True,
            "trial": trial,
        }
        | values
    )


def state_of(backtest, key):
    return next(line for line in claims_box.lines(backtest) if line["key"] == key)["state"]


def test_there_are_nine_lines_in_their_order_and_each_leads_to_the_manual():
    backtest = make_backtest()
    lines = claims_box.lines(backtest)
    assert [line["key"] for line in lines] == KEYS
    assert all(line["text"] and line["word"] and line["link"].startswith("/docs/honesty#") for line in lines)


def test_synthetic_bars_are_called_so(monkeypatch):
    entry = {
        "id": "synth/us/1d/SYN001",
        "symbol": "SYN001",
        "last": "2010-12-31",
        "rights": "redistribute",
        "tier": "S",
    }
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: entry})
    backtest = make_backtest(snapshot="a" * 64, instruments=[{"series": entry["id"], "object": "b" * 64}])
    (line,) = [line for line in claims_box.lines(backtest, private=()) if line["key"] == "data"]
    assert line["state"] == "amber" and "SYN001 are synthetic" in line["text"]
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: entry | {"tier": "A"}})
    assert state_of(backtest, "data") == "green"


def test_values_that_a_sweep_chose_from_all_data_are_no_leak():
    """On other data it may choose others; the same difference without a sweep, or within windows, is one."""
    backtest = make_backtest(dates=["2010-01-04T00:00:00Z", "2010-01-05T00:00:00Z"])
    assert companions._finding(backtest, 1, 4, "")["lookahead"]["state"] == "red"
    asked = SweepQuestions(backtest.run)
    window = {"window": 1, "train": ["2009-01-01", "2009-12-31"], "test": ["2010-01-04", "2010-01-05"]}
    for about, state in (({"target": "f", "bars": window}, "red"), ({"target": "f", "bars": "b" * 64}, "amber")):
        sweep = asked.answer({"do": "open", "about": about})["sweep"]
        asked.answer({"do": "add", "sweep": sweep, "trials": [{"number": 1, "params": {"n": 1}, "score": 1.0}]})
        found = companions._finding(backtest, 1, 4, "")
        assert (found["lookahead"]["state"], found["companion"]["state"]) == (state, state)
    assert "2010-01-05" in found["lookahead"]["sentence"] and found["lookahead"]["found"]["state"] == "chosen"


def test_the_links_are_headings_of_the_manual(client):
    page = client.get("/docs/honesty").content.decode()
    assert all(f'id="{line["link"].partition("#")[2]}"' in page for line in claims_box.lines(make_backtest()))


def test_the_badge_is_as_bad_as_the_worst_line():
    found = [{"state": state} for state in ("green", "amber", "amber")]
    assert claims_box.summary(found) == {"state": "amber", "text": "2 doubts"}
    assert claims_box.summary([*found, {"state": "red"}]) == {"state": "red", "text": "1 problem"}
    assert claims_box.summary(found[:1])["state"] == "green"


def test_a_backtest_that_nothing_was_found_out_about_is_doubted_and_not_praised():
    assert state_of(make_backtest(checks={}), "lookahead") == state_of(make_backtest(checks={}), "amnesia") == "amber"


def test_of_what_was_not_tested_it_is_said_that_a_check_is_still_to_come():
    def said(visibility, **checks):
        untested = checking.findings({"lookahead": {"state": "untested", "why": "many runs"}, "amnesia": {}})
        backtest = make_backtest(make_project(visibility=visibility), checks=untested | checks)
        backtest.run.snapshot = "a" * 64
        return claims_box.lines(backtest)[0]["text"]

    begun = "Look-ahead could not be tested: many runs."
    assert said(Project.Visibility.PUBLIC).startswith(f"{begun} Still to come: the site makes the run again")
    assert said(Project.Visibility.PRIVATE).startswith(f"{begun} Once the project is unlisted or public, the site")
    assert said(Project.Visibility.PUBLIC, companion={"state": "amber", "sentence": "No."}) == begun


def test_findings_are_read_as_words_and_never_as_a_colour():
    message = {"lookahead": {"state": "green", "why": "trust me"}, "amnesia": {"state": "remembers", "what": "dates"}}
    found = checking.findings(message)
    assert (found["lookahead"]["state"], found["amnesia"]["state"]) == ("amber", "red")
    assert checking.findings({"lookahead": {"state": "leak"}, "amnesia": {}})["lookahead"]["state"] == "red"


def test_errors_that_may_quote_private_data_are_not_quoted():
    message = {"lookahead": {"state": "untested", "why": "on other data it fails: ValueError: close was 31.4"}}
    assert "31.4" in checking.findings(message)["lookahead"]["sentence"]
    kept = checking.findings(message, quoting=False)["lookahead"]
    assert "31.4" not in str(kept) and kept["state"] == "amber"
    leak = {"lookahead": {"state": "leak", "bar": 3, "expression": "x = 31.4", "date": "2009-01-07"}}
    assert "31.4" not in str(checking.findings(leak, quoting=False))


def test_the_reason_that_is_not_kept_is_told_in_words_that_are_true_for_everybody():
    message = {"lookahead": {"state": "untested", "why": "close was 31.4"}}
    said = checking.findings(message, quoting=False)["lookahead"]["sentence"]
    assert "this run could read data that one person alone may see" in said and "its owner" not in said
    for why in words.QUOTES_NOTHING:
        told = checking.findings({"lookahead": {"state": "untested", "why": why}}, quoting=False)
        assert told["lookahead"]["sentence"] == f"Look-ahead could not be tested: {why}."
    # Each is one that the tests give.
    said_there = "".join(file.read_text() for file in Path(words.__file__).parent.glob("[!w]*.py"))
    assert all(f'"{why}"' in said_there for why in words.QUOTES_NOTHING)


def test_whoever_reads_that_time_ran_out_is_told_what_to_do():
    why = apart.why_failed(apart.TOOK_TOO_LONG)
    message = {"lookahead": {"state": "partly", "cuts": 2, "why": why}, "amnesia": {"state": "untested", "why": why}}
    found = checking.findings(message, quoting=False)
    again = "time ran out, as when the site is busy. Run it again for the whole test."
    assert found["lookahead"]["sentence"] == f"No look-ahead found in the strategy (2 cuts); {again}"
    assert found["amnesia"]["sentence"] == f"Memory of history could not be tested: {again}"


def test_a_table_in_the_text_of_the_program_is_said_whatever_its_box_says():
    def said(told, written):
        found = checking.findings({"amnesia": told}, written=written)["amnesia"]
        return found["state"], found["evidence"]

    assert said({"state": "clean"}, LONG - 1) == ("green", "box")
    assert said({"state": "clean"}, LONG) == ("amber", "site")
    assert said({"state": "remembers", "what": "dates"}, LONG) == ("red", "box")


def test_unverified_bars_from_the_code_are_a_problem():
    backtest = make_backtest(verified=False, verified_text="Not verified. The bars came from the code.", snapshot="")
    assert state_of(backtest, "verified") == state_of(backtest, "data") == "red"


def test_what_only_a_library_can_say_is_a_doubt_and_so_is_a_fill_at_an_open_already_past():
    known = {"id": "backtrader/next-open", "library": "backtrader", "version": 1, "fill": "next-open"}
    known |= {"commission": 0.001, "per_unit": 0.0, "slippage": 0.0}
    clean = checking.findings({"lookahead": {"state": "clean"}, "amnesia": {}})

    def lines(**changed):
        found = claims_box.lines(make_backtest(conventions=known | changed, checks=clean))
        return {line["key"]: (line["state"], line["text"]) for line in found}

    assert (lines()["verified"][0], lines()["lookahead"][0]) == ("green", "green")
    state, text = lines(slippage=None)["verified"]
    assert state == "amber" and "Where in their bars its orders filled is the word of the library." in text
    state, text = lines(commission=None)["verified"]
    assert state == "amber" and "What the account could pay for is the word of the library." in text
    state, text = lines(fill="same-open")["lookahead"]
    assert state == "amber" and "cheat-on-open" in text


def test_a_file_of_the_authors_that_was_read_is_said_and_doubts_the_look_ahead_test(monkeypatch):
    clean = {"state": "green", "sentence": "No look-ahead found.", "evidence": "site", "found": {"state": "clean"}}
    traded = {"object": "b" * 64, "series": "us/1d/IBM"}
    backtest = make_backtest(checks={"lookahead": clean}, snapshot="a" * 64, instruments=[traded])
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"last": "2010-12-31"}})

    def said(*read):
        backtest.run.manifest = {"data": {"private": list(read)}}
        lines = {line["key"]: line for line in claims_box.lines(backtest)}
        return lines["data"], lines["lookahead"]

    data, lookahead = said()
    assert (data["state"], lookahead["state"]) == ("green", "green") and "Everybody may use it" in data["text"]
    data, lookahead = said("mine/mood@1")
    assert (data["state"], lookahead["state"]) == ("amber", "amber") and "Everybody" not in data["text"]
    assert "mine/mood@1, for its author alone" in data["text"] and "mine/mood@1, a file" in lookahead["text"]
    data, lookahead = said("tiingo/1d/VEND")
    assert (data["state"], lookahead["state"]) == ("amber", "green"), "what a vendor says is no file of the author's"
    # What its author says may be shared is a file of the author's all the same, and so is what others have shared.
    for name, whose in (("mine/mood@1", "its author"), ("bob/mood@1", "somebody")):
        backtest.run.manifest = {"data": {"private": [], "brought": [name]}}
        lines = {line["key"]: line for line in claims_box.lines(backtest)}
        assert (lines["data"]["state"], lines["lookahead"]["state"]) == ("green", "amber")
        assert f"{name}, a file that {whose} brought along" in lines["lookahead"]["text"]
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"last": "2010-12-31", "rights": "own"}})
    line = {line["key"]: line for line in claims_box.lines(backtest)}["data"]
    assert line["state"] == "amber" and "a file that somebody brought along" in line["text"]
    backtest.run.manifest, backtest.run.snapshot = {}, "a" * 64
    monkeypatch.setattr(claims_box, "_known", lambda snapshot: {"b" * 64: {"last": "2010-12-31"}})
    monkeypatch.setattr(claims_box, "personal_series", lambda snapshot: ("mine/mood@1",))
    monkeypatch.setattr(claims_box, "brought_series", lambda snapshot: ("mine/mood@1",))
    assert {line["key"]: line for line in claims_box.lines(backtest)}["data"]["state"] == "amber", "it may have read it"


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


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    a()\nexcept ValueError as mine:\n    hold(mine)\n",
        "def f():\n    global mine\n    mine = 1\n",
        "match a:\n    case [1, *mine] | {2: _, **mine} | mine:\n        hold(mine)\n",
    ],
)
def test_names_of_every_kind_make_no_other_program(code):
    assert alike._structure(code) == alike._structure(code.replace("mine", "other"))
    assert alike._structure(code) != alike._structure(code.replace("hold", "sell").replace("global", "nonlocal"))


LOOP = """
class A(Strategy):
    def next(self):
        if self.fast > self.slow and self.count:
            self.buy(size=self.share)
        else:
            self.position.close()
backtest(A, bars, cash=1, commission=2)
"""
IDLE = {
    "and True": LOOP.replace("self.count:", "self.count and True:"),
    "or False": LOOP.replace("self.count:", "(self.count or 1 > 2):"),
    "print": LOOP.replace(
        "            self.buy", "            print('', self.fast, len(self.data))\n            self.buy"
    ),
    "log": LOOP.replace("            self.buy", "            logging.info('bought')\n            self.buy"),
    "turned around": LOOP.replace("self.fast > self.slow", "self.slow < self.fast"),
    "adds nothing": LOOP.replace("size=self.share", "size=self.share * 1 + 0"),
    "returns nothing": LOOP.replace("backtest(", "        return None\nbacktest(", 1),
    "a function nobody calls": f"def idle(x):\n    return f(x)\n{LOOP}",
    "keywords": LOOP.replace("cash=1, commission=2", "commission=2, cash=1"),
    "unused": LOOP.replace("        if self.fast", "        idle = len(self.data)\n        if self.fast"),
    "never": LOOP.replace("        if self.fast", "        while 1 > 2:\n            f()\n        if self.fast"),
}
OTHER = {
    "or": LOOP.replace(" and ", " or "),
    "sides": LOOP.replace("self.fast > self.slow", "self.fast < self.slow"),
    "sells": LOOP.replace("self.buy", "self.sell"),
    "asks for less": LOOP.replace(" and self.count", ""),
    "minus": LOOP.replace("size=self.share", "size=1 - self.share"),
    "acts": LOOP.replace("self.count:", "self.count and self.buy():"),
    "prints what it buys": LOOP.replace(
        "            self.buy(", "            print(self.sell())\n            self.buy("
    ),
    "always": LOOP.replace("self.count:", "self.count or True:"),
}


@pytest.mark.parametrize("way", IDLE)
def test_what_changes_nothing_makes_no_other_program(way):
    assert alike._structure(IDLE[way]) == alike._structure(LOOP)


def test_what_trades_otherwise_is_another_program():
    shapes = [alike._structure(LOOP), *map(alike._structure, OTHER.values())]
    assert len(set(shapes)) == len(shapes)
    called = {"main.py": "from table import idle\nidle(1)\n", "table.py": "def idle(x):\n    return f(x)\n"}
    assert alike.shape_of(called) != alike.shape_of({**called, "table.py": "def idle(x):\n    return g(x)\n"})


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
    order = claims_box.STATES
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


def test_numbers_too_large_for_a_float_are_no_parameters_and_no_figures():
    sweeps = SweepQuestions(make_run())
    sweep = sweeps.answer({"do": "open", "about": {"target": "f"}})["sweep"]

    def told(**trial):
        return sweeps.answer({"do": "add", "sweep": sweep, "trials": [{"number": 1, **trial}]})

    assert "finite number" in told(params={"a": 10**400})["error"]
    assert told(params={"a": 1}, score=10**400, figures={"sharpe": 10**400}) == {}
    kept = Trial.objects.get()
    assert kept.score is None and kept.figures == {"sharpe": None}


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


def test_trials_that_were_counted_already_are_not_counted_again(django_assert_num_queries):
    backtest = make_backtest()
    with django_assert_num_queries(0):
        lines = claims_box.lines(backtest, trials.Trials(7))
    assert "7 different trials" in next(line["text"] for line in lines if line["key"] == "trials")


def test_a_manifest_names_what_it_was_forked_from_only_where_everybody_may_see_that():
    # The token of a guest's project is its address.
    origin = make_project()
    fork = make_project(forked_from=origin.make_revision(origin.draft, author=None))
    for visibility in Project.Visibility:
        origin.visibility = visibility
        named = lineage_of(fork, trials.Trials(1))["forked_from"]
        assert named.endswith(" r1") and (origin.token in named) == (visibility == "public")


def test_the_box_is_drawn_with_all_lines_and_text_of_others_is_no_markup():
    finding = {"state": "red", "sentence": "Look-ahead: <script>alert(1)</script>"}
    backtest = make_backtest(checks={"lookahead": finding})
    html = engines["django"].from_string("{% load claims %}{% claims_box backtest %}").render({"backtest": backtest})
    assert html.count("claims__line ") == 9 and "claims--red" in html
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_a_run_that_knows_the_future_says_so_beside_verified_and_chances_are_not_praised():
    leak = {"lookahead": {"state": "red", "sentence": "Look-ahead: the order of 2012-03-05 changed."}}
    leaking = make_backtest(drift=0.01, checks=leak)
    honest = make_backtest(drift=0.01, checks={"lookahead": {"state": "green", "sentence": "Fine."}}, snapshot="0" * 64)
    assert state_of(leaking, "trials") == state_of(leaking, "sample") == "amber"
    assert state_of(honest, "trials") == state_of(honest, "sample") == "green"
    drawn = engines["django"].from_string(
        '{% load claims %}{% include "includes/backtest_badges.html" %}{% claims_box backtest %}'
    )
    said = drawn.render({"backtest": leaking})
    assert "badge--verified" in said and "badge--problem" in said and "2012-03-05" in said and " open>" in said
    quiet = drawn.render({"backtest": honest})
    assert "badge--verified" in quiet and "badge--problem" not in quiet and " open>" not in quiet


@pytest.mark.parametrize(
    ("values", "state", "said"),
    [
        ({"fills": [{"bar": 5, "size": 1.0, "price": 10.0, "commission": -50.0}]}, "red", "50 were paid to the trader"),
        ({"conventions": {"id": "portfolio-next-open", "version": 1, "interest": 0.5}}, "amber", "earns 50 % a year"),
        ({"conventions": {"id": "portfolio-next-open", "version": 1, "interest": 0.03}}, "green", "over other fills"),
    ],
)
def test_costs_that_are_an_income_are_never_green(values, state, said):
    checks = {"band": {"state": "green", "sentence": "Total return over other fills and costs.", "cells": []}}
    backtest = make_backtest(checks=checks, **values)
    line = next(line for line in claims_box.lines(backtest) if line["key"] == "conventions")
    assert line["state"] == state and said in line["text"]
